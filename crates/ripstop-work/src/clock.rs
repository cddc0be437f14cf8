//! A worker's coarse clock, and deadlines that move with every request at the price of a store.
//!
//! A timer of the runtime costs an allocation, a lock and a re-ordering each time it moves, and
//! deadlines of a connection move several times a request. Here a deadline is a number. Once a
//! tick the worker looks over the deadlines of all its connections and wakes the tasks of those
//! that have passed. A deadline is never early, and late by at most two ticks.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// The coarse clock of one worker and the deadlines that hang on it.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    /// Milliseconds since `start`, as of the last tick. Stands still while nothing is registered.
    now: AtomicU64,
    /// Milliseconds between two ticks.
    tick: AtomicU64,
    entries: Mutex<Entries>,
    first_entry: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    slots: Vec<Option<Arc<Deadlines>>>,
    free: Vec<usize>,
}

impl Entries {
    fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    fn insert(&mut self, entry: Arc<Deadlines>) -> usize {
        match self.free.pop() {
            Some(index) => {
                self.slots[index] = Some(entry);
                index
            }
            None => {
                self.slots.push(Some(entry));
                self.slots.len() - 1
            }
        }
    }

    fn remove(&mut self, index: usize) {
        self.slots[index] = None;
        self.free.push(index);
        if self.is_empty() {
            // After a spike the table goes back to nothing.
            *self = Self::default();
        }
    }
}

impl Clock {
    /// A clock that ticks every `tick` while something is registered.
    pub(crate) fn new(tick: Duration) -> Self {
        let clock = Self {
            start: Instant::now(),
            now: AtomicU64::new(0),
            tick: AtomicU64::new(1),
            entries: Mutex::default(),
            first_entry: Notify::new(),
        };
        clock.set_tick(tick);
        clock
    }

    /// Changes the tick, from the next one on. At least a millisecond.
    pub fn set_tick(&self, tick: Duration) {
        self.tick.store(millis(tick).max(1), Relaxed);
    }

    /// A set of deadlines for the calling task. None of them is set at first.
    pub fn register(self: &Arc<Self>) -> Registered {
        let deadlines = Arc::new(Deadlines::default());
        let mut entries = self.lock();
        // The clock may have stood still.
        self.advance();
        if entries.is_empty() {
            self.first_entry.notify_one();
        }
        let index = entries.insert(deadlines.clone());
        drop(entries);
        Registered { clock: self.clone(), deadlines, index }
    }

