//! The task queue: jobs from anywhere, in the order that `ripstop_balance::Line` says, for the
//! executors.
//!
//! A job is a future or a closure. It runs on an executor, which it may block; only that executor
//! is held by it, and another one takes its place. What awaits its [`JobHandle`] gets the result.

mod handle;
mod hub;
mod job;
mod task;

pub use handle::{JobError, JobHandle};
pub(crate) use hub::{Hub, Take};
pub use job::Job;
pub(crate) use task::Task;

use crate::Routes;
use ripstop_balance::{Bounds, Offer};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::runtime::Handle;

/// What a job of a route is expected to cost that was never measured.
const UNKNOWN_COST: Duration = Duration::from_millis(1);

/// The way into the task queue. Cheap to clone.
///
/// ```
/// # use ripstop_work::{Job, Options, Workers};
/// # let workers = Workers::start(&Options::default(), ripstop_tears::Tears::new()).unwrap();
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// let queue = workers.queue();
/// let sum = queue.submit(Job::call(|| (1..=10).sum::<u32>())).unwrap();
/// assert_eq!(runtime.block_on(sum), Ok(55));
/// ```
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

/// What the queue, its jobs and the executors have in common.
pub(crate) struct Shared {
    pub(crate) hub: Hub<Arc<Task>>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) counts: Counts,
}

/// What has become of jobs, from the start on.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) taken: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) late: AtomicU64,
}

/// The queue at one moment, and what has become of jobs from the start on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// Jobs that wait.
    pub waiting: usize,
    /// What those that wait are expected to cost.
    pub work: Duration,
    /// Jobs that were taken.
    pub taken: u64,
    /// Jobs for which there was no room.
    pub refused: u64,
    /// Jobs that were not started by their deadline.
    pub expired: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Results that came when nobody waited for them any more.
    pub late: u64,
}

/// The queue is full; the job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task queue is full")
    }
}

impl std::error::Error for Full {}

impl Queue {
    pub(crate) fn new(bounds: Bounds, routes: Arc<Routes>) -> Self {
        let counts = Counts::default();
        Self { shared: Arc::new(Shared { hub: Hub::new(bounds), routes, counts }) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Puts a job into the queue. Never blocks. A job that is submitted inside a tokio runtime, as
    /// all handlers are, has the timers and I/O of that runtime.
    ///
    /// # Errors
    ///
    /// [`Full`], if as many jobs wait as may, or as much work as may.
    pub fn submit<T: Send + 'static>(&self, job: Job<T>) -> Result<JobHandle<T>, Full> {
        let shared = &self.shared;
        let route = job.route.as_ref();
        let known = job.cost.or_else(|| route.and_then(|route| route.cost()));
        let now = shared.hub.now();
        let offer = Offer {
            class: job.class,
            cost: known.unwrap_or(UNKNOWN_COST),
            deadline: job.deadline.map(|deadline| now + deadline),
        };
        let runtime = Handle::try_current().ok();
        let (task, outcome) = Task::new(job.work, job.route, runtime, shared);
        match shared.hub.push(now, offer, task.clone()) {
            Ok(ticket) => {
                shared.counts.taken.fetch_add(1, Relaxed);
                Ok(JobHandle::new(task, ticket, outcome))
            }
            Err(_) => {
                shared.counts.refused.fetch_add(1, Relaxed);
                Err(Full)
            }
        }
    }

    /// How the queue stands.
    pub fn state(&self) -> QueueState {
        let (waiting, work) = self.shared.hub.waiting();
        let counts = &self.shared.counts;
        QueueState {
            waiting,
            work,
            taken: counts.taken.load(Relaxed),
            refused: counts.refused.load(Relaxed),
            expired: counts.expired.load(Relaxed),
            panicked: counts.panicked.load(Relaxed),
            late: counts.late.load(Relaxed),
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.state()).finish()
    }
}

#[cfg(test)]
mod tests;
