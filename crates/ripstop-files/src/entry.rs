//! What is remembered of one path.
//!
//! Owns the state on disk that an entry was made from, how fresh it is, and how much it is used.
//! Which entries there are is `index.rs`'s, how many there may be `cache.rs`'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::coding::{Accepted, Coding, Supply};
use crate::replica::REPLICA_BYTES;
use crate::representation::{Content, Representation};
use crate::stamp::Stamp;

/// How long an entry is believed without a look at the disk.
const BELIEVED_MS: u64 = 1000;
/// From when on one of those who use an entry looks at the disk, while the others go on: so a
/// busy file is never waited for.
const RENEWED_MS: u64 = 500;
/// How many rounds of eviction an entry survives without being used.
const USES_MAX: u8 = 3;
/// What an entry costs beside its bytes: headers, name, bookkeeping.
const OVERHEAD_BYTES: usize = 1024;

/// What text must exceed to be compressed on the way.
const COMPRESSED_ABOVE_BYTES: u64 = 1024;

/// What a client would like, and what its request allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) accepted: Accepted,
    /// Whether the request asks for a range: then nothing is compressed on the way.
    pub(crate) range: bool,
}

/// The files on disk that a path can be answered from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Below the root, the plain one.
    pub(crate) path: String,
    /// By coding; the plain one is always there.
    pub(crate) stamps: [Option<Stamp>; Coding::COUNT],
    /// Whether what is not there may be compressed from the plain one.
    pub(crate) compressible: bool,
}

impl Sources {
    pub(crate) fn supply(&self, coding: Coding, range: bool) -> Supply {
        if self.stamps[coding as usize].is_some() {
            Supply::Stored
        } else if self.compresses() && !range {
            Supply::Compressed
        } else {
            Supply::Missing
        }
    }

    pub(crate) fn choose(&self, wish: Wish) -> Option<Coding> {
        wish.accepted.choose(|coding| self.supply(coding, wish.range))
    }

    /// Whether clients get different codings.
    pub(crate) fn vary(&self) -> bool {
        self.compresses() || Coding::ENCODED.iter().any(|c| self.stamps[*c as usize].is_some())
    }

    fn compresses(&self) -> bool {
        let plain = self.stamps[Coding::Identity as usize];
        self.compressible && plain.is_some_and(|stamp| stamp.size > COMPRESSED_ABOVE_BYTES)
    }
}

/// By coding, those that were asked for so far.
pub(crate) type Variants = [Option<Arc<Representation>>; Coding::COUNT];

/// What is remembered of one path. An entry does not change; a better one takes its place.
#[derive(Debug)]
pub(crate) struct Entry {
    key: Arc<str>,
    pub(crate) sources: Sources,
    pub(crate) variants: Variants,
    /// When the disk was last looked at, in milliseconds of the cache's clock. Written by whoever
    /// has looked.
    checked_ms: AtomicU64,
    /// Set by the one who looks at the disk for the others, cleared when he has.
    renewing: AtomicBool,
    /// Counts up to [`USES_MAX`] as the entry is used, and down as eviction passes it.
    uses: AtomicU8,
    /// How many replicas its variants have. Written with the cache's lock held.
    replicas: AtomicUsize,
}

/// What to do with an entry that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Serve it.
    Fresh,
    /// Look at the disk first.
    Stale,
}

impl Entry {
    /// `checked_ms` is a time before the disk was looked at.
    pub(crate) fn new(key: &str, sources: Sources, variants: Variants, checked_ms: u64) -> Self {
        Self {
            key: key.into(),
            sources,
            variants,
            checked_ms: AtomicU64::new(checked_ms),
            renewing: AtomicBool::new(false),
            uses: AtomicU8::new(0),
            replicas: AtomicUsize::new(0),
        }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn shared_key(&self) -> Arc<str> {
        Arc::clone(&self.key)
    }

    /// Bytes of memory, about.
    pub(crate) fn cost(&self) -> usize {
        let variants = self.variants.iter().flatten();
        let contents: usize = variants.map(|variant| memory_len(&variant.content)).sum();
        let replicas = self.replicas.load(Relaxed) * REPLICA_BYTES;
        contents + replicas + self.key.len() + self.sources.path.len() + OVERHEAD_BYTES
    }

    /// The variant for a client, if it was asked for before.
    pub(crate) fn pick(&self, wish: Wish) -> Option<&Arc<Representation>> {
        self.variants[self.sources.choose(wish)? as usize].as_ref()
    }

    /// Whether it may be served without a look at the disk. Says `Stale` to one caller early.
    pub(crate) fn freshness(&self, now_ms: u64) -> Freshness {
        let age = now_ms.saturating_sub(self.checked_ms.load(Relaxed));
        let renews = age >= RENEWED_MS && !self.renewing.swap(true, Relaxed);
        if renews || age >= BELIEVED_MS { Freshness::Stale } else { Freshness::Fresh }
    }

    /// Whether somebody has looked at the disk so lately that nobody has to yet.
    pub(crate) fn is_young(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.checked_ms.load(Relaxed)) < RENEWED_MS
    }

    /// Notes that the disk was looked at after `now_ms`, and nothing had changed.
    pub(crate) fn confirm(&self, now_ms: u64) {
        self.checked_ms.fetch_max(now_ms, Relaxed);
        self.renewing.store(false, Relaxed);
    }

    /// Counts a use. Reads only, once the entry is known to be hot, so that workers do not take
    /// the cache line from each other.
    pub(crate) fn note_use(&self) {
        let uses = self.uses.load(Relaxed);
        if uses < USES_MAX {
            self.uses.store(uses + 1, Relaxed);
        }
    }

    pub(crate) fn is_hot(&self) -> bool {
        self.uses.load(Relaxed) == USES_MAX
    }

    pub(crate) fn count_replica(&self) {
        self.replicas.fetch_add(1, Relaxed);
    }

    /// Whether it survives this round of eviction; each round costs it a use.
    pub(crate) fn survives(&self) -> bool {
        let uses = self.uses.load(Relaxed);
        self.uses.store(uses.saturating_sub(1), Relaxed);
        uses > 0
    }

    /// Goes on counting where the entry that this one replaces stopped.
    pub(crate) fn inherit_uses(&self, old: &Self) {
        self.uses.store(old.uses.load(Relaxed), Relaxed);
    }
}

fn memory_len(content: &Content) -> usize {
    match content {
        Content::Memory(bytes) => bytes.len(),
        Content::File(..) | Content::Compress { .. } => 0,
    }
}
