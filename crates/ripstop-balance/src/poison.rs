//! Poison: when a request that was there at one crash after the other is not handled any more.
//!
//! A request is known by a fingerprint, and of each that was running at a crash there is a
//! [`Suspicion`]. Whoever owns them says when the process has crashed, and when such a request has
//! come to its end in a process that lived: that clears it.

use std::time::Duration;

/// The suspicion that a request kills the process that handles it. It is exact to a millisecond, and
/// plain words, for memory that outlives a process.
///
/// ```
/// use ripstop_balance::Suspicion;
/// use std::time::Duration;
///
/// let (second, cooling) = (Duration::from_secs(1), Duration::from_secs(300));
/// let mut suspicion = Suspicion::default();
/// assert_eq!(suspicion.crashed(1 * second, cooling), None);
/// assert_eq!(suspicion.crashed(2 * second, cooling), None);
/// assert_eq!(suspicion.crashed(3 * second, cooling), Some(cooling));
/// assert_eq!(suspicion.left(4 * second), Some(299 * second));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suspicion {
    /// When the last crashes were, the earlier first, plus one; 0 for none.
    crashes: [u64; Suspicion::CRASHES - 1],
    /// When the last quarantine is over.
    until: u64,
    /// How long it was; 0 if there was none.
    lasts: u64,
}

impl Suspicion {
    /// So many crashes within [`Suspicion::WINDOW`] are one too many.
    pub const CRASHES: usize = 3;

    /// How long a crash counts; one that is exactly as old does not.
    pub const WINDOW: Duration = Duration::from_secs(60);

    /// The longest quarantine, unless the first one is longer.
    pub const COOLING_MAX: Duration = Duration::from_secs(3600);

    /// Words of a suspicion.
    pub const WORDS: usize = 4;

    /// The suspicion that [`Suspicion::to_words`] was called on; zeros are none.
    pub fn from_words([one, two, until, lasts]: [u64; Self::WORDS]) -> Self {
        Self { crashes: [one, two], until, lasts }
    }

    /// The suspicion as words.
    pub fn to_words(self) -> [u64; Self::WORDS] {
        let [one, two] = self.crashes;
        [one, two, self.until, self.lasts]
    }

    /// The process has crashed while the request was running. How long it is quarantined from now
    /// on, if it is: for `cooling` at the third crash within the window, and for twice as long as
    /// before at the first crash after a quarantine.
    pub fn crashed(&mut self, now: Duration, cooling: Duration) -> Option<Duration> {
        if self.left(now).is_some() {
            // It had begun before it was refused.
            return None;
        }
        let at = millis(now);
        if self.is_on_probation(at) {
            let most = millis(Self::COOLING_MAX.max(cooling));
            return Some(self.quarantine(at, self.lasts.saturating_mul(2).min(most)));
        }
        let recent = |crash: u64| crash != 0 && at.saturating_sub(crash - 1) < millis(Self::WINDOW);
        let [one, two] = self.crashes;
        if recent(one) && recent(two) {
            return Some(self.quarantine(at, millis(cooling)));
        }
        let last = if recent(two) { two } else { 0 };
        *self = Self { crashes: [last, at + 1], ..Self::default() };
        None
    }

    /// A request like it has come to its end, and the process lives: it kills nobody.
    pub fn completed(&mut self, now: Duration) {
        if self.left(now).is_none() {
            *self = Self::default();
        }
    }

    /// How long the request is to be refused still; `None` if it is not.
    pub fn left(&self, now: Duration) -> Option<Duration> {
        let left = self.until.checked_sub(millis(now)).filter(|left| *left > 0);
        left.map(Duration::from_millis)
    }

    /// Whether there is nothing left to remember.
    pub fn is_over(&self, now: Duration) -> bool {
        let at = millis(now);
        let last = self.crashes[1];
        let fresh = last != 0 && at.saturating_sub(last - 1) < millis(Self::WINDOW);
        !fresh && self.left(now).is_none() && !self.is_on_probation(at)
    }

    /// After a quarantine, for as long as that was, one crash is enough for the next one.
    fn is_on_probation(&self, at: u64) -> bool {
        self.lasts != 0 && at < self.until.saturating_add(self.lasts)
    }

