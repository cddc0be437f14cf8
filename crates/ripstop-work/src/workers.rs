//! All workers of a process, with the executors beside them and the watchdog over both.

use crate::{
    Drained, Ending, Error, Queue, Routes, Surrender, Thrift, Worker,
    executors::Executors,
    panics,
    watchdog::{Bell, Watchdog},
};
use arc_swap::{ArcSwap, Guard};
use ripstop_balance::{Bounds, Load};
use ripstop_tears::Tears;
use std::{
    num::NonZeroUsize,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::AtomicUsize},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};

/// How many threads there are, and how they are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Workers. Default: the processors this process may use.
    pub workers: NonZeroUsize,
    /// Spare threads of each worker: as many stalls at once are noticed by nobody else.
    /// Default 4; 0 turns the watchdog's help off.
    pub spares: usize,
    /// A poll longer than this is a stall: a spare takes over. Default 20 ms.
    pub stall: Duration,
    /// A thread that is stuck in a request for so long is not counted on any more; with too many of
    /// them the process asks to be replaced. To be no shorter than requests may take. Default 60 s.
    pub lost: Duration,
    /// How often the workers look over their deadlines. Default 250 ms.
    pub tick: Duration,
    /// Executors that are free to serve the task queue; one that a job blocks does not count.
    /// Default: the processors this process may use.
    pub executors: NonZeroUsize,
    /// Executors at most, with those that jobs block. Default 64.
    pub executors_max: usize,
    /// Jobs that may wait in the task queue. Default 4096.
    pub queue_jobs: usize,
    /// How much work may wait there, as far as it can be predicted, for each executor.
    /// Default 60 s.
    pub queue_work: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: cpus(),
            spares: 4,
            stall: Duration::from_millis(20),
            lost: Duration::from_secs(60),
            tick: Duration::from_millis(250),
            executors: cpus(),
            executors_max: 64,
            queue_jobs: 4096,
            queue_work: Duration::from_secs(60),
        }
    }
}

/// The processors this process may use, by its affinity and its cgroup's quota.
pub fn cpus() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The workers of a process. Dropping it stops them without waiting.
#[derive(Debug)]
pub struct Workers {
    crew: Arc<Crew>,
    watchdog: Mutex<Watchdog>,
}

/// What is watched, with what is needed to replace any of it.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) options: Options,
    pub(crate) bell: Arc<Bell>,
    pub(crate) common: Common,
    pub(crate) executors: Executors,
    list: Arc<ArcSwap<Vec<Arc<Worker>>>>,
    /// The parked connections of each worker, by index.
    pub(crate) parked: Vec<Arc<AtomicUsize>>,
    /// Workers that others have replaced, until the last of their connections has ended.
    retired: Mutex<Vec<Arc<Worker>>>,
    /// How far connections are asked to end.
    ending: Mutex<Ending>,
    /// Told when a worker drowns, and when one has been replaced.
    pub(crate) drowned: Notify,
    pub(crate) surrender: watch::Sender<Option<Surrender>>,
}

/// What all workers have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) queue: Queue,
    pub(crate) routes: Arc<Routes>,
    pub(crate) tears: Tears,
    pub(crate) thrift: Arc<Thrift>,
    /// All workers; they do not keep each other.
    pub(crate) list: Weak<ArcSwap<Vec<Arc<Worker>>>>,
}

/// All workers, as they were at one moment, by their indices.
pub struct List(Guard<Arc<Vec<Arc<Worker>>>>);

impl Deref for List {
    type Target = [Arc<Worker>];

    fn deref(&self) -> &[Arc<Worker>] {
        &self.0
    }
}

impl Workers {
    /// Starts all workers, the executors, and their watchdog. Faults of threads are reported to
    /// `tears`.
    ///
    /// # Errors
    ///
    /// When a thread or a reactor cannot be created; what was started is stopped again.
    pub fn start(options: &Options, tears: Tears) -> Result<Self, Error> {
        panics::report();
        let crew = Arc::new(Crew::start(options, tears)?);
        let watchdog = Watchdog::start(&crew).map_err(Error::Watchdog)?;
        Ok(Self { crew, watchdog: Mutex::new(watchdog) })
    }

    /// The workers, by their indices. A worker that was replaced is not among them.
    pub fn list(&self) -> List {
        self.crew.list()
    }

    /// The load of each worker, by their indices.
    pub fn loads(&self) -> Vec<Load> {
        self.list().iter().map(|worker| worker.load().snapshot()).collect()
    }

    /// The task queue.
    pub fn queue(&self) -> &Queue {
        &self.crew.common.queue
    }

    /// What was learned of routes.
    pub fn routes(&self) -> &Arc<Routes> {
        &self.crew.common.routes
    }

    /// Waits until a worker drowns (all its threads are stuck, and its load says so) or has been
    /// replaced.
    ///
    /// # Cancel safety
    ///
    /// What happens between two calls is remembered, for one waiter.
    pub async fn drowned(&self) {
        self.crew.drowned.notified().await;
    }

