//! The compressors, and the body that compresses while it is sent.
//!
//! Owns the levels, chosen for speed: whoever wants the smallest files puts them beside the
//! plain ones. All of it takes time on the CPU, so it runs in `ripstop_work::blocking`.

use std::fs::File;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::write::GzEncoder;
use tokio::sync::OwnedSemaphorePermit;
use zstd::stream::write::Encoder as ZstdEncoder;

use crate::coding::Coding;
use crate::error::BodyError;
use crate::reader::{READ_BYTES, read_at};

const GZIP_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
const BROTLI_LEVEL: i32 = 4;
/// The logarithm of the window that brotli looks back in: 1 MiB, so that a compressor that waits
/// for a slow client holds no more.
const BROTLI_WINDOW_LOG: i32 = 20;
const BROTLI_BUFFER_BYTES: usize = 8 * 1024;

/// Compresses what is in memory already.
///
/// # Errors
/// Only where the compressor fails, for want of memory say.
pub(crate) fn whole(coding: Coding, plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = Encoder::new(coding, plain.len() as u64)?;
    encoder.write(plain)?;
    encoder.finish()
}

/// A compressor that writes to memory.
enum Encoder {
    Plain(Vec<u8>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Encoder {
    /// `size` is what will be written in all.
    fn new(coding: Coding, size: u64) -> io::Result<Self> {
        let out = Vec::new();
        Ok(match coding {
            Coding::Identity => Self::Plain(out),
            Coding::Brotli => {
                let params = BrotliEncoderParams {
                    quality: BROTLI_LEVEL,
                    lgwin: BROTLI_WINDOW_LOG,
                    size_hint: usize::try_from(size).unwrap_or_default(),
                    ..BrotliEncoderParams::default()
                };
                let writer = CompressorWriter::with_params(out, BROTLI_BUFFER_BYTES, &params);
                Self::Brotli(Box::new(writer))
            }
            Coding::Zstd => {
                let mut encoder = ZstdEncoder::new(out, ZSTD_LEVEL)?;
                encoder.set_pledged_src_size(Some(size))?;
                Self::Zstd(encoder)
            }
            Coding::Gzip => Self::Gzip(GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL))),
        })
    }

    fn write(&mut self, plain: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.write_all(plain),
            Self::Brotli(encoder) => encoder.write_all(plain),
            Self::Zstd(encoder) => encoder.write_all(plain),
            Self::Gzip(encoder) => encoder.write_all(plain),
        }
    }

    /// What has come out since the last time; often nothing.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Plain(out) => out,
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        })
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}

/// A file that is compressed while it is sent, one read at a time and never ahead of what the
/// connection takes.
pub(crate) struct Compression {
    state: State,
}

enum State {
    Idle(Box<Work>),
    Busy(Pin<Box<dyn Future<Output = Step> + Send>>),
    Done,
}

/// What goes to the blocking thread and comes back.
struct Work {
    file: Arc<File>,
    offset: u64,
    size: u64,
    encoder: Encoder,
    /// Held while the compressor's memory is: it bounds how many there are.
    _permit: Arc<OwnedSemaphorePermit>,
}

/// What came out, and the work if there is more to do.
type Step = Result<(Vec<u8>, Option<Box<Work>>), BodyError>;

impl Compression {
    /// # Errors
    /// Where there is no memory for a compressor.
    pub(crate) fn new(
        file: Arc<File>,
        size: u64,
        coding: Coding,
        permit: Arc<OwnedSemaphorePermit>,
    ) -> io::Result<Self> {
        let encoder = Encoder::new(coding, size)?;
        let work = Work { file, offset: 0, size, encoder, _permit: permit };
        Ok(Self { state: State::Idle(Box::new(work)) })
    }

    /// The next piece that is not empty, or none at the end.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Poll::Ready(None),
                State::Idle(work) => {
                    self.state = State::Busy(Box::pin(ripstop_work::blocking(|| work.step())));
                }
                State::Busy(mut future) => {
                    let Poll::Ready(step) = future.as_mut().poll(cx) else {
                        self.state = State::Busy(future);
                        return Poll::Pending;
                    };
                    match step {
                        Err(error) => return Poll::Ready(Some(Err(error))),
                        Ok((out, rest)) => {
                            self.state = rest.map_or(State::Done, State::Idle);
                            if !out.is_empty() {
                                return Poll::Ready(Some(Ok(out.into())));
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Work {
    fn step(mut self: Box<Self>) -> Step {
        let left = self.size - self.offset;
        if left == 0 {
            let out = self.encoder.finish().map_err(BodyError::Compress)?;
            return Ok((out, None));
        }
        let mut plain = vec![0; usize::try_from(left).map_or(READ_BYTES, |n| n.min(READ_BYTES))];
        let count = read_at(&self.file, &mut plain, self.offset).map_err(BodyError::Read)?;
        if count == 0 {
            return Err(BodyError::Truncated);
        }
        self.offset += count as u64;
        self.encoder.write(&plain[..count]).map_err(BodyError::Compress)?;
        Ok((self.encoder.take(), Some(self)))
    }
}
