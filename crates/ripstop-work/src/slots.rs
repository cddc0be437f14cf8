//! The slots of a group of threads: who is there to be watched.

use crate::slot::{Seen, Slot};
use ripstop_tears::{Tears, Usage};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The slots of the threads of a worker, or of the executors.
///
/// A thread leaves before it ends, so whoever holds the lock may ask any of them for its stack.
#[derive(Debug, Default)]
pub(crate) struct Slots(Mutex<Entries>);

/// Slots by numbers that are given out in their order and never again.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    next: usize,
    list: Vec<(usize, Arc<Slot>)>,
}

impl Slots {
    /// Adds the calling thread, of this worker.
    pub(crate) fn enter(&self, worker: Option<usize>, tears: &Tears) {
        let slot = Slot::adopt(worker, tears.clone());
        let mut entries = self.lock();
        let number = entries.next;
        entries.next += 1;
        entries.list.push((number, slot));
    }

    /// Takes the calling thread out, before it ends.
    pub(crate) fn leave(&self) {
        let mut entries = self.lock();
        Slot::of_this_thread(|own| {
            entries.list.retain(|(_, slot)| !std::ptr::eq(&**slot, own));
        });
    }

    /// Holds all threads that are there in place: none of them ends as long as the lock is held.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Entries> {
        // Nothing panics while the lock is held, so a poisoned list is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// The marks of all threads with their numbers, which only grow.
    pub(crate) fn marks(&self, into: &mut Vec<(usize, u64)>) {
        into.clear();
        into.extend(self.list.iter().map(|(number, slot)| (*number, slot.mark())));
    }

    /// What each of the threads has used of the processors, by their numbers.
    pub(crate) fn usages(&self) -> impl Iterator<Item = (usize, Option<Usage>)> {
        self.list.iter().map(|(number, slot)| (*number, slot.thread.usage()))
    }

    /// What each of the threads works on that is inside a poll.
    pub(crate) fn at_work(&self) -> impl Iterator<Item = Seen> {
        let inside = self.list.iter().filter(|(_, slot)| slot.mark() % 2 == 1);
        inside.filter_map(|(_, slot)| slot.subject())
    }

    /// The slot of this number, if its thread is still there.
    pub(crate) fn slot(&self, number: usize) -> Option<&Slot> {
        let place = self.list.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.list[place].1)
    }
}
