//! Stacks as they are taken: bounded and unresolved.

#![expect(unsafe_code, reason = "the unwinder is a C library")]

use std::ffi::{c_int, c_void};

/// Frames of a stack; what is further out is cut off.
pub(crate) const DEPTH: usize = 64;

/// Where a thread was: at most 64 addresses, innermost first, not resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// Each inside the instruction it is about, not behind it.
    addresses: Vec<usize>,
}

impl Stack {
    /// The stack of the caller, found by the unwind tables that every program has.
    ///
    /// Not for signal handlers: it allocates and may take a lock.
    pub fn here() -> Self {
        let mut addresses = Vec::with_capacity(DEPTH);
        // SAFETY: `push` is given back the very vector that it takes its argument for, while the
        // call lasts.
        unsafe { _Unwind_Backtrace(push, (&raw mut addresses).cast()) };
        Self { addresses }
    }

    /// Nothing known.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    pub(crate) fn new(addresses: Vec<usize>) -> Self {
        Self { addresses }
    }

    pub(crate) fn addresses(&self) -> &[usize] {
        &self.addresses
    }
}

/// Goes on, or ends the walk.
const GO_ON: c_int = 0;
const END: c_int = 5;

extern "C" fn push(context: *mut c_void, addresses: *mut c_void) -> c_int {
    // SAFETY: `Stack::here` passes a vector that nobody else uses meanwhile.
    let addresses = unsafe { &mut *addresses.cast::<Vec<usize>>() };
    // SAFETY: the unwinder passes a context of its own.
    let address = unsafe { _Unwind_GetIP(context) };
    if address == 0 || addresses.len() == DEPTH {
        return END;
    }
    // A return address is behind the call.
    addresses.push(address - 1);
    GO_ON
}

// The standard library links the unwinder.
unsafe extern "C" {
    fn _Unwind_Backtrace(
        each: extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}
