//! A worker's load, as its tasks and the watchdog write it and placement reads it; and what it is
//! asked to give away.

use ripstop_balance::{Load, Order};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// Connections with tasks from which on those that are idle had better be parked soon: with their
/// buffers they take about ten megabytes.
const CROWD: usize = 512;

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
    /// Connections that it should give away; a [`Relief`], 0 for none.
    relief: AtomicU64,
}

/// What a worker is asked to give away in a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relief {
    /// The number of the window.
    pub window: u32,
    /// The index of the worker that gets it.
    pub to: u16,
    /// What is left of it, in thousandths of a worker's time.
    pub permille: u16,
}

impl Relief {
    /// The length of a window.
    pub const WINDOW: std::time::Duration = crate::watchdog::WINDOW;

    fn to_word(self) -> u64 {
        u64::from(self.window) << 32 | u64::from(self.to) << 16 | u64::from(self.permille)
    }

    fn of(word: u64) -> Option<Self> {
        // Each a part of the word, by a truncation that is meant.
        let (window, to, permille) = ((word >> 32) as u32, (word >> 16) as u16, word as u16);
        (word != 0).then_some(Self { window, to, permille })
    }
}

impl LoadCell {
    pub(crate) fn new(parked: Arc<AtomicUsize>) -> Self {
        Self { parked, ..Self::default() }
    }

    /// The count of connections that have no task, to be moved by whoever parks them.
    pub fn parked(&self) -> &Arc<AtomicUsize> {
        &self.parked
    }

    /// What the worker is asked to give away, if its connections should move.
    pub fn relief(&self) -> Option<Relief> {
        Relief::of(self.relief.load(Relaxed))
    }

    /// Takes a connection that costs so much out of what is to be given away, in this window. False
    /// where that is more than is left.
    pub fn gives(&self, window: u32, permille: u16) -> bool {
        let less = |word| {
            let relief = Relief::of(word).filter(|relief| relief.window == window)?;
            let permille = relief.permille.checked_sub(permille)?;
            Some(Relief { permille, ..relief }.to_word())
        };
        self.relief.fetch_update(Relaxed, Relaxed, less).is_ok()
    }

    /// Asks for this in the window, or for nothing.
    pub(crate) fn ask(&self, window: u32, order: Option<Order>) {
        let relief = order.and_then(|order| {
            Some(Relief { window, to: u16::try_from(order.to).ok()?, permille: order.permille })
        });
        self.relief.store(relief.map_or(0, Relief::to_word), Relaxed);
    }

    /// Counts a request that is being handled from now on.
    pub fn request_begins(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Ends what [`LoadCell::request_begins`] began.
    pub fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Whether many connections have a task.
    pub(crate) fn is_crowd(&self) -> bool {
        self.connections.load(Relaxed) > CROWD
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
