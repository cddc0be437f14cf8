//! How much memory files may take, over all directories that share it.
//!
//! Owns the sum, the order of eviction and the clock. Finding an entry is `index.rs`'s: a hit
//! never comes here but to ask the time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Instant;

use crate::entry::Entry;
use crate::index::Index;
use crate::replica::REPLICA_BYTES;

/// The largest file that is kept in memory.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// No file takes a larger share of the cache than one in so many.
const FILE_SHARE: u64 = 8;
/// How many tickets of entries that are gone may lie in the queue before it is cleared of them.
const GONE_MAX: usize = 64;

/// Memory for small files, to be shared among any number of [`Files`](crate::Files).
///
/// Files of up to 4 MiB, and of at most an eighth of the cache, are kept with their headers and
/// in each coding that was asked for. A change on disk is noticed within a second. When the cache
/// is full, the entries that were not used since the last round go first.
pub struct FileCache {
    max_bytes: usize,
    ledger: Mutex<Ledger>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    start: Instant,
}

#[derive(Default)]
struct Ledger {
    /// What the entries of all indexes cost.
    bytes: usize,
    entries: usize,
    /// The next one to be looked at by eviction in front. Entries that were replaced or removed
    /// leave their tickets behind.
    queue: VecDeque<Ticket>,
}

struct Ticket {
    index: Weak<Index>,
    entry: Weak<Entry>,
}

impl FileCache {
    /// 64 MiB.
    pub const DEFAULT_MAX_BYTES: usize = 64 * 1024 * 1024;

    /// A cache of at most `max_bytes`; with 0, every file is streamed.
    pub fn new(max_bytes: usize) -> Self {
        Self::with_clock(max_bytes, Instant::now)
    }

    /// As [`FileCache::new`], with another clock to tell when to look at the disk again. It must
    /// never go back.
    pub fn with_clock(
        max_bytes: usize,
        clock: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Self {
        let start = clock();
        Self { max_bytes, ledger: Mutex::default(), clock: Box::new(clock), start }
    }

    /// The bytes that are in use now: contents, names, and an estimate for the rest.
    pub fn used_bytes(&self) -> usize {
        self.ledger().bytes
    }

    /// How many paths are remembered now.
    pub fn entries(&self) -> usize {
        self.ledger().entries
    }

    /// The largest file that is kept.
    pub(crate) fn file_bytes_max(&self) -> u64 {
        FILE_BYTES_MAX.min(self.max_bytes as u64 / FILE_SHARE)
    }

    /// Milliseconds since the cache was made.
    pub(crate) fn now_ms(&self) -> u64 {
        let elapsed = (self.clock)().saturating_duration_since(self.start);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Puts an entry into an index, in the place of an older one, and evicts others for it.
    pub(crate) fn admit(&self, index: &Arc<Index>, entry: Arc<Entry>) {
        let mut ledger = self.ledger();
        if let Some(old) = index.get(entry.key()) {
            entry.inherit_uses(&old);
            ledger.drop_entry(index, &old);
        }
        if entry.cost() > self.max_bytes {
            return;
        }
        ledger.make_room(self.max_bytes - entry.cost());
        ledger.bytes += entry.cost();
        ledger.entries += 1;
        let ticket = Ticket { index: Arc::downgrade(index), entry: Arc::downgrade(&entry) };
        ledger.queue.push_back(ticket);
        index.put(entry);
        ledger.clear_gone();
    }

    /// Counts a replica of what is in an entry, and makes room for it. Says whether it may be
    /// made: not if the entry is gone.
    pub(crate) fn admit_replica(&self, index: &Index, entry: &Arc<Entry>) -> bool {
        let mut ledger = self.ledger();
        if !index.holds(entry) {
            return false;
        }
        entry.count_replica();
        ledger.bytes += REPLICA_BYTES;
        ledger.make_room(self.max_bytes);
        true
    }

    /// Removes the entry of a path.
    pub(crate) fn forget(&self, index: &Index, key: &str) {
        // Nearly always there is none, and then the lock is not worth taking.
        if index.get(key).is_none() {
            return;
        }
        let mut ledger = self.ledger();
        if let Some(entry) = index.get(key) {
            ledger.drop_entry(index, &entry);
        }
    }

    /// Removes all entries of an index that is not used any more.
    pub(crate) fn forget_all(&self, index: &Index) {
        let mut ledger = self.ledger();
        for entry in index.take_all() {
            ledger.bytes -= entry.cost();
            ledger.entries -= 1;
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nothing panics while it holds the ledger")
    }
}

impl Ledger {
    fn drop_entry(&mut self, index: &Index, entry: &Arc<Entry>) {
        if index.remove(entry) {
            self.bytes -= entry.cost();
            self.entries -= 1;
        }
    }

    /// Evicts until at most `bytes` are in use. Those that are used meanwhile cannot keep it
    /// going for ever: after some rounds everybody goes.
    fn make_room(&mut self, bytes: usize) {
        let mut patience = self.queue.len() * 4;
        while self.bytes > bytes {
            let Some(ticket) = self.queue.pop_front() else { return };
            let Some(entry) = ticket.entry.upgrade() else { continue };
            let Some(index) = ticket.index.upgrade() else { continue };
            if !index.holds(&entry) {
                continue;
            }
            if patience > 0 && entry.survives() {
                patience -= 1;
                self.queue.push_back(ticket);
            } else {
                self.drop_entry(&index, &entry);
            }
        }
    }

    fn clear_gone(&mut self) {
        if self.queue.len() > 2 * self.entries + GONE_MAX {
            self.queue.retain(|ticket| ticket.entry.strong_count() > 0);
        }
    }
}

impl fmt::Debug for FileCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCache").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}
