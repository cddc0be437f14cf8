//! The body of a request, as handlers read it: bounded, and given up when its peer stalls.

use crate::{Refusal, conn::Link, pace::Pace, progress::Wait};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

/// A request's body.
#[derive(Debug)]
pub struct Body {
    incoming: Incoming,
    /// `None` where there is nothing to read.
    reader: Option<Reader>,
}

#[derive(Debug)]
struct Reader {
    link: Link,
    /// Bytes that may still come; `None` for no limit.
    left: Option<u64>,
    /// Whether the deadline of the next piece runs.
    waits: bool,
    pace: Pace,
}

impl Body {
    pub(crate) fn new(incoming: Incoming, link: &Link) -> Self {
        let reader = (!incoming.is_end_stream()).then(|| Reader::new(link));
        Self { incoming, reader }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { incoming, reader } = self.get_mut();
        let Some(reader) = reader else { return Poll::Ready(None) };
        if let Some(refusal) = reader.link.progress().refusal() {
            return Poll::Ready(Some(Err(BodyError::Refused(refusal))));
        }
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Pending => {
                reader.waits();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(reader.take(frame))),
            Poll::Ready(Some(Err(err))) => Poll::Ready(Some(Err(BodyError::Connection(err)))),
            Poll::Ready(None) => {
                reader.goes_on();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Reader {
    fn new(link: &Link) -> Self {
        let options = &link.conn.options;
        let pace = Pace::of_body(options);
        Self { link: link.clone(), left: options.limits.body, waits: false, pace }
    }

    fn waits(&mut self) {
        self.waits = true;
        let progress = self.link.progress();
        progress.set_if_clear(Wait::Peer, self.pace.waits(progress.now()));
    }

    fn goes_on(&mut self) {
        self.waits = false;
        let progress = self.link.progress();
        progress.clear(Wait::Peer);
        progress.extend_handler(self.link.conn.options.timeouts.request);
    }

    /// Whether the peer is still waited for after so many bytes.
    fn keeps_pace(&mut self, bytes: usize) -> bool {
        let progress = self.link.progress();
        if progress.has_responded() {
            // A conversation: its pauses are the application's.
            self.pace.forgive();
        }
        self.pace.moved(progress.now(), bytes)
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        self.goes_on();
        if !self.keeps_pace(frame.data_ref().map_or(0, Bytes::len)) {
            self.link.progress().refuse(Refusal::PeerTimeout);
            return Err(BodyError::Refused(Refusal::PeerTimeout));
        }
        if let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) {
            match left.checked_sub(data.len() as u64) {
                Some(rest) => *left = rest,
                None => {
                    self.link.progress().refuse(Refusal::BodyTooLarge);
                    return Err(BodyError::Refused(Refusal::BodyTooLarge));
                }
            }
        }
        Ok(frame)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Nobody waits any more. On HTTP/1 the deadline cannot be another request's: behind a
        // body that was not read to its end there is none.
        if self.waits {
            self.link.progress().clear(Wait::Peer);
        }
    }
}

/// Why a request's body cannot be read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The server gave the request up and answers it by itself.
    Refused(Refusal),
    /// The connection failed.
    Connection(hyper::Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => f.write_str(refusal.text().trim_end()),
            Self::Connection(_) => f.write_str("the connection failed while the body was read"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) => None,
            Self::Connection(err) => Some(err),
        }
    }
}
