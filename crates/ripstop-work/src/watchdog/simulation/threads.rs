//! Threads that poll, as the watchdog sees them: marks, and what tokio publishes.

use crate::watchdog::verdict;
use ripstop_balance::Ticket;
use std::time::Duration;

/// A thread.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) number: usize,
    mark: u64,
    parks: u64,
    pub(super) poll: Option<Poll>,
    /// A plug holds it.
    pub(super) held: bool,
}

/// What a thread is in.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) route: usize,
    pub(super) began: u64,
    /// `None`: never, as long as there are faults.
    pub(super) ends: Option<u64>,
    /// It blocks, rather than burn.
    pub(super) asleep: bool,
    /// For how long the machine has stood still meanwhile.
    pub(super) paused: u64,
    /// When the watchdog has first seen it, or since when it is patient anew.
    pub(super) seen: Option<u64>,
    /// The job, on an executor.
    pub(super) job: Option<(usize, Ticket)>,
}

/// The threads of a worker, or the executors.
#[derive(Debug, Default)]
pub(super) struct Group {
    next: usize,
    pub(super) list: Vec<Thread>,
}

impl Group {
    pub(super) fn start(&mut self, held: bool) {
        let (number, poll) = (self.next, None);
        self.next += 1;
        self.list.push(Thread { number, mark: 0, parks: 1, poll, held });
    }

    /// A thread that nothing holds.
    pub(super) fn free(&mut self) -> Option<&mut Thread> {
        self.list.iter_mut().find(|thread| thread.poll.is_none() && !thread.held)
    }

    pub(super) fn polls(&mut self) -> impl Iterator<Item = &mut Poll> {
        self.list.iter_mut().filter_map(|thread| thread.poll.as_mut())
    }

    /// The end of the poll that ends first.
    pub(super) fn first_end(&self) -> Option<u64> {
        self.list.iter().filter_map(|thread| thread.poll.as_ref()?.ends).min()
    }

    /// Takes out the polls that have ended.
    pub(super) fn ended(&mut self, now: u64) -> Vec<Poll> {
        let over = |thread: &&mut Thread| {
            thread.poll.as_ref().is_some_and(|poll| poll.ends.is_some_and(|ends| ends <= now))
        };
        self.list.iter_mut().filter(over).filter_map(Thread::end).collect()
    }

    /// How many the watchdog must hold for stuck.
    pub(super) fn stuck_for(&self, least: u64, now: u64) -> usize {
        let seen = self.list.iter().filter_map(|thread| thread.poll.as_ref()?.seen);
        seen.filter(|seen| now - seen >= least).count()
    }

    /// Notes what a look at `now` sees; `anew` if it begins all patience anew.
    pub(super) fn looked_at(&mut self, now: u64, anew: bool) {
        for poll in self.polls() {
            if anew || poll.seen.is_none() {
                poll.seen = Some(now);
            }
        }
    }

    pub(super) fn poll_of(&self, number: usize) -> &Poll {
        let thread = self.list.iter().find(|thread| thread.number == number);
        thread.and_then(|thread| thread.poll.as_ref()).expect("what is stuck is in a poll")
    }

    pub(super) fn marks(&self) -> Vec<(usize, u64)> {
        self.list.iter().map(|thread| (thread.number, thread.mark)).collect()
    }

    pub(super) fn published(&self) -> Vec<verdict::Thread> {
        let published = |thread: &Thread| verdict::Thread {
            // Odd while it sleeps.
            parks: 2 * thread.parks + u64::from(thread.poll.is_none() && !thread.held),
            busy: Duration::ZERO,
        };
        self.list.iter().map(published).collect()
    }

    pub(super) fn held(&self) -> usize {
        self.list.iter().filter(|thread| thread.held).count()
    }
}

impl Thread {
    pub(super) fn begin(&mut self, poll: Poll) {
        self.mark += 1;
        self.parks += 1;
        self.poll = Some(poll);
    }

    fn end(&mut self) -> Option<Poll> {
        self.mark += 1;
        self.parks += 1;
        self.poll.take()
    }
}
