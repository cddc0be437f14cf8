//! The line of jobs: which one is next, and whether one more may wait.
//!
//! Ordered by class, then by arrival + 10 × predicted cost, then by arrival number, so that short
//! jobs overtake long ones while nothing starves within its class: a job of cost `c` waits behind
//! what came before it, and at most behind what comes within 10 × `c` after it.
//!
//! Owns the order and the bounds. The clock, the lock, and what becomes of an expired or refused
//! job are the owner's.

use crate::Class;
use std::{collections::BTreeMap, fmt, time::Duration};

/// How many times its predicted cost a job stands further back than it arrived.
const COST_WEIGHT: u32 = 10;

/// How much may wait. Jobs that have started once do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At most so many jobs; 0 refuses everything.
    pub jobs: usize,
    /// At most so much predicted work. A job that costs more by itself is taken when no other
    /// counts, since it could never run otherwise.
    pub work: Duration,
}

/// What is known of a job before it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// How urgent it is.
    pub class: Class,
    /// How long it is predicted to run; zero if nothing is known.
    pub cost: Duration,
    /// From when on it is not started any more, on the clock of `now`.
    pub deadline: Option<Duration>,
}

/// A job's place in the [`Line`] that gave it out, and in no other; valid as long as its job lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    rank: Rank,
}

/// The fields in the order in which they decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    class: Class,
    /// Arrival plus weighted cost; what overflows goes last.
    due: Duration,
    /// Counts arrivals, so that no two ranks are the same.
    number: u64,
}

/// A job that was not taken, given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<J> {
    /// The job that was offered.
    pub job: J,
    /// What stood against it.
    pub bound: Bound,
}

/// Which of the [`Bounds`] was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// [`Bounds::jobs`].
    Jobs,
    /// [`Bounds::work`].
    Work,
}

impl<J> fmt::Display for Full<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.bound {
            Bound::Jobs => "too many jobs wait",
            Bound::Work => "too much work waits",
        })
    }
}

impl<J: fmt::Debug> std::error::Error for Full<J> {}

/// What [`Line::pop`] took out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<J> {
    /// Run it; with the ticket it may wait again.
    Run(Ticket, J),
    /// Its deadline has passed: it must not run.
    Expired(J),
}

/// Jobs that wait. To push, to pop and to remove cost the logarithm of how many do.
///
/// ```
/// use ripstop_balance::{Bounds, Line, Next, Offer};
/// use std::time::Duration;
///
/// let mut line = Line::new(Bounds { jobs: 2, work: Duration::from_secs(1) });
/// let long = Offer { cost: Duration::from_millis(20), ..Offer::default() };
/// line.push(Duration::ZERO, long, "long").expect("there is room");
/// line.push(Duration::from_millis(1), Offer::default(), "short").expect("there is room");
/// assert!(line.push(Duration::from_millis(2), Offer::default(), "third").is_err());
///
/// let next = line.pop(Duration::from_millis(3));
/// assert!(matches!(next, Some(Next::Run(_, "short"))));
/// ```
#[derive(Debug)]
pub struct Line<J> {
    bounds: Bounds,
    waiting: BTreeMap<Rank, Waiting<J>>,
    /// How many of `waiting` have not started.
    fresh: usize,
    /// What those are predicted to cost.
    work: Duration,
    /// The number of the next arrival.
    next: u64,
}

#[derive(Debug)]
struct Waiting<J> {
    job: J,
    deadline: Option<Duration>,
    /// `None` once the job has started.
    fresh: Option<Fresh>,
}

/// What counts of a job that has not started.
#[derive(Debug)]
struct Fresh {
    arrival: Duration,
    cost: Duration,
}

impl<J> Line<J> {
    /// An empty line with `bounds`.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, waiting: BTreeMap::new(), fresh: 0, work: Duration::ZERO, next: 0 }
    }

    /// Lets `job` wait from `now` on. A deadline that has passed is no reason to refuse it:
    /// [`Line::pop`] says so.
    ///
    /// # Errors
    ///
    /// [`Full`], with the job, if a bound is reached.
    pub fn push(&mut self, now: Duration, offer: Offer, job: J) -> Result<Ticket, Full<J>> {
        if let Some(bound) = self.reached(offer.cost) {
            return Err(Full { job, bound });
        }
        let due = now.saturating_add(offer.cost.saturating_mul(COST_WEIGHT));
        let rank = Rank { class: offer.class, due, number: self.next };
        self.next += 1;
        self.fresh += 1;
        self.work = self.work.saturating_add(offer.cost);
        let fresh = Some(Fresh { arrival: now, cost: offer.cost });
        self.waiting.insert(rank, Waiting { job, deadline: offer.deadline, fresh });
        Ok(Ticket { rank })
    }

    /// Lets a job that has started wait again, as a future does that was woken: at its first
    /// rank, beyond all bounds, and without a deadline, which is one for the start.
    ///
    /// # Panics
    ///
    /// If the ticket's job waits already.
    #[expect(clippy::needless_pass_by_value, reason = "spent: a job waits in one place")]
    pub fn push_again(&mut self, ticket: Ticket, job: J) {
        let waiting = Waiting { job, deadline: None, fresh: None };
        let before = self.waiting.insert(ticket.rank, waiting);
        assert!(before.is_none(), "a job that waits is not pushed again");
    }

    /// Takes out the first job. Expired ones come in their turn, not before: what waits behind
    /// others beyond its deadline counts until then, unless it is removed.
    pub fn pop(&mut self, now: Duration) -> Option<Next<J>> {
        let (rank, waiting) = self.waiting.pop_first()?;
        self.forget(waiting.fresh.as_ref());
        Some(match waiting.deadline {
            Some(at) if now >= at => Next::Expired(waiting.job),
            _ => Next::Run(Ticket { rank }, waiting.job),
        })
    }

    /// Takes out the ticket's job, `None` if it does not wait.
    pub fn remove(&mut self, ticket: &Ticket) -> Option<J> {
        let waiting = self.waiting.remove(&ticket.rank)?;
        self.forget(waiting.fresh.as_ref());
        Some(waiting.job)
    }

    /// How many jobs wait, those that have started once included.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether [`Line::pop`] would find nothing.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The predicted work of the jobs that have not started.
    pub fn work(&self) -> Duration {
        self.work
    }

    /// The arrival of the job that has waited longest for its start. Looks at every job that
    /// waits: meant for once in a while, not for each job.
    pub fn oldest(&self) -> Option<Duration> {
        self.waiting.values().filter_map(|job| Some(job.fresh.as_ref()?.arrival)).min()
    }

    /// The bound that one more job of `cost` would break.
    fn reached(&self, cost: Duration) -> Option<Bound> {
        if self.fresh >= self.bounds.jobs {
            return Some(Bound::Jobs);
        }
        let work = self.work.saturating_add(cost);
        (self.fresh > 0 && work > self.bounds.work).then_some(Bound::Work)
    }

    /// Takes a job that leaves the line out of what counts.
    fn forget(&mut self, fresh: Option<&Fresh>) {
        let Some(fresh) = fresh else { return };
        self.fresh -= 1;
        self.work = self.work.saturating_sub(fresh.cost);
    }
}

#[cfg(test)]
mod tests;
