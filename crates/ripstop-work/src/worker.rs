//! One worker: a runtime whose tasks share one active thread.

use crate::{
    Clock, Error, LoadCell, Queue, Routes, Thrift, headroom,
    plugging::plug,
    plugs::Plugs,
    slot::{RequestId, Seen, Slot, Subject},
    slots::Slots,
    tasks::{Drained, Running, Task, Tasks, drain},
    waiting::Waiting,
    wall,
    workers::{Common, Crew},
};
use ripstop_balance::spread;
use ripstop_tears::Tears;
use std::{
    future::Future,
    io,
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
    /// Each thread enters when it starts.
    pub(crate) slots: Arc<Slots>,
    waiting: Waiting,
    common: Common,
    /// Taken when the worker is shut down.
    runtime: Mutex<Option<Runtime>>,
}

impl Worker {
    /// Starts the threads of a worker for this index, with all spares plugged.
    pub(crate) fn start(index: usize, crew: &Crew) -> Result<Arc<Self>, Error> {
        let slots = Arc::<Slots>::default();
        let runtime =
            build_runtime(index, crew, &slots).map_err(|source| Error::Worker { index, source })?;
        let worker = Arc::new(Self {
            index,
            handle: runtime.handle().clone(),
            load: Arc::new(LoadCell::new(crew.parked[index].clone())),
            clock: Arc::new(Clock::new(crew.options.tick)),
            tasks: Arc::default(),
            services: Arc::default(),
            end: AtomicU8::new(Ending::NotYet as u8),
            plugs: Arc::default(),
            slots,
            waiting: Waiting::default(),
            common: crew.common.clone(),
            runtime: Mutex::new(Some(runtime)),
        });
        for _ in 0..crew.options.spares {
            worker.put_back_plug();
        }
        worker.handle.spawn(worker.clock.clone().run());
        Ok(worker)
    }

    /// Lets all threads go, without waiting for those that are stuck.
    pub(crate) fn shut_down(&self) {
        self.plugs.open();
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
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

    /// The worker that should run one more stream of a connection of this one, if another has more
    /// room.
    pub fn with_room(&self) -> Option<Arc<Worker>> {
        let list = self.common.list.upgrade()?;
        let list = list.load();
        let loads: Vec<_> = list.iter().map(|worker| worker.load.snapshot()).collect();
        spread(self.index, &loads).and_then(|index| list.get(index)).cloned()
    }

    /// The task queue.
    pub fn queue(&self) -> &Queue {
        &self.common.queue
    }

    /// What was learned of routes.
    pub fn routes(&self) -> &Routes {
        &self.common.routes
    }

    /// Where faults are reported.
    pub fn tears(&self) -> &Tears {
        &self.common.tears
    }

    /// What connections do to save memory.
    pub fn thrift(&self) -> &Thrift {
        &self.common.thrift
    }

    /// Whether idle connections are to be parked as soon as they can be: memory is short, or the
    /// worker has a crowd of connections with tasks. What these take at their peak the allocator may
    /// keep for long.
    pub fn parks_soon(&self) -> bool {
        self.thrift().parks() || self.load.is_crowd()
    }

    /// The runtime that the worker's tasks run on.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `future` as a task of this worker. May be called from any thread; the worker is
    /// woken only when it sleeps.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(Task::new(Running::begin(&self.tasks), future));
    }

    /// Runs a task that does not count as work: a drain does not wait for it, its owner ends it.
    pub fn spawn_service(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(Task::new(Running::begin(&self.services), future));
    }

    /// Like [`Worker::spawn`], for a task that owns a connection: it counts as the worker's load
    /// from now until it ends.
    pub fn spawn_connection(&self, future: impl Future<Output = ()> + Send + 'static) {
        let counted = (Owned::new(self.load.clone()), Running::begin(&self.tasks));
        self.handle.spawn(Task::new(counted, future));
    }

    /// Counts something that is done elsewhere as a task of this worker, for as long as the guard
    /// lives: a drain waits for it.
    pub fn hold(&self) -> Running {
        Running::begin(&self.tasks)
    }

    /// A request waits, of which the next server is to know if this one dies. Gives what
    /// [`Worker::waits_no_more`] has to be called with; `None` where there is no room.
    pub fn waits<'a>(
        &self,
        request: RequestId<'a>,
        subject: impl FnOnce() -> Subject<'a>,
    ) -> Option<u8> {
        self.waiting.begin(request, subject)
    }

    /// A request has waited.
    pub fn waits_no_more(&self, row: u8) {
        self.waiting.end(row);
    }

    /// How many tasks run.
    pub fn tasks(&self) -> usize {
        self.tasks.running()
    }

    /// Whether it has nothing to do: no task runs, and none that could start others.
    pub(crate) fn is_idle(&self) -> bool {
        // In this order: a service may start a task just before it ends.
        self.services.running() == 0 && self.tasks.running() == 0
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
            1 => Ending::MoveOn,
            2 => Ending::AfterRequest,
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

    /// Says in the log what its threads are stuck in: the server does not wait for it any longer.
    pub(crate) fn list_as_cut(&self) {
        for Seen { route, request, peer } in self.slots.lock().at_work() {
            let (method, path) = route.in_words();
            log::warn!(
                method, path, request_id = request, peer:?;
                "request cut off by the end of the server"
            );
        }
    }

    /// Lets this many spares run.
    pub(crate) fn free_spares(&self, wanted: usize) {
        for _ in 0..self.plugs.let_out(wanted) {
            self.put_back_plug();
        }
    }

    /// Plugs the next thread of this worker that has nothing to do.
    fn put_back_plug(&self) {
        self.handle.spawn(plug(self.plugs.clone()));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// How far the connections of a worker are asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Not at all.
    NotYet,
    /// Those that can go on elsewhere do so after the request they are at; the others end then.
    MoveOn,
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

fn build_runtime(index: usize, crew: &Crew, slots: &Arc<Slots>) -> io::Result<Runtime> {
    let spares = crew.options.spares;
    let started = AtomicUsize::new(0);
    let (entered, left) = (slots.clone(), slots.clone());
    let (bell, tears) = (crew.bell.clone(), crew.common.tears.clone());
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(1 + spares)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name_fn(move || thread_name(index, spares, started.fetch_add(1, Relaxed)))
        .on_thread_start(move || {
            if std::thread::current().name().is_some_and(polls_tasks) {
                entered.enter(Some(index), &tears);
            } else {
                // It may block, so nobody watches it.
                Slot::adopt(Some(index), tears.clone());
            }
        })
        .on_thread_stop(move || left.leave())
        .on_thread_unpark(move || bell.ring())
        .enable_all();
    headroom::check(1 + spares)?;
    // Where a thread cannot be started in spite of that, tokio panics.
    wall(|| builder.build()).unwrap_or_else(|_| Err(io::Error::other("a thread cannot be started")))
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
