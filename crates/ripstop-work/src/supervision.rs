//! Supervision: the policy, in one place. Pure: times and numbers are handed in.
//!
//! | what is watched | sign | what is done |
//! |---|---|---|
//! | a poll of a worker | the same for [`Options::stall`](crate::Options::stall) | a spare takes over; the route is charged |
//! | a poll of an executor | the same, or asleep while jobs wait | another executor is started; the route is charged |
//! | a poll of a worker | the same for [`REPORT_AFTER`] | a tear report, with the stack |
//! | a poll of a worker, or for a request | the same for [`Options::lost`](crate::Options::lost) | its thread counts as lost; an executor's is reported |
//! | a worker | more stuck threads than spares | *drowned*: no placement, its leases go to others; a report after [`REPORT_AFTER`] |
//! | a drowned worker | a thread of it only waits for a processor | its time begins anew |
//! | a drowned worker | no other is left for [`NONE_LEFT`], or for [`LOST_AFTER`] | a fresh one takes its place |
//! | an executor | it is gone | another is started |
//! | executors | more than are needed for [`LINGER`] | the surplus ends |
//! | the watchdog | a panic, or silence for [`SILENCE`] | another is started |
//! | rebuilds | more than [`REBUILDS`] | the process asks to be replaced |
//! | lost threads | more than [`LOST_MOST`] | the process asks to be replaced |
//! | the machine | a gap between two looks of [`GAP_STALLS`] stalls | all patience starts anew |
//!
//! A thread that comes back is plugged. A drowned worker that was replaced gives its connections
//! to the fresh one when their requests are answered, and ends with the last of them.

use crate::Options;
use ripstop_balance::{Backoff, Intensity, Restarts, Verdict};
use std::{fmt, time::Duration};

/// A stall is reported after this.
pub(crate) const REPORT_AFTER: Duration = Duration::from_millis(100);

/// Executors that were too many for so long end.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// A worker that was drowned for so long is not counted on any more.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(60);

/// All workers must have been drowned for so long before one is replaced: on a busy machine
/// threads look stuck for a moment that only wait for a processor.
pub(crate) const NONE_LEFT: Duration = Duration::from_millis(100);

/// With more lost threads than this the process asks to be replaced.
pub(crate) const LOST_MOST: usize = 32;

/// Rebuilt workers and restarted watchdogs; with more than this the process asks to be replaced.
pub(crate) const REBUILDS: Intensity = Intensity { most: 5, window: Duration::from_secs(10) };

/// A watchdog that has not looked for so long is replaced.
pub(crate) const SILENCE: Duration = Duration::from_secs(2);

/// A gap between two looks of more than this many stalls means that the machine slept: nobody is
/// blamed for it.
pub(crate) const GAP_STALLS: u32 = 8;

/// How long to wait before the second try to start a thread, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long a poll may take until something is done about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thresholds {
    pub(crate) stall: Duration,
    pub(crate) report: Duration,
    pub(crate) lost: Duration,
}

impl Thresholds {
    pub(crate) fn of(options: &Options) -> Self {
        let stall = options.stall;
        Self { stall, report: REPORT_AFTER.max(stall), lost: options.lost.max(stall) }
    }
}

/// Why a process asks to be replaced by a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surrender {
    /// Too many threads will not come back.
    LostThreads,
    /// Workers had to be rebuilt too often.
    Rebuilds,
}

impl fmt::Display for Surrender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LostThreads => "too many threads are stuck for good",
            Self::Rebuilds => "workers had to be rebuilt too often",
        })
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Put a fresh worker in the place of the one at this index.
    Rebuild(usize),
    /// Ask for another process.
    Surrender(Surrender),
}

/// What the policy has to remember.
#[derive(Debug)]
pub(crate) struct Supervisor {
    rebuilds: Restarts,
    retry: Backoff,
    /// No try before this time, since the last one failed.
    not_before: Duration,
}

impl Supervisor {
    pub(crate) fn new() -> Self {
        let (first, most) = RETRY;
        Self {
            rebuilds: Restarts::new(REBUILDS),
            retry: Backoff::new(first, most, LOST_AFTER),
            not_before: Duration::ZERO,
        }
    }

    /// Judges all workers, each by since when it has been drowned, and how many threads are lost
    /// in all.
    pub(crate) fn judge(
        &mut self,
        drowned: &[Option<Duration>],
        lost: usize,
        now: Duration,
    ) -> Option<Action> {
        if lost > LOST_MOST {
            return Some(Action::Surrender(Surrender::LostThreads));
        }
        if now < self.not_before {
            return None;
        }
        let longest = drowned.iter().enumerate().filter_map(|(i, since)| Some(((*since)?, i)));
        let (since, index) = longest.min()?;
        let for_long = |since: &Option<Duration>| {
            since.is_some_and(|since| now.saturating_sub(since) >= NONE_LEFT)
        };
        let none_left = drowned.iter().all(for_long);
        (none_left || now.saturating_sub(since) >= LOST_AFTER).then(|| self.rebuild(index, now))
    }

