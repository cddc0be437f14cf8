//! All workers of a process, with the watchdog over them.

use crate::{
    Drained, Ending, Error, Worker,
    watchdog::{Bell, Watchdog},
};
use ripstop_balance::Load;
use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, sync::Notify};

/// How many workers, and how they are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Workers. Default: the processors this process may use.
    pub workers: NonZeroUsize,
    /// Spare threads of each worker: as many stalls at once are noticed by nobody else.
    /// Default 4; 0 turns the watchdog's help off.
    pub spares: usize,
    /// A poll longer than this is a stall: a spare takes over. Default 20 ms.
    pub stall: Duration,
    /// How often the workers look over their deadlines. Default 250 ms.
    pub tick: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: cpus(),
            spares: 4,
            stall: Duration::from_millis(20),
            tick: Duration::from_millis(250),
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
    workers: Vec<Arc<Worker>>,
    /// Taken when the workers stop.
    runtimes: Vec<Runtime>,
    _watchdog: Watchdog,
    drowned: Arc<Notify>,
}

impl Workers {
    /// Starts all workers and their watchdog.
    ///
    /// # Errors
    ///
    /// When a thread or a reactor cannot be created; what was started is stopped again.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let bell = Arc::new(Bell::default());
        let mut workers = Vec::new();
        let mut runtimes = Vec::new();
        for index in 0..options.workers.get() {
            let (worker, runtime) = Worker::start(index, options, &bell)?;
            workers.push(worker);
            runtimes.push(runtime);
        }
        let drowned = Arc::new(Notify::new());
        let watchdog = Watchdog::start(&workers, options, bell, drowned.clone());
        let watchdog = watchdog.map_err(Error::Watchdog)?;
        Ok(Self { workers, runtimes, _watchdog: watchdog, drowned })
    }

    /// The workers, by their numbers.
    pub fn list(&self) -> &[Arc<Worker>] {
        &self.workers
    }

    /// The load of each worker, by their numbers.
    pub fn loads(&self) -> Vec<Load> {
        self.workers.iter().map(|worker| worker.load().snapshot()).collect()
    }

    /// Waits until a worker drowns: all its threads are stuck, and its load says so.
    ///
    /// # Cancel safety
    ///
    /// A drowning between two calls is remembered, for one waiter.
    pub async fn drowned(&self) {
        self.drowned.notified().await;
    }

    /// Asks every connection to end.
    pub fn end(&self, ending: Ending) {
        for worker in &self.workers {
            worker.end(ending);
        }
    }

    /// Waits until no task is left on any worker, at most `deadline` in all.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn drained(&self, deadline: Duration) -> Drained {
        let end = Instant::now() + deadline;
        let mut cut = 0;
        for worker in &self.workers {
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
        for worker in &self.workers {
            worker.plugs.open();
        }
        for runtime in self.runtimes.drain(..) {
            // A stuck thread must not keep the process from ending.
            runtime.shutdown_background();
        }
    }
}
