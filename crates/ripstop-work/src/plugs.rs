//! Plugs: what keeps a worker's spare threads out of the way.
//!
//! A plug is a task that blocks its thread on a condition variable. It costs nothing while it
//! waits: the thread is neither scheduled nor does tokio try to wake it. The watchdog is the
//! only one that pulls plugs and puts them back.

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
};

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
    /// The task that holds the thread that polls it until a plug is pulled.
    pub(crate) fn plug(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        let plugs = self.clone();
        async move {
            to_the_end_of_the_queue().await;
            plugs.hold();
        }
    }

    /// How many threads are held now.
    pub(crate) fn held(&self) -> usize {
        let state = self.lock();
        state.held.saturating_sub(state.pulls)
    }

    /// Pulls plugs until this many are out. Returns how many have to be put back for that instead,
    /// each by a new [`Plugs::plug`].
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

    fn hold(&self) {
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

/// Lets the thread do all it has to do first. A thread takes a task from outside in between its
/// own ones, and may then have one in the slot from which no other thread can steal (tokio keeps
/// there what a running task woke last): held by a plug, it would keep that task waiting for as
/// long as it is held. A task that wakes itself goes behind all others, and is taken from there
/// only when that slot is empty.
async fn to_the_end_of_the_queue() {
    let mut there = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut there, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
