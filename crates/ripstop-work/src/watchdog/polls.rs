//! How far each thread is in its poll: what a series of marks means. Pure: times are handed in.

use crate::supervision::Thresholds;
use std::time::Duration;

/// A value and since when it has been the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Still<T> {
    pub(super) value: T,
    pub(super) since: Duration,
}

impl<T: PartialEq + Copy> Still<T> {
    /// Takes the new value in; returns whether it differs.
    pub(super) fn see(&mut self, value: T, now: Duration) -> bool {
        let moved = self.value != value;
        if moved {
            *self = Self { value, since: now };
        }
        moved
    }

    pub(super) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since)
    }
}

/// What a poll has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Step {
    /// It takes its time: half of a stall.
    Slow,
    /// A stall: other work of the thread is taken over.
    Stall,
    /// So long that it is reported.
    Report,
    /// So long that it will hardly come back.
    Lost,
}

impl Step {
    const ALL: [Self; 4] = [Self::Slow, Self::Stall, Self::Report, Self::Lost];

    fn after(self, thresholds: &Thresholds) -> Duration {
        match self {
            Self::Slow => thresholds.stall / 2,
            Self::Stall => thresholds.stall,
            Self::Report => thresholds.report,
            Self::Lost => thresholds.lost,
        }
    }
}

/// What has become of one thread's poll since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// The thread's number.
    pub(super) thread: usize,
    /// What the poll has come to; `None` for one that was a stall and is over.
    pub(super) step: Option<Step>,
    /// How long it has lasted.
    pub(super) lasted: Duration,
}

/// The polls of a group of threads.
#[derive(Debug)]
pub(super) struct Polls {
    thresholds: Thresholds,
    /// In the order of the threads' numbers.
    polls: Vec<Poll>,
}

#[derive(Debug)]
struct Poll {
    thread: usize,
    mark: Still<u64>,
    reached: Option<Step>,
}

impl Polls {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, polls: Vec::new() }
    }

    /// Takes in the marks of all threads that are there, in the order of their numbers, and says
    /// what has happened. Returns whether any has moved.
    pub(super) fn judge(
        &mut self,
        marks: &[(usize, u64)],
        now: Duration,
        events: &mut Vec<Event>,
    ) -> bool {
        let there = |thread| marks.binary_search_by_key(&thread, |(thread, _)| *thread).is_ok();
        self.polls.retain(|poll| there(poll.thread));
        let mut moved = false;
        for (place, &(thread, value)) in marks.iter().enumerate() {
            if place == self.polls.len() {
                self.polls.push(Poll { thread, mark: Still { value, since: now }, reached: None });
                moved = true;
            }
            moved |= self.polls[place].see(value, now, &self.thresholds, events);
        }
        moved
    }

    /// Threads inside one and the same poll for at least this long.
    pub(super) fn longer_than(
        &self,
        least: Duration,
        now: Duration,
    ) -> impl Iterator<Item = usize> {
        let inside = self.polls.iter().filter(|poll| poll.is_inside());
        inside.filter(move |poll| poll.mark.age(now) >= least).map(|poll| poll.thread)
    }

    /// Whether any thread is inside a poll.
    pub(super) fn any_inside(&self) -> bool {
        self.polls.iter().any(Poll::is_inside)
    }

    /// Starts all patience anew.
    pub(super) fn forgive(&mut self, now: Duration) {
        for poll in &mut self.polls {
            poll.mark.since = now;
        }
    }
}

impl Poll {
    fn see(
        &mut self,
        mark: u64,
        now: Duration,
        thresholds: &Thresholds,
        events: &mut Vec<Event>,
    ) -> bool {
        let (thread, lasted) = (self.thread, self.mark.age(now));
        let moved = self.mark.see(mark, now);
        if moved {
            if self.reached.take() > Some(Step::Slow) {
                events.push(Event { thread, step: None, lasted });
            }
        } else if self.is_inside() {
            let reached = self.reached;
            let due = |step: &Step| Some(*step) > reached && lasted >= step.after(thresholds);
            for step in Step::ALL.into_iter().filter(due) {
                self.reached = Some(step);
                events.push(Event { thread, step: Some(step), lasted });
            }
        }
        moved
    }

    fn is_inside(&self) -> bool {
        self.mark.value % 2 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds {
        stall: Duration::from_millis(20),
        report: Duration::from_millis(100),
        lost: Duration::from_secs(60),
    };

    /// Shows the marks of thread 0 at their milliseconds; what was said at the last look.
    #[track_caller]
    fn check(looks: &[(u64, u64)], said: &[Option<Step>]) {
        let mut polls = Polls::new(THRESHOLDS);
        let mut events = Vec::new();
        for &(ms, mark) in looks {
            events.clear();
            polls.judge(&[(0, mark)], Duration::from_millis(ms), &mut events);
        }
        let steps: Vec<_> = events.iter().map(|event| event.step).collect();
        assert_eq!(steps, said, "{looks:?}");
    }

    #[test]
    fn each_threshold_is_reached_at_it_and_not_a_millisecond_before() {
        check(&[(0, 1), (9, 1)], &[]);
        check(&[(0, 1), (10, 1)], &[Some(Step::Slow)]);
        check(&[(0, 1), (10, 1), (19, 1)], &[]);
        check(&[(0, 1), (10, 1), (20, 1)], &[Some(Step::Stall)]);
        check(&[(0, 1), (20, 1), (99, 1)], &[]);
        check(&[(0, 1), (20, 1), (100, 1)], &[Some(Step::Report)]);
        check(&[(0, 1), (100, 1), (59_999, 1)], &[]);
        check(&[(0, 1), (100, 1), (60_000, 1)], &[Some(Step::Lost)]);
    }

    #[test]
    fn each_is_said_once_and_none_is_left_out() {
        check(&[(0, 1), (20, 1), (25, 1)], &[]);
        check(&[(0, 1), (100, 1)], &[Some(Step::Slow), Some(Step::Stall), Some(Step::Report)]);
    }

    #[test]
    fn the_end_of_a_stall_is_said_and_that_of_a_slow_poll_is_not() {
        check(&[(0, 1), (20, 1), (25, 2)], &[None]);
        check(&[(0, 1), (20, 1), (25, 3)], &[None]);
        check(&[(0, 1), (15, 1), (25, 2)], &[]);
    }

    #[test]
    fn outside_of_polls_nothing_is_said() {
        check(&[(0, 2), (100, 2)], &[]);
    }

    #[test]
    fn threads_come_and_go_and_each_keeps_its_own_time() {
        let mut polls = Polls::new(THRESHOLDS);
        let mut look = |ms, marks: &[(usize, u64)]| {
            let mut events = Vec::new();
            polls.judge(marks, Duration::from_millis(ms), &mut events);
            events.iter().map(|event| (event.thread, event.step)).collect::<Vec<_>>()
        };
        assert_eq!(look(0, &[(0, 1), (1, 1), (2, 1)]), []);
        assert_eq!(look(5, &[(0, 1), (2, 3), (5, 1)]), []);
        assert_eq!(look(10, &[(0, 1), (2, 3), (5, 1)]), [(0, Some(Step::Slow))]);
        let both = [(2, Some(Step::Slow)), (5, Some(Step::Slow))];
        assert_eq!(look(15, &[(2, 3), (5, 1)]), both);
    }
}
