//! How long a slow peer is waited for: a deadline that only bytes move.
//!
//! A deadline between two pieces alone lets a peer hold a request for ever with a byte now and
//! then. Here a peer has patience to use up, as much as its timeout says, which the bytes it sends
//! or takes earn back at a rate. Pure, but for [`Pace::wrote`], which runs a write's deadline.

use crate::{
    Options,
    progress::{Progress, Wait},
};
use std::{io, num::NonZeroU32, task::Poll, time::Duration};

/// The patience that is left with one peer, in one direction.
#[derive(Debug)]
pub(crate) struct Pace {
    /// All the patience there is; `None` for no end of it.
    timeout: Option<Duration>,
    /// Bytes that earn a second; `None`: any byte earns all.
    rate: Option<NonZeroU32>,
    left: Duration,
    /// When the wait began that goes on.
    since: Option<Duration>,
}

impl Pace {
    /// For a request's body.
    pub(crate) fn of_body(options: &Options) -> Self {
        Self::new(options.timeouts.body, options.limits.rate)
    }

    /// For what a connection writes.
    pub(crate) fn of_writes(options: &Options) -> Self {
        Self::new(options.timeouts.write, options.limits.rate)
    }

    fn new(timeout: Option<Duration>, rate: Option<NonZeroU32>) -> Self {
        Self { timeout, rate, left: timeout.unwrap_or_default(), since: None }
    }

    /// The peer is waited for, at `now`: for how long.
    pub(crate) fn waits(&mut self, now: Duration) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let left = self.left.saturating_sub(now.saturating_sub(since));
        self.timeout.map(|_| left)
    }

    /// So many bytes have moved, at `now`.
    pub(crate) fn moved(&mut self, now: Duration, bytes: usize) {
        let Some(timeout) = self.timeout else { return };
        let Some(rate) = self.rate else { return self.forgive() };
        let waited = self.since.take().map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let earned_ms = (bytes as u64).saturating_mul(1000) / u64::from(rate.get());
        let earned = Duration::from_millis(earned_ms);
        self.left = self.left.saturating_sub(waited).saturating_add(earned).min(timeout);
    }

    /// The peer gets all patience back.
    pub(crate) fn forgive(&mut self) {
        self.since = None;
        self.left = self.timeout.unwrap_or_default();
    }

    /// Runs the deadline of writing by how a write of so many bytes went.
    pub(crate) fn wrote<T>(
        &mut self,
        progress: &Progress,
        outcome: &Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) {
        match outcome {
            Poll::Pending => {
                let left = self.waits(progress.now());
                progress.set_if_clear(Wait::Write, left);
            }
            Poll::Ready(Ok(wrote)) => {
                self.moved(progress.now(), bytes(wrote));
                progress.clear(Wait::Write);
            }
            Poll::Ready(Err(_)) => progress.clear(Wait::Write),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// For how many steps a peer is waited for that moves `bytes` after each `pause`, out of a
    /// thousand.
    fn steps(timeout: u32, rate: u32, pause: u32, bytes: usize) -> u32 {
        let mut pace = Pace::new(Some(SECOND * timeout), NonZeroU32::new(rate));
        (0..1000)
            .find(|step| {
                let begin = SECOND * pause * *step;
                let patience = pace.waits(begin).unwrap();
                pace.moved(begin + SECOND * pause, bytes);
                patience < SECOND * pause
            })
            .unwrap_or(1000)
    }

    #[test]
    fn a_peer_at_the_rate_is_waited_for_and_a_slower_one_is_not() {
        // Seconds of timeout, bytes a second, seconds between two pieces, bytes of a piece.
        for (timeout, rate, pause, bytes, expected) in [
            (30, 0, 29, 1, 1000),
            (30, 0, 31, 1_000_000, 0),
            (30, 100, 29, 1, 1),
            (30, 100, 1, 1, 30),
            (30, 100, 1, 100, 1000),
            (30, 100, 1, 99, 1000),
            (30, 100, 2, 100, 29),
            (30, 100, 29, 2900, 1000),
            // What was earned does not make a long pause of it.
            (30, 100, 31, 1_000_000, 0),
        ] {
            let case = (timeout, rate, pause, bytes);
            assert_eq!(steps(timeout, rate, pause, bytes), expected, "{case:?}");
        }
    }

    #[test]
    fn a_wait_that_is_looked_at_again_is_the_same_one() {
        let mut pace = Pace::new(Some(SECOND * 10), NonZeroU32::new(1));
        assert_eq!(pace.waits(SECOND * 100), Some(SECOND * 10));
        assert_eq!(pace.waits(SECOND * 104), Some(SECOND * 6));
        pace.moved(SECOND * 105, 0);
        assert_eq!(pace.waits(SECOND * 200), Some(SECOND * 5));
        pace.forgive();
        assert_eq!(pace.waits(SECOND * 300), Some(SECOND * 10));
    }

    #[test]
    fn without_a_timeout_there_is_no_end_of_patience() {
        let mut pace = Pace::new(None, NonZeroU32::new(1));
        assert_eq!(pace.waits(SECOND), None);
        pace.moved(SECOND * 1000, 0);
        assert_eq!(pace.waits(SECOND * 2000), None);
    }
}