    /// Waits until supervision is at its end: only a new process can help.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn surrendered(&self) -> Surrender {
        let mut surrender = self.crew.surrender.subscribe();
        match surrender.wait_for(Option::is_some).await.map(|reason| *reason) {
            Ok(Some(reason)) => reason,
            // The sender lives as long as these workers.
            _ => std::future::pending().await,
        }
    }

    /// Starts another watchdog if the one that runs has fallen silent. To be called now and then.
    pub fn look_after_watchdog(&self) {
        let mut watchdog = lock(&self.watchdog);
        if watchdog.stays_silent() {
            watchdog.replace(&self.crew);
        }
    }

    /// Asks every connection to end.
    pub fn end(&self, ending: Ending) {
        *lock(&self.crew.ending) = ending;
        for worker in self.crew.all() {
            worker.end(ending);
        }
    }

    /// Asks connections to save memory: idle ones to be parked at once, and those that have been
    /// idle for longer than `idle_max` to end.
    pub fn save_memory(&self, parks: bool, idle_max: Option<Duration>) {
        if self.crew.common.thrift.set(parks, idle_max) {
            self.crew.all().iter().for_each(|worker| worker.clock().wake_all());
        }
    }

    /// Asks connections to give clients up soon that take nothing of what they are sent. Those that
    /// have to look are told with each call.
    pub fn hurry(&self, hurries: bool) {
        self.crew.common.thrift.hurry(hurries);
        if hurries {
            self.crew.all().iter().for_each(|worker| worker.clock().wake_all());
        }
    }

    /// What connections do to save memory.
    pub fn thrift(&self) -> &Arc<Thrift> {
        &self.crew.common.thrift
    }

    /// Says in the log which requests hold threads of workers, so that nothing of them can be cut
    /// off: nobody waits for them any longer.
    pub fn list_as_cut(&self) {
        self.crew.all().iter().for_each(|worker| worker.list_as_cut());
    }

    /// Waits until no task is left on any worker, at most `deadline` in all.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn drained(&self, deadline: Duration) -> Drained {
        let end = Instant::now() + deadline;
        let mut cut = 0;
        for worker in self.crew.all() {
            let left = end.saturating_duration_since(Instant::now());
            if let Drained::Cut(tasks) = worker.drained(left).await {
                cut += tasks;
            }
        }
        if cut == 0 { Drained::Whole } else { Drained::Cut(cut) }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        lock(&self.watchdog).stop();
        self.crew.bell.wake();
        self.crew.executors.close();
        for worker in self.crew.all() {
            worker.shut_down();
        }
    }
}

impl Crew {
    pub(crate) fn start(options: &Options, tears: Tears) -> Result<Self, Error> {
        let free = options.executors.get();
        let work = options.queue_work.saturating_mul(u32::try_from(free).unwrap_or(u32::MAX));
        let bounds = Bounds { jobs: options.queue_jobs, work };
        let routes = Arc::new(Routes::new(options.stall));
        let queue = Queue::new(bounds, routes.clone());
        let bell = Arc::<Bell>::default();
        let list = Arc::<ArcSwap<Vec<Arc<Worker>>>>::default();
        let crew = Self {
            executors: Executors::new(queue.clone(), bell.clone(), tears.clone()),
            options: options.clone(),
            bell,
            common: Common {
                queue,
                routes,
                tears,
                thrift: Arc::default(),
                list: Arc::downgrade(&list),
            },
            list,
            parked: (0..options.workers.get()).map(|_| Arc::default()).collect(),
            retired: Mutex::default(),
            ending: Mutex::new(Ending::NotYet),
            drowned: Notify::new(),
            surrender: watch::Sender::new(None),
        };
        crew.start_threads().inspect_err(|_| crew.shut_down())?;
        Ok(crew)
    }

    fn start_threads(&self) -> Result<(), Error> {
        for index in 0..self.options.workers.get() {
            self.enlist(Worker::start(index, self)?);
        }
        self.executors.resize(self.options.executors.get()).map_err(Error::Executor)
    }

    fn enlist(&self, worker: Arc<Worker>) {
        let mut list = Vec::clone(&self.list.load());
        list.push(worker);
        self.list.store(Arc::new(list));
    }

    pub(crate) fn list(&self) -> List {
        List(self.list.load())
    }

    /// All workers, also those that were replaced.
    pub(crate) fn all(&self) -> Vec<Arc<Worker>> {
        let retired = lock(&self.retired);
        self.list().iter().chain(retired.iter()).cloned().collect()
    }

    /// Puts a fresh worker in the place of the one at this index, which keeps its connections
    /// until they are at rest.
    /// Called by one thread at a time.
    pub(crate) fn rebuild(&self, index: usize) -> Result<(), Error> {
        let fresh = Worker::start(index, self)?;
        let mut list = Vec::clone(&self.list.load());
        let old = std::mem::replace(&mut list[index], fresh.clone());
        lock(&self.retired).push(old.clone());
        self.list.store(Arc::new(list));
        let ending = *lock(&self.ending);
        fresh.end(ending);
        // It comes to nothing new any more, and so ends with what it has.
        old.end(ending.max(Ending::MoveOn));
        self.drowned.notify_one();
        Ok(())
    }

    /// Ends those replaced workers that have nothing left to do, and come to nothing any more.
    pub(crate) fn bury(&self) {
        let mut retired = lock(&self.retired);
        retired.extract_if(.., |worker| worker.is_idle()).for_each(|worker| worker.shut_down());
    }

    fn shut_down(&self) {
        self.executors.close();
        self.list().iter().for_each(|worker| worker.shut_down());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of these locks is held, so a poisoned state is a whole one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
