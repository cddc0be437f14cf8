//! Reading a large file without blocking the worker.
//!
//! Owns the buffers and the choice of the thread: what the page cache has is read at once
//! (`RWF_NOWAIT`), what must come from the disk on a thread that may block. Knows nothing of HTTP.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::error::BodyError;

/// How much is read at once: large enough that the cost of a call does not count, small enough
/// that many slow clients can each hold a few.
pub(crate) const READ_BYTES: usize = 256 * 1024;

/// How many buffers are kept for the next read. As many as a connection usually holds at once.
const SPARES_MAX: usize = 2;

/// Reads one file at any offset.
pub(crate) struct Reader {
    file: Arc<File>,
    /// Cleared once the file system says that it cannot read without waiting.
    nowait: bool,
    /// Buffers that were sent. One that nobody else holds any more is used again, which saves
    /// clearing a new one.
    spares: VecDeque<Bytes>,
    pending: Option<Pending>,
}

type Pending = Pin<Box<dyn Future<Output = (BytesMut, io::Result<usize>)> + Send>>;

impl Reader {
    pub(crate) fn new(file: Arc<File>) -> Self {
        Self { file, nowait: true, spares: VecDeque::new(), pending: None }
    }

    /// Reads at least one byte and at most `max`. Until it is ready, it must be called again
    /// with the same arguments.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] where the file ends at `offset`.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        offset: u64,
        max: u64,
    ) -> Poll<Result<Bytes, BodyError>> {
        let max = usize::try_from(max).map_or(READ_BYTES, |max| max.min(READ_BYTES));
        if self.pending.is_none() {
            let mut buf = self.buffer(max);
            match self.read_cached(&mut buf[..max], offset) {
                Ok(count) => return Poll::Ready(self.filled(buf, count)),
                Err(Errno::AGAIN) => {}
                Err(errno) => return Poll::Ready(Err(BodyError::Read(errno.into()))),
            }
            let file = Arc::clone(&self.file);
            self.pending = Some(Box::pin(ripstop_work::blocking(move || {
                let read = read_at(&file, &mut buf[..max], offset);
                (buf, read)
            })));
        }
        let Some(pending) = &mut self.pending else { return Poll::Pending };
        let (buf, read) = ready!(pending.as_mut().poll(cx));
        self.pending = None;
        Poll::Ready(match read {
            Ok(count) => self.filled(buf, count),
            Err(error) => Err(BodyError::Read(error)),
        })
    }

    /// Reads what needs no waiting; `AGAIN` where there is nothing of that.
    fn read_cached(&mut self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        if !self.nowait {
            return Err(Errno::AGAIN);
        }
        let slices = &mut [IoSliceMut::new(buf)];
        match preadv2(&*self.file, slices, offset, ReadWriteFlags::NOWAIT) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.nowait = false;
                Err(Errno::AGAIN)
            }
            Err(Errno::INTR) => Err(Errno::AGAIN),
            other => other,
        }
    }

    fn buffer(&mut self, len: usize) -> BytesMut {
        let spare = self.spares.pop_front().and_then(|sent| sent.try_into_mut().ok());
        spare.filter(|buf| buf.len() >= len).unwrap_or_else(|| BytesMut::zeroed(len))
    }

    fn filled(&mut self, buf: BytesMut, count: usize) -> Result<Bytes, BodyError> {
        if count == 0 {
            return Err(BodyError::Truncated);
        }
        let whole = buf.freeze();
        let read = whole.slice(..count);
        if self.spares.len() == SPARES_MAX {
            self.spares.pop_front();
        }
        self.spares.push_back(whole);
        Ok(read)
    }
}

/// Reads at an offset, again if a signal interrupts it.
///
/// # Errors
/// What the disk says.
pub(crate) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    use std::os::unix::fs::FileExt;
    loop {
        match file.read_at(buf, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
