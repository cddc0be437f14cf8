//! Plugs: what keeps a worker's spare threads out of the way.
//!
//! A plug is a task that blocks its thread on a condition variable (`plugging.rs` says when). It
//! costs nothing while it waits: the thread is neither scheduled nor does tokio try to wake it. The watchdog is the
//! only one that pulls plugs and puts them back.

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The plugs of one worker.
#[derive(Debug, Default)]
pub(crate) struct Plugs {
    state: Mutex<State>,
    pulled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Threads that a plug holds now.
    held: usize,
    /// Plugs that were pulled and whose thread has not noticed yet.
    pulls: usize,
    /// Plugs that were pulled and not put back since.
    out: usize,
    /// The worker stops: no plug holds a thread any more.
    open: bool,
}

impl Plugs {
    /// How many threads are held now.
    pub(crate) fn held(&self) -> usize {
        let state = self.lock();
        state.held.saturating_sub(state.pulls)
    }

    /// Pulls plugs until this many are out. Returns how many have to be put back for that instead,
    /// each by a new plug.
    pub(crate) fn let_out(&self, wanted: usize) -> usize {
        let mut state = self.lock();
        let pulls = wanted.saturating_sub(state.out);
        let back = state.out.saturating_sub(wanted);
        state.pulls += pulls;
        state.out = wanted;
        drop(state);
        for _ in 0..pulls {
            self.pulled.notify_one();
        }
        back
    }

    /// Frees every thread, also those that would be plugged from now on.
    pub(crate) fn open(&self) {
        self.lock().open = true;
        self.pulled.notify_all();
    }

    /// Holds the calling thread until a plug is pulled.
    pub(crate) fn hold(&self) {
        let mut state = self.lock();
        state.held += 1;
        while state.pulls == 0 && !state.open {
            state = self.pulled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.pulls = state.pulls.saturating_sub(1);
        state.held -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