    /// Ticks for ever; the worker's own task.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            if self.lock().is_empty() {
                self.first_entry.notified().await;
            }
            tokio::time::sleep(Duration::from_millis(self.tick.load(Relaxed))).await;
            self.advance();
            self.sweep();
        }
    }

    fn after(&self, timeout: Duration) -> u64 {
        // The clock is behind by up to a tick: without it a deadline could be early.
        self.now.load(Relaxed) + self.tick.load(Relaxed) + millis(timeout)
    }

    fn advance(&self) {
        self.now.store(millis(self.start.elapsed()), Relaxed);
    }

    fn sweep(&self) {
        let now = self.now.load(Relaxed);
        let entries = self.lock();
        for deadlines in entries.slots.iter().flatten() {
            if deadlines.first().is_some_and(|at| at <= now) {
                deadlines.wake();
            }
        }
    }

    /// Wakes the task of every registered set, whatever its deadlines.
    pub(crate) fn wake_all(&self) {
        for deadlines in self.lock().slots.iter().flatten() {
            deadlines.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waiting for one connection's or request's several events, each with its deadline.
///
/// The meaning of the slots is up to whoever registers.
#[derive(Debug, Default)]
pub struct Deadlines {
    /// Milliseconds on the clock, 0 where none is set.
    at: [AtomicU64; Deadlines::SLOTS],
    /// A hint that some deadline passed; the truth is in `at`.
    passed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Deadlines {
    /// How many deadlines one set has.
    pub const SLOTS: usize = 4;

    fn first(&self) -> Option<u64> {
        self.at.iter().map(|at| at.load(Relaxed)).filter(|&at| at != 0).min()
    }

    fn wake(&self) {
        self.passed.store(true, Relaxed);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A set of deadlines on a worker's clock, until it is dropped.
#[derive(Debug)]
pub struct Registered {
    clock: Arc<Clock>,
    deadlines: Arc<Deadlines>,
    index: usize,
}

impl Registered {
    /// Names the task that is woken when a deadline passes.
    pub fn wakes(&self, waker: &Waker) {
        let mut own = self.deadlines.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *own {
            Some(own) => own.clone_from(waker),
            None => *own = Some(waker.clone()),
        }
    }

    /// The time since the clock's start, as of its last tick.
    pub fn now(&self) -> Duration {
        Duration::from_millis(self.clock.now.load(Relaxed))
    }

    /// Sets deadline `slot` to `timeout` from now; `None` is no deadline.
    ///
    /// # Panics
    ///
    /// When `slot` is not below [`Deadlines::SLOTS`], as all methods with a slot.
    pub fn set(&self, slot: usize, timeout: Option<Duration>) {
        let at = timeout.map_or(0, |timeout| self.clock.after(timeout));
        self.deadlines.at[slot].store(at, Relaxed);
    }

    /// Moves deadline `slot` to `timeout` from now if it is later or not set.
    pub fn set_sooner(&self, slot: usize, timeout: Duration) {
        let (at, new) = (&self.deadlines.at[slot], self.clock.after(timeout));
        let old = at.load(Relaxed);
        if old == 0 || old > new {
            at.store(new, Relaxed);
        }
    }

    /// Takes deadline `slot` away.
    pub fn clear(&self, slot: usize) {
        self.deadlines.at[slot].store(0, Relaxed);
    }

    /// Whether deadline `slot` is set.
    pub fn is_set(&self, slot: usize) -> bool {
        self.deadlines.at[slot].load(Relaxed) != 0
    }

    /// Whether some deadline may have passed: cheap enough for every poll.
    pub fn any_passed(&self) -> bool {
        self.deadlines.passed.load(Relaxed) && {
            self.deadlines.passed.store(false, Relaxed);
            true
        }
    }

    /// How long it is until deadline `slot`, if it is set.
    pub fn left(&self, slot: usize) -> Option<Duration> {
        let at = self.deadlines.at[slot].load(Relaxed);
        let now = self.clock.now.load(Relaxed);
        (at != 0).then(|| Duration::from_millis(at.saturating_sub(now)))
    }

    /// Whether deadline `slot` is set and has passed.
    pub fn passed(&self, slot: usize) -> bool {
        let at = self.deadlines.at[slot].load(Relaxed);
        at != 0 && at <= self.clock.now.load(Relaxed)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.clock.lock().remove(self.index);
    }
}

fn millis(duration: Duration) -> u64 {
    // Half a billion years is as good as no deadline, and can be added to.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock_at(ms: u64) -> Arc<Clock> {
        let clock = Arc::new(Clock::new(Duration::from_millis(10)));
        clock.now.store(ms, Relaxed);
        clock
    }

    #[test]
    fn a_deadline_is_never_early_and_at_most_a_tick_late() {
        let clock = clock_at(0);
        let deadlines = clock.register();
        clock.now.store(1000, Relaxed);
        deadlines.set(0, Some(Duration::from_millis(100)));
        for (now, passed) in [(1000, false), (1109, false), (1110, true), (9999, true)] {
            clock.now.store(now, Relaxed);
            assert_eq!(deadlines.passed(0), passed, "at {now}");
            assert_eq!(
                deadlines.left(0),
                Some(Duration::from_millis(1110_u64.saturating_sub(now)))
            );
        }
    }

    #[test]
    fn a_cleared_or_moved_deadline_does_not_pass() {
        let clock = clock_at(0);
        let deadlines = clock.register();
        deadlines.set(1, Some(Duration::from_millis(5)));
        deadlines.clear(1);
        deadlines.set(2, Some(Duration::from_millis(5)));
        deadlines.set(2, Some(Duration::from_secs(9)));
        deadlines.set(3, None);
        clock.now.store(1000, Relaxed);
        assert!(![0, 1, 2, 3].iter().any(|&slot| deadlines.passed(slot)));
        assert!(deadlines.is_set(2) && !deadlines.is_set(1) && !deadlines.is_set(3));
    }

    #[test]
    fn the_sweep_wakes_only_those_that_passed() {
        let clock = clock_at(0);
        let (early, late) = (clock.register(), clock.register());
        early.set(0, Some(Duration::from_millis(1)));
        late.set(0, Some(Duration::from_millis(10_000)));
        clock.now.store(5_000, Relaxed);
        clock.sweep();
        assert!(early.any_passed() && !early.any_passed(), "the hint is taken once");
        assert!(!late.any_passed());
    }

    #[test]
    fn the_table_is_empty_again_when_all_are_gone() {
        let clock = clock_at(0);
        let sets: Vec<_> = (0..100).map(|_| clock.register()).collect();
        drop(sets);
        assert_eq!(clock.lock().slots.capacity(), 0);
    }
}