    fn quarantine(&mut self, at: u64, lasts: u64) -> Duration {
        *self = Self { until: at.saturating_add(lasts), lasts, ..Self::default() };
        Duration::from_millis(lasts)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLING: Duration = Duration::from_secs(300);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Crashes at these times, in milliseconds; which of them led to a quarantine, of how long.
    #[track_caller]
    fn check(crashes: &[u64], quarantines: &[(u64, Duration)]) -> Suspicion {
        let mut suspicion = Suspicion::default();
        let mut found = Vec::new();
        for &at in crashes {
            suspicion = Suspicion::from_words(suspicion.to_words());
            found.extend(suspicion.crashed(ms(at), COOLING).map(|lasts| (at, lasts)));
        }
        assert_eq!(found, quarantines, "{crashes:?}");
        suspicion
    }

    #[test]
    fn the_third_crash_within_a_minute_is_one_too_many() {
        check(&[0, 1], &[]);
        check(&[0, 1, 2], &[(2, COOLING)]);
        check(&[0, 1, 59_999], &[(59_999, COOLING)]);
        check(&[0, 1, 60_000], &[]);
        check(&[0, 1, 60_000, 60_000], &[(60_000, COOLING)]);
        check(&[0, 30_000, 60_000, 90_000, 120_000], &[]);
        check(&[0, 30_000, 60_000, 89_999], &[(89_999, COOLING)]);
    }

    #[test]
    fn a_quarantine_is_over_by_itself() {
        let suspicion = check(&[7, 8, 9], &[(9, COOLING)]);
        assert_eq!(suspicion.left(ms(10)), Some(ms(299_999)));
        assert_eq!(suspicion.left(ms(300_008)), Some(ms(1)));
        assert_eq!(suspicion.left(ms(300_009)), None);
        assert!(!suspicion.is_over(ms(300_009)) && !suspicion.is_over(ms(600_008)));
        assert!(suspicion.is_over(ms(600_009)));
    }

    #[test]
    fn who_crashes_again_is_quarantined_for_twice_as_long_up_to_a_bound() {
        let second = (300_000, 2 * COOLING);
        check(&[0, 0, 0, 299_999, 300_000], &[(0, COOLING), second]);
        check(&[0, 0, 0, 599_999], &[(0, COOLING), (599_999, 2 * COOLING)]);
        check(&[0, 0, 0, 600_000], &[(0, COOLING)]);
        let mut suspicion = check(&[0, 0, 0], &[(0, COOLING)]);
        let mut now = Duration::ZERO;
        let lasts: Vec<_> = (0..5)
            .map(|_| {
                now += suspicion.left(now).unwrap();
                suspicion.crashed(now, COOLING).unwrap().as_secs()
            })
            .collect();
        assert_eq!(lasts, [600, 1200, 2400, 3600, 3600]);
    }

    #[test]
    fn a_bound_below_the_first_quarantine_is_none() {
        let (day, mut suspicion) = (Duration::from_secs(86_400), Suspicion::default());
        let quarantines = [0, 0, 0].map(|at| suspicion.crashed(ms(at), day));
        assert_eq!(quarantines, [None, None, Some(day)]);
        assert_eq!(suspicion.crashed(day, day), Some(day));
    }

    #[test]
    fn who_completes_is_cleared_but_not_let_out() {
        let mut suspicion = check(&[0, 1], &[]);
        suspicion.completed(ms(2));
        assert_eq!(suspicion, Suspicion::default());
        let mut suspicion = check(&[0, 1, 2], &[(2, COOLING)]);
        suspicion.completed(ms(3));
        assert!(suspicion.left(ms(3)).is_some());
        suspicion.completed(ms(300_002));
        assert_eq!(suspicion, Suspicion::default());
    }

    #[test]
    fn nothing_is_remembered_for_ever() {
        assert!(Suspicion::default().is_over(ms(0)));
        let suspicion = check(&[5], &[]);
        assert!(!suspicion.is_over(ms(60_004)) && suspicion.is_over(ms(60_005)));
    }
}
