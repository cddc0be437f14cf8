//! The jobs of a world: each is settled once, whatever becomes of it.

use super::{
    Seen,
    threads::{Group, Poll},
};
use crate::queue::{Hub, Take};
use ripstop_balance::{Bounds, Offer, Ticket};
use ripstop_testkit::Random;
use std::time::Duration;

/// How much may wait.
const BOUNDS: Bounds = Bounds { jobs: 30, work: Duration::from_millis(700) };

/// What a job does.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) route: usize,
    /// How long each poll takes, from the last; `None` for one that never ends.
    pub(super) polls: Vec<Option<u64>>,
    pub(super) asleep: bool,
}

/// A job that was taken.
#[derive(Debug)]
struct Job {
    work: Work,
    offer: Offer,
    longest: u64,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    InLine {
        ticket: Ticket,
        started: bool,
    },
    Running,
    /// It waits for something until then.
    Resting {
        until: u64,
        ticket: Ticket,
    },
    Settled,
}

/// All jobs, and the line in which they wait.
pub(super) struct Jobs {
    hub: Hub<usize>,
    list: Vec<Job>,
    /// Those that are not settled.
    open: Vec<usize>,
    /// Executors that have been told to end and have not yet.
    pub(super) surplus: usize,
}

impl Jobs {
    pub(super) fn new() -> Self {
        Self { hub: Hub::new(BOUNDS), list: vec![], open: vec![], surplus: 0 }
    }

    pub(super) fn waiting(&self) -> usize {
        self.hub.waiting().0
    }

    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    pub(super) fn set_surplus(&mut self, surplus: usize) {
        self.hub.set_surplus(surplus);
        self.surplus = surplus;
    }

    /// Submits a job, which is refused only by the bounds. Returns whether it was taken.
    pub(super) fn submit(&mut self, now: u64, offer: Offer, does: Work) -> bool {
        let (number, (jobs, work)) = (self.list.len(), self.fresh());
        let room = jobs < BOUNDS.jobs && (jobs == 0 || work + offer.cost <= BOUNDS.work);
        let pushed = self.hub.push(Duration::from_millis(now), offer, number);
        assert_eq!(pushed.is_ok(), room, "with {jobs} jobs and {work:?}");
        let Ok(ticket) = pushed else { return false };
        let state = State::InLine { ticket, started: false };
        self.list.push(Job { work: does, offer, longest: 0, state });
        self.open.push(number);
        true
    }

    /// What those count for that have not been started: how many there are, and how much work.
    fn fresh(&self) -> (usize, Duration) {
        let open = self.open.iter().map(|job| &self.list[*job]);
        let fresh = open.filter(|job| matches!(job.state, State::InLine { started: false, .. }));
        fresh.fold((0, Duration::ZERO), |(jobs, work), job| (jobs + 1, work + job.offer.cost))
    }

    /// Lets free executors take what waits, or end.
    pub(super) fn serve(&mut self, now: u64, executors: &mut Group, seen: &mut Seen) {
        while self.surplus > 0 || self.waiting() > 0 {
            let Some(thread) = executors.free() else { return };
            match self.hub.take(|| Duration::from_millis(now)) {
                Take::Run(ticket, number) => thread.begin(self.run(number, ticket, now)),
                Take::Expired(number) => {
                    let job = &self.list[number];
                    let passed = |at| at <= Duration::from_millis(now);
                    assert!(job.offer.deadline.is_some_and(passed), "{job:?} expired at {now}");
                    assert!(matches!(job.state, State::InLine { started: false, .. }), "{job:?}");
                    self.settle(number);
                    seen.insert("an expired job");
                }
                Take::Retire => {
                    assert!(self.surplus > 0, "an executor ended that was needed");
                    self.surplus -= 1;
                    seen.insert("an executor that ended");
                    let number = thread.number;
                    executors.list.retain(|thread| thread.number != number);
                }
            }
        }
    }

    fn run(&mut self, number: usize, ticket: Ticket, now: u64) -> Poll {
        let job = &mut self.list[number];
        let State::InLine { ticket: own, started } = &job.state else {
            panic!("run twice: {job:?}")
        };
        assert_eq!(*own, ticket);
        let in_time = |at| Duration::from_millis(now) < at;
        assert!(*started || job.offer.deadline.is_none_or(in_time), "{job:?} starts at {now}");
        job.state = State::Running;
        let takes = job.work.polls.pop().expect("it has not ended");
        Poll {
            route: job.work.route,
            began: now,
            ends: takes.map(|takes| now + takes),
            asleep: job.work.asleep,
            paused: 0,
            seen: None,
            job: Some((number, ticket)),
        }
    }

    /// A poll of a job has ended. Returns its longest one, if it was the last.
    pub(super) fn polled(&mut self, poll: Poll, now: u64) -> Option<u64> {
        let (number, ticket) = poll.job.expect("executors run jobs");
        let job = &mut self.list[number];
        assert_eq!(job.state, State::Running);
        job.longest = job.longest.max(now - poll.began);
        if job.work.polls.is_empty() {
            let longest = job.longest;
            self.settle(number);
            return Some(longest);
        }
        job.state = State::Resting { until: now + 3, ticket };
        None
    }

    /// When the first of those that rest goes on.
    pub(super) fn first_wake(&self) -> Option<u64> {
        let until = |job: &usize| match self.list[*job].state {
            State::Resting { until, .. } => Some(until),
            _ => None,
        };
        self.open.iter().filter_map(until).min()
    }

    pub(super) fn wake(&mut self, now: u64) {
        for number in self.open.clone() {
            let job = &mut self.list[number];
            if let State::Resting { until, ticket } = &job.state
                && *until <= now
            {
                let ticket = ticket.clone();
                job.state = State::InLine { ticket: ticket.clone(), started: true };
                self.hub.push_again(ticket, number).expect("the queue is open");
            }
        }
    }

    /// Cancels any job that does not run.
    pub(super) fn cancel_one(&mut self, random: &mut Random) {
        if self.open.is_empty() {
            return;
        }
        let number = *random.pick(&self.open);
        match self.list[number].state.clone() {
            State::InLine { ticket, .. } => {
                assert_eq!(self.hub.remove(&ticket), Some(number), "it waits in the line");
                self.settle(number);
            }
            State::Resting { ticket, .. } => {
                assert_eq!(self.hub.remove(&ticket), None);
                self.settle(number);
            }
            State::Running | State::Settled => {}
        }
    }

    /// From now on no job takes long.
    pub(super) fn heal(&mut self) {
        for number in &self.open {
            let polls = &mut self.list[*number].work.polls;
            polls.iter_mut().for_each(|poll| *poll = Some(1));
        }
    }

    /// None is lost: each that is not settled is in the line, on an executor, or rests.
    pub(super) fn check(&self, executors: &mut Group) {
        let count = |is: fn(&State) -> bool| {
            self.open.iter().filter(|job| is(&self.list[**job].state)).count()
        };
        assert_eq!(count(|state| matches!(state, State::InLine { .. })), self.waiting());
        assert_eq!(count(|state| matches!(state, State::Running)), executors.polls().count());
    }

    fn settle(&mut self, number: usize) {
        assert_ne!(self.list[number].state, State::Settled, "{:?}", self.list[number]);
        self.list[number].state = State::Settled;
        self.open.retain(|open| *open != number);
    }
}
