//! The handle of a job: awaits its result, and cancels it when dropped.

use super::Task;
use ripstop_balance::Ticket;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::oneshot;

/// Awaits the result of a job. Dropped before that, it cancels the job: one that waits is not
/// started, a future is dropped where it waits, a closure that runs goes on and its result is
/// dropped.
pub struct JobHandle<T> {
    /// `None` once the job must not be cancelled any more.
    job: Option<(Arc<Task>, Ticket)>,
    outcome: oneshot::Receiver<Result<T, JobError>>,
}

/// Why a job has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobError {
    /// It was not started by its deadline.
    Expired,
    /// It panicked.
    Panicked,
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the job was not started by its deadline",
            Self::Panicked => "the job panicked",
        })
    }
}

impl std::error::Error for JobError {}

impl<T> JobHandle<T> {
    pub(super) fn new(
        task: Arc<Task>,
        ticket: Ticket,
        outcome: oneshot::Receiver<Result<T, JobError>>,
    ) -> Self {
        Self { job: Some((task, ticket)), outcome }
    }

    /// Lets the job run to its end whatever becomes of the handle.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.job = None;
        self
    }
}

impl<T> Future for JobHandle<T> {
    type Output = Result<T, JobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(cx).map(|outcome| {
            self.job = None;
            // A job that is dropped without an answer was never started: its time was over, or
            // that of the whole queue.
            outcome.unwrap_or(Err(JobError::Expired))
        })
    }
}

impl<T> Drop for JobHandle<T> {
    fn drop(&mut self) {
        if let Some((task, ticket)) = self.job.take() {
            task.cancel(&ticket);
        }
    }
}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").finish_non_exhaustive()
    }
}
