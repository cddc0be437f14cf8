//! Where jobs and executors meet: a line under a lock, and executors that wait for it.

use crate::sync::{Mutex, MutexGuard, PoisonError, Thread, current, park};
use ripstop_balance::{Bounds, Line, Next, Offer, Ticket};
use std::time::{Duration, Instant};

/// Hands jobs to executors.
#[derive(Debug)]
pub(crate) struct Hub<J> {
    state: Mutex<State<J>>,
    start: Instant,
}

#[derive(Debug)]
struct State<J> {
    line: Line<J>,
    /// Executors that sleep and were not woken yet. The last that fell asleep is woken first: its
    /// processor and caches are the warmest, and the others can stay asleep.
    asleep: Vec<Thread>,
    /// Executors that should end, as soon as they have nothing in hand.
    surplus: usize,
    closed: bool,
}

/// What an executor is to do next.
#[derive(Debug)]
pub(crate) enum Take<J> {
    Run(Ticket, J),
    /// Its deadline has passed: it is not started any more.
    Expired(J),
    /// End.
    Retire,
}

impl<J> Hub<J> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let state =
            State { line: Line::new(bounds), asleep: Vec::new(), surplus: 0, closed: false };
        Self { state: Mutex::new(state), start: Instant::now() }
    }

    /// The clock of all times here.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Puts a job into the line; gives it back if there is no room, or nobody to run it any more.
    pub(crate) fn push(&self, now: Duration, offer: Offer, job: J) -> Result<Ticket, J> {
        let mut state = self.lock();
        if state.closed {
            return Err(job);
        }
        let ticket = state.line.push(now, offer, job).map_err(|full| full.job)?;
        wake_one(state);
        Ok(ticket)
    }

    /// Puts a job back that had been started; gives it back if there is nobody left to run it.
    pub(crate) fn push_again(&self, ticket: Ticket, job: J) -> Result<(), J> {
        let mut state = self.lock();
        if state.closed {
            return Err(job);
        }
        state.line.push_again(ticket, job);
        wake_one(state);
        Ok(())
    }

    /// Takes a job out that has not been started; `None` if it has.
    pub(crate) fn remove(&self, ticket: &Ticket) -> Option<J> {
        self.lock().line.remove(ticket)
    }

    /// The next job; blocks until there is one, or until the calling executor should end.
    pub(crate) fn take(&self, now: impl Fn() -> Duration) -> Take<J> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return Take::Retire;
            }
            if state.surplus > 0 {
                state.surplus -= 1;
                // It may have been woken for a job, which another one has to take then.
                if !state.line.is_empty() {
                    wake_one(state);
                }
                return Take::Retire;
            }
            // Not read before the lock: a job could be started after its deadline.
            match state.line.pop(now()) {
                Some(Next::Run(ticket, job)) => return Take::Run(ticket, job),
                Some(Next::Expired(job)) => return Take::Expired(job),
                None => state = self.sleep(state),
            }
        }
    }

    /// Lets this many executors end, or fewer if there is more than that to do.
    pub(crate) fn set_surplus(&self, surplus: usize) {
        let mut state = self.lock();
        state.surplus = surplus;
        if surplus > 0 {
            state.asleep.drain(..).for_each(|executor| executor.unpark());
        }
    }

    /// Lets all executors end. Gives back what still waits, to be dropped where no lock is held.
    pub(crate) fn close(&self) -> Vec<J> {
        let mut state = self.lock();
        state.closed = true;
        state.asleep.drain(..).for_each(|executor| executor.unpark());
        let mut left = Vec::new();
        while let Some(Next::Run(_, job) | Next::Expired(job)) = state.line.pop(Duration::ZERO) {
            left.push(job);
        }
        left
    }

    /// How many jobs wait, and how much work that is.
    pub(crate) fn waiting(&self) -> (usize, Duration) {
        let state = self.lock();
        (state.line.len(), state.line.work())
    }

    /// Lets the calling executor sleep until it is woken. Its thread may be unparked by what a job
    /// has left behind: that is not it.
    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State<J>>) -> MutexGuard<'a, State<J>> {
        let own = current();
        let id = own.id();
        state.asleep.push(own);
        while state.asleep.iter().any(|executor| executor.id() == id) {
            drop(state);
            park();
            state = self.lock();
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // Nothing of a job runs while the lock is held, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes one executor if one sleeps. It no longer counts as asleep, so that a second job wakes a
/// second one.
fn wake_one<J>(mut state: MutexGuard<'_, State<J>>) {
    let executor = state.asleep.pop();
    drop(state);
    if let Some(executor) = executor {
        executor.unpark();
    }
}
