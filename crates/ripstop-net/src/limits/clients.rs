//! The table of clients: how many connections each has.
//!
//! It has an entry for each client with at least one connection, so that its size is bounded by
//! the number of connections, and it is split into shards, so that workers seldom meet at a lock.
//! While clients are not counted nobody comes here.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ripstop_balance::Client;

/// A power of two, many times the workers that a machine has.
const SHARDS: usize = 64;

/// A table that is smaller than this keeps its memory.
const SHRINK_MIN: usize = 64;

#[derive(Debug)]
pub(super) struct Clients {
    /// `usize::MAX` where clients are not counted.
    max: AtomicUsize,
    /// Keyed by the operating system: clients can choose their addresses.
    hasher: RandomState,
    shards: Box<[Shard]>,
}

/// Apart from the others in the processor's cache.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(Mutex<HashMap<Client, usize>>);

impl Clients {
    pub(super) fn new(max: Option<usize>) -> Self {
        Self {
            max: AtomicUsize::new(max.unwrap_or(usize::MAX)),
            hasher: RandomState::new(),
            shards: std::iter::repeat_with(Shard::default).take(SHARDS).collect(),
        }
    }

    pub(super) fn limit(&self, max: Option<usize>) {
        self.max.store(max.unwrap_or(usize::MAX), Relaxed);
    }

    pub(super) fn are_counted(&self) -> bool {
        self.max.load(Relaxed) != usize::MAX
    }

    /// Counts one more connection of `client`, unless it has as many as it may have.
    pub(super) fn enter(&self, client: Client) -> bool {
        let max = self.max.load(Relaxed);
        let mut shard = self.shard(client);
        let open = shard.get(&client).copied().unwrap_or_default();
        let has_place = open < max;
        if has_place {
            shard.insert(client, open + 1);
        }
        has_place
    }

    /// A connection of `client` is gone.
    pub(super) fn leave(&self, client: Client) {
        let mut shard = self.shard(client);
        let open = shard.get_mut(&client).expect("who leaves has entered");
        *open -= 1;
        if *open == 0 {
            shard.remove(&client);
            if shard.capacity() > SHRINK_MIN.max(shard.len() * 4) {
                let twice = shard.len() * 2;
                shard.shrink_to(twice);
            }
        }
    }

    /// How many clients have connections.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    fn shard(&self, client: Client) -> MutexGuard<'_, HashMap<Client, usize>> {
        let hash = self.hasher.hash_one(client);
        self.shards[hash as usize % SHARDS].lock()
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, HashMap<Client, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn a_table_that_was_large_gives_its_memory_back() {
        let clients = Clients::new(Some(1));
        let all: Vec<_> =
            (0..100_000).map(|bits: u32| Client::of(IpAddr::from(bits.to_be_bytes()))).collect();
        assert!(all.iter().all(|client| clients.enter(*client)));
        assert_eq!(clients.len(), all.len());
        all.iter().for_each(|client| clients.leave(*client));
        assert_eq!(clients.len(), 0);
        let kept: usize = clients.shards.iter().map(|shard| shard.lock().capacity()).sum();
        assert!(kept <= SHARDS * SHRINK_MIN, "{kept}");
    }
}
