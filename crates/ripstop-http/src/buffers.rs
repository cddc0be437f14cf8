//! Bytes of responses that were handed on and that their clients have not taken: counted for each
//! connection, and in all.
//!
//! Each connection has a bound of its own (hyper's buffer, HTTP/2's for each stream), so what is
//! counted here is what many of them hold together. Where that is too much, slow clients are given
//! up sooner; whoever looks after the server says so. A connection counts in grains, so that those
//! whose responses are small, or are taken at once, share nothing with others.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// What a connection holds is counted in all by multiples of this, rounded down.
const GRAIN: usize = 16 << 10;

/// As much as an HTTP/1 connection counts at most: what it has beyond is a piece that the
/// application made, or one that it shares with others, such as a file in memory.
const HTTP1_MAX: usize = 128 << 10;

/// The bytes that all connections of a server hold.
#[derive(Debug, Default)]
pub struct Buffers {
    held: AtomicUsize,
}

impl Buffers {
    /// How many bytes that are: those of each connection rounded down to 16 KiB, of an HTTP/1
    /// connection 128 KiB at most.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }
}

/// The bytes that one connection holds. Those are a hint: they may be moved by several threads.
#[derive(Debug)]
pub(crate) struct Held {
    buffers: Arc<Buffers>,
    bytes: AtomicUsize,
    /// As many count at most.
    max: AtomicUsize,
    /// The part of it that is counted in all.
    counted: AtomicUsize,
}

impl Held {
    pub(crate) fn new(buffers: Arc<Buffers>) -> Self {
        let (bytes, counted) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { buffers, bytes, max: AtomicUsize::new(HTTP1_MAX), counted }
    }

    /// The connection is one of HTTP/2, whose streams have pieces of their own.
    pub(crate) fn is_of_http2(&self) {
        self.max.store(usize::MAX, Relaxed);
    }

    /// So many bytes of a response were handed on.
    pub(crate) fn add(&self, bytes: usize) {
        let before = self.bytes.fetch_add(bytes, Relaxed);
        self.count(before.saturating_add(bytes));
    }

    /// So many bytes were written; those of heads and frames are among them.
    pub(crate) fn sub(&self, bytes: usize) {
        let before = self.bytes.load(Relaxed);
        if before > 0 {
            let less = |now: usize| Some(now.saturating_sub(bytes));
            let before = self.bytes.fetch_update(Relaxed, Relaxed, less).unwrap_or(before);
            self.count(before.saturating_sub(bytes));
        }
    }

    /// Nothing is held any more.
    pub(crate) fn clear(&self) {
        if self.bytes.load(Relaxed) > 0 {
            self.bytes.store(0, Relaxed);
            self.count(0);
        }
    }

    /// Whether what is held counts in all.
    pub(crate) fn counts(&self) -> bool {
        self.counted.load(Relaxed) > 0
    }

    fn count(&self, bytes: usize) {
        let bytes = bytes.min(self.max.load(Relaxed));
        let grains = bytes - bytes % GRAIN;
        if grains != self.counted.load(Relaxed) {
            // Whoever changes it moves the sum by as much as it changes it.
            let before = self.counted.swap(grains, Relaxed);
            self.buffers.held.fetch_add(grains.wrapping_sub(before), Relaxed);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_on_is_held_until_it_is_written_and_counts_in_grains() {
        let buffers = Arc::<Buffers>::default();
        let (one, other) = (Held::new(buffers.clone()), Held::new(buffers.clone()));
        one.add(GRAIN - 1);
        assert_eq!((buffers.held(), one.counts()), (0, false));
        one.add(1);
        other.add(3 * GRAIN + 5);
        assert_eq!((buffers.held(), one.counts()), (4 * GRAIN, true));
        other.sub(GRAIN);
        assert_eq!(buffers.held(), 3 * GRAIN);
        // A head was written with it.
        one.sub(GRAIN + 200);
        assert_eq!(buffers.held(), 2 * GRAIN);
        one.add(GRAIN);
        one.clear();
        drop(other);
        assert_eq!(buffers.held(), 0);
    }

    #[test]
    fn a_large_piece_counts_as_far_as_the_server_may_have_it_for_itself() {
        let buffers = Arc::<Buffers>::default();
        let held = Held::new(buffers.clone());
        held.add(10 * HTTP1_MAX);
        assert_eq!(buffers.held(), HTTP1_MAX);
        held.sub(9 * HTTP1_MAX + GRAIN);
        assert_eq!(buffers.held(), HTTP1_MAX - GRAIN);
        held.is_of_http2();
        held.add(HTTP1_MAX);
        assert_eq!(buffers.held(), 2 * HTTP1_MAX - GRAIN);
    }

    #[test]
    fn threads_that_move_it_at_once_leave_nothing() {
        let buffers = Arc::<Buffers>::default();
        let held = Held::new(buffers.clone());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        held.add(GRAIN);
                        held.sub(GRAIN);
                    }
                });
            }
        });
        drop(held);
        assert_eq!(buffers.held(), 0);
    }
}
