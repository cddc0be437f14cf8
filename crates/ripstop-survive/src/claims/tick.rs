//! The clock of claims: a number that all processes of the machine agree on, and that goes round.

use crate::clock::{Clock, uptime};
use std::time::Duration;

/// Hundredths of a second of the machine's monotonic clock, modulo 2^32: 497 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick(pub(super) u32);

/// Milliseconds of one.
const MILLIS: u64 = 10;

impl Tick {
    /// The time now, by the kernel's coarse clock.
    pub fn now() -> Self {
        let now = uptime(Clock::Coarse);
        let part = u64::from(now.subsec_millis()) / MILLIS;
        // The high bits are what goes round.
        Self((now.as_secs() * (1000 / MILLIS) + part) as u32)
    }

    /// The time that has passed since `earlier`: none where that is later, as it is for what began
    /// while the clock was read.
    pub fn since(self, earlier: Self) -> Duration {
        let ticks = self.0.wrapping_sub(earlier.0);
        if ticks > u32::MAX / 2 {
            Duration::ZERO
        } else {
            Duration::from_millis(u64::from(ticks) * MILLIS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_round_and_never_back() {
        assert_eq!(Tick(5).since(Tick(u32::MAX)), Duration::from_millis(60));
        assert_eq!(Tick(5).since(Tick(6)), Duration::ZERO);
        assert_eq!(Tick(7).since(Tick(7)), Duration::ZERO);
        let (one, two) = (Tick::now(), Tick::now());
        assert!(two.since(one) < Duration::from_secs(60));
    }
}