    /// The watchdog had to begin anew, which counts like a rebuild.
    pub(crate) fn watchdog_panicked(&mut self, now: Duration) -> Option<Surrender> {
        (self.rebuilds.count(now) == Verdict::TooMany).then_some(Surrender::Rebuilds)
    }

    fn rebuild(&mut self, index: usize, now: Duration) -> Action {
        match self.rebuilds.count(now) {
            Verdict::Go => Action::Rebuild(index),
            Verdict::TooMany => Action::Surrender(Surrender::Rebuilds),
        }
    }

    /// The rebuild that was last asked for did not come about: it does not count.
    pub(crate) fn rebuild_failed(&mut self, now: Duration) {
        self.rebuilds.take_back();
        self.failed(now);
    }

    /// A thread could not be started: the next try waits.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.not_before = now + self.retry.next(now);
    }

    /// Whether a thread may be started: the last try did not fail, or long enough ago.
    pub(crate) fn may_start(&self, now: Duration) -> bool {
        now >= self.not_before
    }
}

/// How many executors there should be: so many free ones beside those that jobs hold, but no more
/// than `most`.
pub(crate) fn executors(free: usize, held: usize, most: usize) -> usize {
    (free + held).min(most.max(free))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[track_caller]
    fn check(drowned: &[Option<Duration>], lost: usize, now: Duration, action: Option<Action>) {
        assert_eq!(Supervisor::new().judge(drowned, lost, now), action);
    }

    #[test]
    fn a_worker_is_rebuilt_when_none_is_left_or_when_it_will_not_come_back() {
        let since = Some(ms(500));
        check(&[since, None], 0, ms(600), None);
        check(&[since, None], 0, ms(60_499), None);
        check(&[since, None], 0, ms(60_500), Some(Action::Rebuild(0)));
        check(&[since, Some(ms(400))], 0, ms(599), None);
        check(&[since, Some(ms(400))], 0, ms(600), Some(Action::Rebuild(1)));
        check(&[since], 0, ms(599), None);
        check(&[since], 0, ms(600), Some(Action::Rebuild(0)));
        check(&[None, None], 0, ms(500), None);
    }

    #[test]
    fn too_many_lost_threads_are_the_end() {
        check(&[None], LOST_MOST, ms(0), None);
        let end = Some(Action::Surrender(Surrender::LostThreads));
        check(&[None], LOST_MOST + 1, ms(0), end);
    }

    #[test]
    fn the_sixth_rebuild_in_ten_seconds_is_the_end() {
        let mut supervisor = Supervisor::new();
        let mut next = |at: u64| supervisor.judge(&[Some(ms(0))], 0, ms(1000 + at));
        for at in 0..5 {
            assert_eq!(next(at * 1000), Some(Action::Rebuild(0)));
        }
        assert_eq!(next(9_999), Some(Action::Surrender(Surrender::Rebuilds)));
    }

    #[test]
    fn rebuilds_that_are_far_apart_go_on_for_ever() {
        let mut supervisor = Supervisor::new();
        for at in 0..100 {
            let action = supervisor.judge(&[Some(ms(0))], 0, ms(1000 + at * 2_001));
            assert_eq!(action, Some(Action::Rebuild(0)), "{at}");
        }
    }

    #[test]
    fn rebuilds_that_fail_are_not_counted_and_go_on_for_ever() {
        let mut supervisor = Supervisor::new();
        let mut now = NONE_LEFT;
        for _ in 0..100 {
            assert_eq!(supervisor.judge(&[Some(ms(0))], 0, now), Some(Action::Rebuild(0)));
            supervisor.rebuild_failed(now);
            while !supervisor.may_start(now) {
                now += ms(5);
            }
        }
    }

    #[test]
    fn a_try_that_failed_is_repeated_later_and_later() {
        let mut supervisor = Supervisor::new();
        supervisor.failed(ms(0));
        assert_eq!((supervisor.may_start(ms(99)), supervisor.may_start(ms(100))), (false, true));
        assert_eq!(supervisor.judge(&[Some(ms(0))], 0, ms(99)), None);
        supervisor.failed(ms(100));
        assert_eq!((supervisor.may_start(ms(299)), supervisor.may_start(ms(300))), (false, true));
    }

    #[test]
    fn executors_that_jobs_hold_are_replaced_up_to_the_limit() {
        assert_eq!(executors(2, 0, 64), 2);
        assert_eq!(executors(2, 5, 64), 7);
        assert_eq!(executors(2, 100, 64), 64);
        assert_eq!(executors(8, 3, 4), 8);
    }
}
