//! Finding what is remembered of a path, on every request.
//!
//! Owns the shards: each is a snapshot that readers take without a lock and without writing to
//! memory that other workers read. Writers copy a shard and put the copy in its place; they come
//! one at a time, from `cache.rs`, with its lock held.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::entry::Entry;

/// Enough that copying one of them costs little beside reading the file it is copied for.
const SHARDS: usize = 64;

/// The entries of one directory that is served.
pub(crate) struct Index {
    shards: [ArcSwap<Shard>; SHARDS],
}

pub(crate) type Shard = HashMap<Arc<str>, Arc<Entry>>;

impl Index {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| ArcSwap::default()) }
    }

    /// The snapshot that `key` is in, if it is anywhere. To be held for a short time only.
    pub(crate) fn shard(&self, key: &str) -> Guard<Arc<Shard>> {
        self.shards[shard_of(key)].load()
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.shard(key).get(key).map(Arc::clone)
    }

    /// Whether this very entry is in it.
    pub(crate) fn holds(&self, entry: &Arc<Entry>) -> bool {
        self.shard(entry.key()).get(entry.key()).is_some_and(|found| Arc::ptr_eq(found, entry))
    }

    pub(crate) fn put(&self, entry: Arc<Entry>) {
        let cell = &self.shards[shard_of(entry.key())];
        let mut shard = Shard::clone(&cell.load());
        shard.insert(entry.shared_key(), entry);
        cell.store(Arc::new(shard));
    }

    /// Removes this very entry; says whether it was there.
    pub(crate) fn remove(&self, entry: &Arc<Entry>) -> bool {
        if !self.holds(entry) {
            return false;
        }
        let cell = &self.shards[shard_of(entry.key())];
        let mut shard = Shard::clone(&cell.load());
        shard.remove(entry.key());
        cell.store(Arc::new(shard));
        true
    }

    pub(crate) fn take_all(&self) -> Vec<Arc<Entry>> {
        let taken = self.shards.iter().map(|cell| cell.swap(Arc::default()));
        taken.flat_map(|shard| shard.values().cloned().collect::<Vec<_>>()).collect()
    }
}

/// Cheaper than a hash, since the set hashes once more: the length and the last bytes, where
/// names differ.
fn shard_of(key: &str) -> usize {
    let tail = key.bytes().rev().take(8).fold(0_u64, |sum, byte| (sum << 7) ^ u64::from(byte));
    let mixed = (tail ^ key.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 32).unwrap_or_default() % SHARDS
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}
