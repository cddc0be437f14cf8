//! A worker's load, as its tasks and the watchdog write it and placement reads it.

use ripstop_balance::Load;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::Relaxed},
};

/// Counters of one worker. All of them are hints: relaxed, never used to synchronise.
#[derive(Debug, Default)]
pub struct LoadCell {
    /// Moved by [`crate::Worker::spawn_connection`] and by the end of that task.
    pub(crate) connections: AtomicUsize,
    /// Moved by [`InFlight`].
    in_flight: AtomicUsize,
    /// Written by the watchdog after each look.
    pub(crate) busy_percent: AtomicU8,
    /// Written by the watchdog: no thread of the worker makes progress.
    pub(crate) stuck: AtomicBool,
}

impl LoadCell {
    /// The load as it is now.
    pub fn snapshot(&self) -> Load {
        Load {
            stuck: self.stuck.load(Relaxed),
            connections: self.connections.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            busy_percent: self.busy_percent.load(Relaxed),
        }
    }
}

/// One request that is being handled; counts until it is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<LoadCell>);

impl InFlight {
    /// Counts one more request on the worker that `load` belongs to.
    pub fn new(load: Arc<LoadCell>) -> Self {
        load.in_flight.fetch_add(1, Relaxed);
        Self(load)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
