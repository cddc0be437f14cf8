//! The thread that makes reports of sightings: resolves, publishes, logs.
//!
//! It is there while there is something to report, and outlives panics of its own.

use crate::{
    Kind, Sighting, Tear,
    culprit::leave_out_machinery,
    hub::Shared,
    limit::{Limit, Verdict},
    symbols::Symbols,
};
use std::{
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, PoisonError,
        atomic::Ordering::SeqCst,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

/// The thread ends, and gives back what it has loaded, when nothing was filed for so long.
const IDLE: Duration = Duration::from_secs(1);

/// A sighting in the queue.
#[derive(Debug)]
pub(crate) struct Filed {
    pub(crate) time: SystemTime,
    pub(crate) sighting: Sighting,
}

/// Starts the thread; it ends when there is nothing to report any more.
pub(crate) fn start(shared: Arc<Shared>) -> io::Result<()> {
    thread::Builder::new().name("rip-tears".into()).spawn(move || run(&shared)).map(drop)
}

/// Reports until nothing has come for a while, or the hub is gone.
fn run(shared: &Shared) {
    let mut reporter = shared.reporter.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match reporter.queue.recv_timeout(IDLE) {
            Ok(filed) => reporter.survive(filed, shared),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                reporter.symbols = Symbols::default();
                shared.reporting.store(false, SeqCst);
                // Whoever files from now on starts another thread; what was filed just before is
                // this one's.
                let Ok(filed) = reporter.queue.try_recv() else { return };
                reporter.survive(filed, shared);
                if shared.reporting.swap(true, SeqCst) {
                    return;
                }
            }
        }
    }
}

/// What is needed to make reports, and lasts from one thread to the next.
#[derive(Debug)]
pub(crate) struct Reporter {
    queue: Receiver<Filed>,
    symbols: Symbols,
    limit: Limit,
    reports: u64,
}

impl Reporter {
    pub(crate) fn new(queue: Receiver<Filed>) -> Self {
        Self { queue, symbols: Symbols::default(), limit: Limit::default(), reports: 0 }
    }

    /// Makes a report; a panic meanwhile costs that one.
    fn survive(&mut self, filed: Filed, shared: &Shared) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.report(filed, shared))) {
            // Its drop may panic, too.
            mem::forget(payload);
            shared.miss();
            self.symbols = Symbols::default();
        }
    }

    fn report(&mut self, filed: Filed, shared: &Shared) {
        let Filed { time, sighting } = filed;
        let mut stack = self.symbols.resolve(&sighting.stack);
        if sighting.kind == Kind::Panic {
            leave_out_machinery(&mut stack);
        }
        self.reports += 1;
        let tear = Arc::new(Tear::new(self.reports, time, sighting, stack));
        shared.publish(tear.clone());
        self.log(&tear);
    }

    fn log(&mut self, tear: &Tear) {
        let level = tear.kind.level();
        match self.limit.decide(tear.kind, tear.route.as_ref(), Instant::now()) {
            Verdict::LeaveOut => {}
            Verdict::Log { left_out: 0 } => log::log!(level, "{tear}"),
            Verdict::Log { left_out } => {
                log::log!(level, "{tear}\n  ({left_out} more since the last such record)");
            }
        }
    }
}
