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

/// By which part of a timeout more patience may be used up than there is: a deadline is late by two
/// ticks of the clock, which are an eighth of it at most.
const OVERDRAFT: u32 = 4;

/// The patience with one peer, in one direction.
#[derive(Debug)]
pub(crate) struct Pace {
    /// All the patience there is; `None` for no end of it.
    timeout: Option<Duration>,
    /// Bytes that earn a second; `None`: any byte earns all.
    rate: Option<NonZeroU32>,
    used: Duration,
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
        Self { timeout, rate, used: Duration::ZERO, since: None }
    }

    /// The peer is waited for, at `now`: for how long.
    pub(crate) fn waits(&mut self, now: Duration) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let used = self.used + now.saturating_sub(since);
        self.timeout.map(|timeout| timeout.saturating_sub(used))
    }

    /// So many bytes have moved, at `now`; tells whether there is patience left. A peer that goes on
    /// moving a byte a tick would never meet its deadline.
    #[must_use]
    pub(crate) fn moved(&mut self, now: Duration, bytes: usize) -> bool {
        let (Some(timeout), Some(rate)) = (self.timeout, self.rate) else {
            self.forgive();
            return true;
        };
        let waited = self.since.take().map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let earned_ms = (bytes as u64).saturating_mul(1000) / u64::from(rate.get());
        let earned = Duration::from_millis(earned_ms);
        self.used = (self.used + waited).saturating_sub(earned);
        self.used <= timeout + timeout / OVERDRAFT
    }

    /// The peer gets all patience back.
    pub(crate) fn forgive(&mut self) {
        self.since = None;
        self.used = Duration::ZERO;
    }

    /// Runs the deadline of writing by how a write of so many bytes went.
    pub(crate) fn wrote<T>(
        &mut self,
        progress: &Progress,
        outcome: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        let Poll::Ready(wrote) = outcome else {
            let left = self.waits(progress.now());
            progress.set_if_clear(Wait::Write, left);
            return Poll::Pending;
        };
        progress.clear(Wait::Write);
        let goes_on = wrote.as_ref().map_or(true, |wrote| self.moved(progress.now(), bytes(wrote)));
        Poll::Ready(if goes_on { wrote } else { Err(io::ErrorKind::TimedOut.into()) })
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
                let goes_on = pace.moved(begin + SECOND * pause, bytes);
                patience < SECOND * pause || !goes_on
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
        assert!(pace.moved(SECOND * 105, 0));
        assert_eq!(pace.waits(SECOND * 200), Some(SECOND * 5));
        pace.forgive();
        assert_eq!(pace.waits(SECOND * 300), Some(SECOND * 10));
    }

    #[test]
    fn a_peer_that_moves_a_byte_just_before_each_deadline_is_given_up() {
        let mut pace = Pace::new(Some(SECOND * 8), NonZeroU32::new(1000));
        let kept = (0..100).take_while(|&second| {
            // The deadline that it is given is always ahead.
            pace.waits(SECOND * second);
            pace.moved(SECOND * (second + 1), 1)
        });
        assert_eq!(kept.count(), 10);
    }

    #[test]
    fn without_a_timeout_there_is_no_end_of_patience() {
        let mut pace = Pace::new(None, NonZeroU32::new(1));
        assert_eq!(pace.waits(SECOND), None);
        assert!(pace.moved(SECOND * 1000, 0));
        assert_eq!(pace.waits(SECOND * 2000), None);
    }
}
