//! The machine's monotonic clocks, which all processes agree on. Async-signal-safe.
//!
//! By the C library: rustix looks for the kernel's shared page by itself, which is not where it says
//! under valgrind.

use std::{mem::MaybeUninit, time::Duration};

/// A clock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// `CLOCK_MONOTONIC`.
    Exact,
    /// `CLOCK_MONOTONIC_COARSE`: some milliseconds behind, and cheaper.
    Coarse,
}

/// The time since the machine's start, but for its sleep, by the kernel's coarse clock. All processes
/// agree on it.
pub fn now() -> Duration {
    uptime(Clock::Coarse)
}

/// The time since the machine's start, but for its sleep.
pub(crate) fn uptime(clock: Clock) -> Duration {
    let id = match clock {
        Clock::Exact => libc::CLOCK_MONOTONIC,
        Clock::Coarse => libc::CLOCK_MONOTONIC_COARSE,
    };
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the kernel writes a time there, and zeros are one, too.
    #[expect(unsafe_code, reason = "the standard library's clock has no origin to count from")]
    let time = unsafe {
        libc::clock_gettime(id, time.as_mut_ptr());
        time.assume_init()
    };
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(time.tv_sec.cast_unsigned(), nanos)
}
