//! Waiting for a word to change, which a signal handler may end.

#![expect(unsafe_code, reason = "the standard library has no wake that a signal handler may call")]

use std::{ptr, sync::atomic::AtomicU32, time::Duration};

/// Waits while `word` is `seen`, at most for `patience`. May return early.
pub(super) fn wait(word: &AtomicU32, seen: u32, patience: Duration) {
    let timeout = libc::timespec {
        tv_sec: patience.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word and the time live until the call returns.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), operation, seen, ptr::from_ref(&timeout))
    };
}

/// Wakes who waits for `word`. A signal handler may call it; it may change `errno`.
pub(super) fn wake(word: &AtomicU32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word lives, and nothing of it is changed.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 1) };
}
