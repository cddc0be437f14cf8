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
    /// Connections of the worker that have no task; outlives a worker that is replaced.
    parked: Arc<AtomicUsize>,
    /// Moved by [`LoadCell::request_begins`] and [`LoadCell::request_ended`].
    in_flight: AtomicUsize,
    /// Written by the watchdog after each look.
    pub(crate) busy_percent: AtomicU8,
    /// Written by the watchdog: no thread of the worker makes progress.
    pub(crate) stuck: AtomicBool,
}

impl LoadCell {
    pub(crate) fn new(parked: Arc<AtomicUsize>) -> Self {
        Self { parked, ..Self::default() }
    }

    /// The count of connections that have no task, to be moved by whoever parks them.
    pub fn parked(&self) -> &Arc<AtomicUsize> {
        &self.parked
    }

    /// Counts a request that is being handled from now on.
    pub fn request_begins(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Ends what [`LoadCell::request_begins`] began.
    pub fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// The load as it is now.
    pub fn snapshot(&self) -> Load {
        Load {
            stuck: self.stuck.load(Relaxed),
            connections: self.connections.load(Relaxed) + self.parked.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            busy_percent: self.busy_percent.load(Relaxed),
        }
    }
}
