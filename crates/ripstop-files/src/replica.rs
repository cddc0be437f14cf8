//! Copies of what is hot, so that workers do not share its reference counts.
//!
//! Sending a file from memory counts up and down the references to its bytes and its header
//! fields. Were these counts shared, two workers would take the cache lines from each other and
//! be slower together than one alone. Owns which copy is for which thread; the copies share the
//! bytes of the file. What they cost is counted by `cache.rs`.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, ETAG, LAST_MODIFIED};

use crate::representation::{Content, Representation};

/// About what a copy takes: the header's table and its values.
pub(crate) const REPLICA_BYTES: usize = 1536;

/// How many there are at most. Threads beyond that share them.
const REPLICAS_MAX: usize = 8;

/// The fields whose values lie in memory of their own; the others are constants.
const COUNTED_FIELDS: [http::HeaderName; 4] = [CACHE_CONTROL, CONTENT_LENGTH, ETAG, LAST_MODIFIED];

/// The copies of one representation, made as threads ask for them.
#[derive(Default)]
pub(crate) struct Replicas([OnceLock<Box<Representation>>; REPLICAS_MAX]);

impl Replicas {
    /// This thread's copy, if it was made before.
    pub(crate) fn mine(&self) -> Option<&Representation> {
        self.0[slot()].get().map(Box::as_ref)
    }

    /// This thread's copy, made now.
    pub(crate) fn make(&self, original: &Representation) -> &Representation {
        self.0[slot()].get_or_init(|| Box::new(copy(original)))
    }
}

fn copy(original: &Representation) -> Representation {
    let mut headers = original.headers.clone();
    for name in COUNTED_FIELDS {
        if let Some(value) = headers.get_mut(name) {
            // What was a value is one again.
            *value = HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone());
        }
    }
    let content = match &original.content {
        Content::Memory(bytes) => Content::Memory(Bytes::from_owner(bytes.clone())),
        streamed @ (Content::File(..) | Content::Compress { .. }) => streamed.clone(),
    };
    original.with(headers, content)
}

/// Threads are numbered as they come; one that is only kept in reserve never comes.
fn slot() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOT: usize = NEXT.fetch_add(1, Relaxed) % REPLICAS_MAX;
    }
    SLOT.with(|slot| *slot)
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas").finish_non_exhaustive()
    }
}
