//! The signal, and what runs in the thread that gets it.
//!
//! The handler takes no lock, allocates nothing, calls nothing of the C library but two system
//! calls, and leaves `errno` as it was.

#![expect(unsafe_code, reason = "signals, and the stack as plain memory")]

use super::{exchange::EXCHANGE, registers};
use crate::walk::{Memory, walk};
use std::{
    ffi::{c_int, c_void},
    mem::MaybeUninit,
    ptr,
    sync::OnceLock,
};

/// The first of the real-time signals that is tried: the lowest are the C library's.
const FIRST: c_int = 10;

/// The signal of questions, with its handler installed; `None` if none was free.
pub(super) fn signal() -> Option<c_int> {
    static SIGNAL: OnceLock<Option<c_int>> = OnceLock::new();
    let install = || {
        let candidates = libc::SIGRTMIN() + FIRST..=libc::SIGRTMAX();
        candidates.into_iter().find(|signal| is_free(*signal) && install(*signal))
    };
    *SIGNAL.get_or_init(install)
}

/// Where the handler's code is, which is the program's own.
pub(super) fn address() -> usize {
    handle as *const () as usize
}

/// Sends the signal to a thread of this process; false if it cannot be.
pub(super) fn send(signal: c_int, tid: i32) -> bool {
    // SAFETY: no memory is passed. The signal has a handler, and goes to this process alone.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, signal) == 0 }
}

/// Whether nobody else handles a signal.
fn is_free(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: it only writes the present action to where it is told, and that is read only if it
    // has.
    unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_DFL
    }
}

fn install(signal: c_int) -> bool {
    // SAFETY: an action is plain data, for which zeros are valid.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = address();
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the action is valid, and its handler does only what a handler may do.
    unsafe {
        libc::sigfillset(&raw mut action.sa_mask);
        libc::sigaction(signal, &raw const action, ptr::null_mut()) == 0
    }
}

extern "C" fn handle(_signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the place of `errno` is the thread's own.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: it has no arguments.
    let tid = unsafe { libc::gettid() };
    if let Some(turn) = EXCHANGE.take(tid) {
        // SAFETY: this is the handler that the context is for.
        let registers = unsafe { registers::saved(context) };
        EXCHANGE.set_pc(registers.pc);
        let bounds = EXCHANGE.stack();
        let stack = if bounds.contains(&registers.sp) { registers.sp..bounds.end } else { 0..0 };
        let is_code = |address| EXCHANGE.is_code(address);
        let memory = Memory { stack, own: EXCHANGE.own(), word, is_code };
        walk(registers, &memory, &mut &EXCHANGE);
        EXCHANGE.answered(turn);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// A word of the stack of this thread. The walk asks for aligned addresses inside `Memory::stack`
/// alone.
fn word(address: usize) -> Option<usize> {
    // SAFETY: from the stack pointer to the end of the stack, which the thread itself has told, all
    // is mapped, and nobody but this thread, which is here, changes it.
    Some(unsafe { ptr::read_volatile(ptr::with_exposed_provenance(address)) })
}
