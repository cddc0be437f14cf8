//! How many executors there should be: what their marks mean for that. Pure: times are handed in.

use super::polls::{Event, Polls};
use crate::supervision::{self, GAP_STALLS, LINGER, Thresholds};
use std::time::Duration;

/// The executors so far, as far as it matters.
#[derive(Debug)]
pub(super) struct Staff {
    thresholds: Thresholds,
    /// How many should be free.
    free: usize,
    /// How many there may be.
    most: usize,
    polls: Polls,
    last_look: Duration,
    /// Since when there have been more than are needed.
    too_many: Option<Duration>,
}

impl Staff {
    pub(super) fn new(thresholds: Thresholds, free: usize, most: usize) -> Self {
        Self {
            thresholds,
            free,
            most,
            polls: Polls::new(thresholds),
            last_look: Duration::ZERO,
            too_many: None,
        }
    }

    /// Takes in the marks that were seen at `now`, and says what has become of polls. Returns
    /// whether any has moved, or is inside one.
    pub(super) fn judge(
        &mut self,
        marks: &[(usize, u64)],
        now: Duration,
        events: &mut Vec<Event>,
    ) -> bool {
        if now.saturating_sub(self.last_look) > self.thresholds.stall * GAP_STALLS {
            self.polls.forgive(now);
        }
        self.last_look = now;
        let moved = self.polls.judge(marks, now, events);
        moved || self.polls.any_inside()
    }

    /// Threads that will hardly come back.
    pub(super) fn lost(&self, now: Duration) -> impl Iterator<Item = usize> {
        self.polls.longer_than(self.thresholds.lost, now)
    }

    /// How many are held by their jobs, for the time of a stall.
    pub(super) fn stuck(&self, now: Duration) -> usize {
        self.polls.longer_than(self.thresholds.stall, now).count()
    }

    /// As [`Staff::stuck`] while other jobs wait: then also those count that have been in a job for
    /// a look, and are asleep. To ask that is dear: nobody is asked who counts already.
    pub(super) fn held(&self, now: Duration, asleep: impl Fn(usize) -> bool) -> usize {
        let stuck: Vec<_> = self.polls.longer_than(self.thresholds.stall, now).collect();
        let for_a_look = self.polls.longer_than(self.thresholds.stall / 4, now);
        let asleep = |thread: &usize| !stuck.contains(thread) && asleep(*thread);
        stuck.len() + for_a_look.filter(asleep).count()
    }

    /// How many there should be from now on; `None` if that is how many there are, or too few that
    /// must not be started, or too many that may linger.
    pub(super) fn resize(
        &mut self,
        running: usize,
        held: usize,
        may_start: bool,
        now: Duration,
    ) -> Option<usize> {
        let wanted = supervision::executors(self.free, held, self.most);
        let many_since = self.too_many.filter(|_| running > wanted).unwrap_or(now);
        self.too_many = (running > wanted).then_some(many_since);
        let fewer = now.saturating_sub(many_since) >= LINGER;
        let more = running < wanted && may_start;
        (fewer || more).then_some(wanted)
    }
}
