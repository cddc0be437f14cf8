//! The body of a response.
//!
//! Owns the order of what is sent: one piece of memory, a sequence of texts and spans of a file,
//! or a file that is compressed on the way. Reads nothing itself; `reader.rs` does.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::compress::Compression;
use crate::error::BodyError;
use crate::range::Span;
use crate::reader::Reader;

/// The body of a response from [`Files`](crate::Files).
///
/// It ends with an error, never early and in good order, if the file becomes shorter or cannot be
/// read while it is sent.
#[derive(Default)]
pub struct FileBody(Inner);

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Memory(Bytes),
    Segments(Box<Segments>),
    Compressed(Box<Compression>),
}

/// A part of a body whose length is known.
#[derive(Clone, Debug)]
pub(crate) enum Segment {
    Memory(Bytes),
    File(Span),
}

impl Segment {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(span) => span.len,
        }
    }
}

struct Segments {
    queue: VecDeque<Segment>,
    /// The bytes that are still to come.
    left: u64,
    reader: Option<Reader>,
}

impl FileBody {
    pub(crate) fn empty() -> Self {
        Self(Inner::Empty)
    }

    pub(crate) fn memory(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() { Inner::Empty } else { Inner::Memory(bytes) })
    }

    /// `file` is what the spans are of; there may be none if all is in memory.
    pub(crate) fn segments(
        segments: impl Into<VecDeque<Segment>>,
        file: Option<Arc<File>>,
    ) -> Self {
        let queue = segments.into();
        let left = queue.iter().map(Segment::len).sum();
        let reader = file.map(Reader::new);
        Self(Inner::Segments(Box::new(Segments { queue, left, reader })))
    }

    pub(crate) fn compressed(compression: Compression) -> Self {
        Self(Inner::Compressed(Box::new(compression)))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = match &mut self.0 {
            Inner::Empty => None,
            Inner::Memory(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Inner::Empty;
                Some(Ok(bytes))
            }
            Inner::Segments(segments) => ready!(segments.poll_next(cx)),
            Inner::Compressed(compression) => ready!(compression.poll_next(cx)),
        };
        if let Some(Err(error)) = &next {
            log::debug!(error:% = error; "response cut short");
            self.0 = Inner::Empty;
        }
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Segments(segments) => segments.left == 0,
            Inner::Memory(_) | Inner::Compressed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Memory(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Segments(segments) => SizeHint::with_exact(segments.left),
            Inner::Compressed(_) => SizeHint::default(),
        }
    }
}

impl Segments {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(segment) = self.queue.front_mut() else { return Poll::Ready(None) };
        let bytes = match segment {
            Segment::Memory(bytes) => std::mem::take(bytes),
            Segment::File(span) => {
                let reader = self.reader.as_mut().expect("spans come with their file");
                match ready!(reader.poll_read(cx, span.start, span.len)) {
                    Ok(bytes) => {
                        span.start += bytes.len() as u64;
                        span.len -= bytes.len() as u64;
                        bytes
                    }
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
        };
        self.left -= bytes.len() as u64;
        if matches!(segment, Segment::Memory(_) | Segment::File(Span { len: 0, .. })) {
            self.queue.pop_front();
        }
        Poll::Ready(Some(Ok(bytes)))
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody").field("size", &self.size_hint()).finish_non_exhaustive()
    }
}
