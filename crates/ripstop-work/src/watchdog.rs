//! The watchdog: a thread that looks at every worker, pulls a plug when a thread is stuck and
//! puts it back when the thread has come back.
//!
//! It looks every quarter of the stall time while there is something to see, and sleeps while all workers
//! do. What it sees is judged in `verdict`, without threads and clocks.

mod verdict;

use crate::{Options, Worker};
use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use verdict::{Look, Verdict};

/// How long all workers must sleep before the watchdog does.
const QUIET: Duration = Duration::from_secs(1);

/// How long the watchdog sleeps at most: the bell is rung without a fence, so a ring can be
/// missed, and is then made up for by this.
const NAP: Duration = Duration::from_secs(1);

/// What a worker's thread rings when it wakes up, in case the watchdog sleeps.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    asleep: AtomicBool,
    watchdog: OnceLock<Thread>,
}

impl Bell {
    pub(crate) fn ring(&self) {
        if self.asleep.load(Relaxed) {
            self.asleep.store(false, Relaxed);
            if let Some(watchdog) = self.watchdog.get() {
                watchdog.unpark();
            }
        }
    }
}

/// The watchdog's thread, stopped and joined on drop.
#[derive(Debug)]
pub(crate) struct Watchdog {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Watchdog {
    pub(crate) fn start(
        workers: &[Arc<Worker>],
        options: &Options,
        bell: Arc<Bell>,
        drowned: Arc<Notify>,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let round = Round {
            watched: workers.iter().map(|worker| Watched::new(worker, options)).collect(),
            period: options.stall / 4,
            bell,
            drowned,
            stop: stop.clone(),
        };
        let builder = thread::Builder::new().name("rip-watchdog".into());
        let thread = builder.spawn(move || round.run())?;
        Ok(Self { thread: Some(thread), stop })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the watchdog has been printed by its hook; nothing depends on it here.
            let _ = thread.join();
        }
    }
}

struct Round {
    watched: Vec<Watched>,
    period: Duration,
    bell: Arc<Bell>,
    /// Told when a worker drowns.
    drowned: Arc<Notify>,
    stop: Arc<AtomicBool>,
}

impl Round {
    fn run(mut self) {
        // Only this thread sets it, once.
        let _ = self.bell.watchdog.set(thread::current());
        let start = Instant::now();
        let mut last_moved = Duration::ZERO;
        while !self.stop.load(Relaxed) {
            let now = start.elapsed();
            for watched in &mut self.watched {
                let was_stuck = watched.worker.load().stuck.load(Relaxed);
                if watched.look(now) {
                    last_moved = now;
                }
                if !was_stuck && watched.worker.load().stuck.load(Relaxed) {
                    self.drowned.notify_one();
                }
            }
            if now - last_moved < QUIET {
                thread::park_timeout(self.period);
            } else {
                self.nap();
            }
        }
    }

    fn nap(&self) {
        self.bell.asleep.store(true, Relaxed);
        thread::park_timeout(NAP);
        self.bell.asleep.store(false, Relaxed);
    }
}

/// One worker and what was seen of it so far.
struct Watched {
    worker: Arc<Worker>,
    verdict: Verdict,
    look: Look,
    /// Plugs that this watchdog pulled and did not put back.
    pulled: usize,
    spares: usize,
}

impl Watched {
    fn new(worker: &Arc<Worker>, options: &Options) -> Self {
        Self {
            worker: worker.clone(),
            verdict: Verdict::new(options.stall),
            look: Look::default(),
            pulled: 0,
            spares: options.spares,
        }
    }

    /// Looks, acts, and returns whether the worker did anything since the last look.
    fn look(&mut self, now: Duration) -> bool {
        self.see();
        let seen = self.verdict.judge(&self.look, now);
        let load = self.worker.load();
        load.stuck.store(seen.stuck > self.spares, Relaxed);
        if let Some(percent) = seen.busy_percent {
            load.busy_percent.store(percent, Relaxed);
        }
        self.plug(seen.stuck);
        seen.moved || seen.stuck > 0
    }

    fn see(&mut self) {
        self.worker.read_marks(&mut self.look.marks);
        let metrics = self.worker.handle().metrics();
        self.look.held = self.worker.plugs.held();
        self.look.threads.clear();
        self.look.threads.extend((0..metrics.num_workers()).map(|thread| verdict::Thread {
            parks: metrics.worker_park_unpark_count(thread),
            busy: metrics.worker_total_busy_duration(thread),
        }));
    }

    /// As many spares run as threads are stuck.
    fn plug(&mut self, stuck: usize) {
        let wanted = stuck.min(self.spares);
        while self.pulled < wanted {
            self.worker.plugs.pull();
            self.pulled += 1;
            log::debug!(worker = self.worker.index(), stuck; "a thread is stuck: spare freed");
        }
        while self.pulled > wanted {
            self.worker.put_back_plug();
            self.pulled -= 1;
        }
    }
}
