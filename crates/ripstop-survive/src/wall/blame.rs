//! Blame: which thread a process dies of.
//!
//! A handler for the signals of faults writes the thread down, and leaves the rest to whoever had
//! the signal before: it happens once more, since the instruction is run again or the signal sent
//! again. What comes from outside, or takes the process without a signal, says nothing of a thread.

#![expect(unsafe_code, reason = "a signal handler is installed")]

use super::threads::owner;
use libc::{c_int, c_void, sigaction, siginfo_t};
use rustix::{process::getpid, thread::gettid};
use std::{
    mem::MaybeUninit,
    ptr::{null, null_mut},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The signals of faults, and of `abort`.
const SIGNALS: [c_int; 5] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];

/// Where the thread is written, and what was done at each of [`SIGNALS`] before.
static BLAME: OnceLock<Blame> = OnceLock::new();

struct Blame {
    mark: &'static AtomicU64,
    before: [sigaction; SIGNALS.len()],
}

/// From now on the [`owner`] that this process dies of is written to `mark`.
pub(super) fn watch(mark: &'static AtomicU64) {
    let blame = Blame { mark, before: SIGNALS.map(action) };
    if BLAME.set(blame).is_err() {
        return;
    }
    let mut ours = action(libc::SIGSEGV);
    ours.sa_sigaction = note as *const () as usize;
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the set is ours, and the handler keeps to what a handler may do.
    unsafe {
        libc::sigemptyset(&raw mut ours.sa_mask);
        for signal in SIGNALS {
            sigaction(signal, &raw const ours, null_mut());
        }
    }
}

/// Writes the calling thread down, and has the signal come again, to whoever had it before.
extern "C" fn note(signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    let Some(blame) = BLAME.get() else { return };
    // SAFETY: the kernel hands it over with `SA_SIGINFO`; whose it is stands there for a signal that
    // somebody sent.
    let (code, sender) = unsafe { ((*info).si_code, (*info).si_pid()) };
    let is_sent = code <= 0;
    // A signal that is sent to a process goes to any of its threads.
    let is_own = code == libc::SI_TKILL && sender == getpid().as_raw_pid();
    if !is_sent || is_own {
        blame.mark.store(owner(getpid(), gettid()), Relaxed);
    }
    for (index, number) in SIGNALS.into_iter().enumerate().filter(|(_, own)| *own == signal) {
        // SAFETY: as it was before; where it is sent again, it comes when this handler returns.
        unsafe {
            sigaction(number, &raw const blame.before[index], null_mut());
            if is_sent {
                let (process, thread) = (getpid().as_raw_pid(), gettid().as_raw_pid());
                libc::syscall(libc::SYS_tgkill, process, thread, signal);
            }
        }
    }
}

/// What is done at a signal now.
fn action(signal: c_int) -> sigaction {
    let mut action = MaybeUninit::<sigaction>::zeroed();
    // SAFETY: it only asks, and zeros are an action, too.
    unsafe {
        sigaction(signal, null(), action.as_mut_ptr());
        action.assume_init()
    }
}
