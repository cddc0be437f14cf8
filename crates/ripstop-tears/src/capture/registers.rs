//! Where a thread was when the signal came, by what the kernel saved of it.

#![expect(unsafe_code, reason = "the kernel hands registers over by a pointer")]

use crate::walk::Registers;
use libc::ucontext_t;
use std::ffi::c_void;

/// What the kernel saved.
///
/// # Safety
///
/// `context` is the third argument of a handler with `SA_SIGINFO` that has not returned.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn saved(context: *const c_void) -> Registers {
    // SAFETY: the caller says that it is such a context.
    let saved = unsafe { &(*context.cast::<ucontext_t>()).uc_mcontext.gregs };
    let register = |name: libc::c_int| saved[name as usize] as usize;
    Registers {
        pc: register(libc::REG_RIP),
        sp: register(libc::REG_RSP),
        fp: register(libc::REG_RBP),
        link: None,
    }
}

/// What the kernel saved.
///
/// # Safety
///
/// `context` is the third argument of a handler with `SA_SIGINFO` that has not returned.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn saved(context: *const c_void) -> Registers {
    // SAFETY: the caller says that it is such a context.
    let saved = unsafe { &(*context.cast::<ucontext_t>()).uc_mcontext };
    Registers {
        pc: saved.pc as usize,
        sp: saved.sp as usize,
        fp: saved.regs[29] as usize,
        link: Some(saved.regs[30] as usize),
    }
}
