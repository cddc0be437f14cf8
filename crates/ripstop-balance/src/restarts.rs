//! When restarting has no use any more, and how long to wait before the next try.
//!
//! Counts and delays only; who restarts what is the supervisor's.

use std::{collections::VecDeque, time::Duration};

/// How many restarts are borne: Erlang's word, for its "max restarts in max seconds".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// So many within the window are borne, one more is too many.
    pub most: usize,
    /// How long a restart is remembered; one that is exactly as old is not.
    pub window: Duration,
}

/// Whether to restart once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Restart.
    Go,
    /// Give up: whoever is above must act.
    TooMany,
}

/// The restarts of the last window. Remembers at most one more than are borne.
///
/// ```
/// use ripstop_balance::{Intensity, Restarts, Verdict};
/// use std::time::Duration;
///
/// let mut restarts = Restarts::new(Intensity { most: 1, window: Duration::from_secs(10) });
/// assert_eq!(restarts.count(Duration::from_secs(1)), Verdict::Go);
/// assert_eq!(restarts.count(Duration::from_secs(2)), Verdict::TooMany);
/// assert_eq!(restarts.count(Duration::from_secs(12)), Verdict::Go);
/// ```
#[derive(Clone, Debug)]
pub struct Restarts {
    intensity: Intensity,
    times: VecDeque<Duration>,
}

impl Restarts {
    /// No restarts yet.
    pub fn new(intensity: Intensity) -> Self {
        Self { intensity, times: VecDeque::new() }
    }

    /// Counts a restart at `now`, and says whether it is one too many.
    pub fn count(&mut self, now: Duration) -> Verdict {
        let Intensity { most, window } = self.intensity;
        if self.times.len() > most {
            self.times.pop_front();
        }
        self.times.push_back(now);
        self.times.retain(|&time| now.saturating_sub(time) < window);
        if self.times.len() > most { Verdict::TooMany } else { Verdict::Go }
    }

    /// Forgets the restart that was counted last: it did not come about.
    pub fn take_back(&mut self) {
        self.times.pop_back();
    }
}

/// Delays that double from try to try.
///
/// ```
/// use ripstop_balance::Backoff;
/// use std::time::Duration;
///
/// let second = Duration::from_secs(1);
/// let mut backoff = Backoff::new(second, 5 * second, 60 * second);
/// assert_eq!(backoff.next(0 * second), second);
/// assert_eq!(backoff.next(1 * second), 2 * second);
/// assert_eq!(backoff.next(63 * second), second);
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    quiet: Duration,
    /// The delay given last, and when the try after it begins.
    last: Option<(Duration, Duration)>,
}

impl Backoff {
    /// Delays from `first` on, none longer than `most`. A try that lasted `quiet` or more begins
    /// anew with `first`.
    pub fn new(first: Duration, most: Duration, quiet: Duration) -> Self {
        Self { first, most, quiet, last: None }
    }

    /// The delay before the next try, after a failure at `now`.
    pub fn next(&mut self, now: Duration) -> Duration {
        let delay = match self.last {
            Some((delay, began)) if now.saturating_sub(began) < self.quiet => {
                delay.saturating_mul(2)
            }
            _ => self.first,
        };
        let delay = delay.min(self.most);
        self.last = Some((delay, now.saturating_add(delay)));
        delay
    }
}

#[cfg(test)]
mod tests;
