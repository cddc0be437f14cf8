//! Poll marks: how the watchdog sees that a thread is inside one and the same poll.
//!
//! Every task of a worker writes its thread's mark when a poll begins and when it ends. The
//! mark is a counter that is odd inside a poll: the same odd value over the whole window is a
//! stall, and it is exact, unlike what tokio publishes about its threads.

use std::{
    cell::OnceCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The mark of one thread.
#[derive(Debug, Default)]
pub(crate) struct PollMark(AtomicU64);

thread_local! {
    /// Set once when a worker's thread starts.
    static OWN: OnceCell<Arc<PollMark>> = const { OnceCell::new() };
}

impl PollMark {
    /// Makes `mark` the calling thread's mark.
    pub(crate) fn adopt(mark: Arc<Self>) {
        OWN.with(|own| {
            // A second adoption would hide the thread from its watchdog; the first one stays.
            let _ = own.set(mark);
        });
    }

    /// The counter: odd inside a poll.
    pub(crate) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Moves the counter on. Only the mark's own thread writes it, so a load and a store will do.
    fn step(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

/// A poll that is marked as long as this lives.
pub(crate) struct InPoll(());

impl InPoll {
    pub(crate) fn begin() -> Self {
        OWN.with(|own| own.get().map(|mark| mark.step()));
        Self(())
    }
}

impl Drop for InPoll {
    fn drop(&mut self) {
        OWN.with(|own| own.get().map(|mark| mark.step()));
    }
}
