//! What handlers wait for: a lever that the test moves. Nothing of it outlives the test: a lever
//! that is dropped by the test lets everybody go.

use ripstop_testkit::until;
use std::{
    fs,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

use crate::serve::setup::SOON;

/// The test's end of a lever.
pub(crate) struct Lever(Stop);

impl Lever {
    /// A lever, and what handlers get of it.
    pub(crate) fn new() -> (Self, Stop) {
        let stop = Stop(Arc::new(Shared::default()));
        (Self(stop.clone()), stop)
    }

    /// Lets all handlers go on, those that come later too.
    pub(crate) fn release(&self) {
        *self.0.closed() = false;
        self.0.0.moved.notify_all();
        self.0.0.free.send_replace(true);
    }

    /// Blocks again those that come from now on.
    pub(crate) fn hold(&self) {
        *self.0.closed() = true;
    }

    /// How many handlers have come to it.
    pub(crate) fn begun(&self) -> usize {
        self.0.0.begun.load(SeqCst)
    }

    #[track_caller]
    pub(crate) fn await_begun(&self, count: usize) {
        assert!(until(SOON, || self.begun() >= count), "{} of {count} have begun", self.begun());
    }

    /// Waits until so many handlers have left it, or were dropped at it.
    #[track_caller]
    pub(crate) fn await_left(&self, count: usize) {
        let left = || self.0.0.left.load(SeqCst);
        assert!(until(SOON, || left() >= count), "{} of {count} have left", left());
    }

    /// Holds the test's own lock, in whose way `Stop::lock` runs, until it is released.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ()> {
        self.0.0.lock.lock().unwrap()
    }
}

impl Drop for Lever {
    fn drop(&mut self) {
        self.release();
    }
}

/// A handler's end of a lever.
#[derive(Clone)]
pub(crate) struct Stop(Arc<Shared>);

struct Shared {
    begun: AtomicUsize,
    left: AtomicUsize,
    closed: Mutex<bool>,
    moved: Condvar,
    free: watch::Sender<bool>,
    lock: Mutex<()>,
}

impl Default for Shared {
    fn default() -> Self {
        let zero = || AtomicUsize::new(0);
        let (closed, moved, lock) = (Mutex::new(true), Condvar::new(), Mutex::new(()));
        Self { begun: zero(), left: zero(), closed, moved, free: watch::Sender::new(false), lock }
    }
}

/// What the calling thread has had of the processors.
fn on_cpu() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos = schedstat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("the kernel counts"))
}

/// Counts that a handler has left, however it does.
struct Visit(Arc<Shared>);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, SeqCst);
    }
}

impl Stop {
    fn enter(&self) -> Visit {
        self.0.begun.fetch_add(1, SeqCst);
        Visit(self.0.clone())
    }

    /// Blocks the thread, asleep.
    pub(crate) fn wedge(&self) {
        let _visit = self.enter();
        let waited = self.0.moved.wait_while(self.closed(), |closed| *closed);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Blocks the thread, burning it; the share of the time, in percent, that it had a processor.
    pub(crate) fn spin(&self) -> u128 {
        let _visit = self.enter();
        let (begin, before) = (Instant::now(), on_cpu());
        while *self.closed() {
            std::hint::spin_loop();
        }
        (on_cpu() - before).as_nanos() * 100 / begin.elapsed().as_nanos()
    }

    /// Blocks the thread at the lock that the test holds.
    pub(crate) fn deadlock(&self) {
        let _visit = self.enter();
        drop(self.0.lock.lock().unwrap());
    }

    /// Waits without blocking anything.
    pub(crate) async fn wait(&self) {
        let _visit = self.enter();
        let mut free = self.0.free.subscribe();
        // The sender lives as long as this.
        let _ = free.wait_for(|free| *free).await;
    }

    fn closed(&self) -> MutexGuard<'_, bool> {
        self.0.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
