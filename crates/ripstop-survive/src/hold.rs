//! Holding signals back while handlers for them are installed.
//!
//! Libraries install a handler first and only then tell it what to do: what comes in between is
//! neither handled, nor does it end the process.

#![expect(unsafe_code, reason = "the C library's masks of signals")]

use std::{mem::MaybeUninit, ptr::null_mut};

/// Does something while TERM, INT and HUP do not come to the calling thread; what would have come
/// does after that. Where other threads do not hold them back, too, they may get them.
pub fn holding_signals<T>(work: impl FnOnce() -> T) -> T {
    let (mut held, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: the sets are filled before they are read, and the mask is the calling thread's own.
    unsafe {
        libc::sigemptyset(held.as_mut_ptr());
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaddset(held.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, held.as_ptr(), before.as_mut_ptr());
    }
    let done = work();
    // SAFETY: the mask was written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut()) };
    done
}
