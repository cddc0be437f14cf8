//! The thread that makes reports of sightings: resolves, publishes, logs.
//!
//! It lives as long as the hub and outlives panics of its own.

use crate::{
    Sighting, Tear,
    hub::Shared,
    limit::{Limit, Verdict},
    symbols::Symbols,
};
use std::{
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
    thread,
    time::{Instant, SystemTime},
};

/// A sighting in the queue.
#[derive(Debug)]
pub(crate) struct Filed {
    pub(crate) time: SystemTime,
    pub(crate) sighting: Sighting,
}

/// Starts the thread; it ends when the hub is gone.
pub(crate) fn start(shared: Arc<Shared>) -> io::Result<()> {
    thread::Builder::new().name("rip-tears".into()).spawn(move || run(&shared)).map(drop)
}

fn run(shared: &Shared) {
    let queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
    let mut reporter = Reporter::default();
    while let Ok(filed) = queue.recv() {
        let reported = catch_unwind(AssertUnwindSafe(|| reporter.report(filed, shared)));
        if let Err(payload) = reported {
            // Its drop may panic, too.
            mem::forget(payload);
            shared.miss();
            reporter.symbols = Symbols::default();
        }
    }
}

#[derive(Debug, Default)]
struct Reporter {
    symbols: Symbols,
    limit: Limit,
    reports: u64,
}

impl Reporter {
    fn report(&mut self, filed: Filed, shared: &Shared) {
        let Filed { time, sighting } = filed;
        let stack = self.symbols.resolve(&sighting.stack);
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
