//! One file in one coding, ready to be sent.
//!
//! Owns the header of a `200`, which is built once and copied for each response. What the
//! request makes of it is `respond.rs`'s.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    LAST_MODIFIED, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use tokio::sync::OwnedSemaphorePermit;

use crate::coding::Coding;
use crate::conditions::Validators;
use crate::replica::Replicas;
use crate::stamp::{Stamp, http_date, wall_seconds};

pub(crate) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
pub(crate) const VARY_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");

/// Where the bytes come from.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Memory(Bytes),
    /// A file and its length.
    File(Arc<File>, u64),
    /// A file that is compressed while it is sent, so nobody knows how long it will be.
    Compress {
        file: Arc<File>,
        size: u64,
        coding: Coding,
        permit: Arc<OwnedSemaphorePermit>,
    },
}

impl Content {
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::Memory(bytes) => Some(bytes.len() as u64),
            Self::File(_, len) => Some(*len),
            Self::Compress { .. } => None,
        }
    }
}

/// What a response is made from.
#[derive(Debug)]
pub(crate) struct Representation {
    /// The header of a `200`.
    pub(crate) headers: HeaderMap,
    etag: HeaderValue,
    /// Seconds since 1970.
    modified: u64,
    /// Whether parts of it may be asked for. Not where it is compressed on the way: its bytes
    /// are not those of any file.
    pub(crate) ranges: bool,
    pub(crate) content: Content,
    pub(crate) replicas: Replicas,
}

/// What a representation says of itself.
pub(crate) struct Description<'a> {
    pub(crate) content_type: HeaderValue,
    pub(crate) coding: Coding,
    /// Of the file that the bytes come from.
    pub(crate) stamp: &'a Stamp,
    /// Whether another client would get another coding.
    pub(crate) varies: bool,
    pub(crate) ranges: bool,
    pub(crate) cache_control: Option<&'a HeaderValue>,
}

impl Representation {
    pub(crate) fn new(about: Description<'_>, content: Content) -> Self {
        let etag = about.stamp.etag(about.coding);
        // Never later than now (RFC 9110, section 8.8.2.1).
        let modified = about.stamp.modified_seconds().min(wall_seconds());
        let fields = [
            (CONTENT_TYPE, Some(about.content_type)),
            (CONTENT_LENGTH, content.len().map(HeaderValue::from)),
            (CONTENT_ENCODING, about.coding.token().map(HeaderValue::from_static)),
            (ACCEPT_RANGES, about.ranges.then(|| HeaderValue::from_static("bytes"))),
            (ETAG, Some(etag.clone())),
            (LAST_MODIFIED, Some(http_date(modified))),
            (VARY, about.varies.then_some(VARY_ENCODING)),
            (CACHE_CONTROL, about.cache_control.cloned()),
            (X_CONTENT_TYPE_OPTIONS, Some(NOSNIFF)),
        ];
        let headers = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let replicas = Replicas::default();
        Self { headers, etag, modified, ranges: about.ranges, content, replicas }
    }

    /// The same, from other memory.
    pub(crate) fn with(&self, headers: HeaderMap, content: Content) -> Self {
        let (etag, modified, ranges) = (self.etag.clone(), self.modified, self.ranges);
        Self { headers, etag, modified, ranges, content, replicas: Replicas::default() }
    }

    pub(crate) fn validators(&self) -> Validators<'_> {
        Validators { etag: &self.etag, modified: self.modified }
    }
}
