//! A job that was submitted: waits in the line, runs on executors, and answers its handle.

use super::{JobError, Shared};
use crate::{Panicked, routes::Route, wall};
use ripstop_balance::Ticket;
use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::oneshot};

/// A job, whatever its result.
pub(crate) struct Task {
    state: Mutex<State>,
    /// Nobody waits for the result any more.
    cancelled: AtomicBool,
    /// Whose timers and I/O it uses.
    runtime: Option<Handle>,
    route: Option<Arc<Route>>,
    queue: Weak<Shared>,
}

/// The work with the way to its handle: ready when both are done with.
type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

/// How a job went.
pub(super) enum Done {
    Told,
    Panicked,
    /// Nobody waited for the result.
    Late,
}

struct State {
    /// `None` while it is polled, and when it is over.
    work: Option<Work>,
    place: Place,
    /// How long its polls took so far, and the longest of them.
    whole: Duration,
    longest: Duration,
}

/// Where a job is.
enum Place {
    /// In the line.
    InLine,
    /// On an executor.
    Running {
        woken: bool,
    },
    /// It waits for something, and holds no executor.
    Waiting(Ticket),
    Over,
}

impl Task {
    pub(super) fn new<T: Send + 'static>(
        work: Pin<Box<dyn Future<Output = T> + Send>>,
        route: Option<Arc<Route>>,
        runtime: Option<Handle>,
        queue: &Arc<Shared>,
    ) -> (Arc<Self>, oneshot::Receiver<Result<T, JobError>>) {
        let (sender, outcome) = oneshot::channel();
        let work = Box::pin(answer(work, sender));
        let (whole, longest) = (Duration::ZERO, Duration::ZERO);
        let state = State { work: Some(work), place: Place::InLine, whole, longest };
        let task = Self {
            state: Mutex::new(state),
            cancelled: AtomicBool::new(false),
            runtime,
            route,
            queue: Arc::downgrade(queue),
        };
        (Arc::new(task), outcome)
    }

    /// Polls the job once, on the calling thread, which it may block.
    pub(crate) fn run(self: Arc<Self>, ticket: Ticket, shared: &Shared) {
        let Some(work) = self.begin() else { return };
        let _inside = self.runtime.as_ref().map(Handle::enter);
        if self.cancelled.load(Relaxed) {
            return self.drop_work(work);
        }
        // Nobody asks what a job without a route takes.
        let began = self.route.is_some().then(Instant::now);
        let (polled, work) = self.poll(work);
        let took = began.map_or(Duration::ZERO, |began| began.elapsed());
        match polled {
            Poll::Ready(done) => {
                self.drop_work(work);
                self.ended(&done, took, shared);
            }
            Poll::Pending => self.rest(work, ticket, took, shared),
        }
    }

    /// Ends a job that was not started by its deadline.
    pub(crate) fn expire(&self, shared: &Shared) {
        shared.counts.expired.fetch_add(1, Relaxed);
        self.abandon();
    }

    /// Gives the job up, wherever it is: nobody waits for its result any more. Its future is
    /// dropped by an executor, unless it has not been started.
    pub(super) fn cancel(self: &Arc<Self>, ticket: &Ticket) {
        self.cancelled.store(true, Relaxed);
        let Some(shared) = self.queue.upgrade() else { return };
        match shared.hub.remove(ticket) {
            Some(task) => task.abandon(),
            None => self.clone().wake(),
        }
    }

    /// Drops the work where it is not polled: nobody will run it.
    pub(crate) fn abandon(&self) {
        if let Some(work) = self.begin() {
            let _inside = self.runtime.as_ref().map(Handle::enter);
            self.drop_work(work);
        }
    }

    fn line_up_again(self: Arc<Self>, ticket: Ticket, shared: &Shared) {
        if let Err(task) = shared.hub.push_again(ticket, self) {
            task.abandon();
        }
    }

    /// Takes the work out, to be polled or dropped.
    fn begin(&self) -> Option<Work> {
        let mut state = self.lock();
        state.place = Place::Running { woken: false };
        state.work.take()
    }

    fn poll(self: &Arc<Self>, mut work: Work) -> (Poll<Done>, Work) {
        let waker = Waker::from(self.clone());
        let polled = work.as_mut().poll(&mut Context::from_waker(&waker));
        (polled, work)
    }

    /// The job waits for something; it may have been woken already.
    fn rest(self: Arc<Self>, work: Work, ticket: Ticket, took: Duration, shared: &Shared) {
        let mut state = self.lock();
        state.measured(took);
        let cancelled = self.cancelled.load(Relaxed);
        state.work = Some(work);
        if matches!(state.place, Place::Running { woken: true }) || cancelled {
            state.place = Place::InLine;
            drop(state);
            self.line_up_again(ticket, shared);
        } else {
            state.place = Place::Waiting(ticket);
        }
    }

    fn ended(&self, done: &Done, took: Duration, shared: &Shared) {
        let mut state = self.lock();
        state.measured(took);
        let (whole, longest) = (state.whole, state.longest);
        drop(state);
        match done {
            Done::Told => {}
            Done::Panicked => drop(shared.counts.panicked.fetch_add(1, Relaxed)),
            Done::Late => drop(shared.counts.late.fetch_add(1, Relaxed)),
        }
        if let Some(route) = &self.route {
            shared.routes.ran(route, whole, longest);
        }
    }

    /// Drops the work, inside its runtime. It is the application's: a panic of it ends here.
    fn drop_work(&self, work: Work) {
        self.lock().place = Place::Over;
        // The job is over in any case.
        let _ = wall(|| drop(work));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing of the job runs while the lock is held, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn measured(&mut self, took: Duration) {
        self.whole += took;
        self.longest = self.longest.max(took);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let mut state = self.lock();
        match std::mem::replace(&mut state.place, Place::InLine) {
            Place::InLine => {}
            Place::Running { .. } => state.place = Place::Running { woken: true },
            Place::Over => state.place = Place::Over,
            Place::Waiting(ticket) => {
                drop(state);
                match self.queue.upgrade() {
                    Some(shared) => self.line_up_again(ticket, &shared),
                    None => self.abandon(),
                }
            }
        }
    }
}

/// Does the work behind a wall, and tells its handle.
async fn answer<T>(
    work: Pin<Box<dyn Future<Output = T> + Send>>,
    sender: oneshot::Sender<Result<T, JobError>>,
) -> Done {
    let outcome = Walled(work).await;
    let done = if outcome.is_ok() { Done::Told } else { Done::Panicked };
    match sender.send(outcome) {
        Ok(()) => done,
        Err(late) => {
            // Nobody asks how that went either.
            let _ = wall(|| drop(late));
            Done::Late
        }
    }
}

/// A future whose panic is an error.
struct Walled<F>(F);

impl<F: Future + Unpin> Future for Walled<F> {
    type Output = Result<F::Output, JobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let work = pin!(&mut self.0);
        match wall(|| work.poll(cx)) {
            Ok(polled) => polled.map(Ok),
            Err(Panicked) => Poll::Ready(Err(JobError::Panicked)),
        }
    }
}
