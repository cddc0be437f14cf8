//! The bell that wakes the watchdog.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::Thread,
};

/// What a thread rings when it wakes up, in case the watchdog sleeps.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    asleep: AtomicBool,
    watchdog: Mutex<Option<Thread>>,
}

impl Bell {
    pub(crate) fn ring(&self) {
        if self.asleep.load(Relaxed) {
            self.wake();
        }
    }

    /// Wakes the watchdog, whatever it does.
    pub(crate) fn wake(&self) {
        self.asleep.store(false, Relaxed);
        let watchdog = self.watchdog.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watchdog) = &*watchdog {
            watchdog.unpark();
        }
    }

    /// From now on it wakes this thread.
    pub(super) fn is_for(&self, watchdog: Thread) {
        *self.watchdog.lock().unwrap_or_else(PoisonError::into_inner) = Some(watchdog);
    }

    /// Sleeps by `nap`, which a ring ends.
    pub(super) fn while_asleep(&self, nap: impl FnOnce()) {
        self.asleep.store(true, Relaxed);
        nap();
        self.asleep.store(false, Relaxed);
    }
}
