//! The byte stream of an HTTP/2 connection.
//!
//! What was read already comes first, writes that block have a deadline, and both directions are
//! counted. When there was too much, hyper reads the end of the stream, writes what it still has,
//! and closes; before that goes through, the GOAWAY is written, which hyper has no way to ask for.

use super::flood::Flood;
use crate::{conn::Conn, pace::Pace, progress::Wait};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a peer that has sent too much may take for what it is still sent.
const FAREWELL: Duration = Duration::from_secs(2);

/// Bytes that are read on after the end: closing with bytes unread would reset the connection,
/// and the peer might never see why.
const READ_ON: usize = 1 << 20;

/// Bytes read at once meanwhile.
const READ_ON_PIECE: usize = 16 << 10;

/// `ENHANCE_YOUR_CALM`, RFC 9113 section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

const GOAWAY: u8 = 7;

/// A byte stream that knows the frames it carries.
pub(super) struct Frames<I> {
    io: I,
    read: Bytes,
    conn: Arc<Conn>,
    flood: Flood,
    writes: Pace,
    begin: Instant,
    /// The end of the stream was read.
    ended: bool,
    farewell: Farewell,
}

/// How far the end has come.
enum Farewell {
    NotYet,
    /// This is still to be written.
    Goaway(Bytes),
    /// The writing side is to be closed.
    Close,
    /// So many bytes may still be read.
    ReadOn(usize),
}

impl<I> Frames<I> {
    /// `read` was read of `io` already.
    pub(super) fn new(io: I, read: Bytes, conn: &Arc<Conn>) -> Self {
        Self {
            io,
            read,
            conn: conn.clone(),
            flood: Flood::new(conn.options.limits.streams),
            writes: Pace::of_writes(&conn.options),
            begin: Instant::now(),
            ended: false,
            farewell: Farewell::NotYet,
        }
    }

    fn wrote(&mut self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if self.flood.over().is_some() {
            return outcome;
        }
        if let Poll::Ready(Ok(written)) = outcome {
            self.conn.held.sub(written);
        }
        self.writes.wrote(&self.conn.progress, outcome, |&bytes| bytes)
    }

    /// Counts what `buf` has got beyond `before`, and takes away what comes too late.
    fn count(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let begin = self.begin;
        let passed = self.flood.reads(&buf.filled()[before..], || begin.elapsed());
        buf.set_filled(before + passed);
        if let Some(excess) = self.flood.over() {
            log::debug!(why = excess.text(); "an HTTP/2 connection is cut");
            self.conn.progress.set(Wait::Write, Some(FAREWELL));
        }
    }

    /// Nothing but the end is left to be written.
    fn begin_farewell(&mut self) -> Farewell {
        match self.flood.over() {
            Some(excess) => Farewell::Goaway(goaway(self.flood.last_stream(), excess.text())),
            None => Farewell::Close,
        }
    }
}

/// A GOAWAY frame, RFC 9113 section 6.8.
fn goaway(last_stream: u32, debug: &'static str) -> Bytes {
    let mut frame = BytesMut::with_capacity(17 + debug.len());
    frame.put_uint(8 + debug.len() as u64, 3);
    frame.put_slice(&[GOAWAY, 0, 0, 0, 0, 0]);
    frame.put_u32(last_stream);
    frame.put_u32(ENHANCE_YOUR_CALM);
    frame.put_slice(debug.as_bytes());
    frame.freeze()
}

impl<I: AsyncRead + Unpin> AsyncRead for Frames<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.flood.over().is_some() {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        if self.read.is_empty() {
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
            self.ended = buf.filled().len() == before;
        } else {
            let count = self.read.len().min(buf.remaining());
            buf.put_slice(&self.read[..count]);
            self.read.advance(count);
        }
        self.count(buf, before);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Frames<I> {
    fn poll_goaway(&mut self, cx: &mut Context<'_>, mut frame: Bytes) -> Poll<io::Result<()>> {
        while !frame.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, &frame) {
                Poll::Ready(written) => frame.advance(written?),
                Poll::Pending => {
                    self.farewell = Farewell::Goaway(frame);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what is on its way; waits for more of it only where there was too much.
    fn poll_read_on(&mut self, cx: &mut Context<'_>, mut left: usize) -> Poll<io::Result<()>> {
        let mut piece = vec![0; READ_ON_PIECE];
        while left > 0 && !self.ended {
            let mut buf = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Pending if self.flood.over().is_some() => {
                    self.farewell = Farewell::ReadOn(left);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    left = left.saturating_sub(buf.filled().len());
                }
                // A peer that has gone does not get to know why.
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Frames<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = outcome {
            self.flood.writes(&bytes[..written]);
        }
        self.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(mut written)) = outcome {
            for slice in slices {
                let count = written.min(slice.len());
                self.flood.writes(&slice[..count]);
                written -= count;
            }
        }
        self.wrote(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        if outcome.is_ready() && self.conn.owes_nothing() {
            // Streams that were reset took with them what they had.
            self.conn.held.clear();
        }
        outcome
    }

    /// hyper has written all it had.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match std::mem::replace(&mut self.farewell, Farewell::Close) {
                Farewell::NotYet => self.farewell = self.begin_farewell(),
                Farewell::Goaway(frame) => ready!(self.poll_goaway(cx, frame))?,
                Farewell::Close => {
                    ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
                    self.farewell = Farewell::ReadOn(READ_ON);
                }
                Farewell::ReadOn(left) => return self.poll_read_on(cx, left),
            }
        }
    }
}
