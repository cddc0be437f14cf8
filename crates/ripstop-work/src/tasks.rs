//! The owner of a worker's tasks: counts them, marks their polls, and tells when all have ended.

use crate::slot::InPoll;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::Notify, task::coop::has_budget_remaining};

/// Counts the tasks that run.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    running: AtomicUsize,
    ended: Notify,
}

impl Tasks {
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Waits until no task runs.
    pub(crate) async fn none_left(&self) {
        loop {
            // Registered before the look, so that an end between the two is not missed.
            let ended = self.ended.notified();
            if self.running() == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// Whether all tasks ended before the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All of them.
    Whole,
    /// The deadline passed with this many still running.
    Cut(usize),
}

/// Waits for the end of all tasks, at most `deadline`.
pub(crate) async fn drain(tasks: &Tasks, deadline: Duration) -> Drained {
    match tokio::time::timeout(deadline, tasks.none_left()).await {
        Ok(()) => Drained::Whole,
        Err(_) => Drained::Cut(tasks.running()),
    }
}

/// Counts as a task as long as it lives.
#[derive(Debug)]
pub struct Running(Arc<Tasks>);

impl Running {
    pub(crate) fn begin(tasks: &Arc<Tasks>) -> Self {
        tasks.running.fetch_add(1, Ordering::AcqRel);
        Self(tasks.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

pin_project_lite::pin_project! {
    /// A task of a worker. Not an `async` block around the future, which would have room for it twice.
    pub(crate) struct Task<F, G> {
        #[pin]
        future: F,
        // After the future, so that it still counts while the future is dropped.
        counted: G,
    }
}

impl<F, G> Task<F, G> {
    /// A task that counts for as long as `counted` lives, such as a [`Running`].
    pub(crate) fn new(counted: G, future: F) -> Self {
        Self { future, counted }
    }
}

impl<F: Future<Output = ()>, G> Future for Task<F, G> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let _mark = InPoll::begin();
        let polled = self.project().future.poll(cx);
        if polled.is_pending() && !has_budget_remaining() {
            // Tokio has put its waker where only this thread finds it, and not while the next task
            // blocks it. This one puts the task into the run queue, where others do.
            cx.waker().wake_by_ref();
        }
        polled
    }
}
