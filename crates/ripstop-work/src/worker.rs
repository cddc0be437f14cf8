//! One worker: a runtime whose tasks share one active thread.

use crate::{
    Clock, Error, LoadCell, Options,
    plugs::Plugs,
    poll_mark::PollMark,
    tasks::{Drained, Task, Tasks, drain},
    watchdog::Bell,
};
use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::runtime::{Builder, Handle, Runtime};

/// A worker: where connections live and their requests run.
#[derive(Debug)]
pub struct Worker {
    index: usize,
    handle: Handle,
    load: Arc<LoadCell>,
    clock: Arc<Clock>,
    tasks: Arc<Tasks>,
    /// Tasks that a drain does not wait for.
    services: Arc<Tasks>,
    /// How far connections are asked to end; an [`Ending`].
    end: AtomicU8,
    pub(crate) plugs: Arc<Plugs>,
    /// The marks of the worker's threads; each thread adds its own when it starts.
    marks: Arc<Mutex<Vec<Arc<PollMark>>>>,
}

impl Worker {
    /// Starts the threads of worker `index`, with all spares plugged.
    pub(crate) fn start(
        index: usize,
        options: &Options,
        bell: &Arc<Bell>,
    ) -> Result<(Arc<Self>, Runtime), Error> {
        let marks = Arc::<Mutex<Vec<Arc<PollMark>>>>::default();
        let runtime = build_runtime(index, options.spares, &marks, bell)
            .map_err(|source| Error::Worker { index, source })?;
        let worker = Arc::new(Self {
            index,
            handle: runtime.handle().clone(),
            load: Arc::default(),
            clock: Arc::new(Clock::new(options.tick)),
            tasks: Arc::default(),
            services: Arc::default(),
            end: AtomicU8::new(Ending::NotYet as u8),
            plugs: Arc::default(),
            marks,
        });
        for _ in 0..options.spares {
            worker.put_back_plug();
        }
        worker.handle.spawn(worker.clock.clone().run());
        Ok((worker, runtime))
    }

    /// The worker's number, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The worker's load, for counting requests and for placement.
    pub fn load(&self) -> &Arc<LoadCell> {
        &self.load
    }

    /// The worker's coarse clock.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// The runtime that the worker's tasks run on.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `future` as a task of this worker. May be called from any thread; the worker is
    /// woken only when it sleeps.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(Task::new(&self.tasks, future));
    }

    /// Runs a task that does not count as work: a drain does not wait for it, its owner ends it.
    pub fn spawn_service(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(Task::new(&self.services, future));
    }

    /// Like [`Worker::spawn`], for a task that owns a connection: it counts as the worker's load
    /// from now until it ends.
    pub fn spawn_connection(&self, future: impl Future<Output = ()> + Send + 'static) {
        let owned = Owned::new(self.load.clone());
        self.spawn(async move {
            future.await;
            drop(owned);
        });
    }

    /// How many tasks run.
    pub fn tasks(&self) -> usize {
        self.tasks.running()
    }

    /// Asks every connection of this worker to end. Whoever has registered with the worker's clock
    /// is woken.
    pub fn end(&self, ending: Ending) {
        self.end.store(ending as u8, Relaxed);
        self.clock.wake_all();
    }

    /// How far connections are asked to end.
    pub fn ending(&self) -> Ending {
        match self.end.load(Relaxed) {
            0 => Ending::NotYet,
            1 => Ending::AfterRequest,
            _ => Ending::AtOnce,
        }
    }

    /// Waits until no task of this worker is left, at most `deadline`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn drained(&self, deadline: Duration) -> Drained {
        drain(&self.tasks, deadline).await
    }

    /// Plugs the next thread of this worker that has nothing to do.
    pub(crate) fn put_back_plug(&self) {
        self.handle.spawn(self.plugs.plug());
    }

    /// What the marks of the worker's threads say now, in an order that stays.
    pub(crate) fn read_marks(&self, into: &mut Vec<u64>) {
        into.clear();
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        into.extend(marks.iter().map(|mark| mark.read()));
    }
}

/// How far the connections of a worker are asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Not at all.
    NotYet,
    /// Each after the request it is at.
    AfterRequest,
    /// Whatever they are at.
    AtOnce,
}

/// Counts a connection as long as it lives.
struct Owned(Arc<LoadCell>);

impl Owned {
    fn new(load: Arc<LoadCell>) -> Self {
        load.connections.fetch_add(1, Relaxed);
        Self(load)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

/// Threads that run blocking work beside a worker, at most.
const BLOCKING_THREADS: usize = 64;

fn build_runtime(
    index: usize,
    spares: usize,
    marks: &Arc<Mutex<Vec<Arc<PollMark>>>>,
    bell: &Arc<Bell>,
) -> std::io::Result<Runtime> {
    let started = AtomicUsize::new(0);
    let (marks, bell) = (marks.clone(), bell.clone());
    Builder::new_multi_thread()
        .worker_threads(1 + spares)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name_fn(move || thread_name(index, spares, started.fetch_add(1, Relaxed)))
        .on_thread_start(move || {
            if std::thread::current().name().is_some_and(polls_tasks) {
                let mark = Arc::new(PollMark::default());
                PollMark::adopt(mark.clone());
                marks.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
            }
        })
        .on_thread_unpark(move || bell.ring())
        .enable_all()
        .build()
}

/// `rip-w0`, its spares `rip-w0-s1`…, and the threads for blocking work `rip-w0-b1`….
fn thread_name(worker: usize, spares: usize, nth: usize) -> String {
    match nth {
        0 => format!("rip-w{worker}"),
        n if n <= spares => format!("rip-w{worker}-s{n}"),
        n => format!("rip-w{worker}{BLOCKING}{}", n - spares),
    }
}

/// What the names of threads for blocking work have before their number.
const BLOCKING: &str = "-b";

/// Whether the thread of this name polls tasks, and is not one for blocking work.
fn polls_tasks(name: &str) -> bool {
    !name.contains(BLOCKING)
}
