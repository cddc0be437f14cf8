//! The body of a response on its way to hyper: the application's, behind wall 1, or a refusal's
//! text.

use crate::{Refusal, exchange::Exchange, progress::Wait};
use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use ripstop_work::{Panicked, wall};
use std::{
    error::Error as StdError,
    fmt,
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll},
};

/// Bytes that an HTTP/2 stream takes at once. It takes a piece whole when its peer lets it send
/// the first byte: a large one would be all its own to keep, with no deadline.
const PIECE: usize = 64 << 10;

pin_project_lite::pin_project! {
    /// A response's body, with the exchange it ends.
    pub(crate) struct Outgoing<B> {
        #[pin]
        source: Source<B>,
        // HTTP/2: what was not handed on yet of the last frame.
        rest: Bytes,
        exchange: Exchange,
    }

    impl<B> PinnedDrop for Outgoing<B> {
        fn drop(this: Pin<&mut Self>) {
            drop_application(this.project().source);
        }
    }
}

pin_project_lite::pin_project! {
    #[project = SourceProjected]
    enum Source<B> {
        Application { #[pin] body: B },
        Refusal { text: Bytes },
        Over,
    }
}

impl<B> Outgoing<B> {
    pub(crate) fn application(body: B, exchange: Exchange) -> Self {
        Self { source: Source::Application { body }, rest: Bytes::new(), exchange }
    }

    pub(crate) fn refusal(refusal: Refusal, exchange: Exchange) -> Self {
        let text = Bytes::from_static(refusal.text().as_bytes());
        Self { source: Source::Refusal { text }, rest: Bytes::new(), exchange }
    }
}

impl<B> HttpBody for Outgoing<B>
where
    B: HttpBody,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Data = Chunk<B::Data>;
    type Error = CutShort;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, CutShort>>> {
        let mut this = self.project();
        let frame = match this.source.as_mut().project() {
            SourceProjected::Application { body } => {
                poll_application(body, this.rest, this.exchange, cx)
            }
            SourceProjected::Refusal { text } if !text.is_empty() => {
                let text = std::mem::take(text);
                Poll::Ready(Some(Ok(Frame::data(Chunk::Own(text)))))
            }
            SourceProjected::Refusal { .. } | SourceProjected::Over => Poll::Ready(None),
        };
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Buf::remaining);
                this.exchange.conn().held.add(bytes);
                this.exchange.sends(bytes);
                let recorded = this.exchange.is_recorded();
                if recorded && this.rest.is_empty() && this.source.has_ended() {
                    this.exchange.completes();
                }
            }
            Poll::Ready(Some(Err(_))) => drop_application(this.source),
            Poll::Ready(None) => this.exchange.completes(),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.source.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Application { body } => wall(|| body.size_hint()).unwrap_or_default(),
            Source::Refusal { text } => SizeHint::with_exact(text.len() as u64),
            Source::Over => SizeHint::with_exact(0),
        }
    }
}

impl<B: HttpBody> Source<B> {
    fn has_ended(&self) -> bool {
        match self {
            Self::Application { body } => wall(|| body.is_end_stream()).unwrap_or(false),
            Self::Refusal { text } => text.is_empty(),
            Self::Over => true,
        }
    }
}

/// What is handed on next.
type NextFrame<D> = Poll<Option<Result<Frame<Chunk<D>>, CutShort>>>;

/// Takes what is left of the application's last frame, or asks it for the next one.
fn poll_application<B>(
    body: Pin<&mut B>,
    rest: &mut Bytes,
    exchange: &Exchange,
    cx: &mut Context<'_>,
) -> NextFrame<B::Data>
where
    B: HttpBody,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let progress = exchange.progress();
    if let Some(refusal) = progress.refusal() {
        return Poll::Ready(Some(Err(CutShort::Refused(refusal))));
    }
    let http2 = exchange.link.stream.is_some();
    // HTTP/2 comes back for more only when the peer has taken what it got.
    let until_taken = || progress.set(Wait::Write, exchange.conn().options.timeouts.write);
    if http2 {
        progress.clear(Wait::Write);
    }
    if !rest.is_empty() {
        until_taken();
        let piece = rest.split_to(rest.len().min(PIECE));
        return Poll::Ready(Some(Ok(Frame::data(Chunk::Own(piece)))));
    }
    let polled = {
        let _at_work = exchange.asked.at_work();
        wall(|| body.poll_frame(cx))
    };
    match polled {
        Ok(Poll::Ready(Some(Ok(frame)))) if http2 => {
            until_taken();
            Poll::Ready(Some(Ok(frame.map_data(|data| first_piece(data, rest)))))
        }
        Ok(Poll::Ready(Some(Ok(frame)))) => {
            Poll::Ready(Some(Ok(frame.map_data(Chunk::Application))))
        }
        Ok(Poll::Ready(Some(Err(err)))) => Poll::Ready(Some(Err(CutShort::Failed(err.into())))),
        Ok(Poll::Ready(None)) => Poll::Ready(None),
        Ok(Poll::Pending) => Poll::Pending,
        Err(Panicked) => {
            log::debug!(request_id:% = exchange.asked.request_id; "a response's body panicked");
            Poll::Ready(Some(Err(CutShort::Panicked)))
        }
    }
}

/// As much of the data as goes out at once; more of it is left in `rest`.
fn first_piece<D: Buf>(mut data: D, rest: &mut Bytes) -> Chunk<D> {
    if data.remaining() <= PIECE {
        return Chunk::Application(data);
    }
    *rest = data.copy_to_bytes(data.remaining());
    Chunk::Own(rest.split_to(PIECE))
}

/// Drops the application's body, whose drop may panic too.
fn drop_application<B>(mut source: Pin<&mut Source<B>>) {
    // What the drop panicked with is gone, and the body is given up in any case.
    let _ = wall(|| source.set(Source::Over));
}

/// A piece of a response's body: the application's, or our own.
pub(crate) enum Chunk<D> {
    Application(D),
    Own(Bytes),
}

impl<D: Buf> Buf for Chunk<D> {
    fn remaining(&self) -> usize {
        match self {
            Self::Application(data) => data.remaining(),
            Self::Own(data) => data.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Application(data) => data.chunk(),
            Self::Own(data) => data.chunk(),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Application(data) => data.advance(count),
            Self::Own(data) => data.advance(count),
        }
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        match self {
            Self::Application(data) => data.chunks_vectored(into),
            Self::Own(data) => data.chunks_vectored(into),
        }
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        match self {
            Self::Application(data) => data.copy_to_bytes(count),
            Self::Own(data) => data.copy_to_bytes(count),
        }
    }
}

/// Why a response ends before its end. The connection or the stream is reset, so that nobody
/// takes what was sent for the whole.
#[derive(Debug)]
pub(crate) enum CutShort {
    /// The application's body panicked.
    Panicked,
    /// The application's body failed.
    Failed(Box<dyn StdError + Send + Sync>),
    /// The request was refused while it was answered.
    Refused(Refusal),
}

impl fmt::Display for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked => f.write_str("the response's body panicked"),
            Self::Failed(_) => f.write_str("the response's body failed"),
            Self::Refused(refusal) => f.write_str(refusal.text().trim_end()),
        }
    }
}

impl StdError for CutShort {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Failed(err) => Some(&**err),
            Self::Panicked | Self::Refused(_) => None,
        }
    }
}
