//! Slots: what each of our threads says of itself, for the watchdog and for reports.
//!
//! A thread writes its own slot alone, with plain relaxed stores, and anybody may read it. The
//! *mark* is a counter that is odd inside a poll and moves on where the poll turns to a request or
//! from it: the same odd value over a whole window is a stall, and it is exact, unlike what tokio
//! publishes about its threads. The *subject* is the request that the poll is about.

mod memory;
mod ran;
mod subject;

pub use memory::{SubjectMemory, share_subjects};
pub use ran::{Ran, fingerprint};
pub(crate) use subject::{Hidden, Seen, SeenRoute, Words};
pub use subject::{RequestId, RouteName, SUBJECT_WORDS, Subject, SubjectWords};

use ripstop_tears::{Tears, Thread};
use std::{
    cell::OnceCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// What one thread says of itself.
#[derive(Debug)]
pub(crate) struct Slot {
    /// To ask it for its stack, and what it costs.
    pub(crate) thread: Thread,
    /// The worker it belongs to; `None` for an executor.
    pub(crate) worker: Option<usize>,
    /// Where its faults are reported.
    pub(crate) tears: Tears,
    mark: AtomicU64,
    subject: Words,
}

thread_local! {
    /// Set once when one of our threads starts.
    static OWN: OnceCell<Arc<Slot>> = const { OnceCell::new() };
}

impl Slot {
    /// Makes a slot for the calling thread.
    pub(crate) fn adopt(worker: Option<usize>, tears: Tears) -> Arc<Self> {
        let slot = Arc::new(Self {
            thread: Thread::current(),
            worker,
            tears,
            mark: AtomicU64::new(0),
            subject: Words::new(),
        });
        OWN.with(|own| {
            // A second adoption would hide the thread from its watchdog; the first one stays.
            let _ = own.set(slot.clone());
        });
        slot
    }

    /// Calls `look` with the slot of the calling thread, if that is one of ours.
    pub(crate) fn of_this_thread<T>(look: impl FnOnce(&Self) -> T) -> Option<T> {
        // A thread that is ending has no slot any more.
        OWN.try_with(|own| own.get().map(|slot| look(slot))).ok().flatten()
    }

    /// The counter: odd inside a poll.
    pub(crate) fn mark(&self) -> u64 {
        self.mark.load(Relaxed)
    }

    /// What the thread works on; `None` where that is no request.
    pub(crate) fn subject(&self) -> Option<Seen> {
        self.subject.read()
    }

    /// Whether the thread works on a request.
    pub(crate) fn has_subject(&self) -> bool {
        self.subject.is_there()
    }

    /// What the thread does from now on in this poll is not its request's doing; gives what it
    /// takes to turn back to that.
    pub(crate) fn turn_away(&self) -> Hidden {
        self.step(2);
        self.subject.hide()
    }

    /// The thread works on its request again.
    pub(crate) fn turn_back(&self, subject: Hidden) {
        self.subject.show(subject);
        self.step(2);
    }

    /// Moves the counter on. Only the slot's own thread writes it, so a load and a store will do.
    fn step(&self, by: u64) {
        self.mark.store(self.mark.load(Relaxed).wrapping_add(by), Relaxed);
    }
}

/// Whether the calling thread is an executor, and so may be held.
pub fn on_executor() -> bool {
    Slot::of_this_thread(|slot| slot.worker.is_none()).unwrap_or(false)
}

/// A poll that is marked as long as this lives.
pub(crate) struct InPoll(());

impl InPoll {
    pub(crate) fn begin() -> Self {
        Slot::of_this_thread(|slot| slot.step(1));
        Self(())
    }
}

impl Drop for InPoll {
    fn drop(&mut self) {
        Slot::of_this_thread(|slot| slot.step(1));
    }
}

/// The calling thread works on a request as long as this lives.
#[derive(Debug)]
pub struct AtWork(());

impl AtWork {
    /// Says which request the calling thread works on, inside a poll. A stall or a panic from now on
    /// is told as one of this request, and its time counts anew. `subject` is asked only where it is
    /// not known from before; numbers of requests must differ.
    pub fn on<'a>(request: RequestId<'a>, subject: impl FnOnce() -> Subject<'a>) -> Self {
        Slot::of_this_thread(|slot| {
            if !slot.subject.write_again(request) {
                slot.subject.write(request, &subject());
            }
            slot.step(2);
        });
        Self(())
    }
}

/// A request that a thread works on, to be gone on with by another one.
#[derive(Debug)]
pub(crate) struct Carried(Box<[u64; SUBJECT_WORDS]>);

impl Carried {
    /// What the calling thread works on, if that is a request.
    pub(crate) fn from_this_thread() -> Option<Self> {
        Slot::of_this_thread(|slot| slot.has_subject().then(|| Self(Box::new(slot.subject.copy()))))
            .flatten()
    }

    /// Says that the calling thread works on it.
    pub(crate) fn at_work(&self) -> AtWork {
        Slot::of_this_thread(|slot| {
            slot.subject.write_copy(&self.0);
            slot.step(2);
        });
        AtWork(())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        Slot::of_this_thread(|slot| {
            slot.subject.clear();
            slot.step(2);
        });
    }
}

/// The request that the calling thread works on goes by this route as long as this lives.
#[derive(Debug)]
pub struct OnRoute(());

impl OnRoute {
    /// Names the route of what the calling thread works on, in place of its method and path.
    pub fn named(name: &str) -> Self {
        Slot::of_this_thread(|slot| slot.subject.name(name));
        Self(())
    }
}

impl Drop for OnRoute {
    fn drop(&mut self) {
        Slot::of_this_thread(|slot| slot.subject.name(""));
    }
}
