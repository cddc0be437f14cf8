//! The seam between an HTTP/1 connection's byte stream and hyper.
//!
//! Everything that is read passes the guard; everything that blocks gets its deadline. Closing
//! the stream is not left to hyper: the driver does it, because it may still have to answer.

use crate::{
    conn::{Conn, Reading, Switch},
    guard::{Guard, State},
    pace::Pace,
    progress::Wait,
};
use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at once where the guard has to see them before hyper does.
const SCRATCH: usize = 16 << 10;

/// A head and a body of up to this many bytes together are written as one piece: copying them
/// costs less than a vectored system call.
const JOINED: usize = 4 << 10;

thread_local! {
    /// What was read last, or is written, on this thread; never held across a poll.
    static SCRATCH_BUF: RefCell<Box<[u8; SCRATCH]>> = RefCell::new(Box::new([0; SCRATCH]));
}

/// hyper's byte stream.
#[derive(Debug)]
pub(crate) struct Seam<I> {
    io: TokioIo<Counting<I>>,
    /// [`Wire::poll_readable`](crate::Wire::poll_readable).
    poll_readable: fn(&I, &mut Context<'_>) -> Poll<io::Result<()>>,
    conn: Arc<Conn>,
    guard: Guard,
    writes: Pace,
    /// Read, but not passed on to hyper yet.
    kept: BytesMut,
    /// The first bytes of `kept` that the guard has let pass.
    passable: usize,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Seam<I> {
    /// `again`: the connection has had requests before.
    pub(crate) fn new(
        io: I,
        poll_readable: fn(&I, &mut Context<'_>) -> Poll<io::Result<()>>,
        conn: Arc<Conn>,
        again: bool,
    ) -> Self {
        let guard = Guard::new(&conn.options.limits, again);
        let writes = Pace::of_writes(&conn.options);
        Self {
            poll_readable,
            io: TokioIo::new(Counting { io, last_read: 0 }),
            conn,
            guard,
            writes,
            kept: BytesMut::new(),
            passable: 0,
        }
    }

    /// The byte stream, and what was read of it that hyper has not seen.
    pub(crate) fn into_parts(self) -> (I, BytesMut) {
        (self.io.into_inner().io, self.kept)
    }

    /// Hands on what may be handed on of what is kept.
    fn pass_kept(&mut self, cursor: &mut ReadBufCursor<'_>) -> bool {
        if self.passable == 0 && !self.kept.is_empty() {
            self.passable = self.guard.feed(&self.kept);
        }
        let count = self.passable.min(cursor.remaining());
        if count == 0 {
            return false;
        }
        cursor.put_slice(&self.kept[..count]);
        self.kept.advance(count);
        self.passable -= count;
        if self.kept.is_empty() {
            // An idle connection keeps no buffer.
            self.kept = BytesMut::new();
        }
        true
    }

    /// Whether nothing can be handed on until somebody decides something.
    fn stands_still(&mut self) -> bool {
        match self.guard.state() {
            State::Refused(refusal) => {
                if self.guard.refused_body() {
                    // Whoever handles that request answers it.
                    self.conn.progress.refuse(refusal);
                } else {
                    self.conn.set_reading(Reading::Refused(refusal));
                }
                true
            }
            State::Preface => {
                self.conn.set_reading(Reading::Preface);
                true
            }
            State::Held => match self.conn.switch() {
                Switch::Undecided | Switch::Wanted => {
                    self.conn.set_reading(Reading::Held);
                    true
                }
                decided => {
                    self.guard.release(decided == Switch::Tunnel);
                    false
                }
            },
            _ => false,
        }
    }

    /// How many bytes may be read past the guard: those of a body that has more than that left.
    fn unguarded(&self, room: usize) -> bool {
        let left = match self.guard.state() {
            State::Length(left) | State::ChunkData(left) => left,
            State::Tunnel => u64::MAX,
            _ => 0,
        };
        self.kept.is_empty() && left >= room as u64
    }

    /// Reads into hyper's own buffer.
    fn read_past_guard(
        &mut self,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_read(cx, cursor))?;
        self.guard.skip(self.io.inner().last_read);
        self.note();
        Poll::Ready(Ok(()))
    }

    /// Reads and lets pass what may pass. `Ready(true)`: something did, or the stream has ended.
    fn read_guarded(
        &mut self,
        cx: &mut Context<'_>,
        cursor: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<bool>> {
        SCRATCH_BUF.with_borrow_mut(|scratch| {
            let room = cursor.remaining().min(SCRATCH);
            let mut buf = ReadBuf::new(&mut scratch[..room]);
            ready!(Pin::new(self.io.inner_mut()).poll_read(cx, &mut buf))?;
            let bytes = buf.filled();
            if bytes.is_empty() {
                return Poll::Ready(Ok(true));
            }
            let passed = if self.kept.is_empty() {
                let passed = self.guard.feed(bytes);
                cursor.put_slice(&bytes[..passed]);
                self.kept.extend_from_slice(&bytes[passed..]);
                passed > 0
            } else {
                self.kept.extend_from_slice(bytes);
                self.pass_kept(cursor)
            };
            self.note();
            Poll::Ready(Ok(passed))
        })
    }

    /// Reads a little of what is held back: only so the end of the stream is seen, for which a
    /// handler that has yet to decide may have to be cancelled.
    fn watch_held(
        &mut self,
        cx: &mut Context<'_>,
        cursor: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        while self.guard.state() == State::Held && self.kept.len() < SCRATCH {
            if ready!(self.read_guarded(cx, cursor))? {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    /// Tells the connection where the reading stands after something was read.
    fn note(&mut self) {
        let before = self.conn.reading();
        let begins = before == Reading::Between && self.conn.is_at_rest();
        let reading = match self.guard.state() {
            State::RequestLine if self.kept.is_empty() => Reading::Between,
            State::RequestLine | State::Fields => Reading::Head,
            State::Refused(_) | State::Preface => return,
            State::Held => Reading::Held,
            _ => Reading::Body,
        };
        self.conn.set_reading(reading);
        match reading {
            // The first head's time runs from the accept.
            Reading::Head if begins => {
                self.conn.progress.set(Wait::Peer, self.conn.options.timeouts.header);
            }
            Reading::Head => {}
            // Empty lines gain no time, and a request that was read whole takes it away itself.
            Reading::Between if matches!(before, Reading::Between | Reading::Fresh) => {}
            _ => self.conn.progress.clear(Wait::Peer),
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Read for Seam<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.conn.is_resting() {
            ready!(self.poll_resume(cx))?;
        }
        let polled = self.poll_more(cx, cursor);
        self.conn.waits.store(polled.is_pending(), Relaxed);
        polled
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Seam<I> {
    /// Takes a connection that rests for itself before anything of it is read; never ready if it
    /// has gone to somebody else.
    fn poll_resume(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!((self.poll_readable)(&self.io.inner().io, cx))?;
        if self.conn.resumes() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Reads and hands on what may be handed on.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            // What may pass comes first: what is decided then stands behind it.
            if self.passable == 0 && self.stands_still() {
                // The driver looks after each poll, and polls again when it is decided.
                return self.watch_held(cx, &mut cursor);
            }
            if self.pass_kept(&mut cursor) {
                self.note();
                return Poll::Ready(Ok(()));
            }
            if self.stands_still() {
                return Poll::Pending;
            }
            let between = self.guard.state() == State::RequestLine && self.kept.is_empty();
            if between && self.conn.puts_end_watch_off() {
                return Poll::Pending;
            }
            if self.unguarded(cursor.remaining()) {
                return self.read_past_guard(cx, cursor);
            }
            if ready!(self.read_guarded(cx, &mut cursor))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Seam<I> {
    /// Runs the deadline of a write.
    fn wrote<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if outcome.is_pending() {
            // An earlier part of the response may have been.
            self.conn.flushed.store(false, Relaxed);
        }
        let bytes = |wrote: &T| {
            let bytes = bytes(wrote);
            self.conn.held.sub(bytes);
            bytes
        };
        self.writes.wrote(&self.conn.progress, outcome, bytes)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Write for Seam<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.conn.responds();
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(outcome, |&bytes| bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.conn.responds();
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let outcome = if length <= JOINED {
            SCRATCH_BUF.with_borrow_mut(|scratch| {
                let joined = join(slices, &mut scratch[..]);
                Pin::new(&mut self.io).poll_write(cx, joined)
            })
        } else {
            Pin::new(&mut self.io).poll_write_vectored(cx, slices)
        };
        self.wrote(outcome, |&bytes| bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        if outcome.is_ready() {
            // hyper flushes the stream only after its own buffer.
            self.conn.flushed.store(true, Relaxed);
            self.conn.held.clear();
        }
        self.wrote(outcome, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.guard.state() == State::Tunnel {
            return Pin::new(&mut self.io).poll_shutdown(cx);
        }
        Poll::Ready(Ok(()))
    }
}

/// Copies the slices, which must fit, one behind the other.
fn join<'a>(slices: &[IoSlice<'_>], into: &'a mut [u8]) -> &'a [u8] {
    let mut end = 0;
    for slice in slices {
        into[end..end + slice.len()].copy_from_slice(slice);
        end += slice.len();
    }
    &into[..end]
}

/// A byte stream that remembers how much was read last.
#[derive(Debug)]
struct Counting<I> {
    io: I,
    last_read: usize,
}

impl<I: AsyncRead + Unpin> AsyncRead for Counting<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.last_read = buf.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Counting<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
