//! The guard: a strict reading of HTTP/1 framing, in front of hyper's.
//!
//! hyper accepts more than RFC 9112 allows (both `Content-Length` and `Transfer-Encoding`, bare
//! line feeds, folded fields, odd chunk extensions), and what one reader takes for one message
//! another may take for two. The guard follows lines and lengths only, refuses what is not
//! framed exactly as the RFC says before hyper sees it, and so also knows where each message
//! ends. It does no I/O: bytes go in, and it says how many of them may be passed on.

mod chunk;
mod field;

use crate::{Limits, Refusal};
use field::Framing;

/// The first line of an HTTP/2 connection preface (RFC 9113 section 3.4).
const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0";

/// What hyper takes for one wherever it stands.
const PREFACE_START: &[u8] = b"PRI * HTTP/2";

/// Empty lines that may stand before a request line. RFC 9112 section 2.2 wants one to be ignored.
const EMPTY_LINES: u8 = 8;

/// Bytes that a request line may have beside its target: method, version, spaces.
const LINE_OVERHEAD: usize = 64;

/// Where in a message the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Before the request line of a message.
    RequestLine,
    /// In the header section.
    Fields,
    /// In a body of which this many bytes are to come.
    Length(u64),
    /// Before a chunk's size.
    ChunkSize,
    /// In a chunk of which this many bytes are to come.
    ChunkData(u64),
    /// Before the line end after a chunk's data.
    ChunkEnd,
    /// In the trailer section.
    Trailers,
    /// After the head of a `CONNECT`, or a message with `Upgrade`, which may turn the connection
    /// into a tunnel: nothing is passed on until the answer is known.
    Held,
    /// No HTTP/1 any more: everything is passed on.
    Tunnel,
    /// The first line was that of an HTTP/2 preface; nothing of it was passed on.
    Preface,
    /// Nothing more is passed on.
    Refused(Refusal),
}

/// Follows the messages of one connection.
#[derive(Debug)]
pub(crate) struct Guard {
    state: State,
    uri_max: usize,
    head_max: usize,
    fields_max: usize,
    /// Bytes and fields of the head, or of the trailers, so far.
    section: Section,
    framing: Framing,
    /// The next request line is the connection's first.
    first: bool,
    /// Those before the next request line, so far.
    empty_lines: u8,
    /// The refusal concerns the body of a message whose head was passed on.
    refused_body: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Section {
    bytes: usize,
    fields: usize,
}

impl Guard {
    /// `again`: the next request line is not the connection's first.
    pub(crate) fn new(limits: &Limits, again: bool) -> Self {
        Self {
            state: State::RequestLine,
            uri_max: limits.uri,
            head_max: limits.head,
            fields_max: limits.fields,
            section: Section::default(),
            framing: Framing::default(),
            first: !again,
            empty_lines: 0,
            refused_body: false,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// How many of `bytes` may be passed on. The rest is to be fed again, with more behind it.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let passed = match self.state {
                State::Length(left) => self.feed_data(left, rest.len(), State::Length),
                State::ChunkData(left) => self.feed_data(left, rest.len(), State::ChunkData),
                State::Tunnel => rest.len(),
                State::Held | State::Preface | State::Refused(_) => return at,
                _ => self.feed_line(rest),
            };
            if passed == 0 {
                return at;
            }
            at += passed;
        }
        at
    }

    /// Takes in `read` bytes of a body that were passed on without being looked at. There must
    /// not be more of them than [`State::Length`] or [`State::ChunkData`] says.
    pub(crate) fn skip(&mut self, read: usize) {
        match self.state {
            State::Length(left) => self.feed_data(left, read, State::Length),
            State::ChunkData(left) => self.feed_data(left, read, State::ChunkData),
            _ => 0,
        };
    }

    /// Tells what became of a message that was held.
    pub(crate) fn release(&mut self, tunnel: bool) {
        if self.state != State::Held {
            return;
        }
        self.framing.upgrade = false;
        self.state = match std::mem::take(&mut self.framing.connect) {
            _ if tunnel => State::Tunnel,
            true => self.after_head(),
            false => State::RequestLine,
        };
    }

    /// Refuses everything from here on.
    fn refuse(&mut self, refusal: Refusal) {
        self.refused_body = !matches!(self.state, State::RequestLine | State::Fields);
        self.state = State::Refused(refusal);
    }

    /// Whether what is refused is the body of a message whose head was passed on.
    pub(crate) fn refused_body(&self) -> bool {
        self.refused_body
    }

    fn feed_data(&mut self, left: u64, there: usize, rest: fn(u64) -> State) -> usize {
        let there_64 = there as u64;
        if there_64 < left {
            self.state = rest(left - there_64);
            return there;
        }
        self.state = match self.state {
            State::ChunkData(_) => State::ChunkEnd,
            _ => self.after_message(),
        };
        // Not more than `there`, so it fits.
        usize::try_from(left).unwrap_or(there)
    }

    /// Takes one whole line in; 0 if there is none yet or it is refused.
    fn feed_line(&mut self, bytes: &[u8]) -> usize {
        let result = match memchr::memchr(b'\n', bytes) {
            Some(end) => match bytes[..end].strip_suffix(b"\r") {
                Some(line) => self.line(line).map(|()| end + 1),
                None => Err(Refusal::BadMessage),
            },
            None => self.check_unfinished(bytes).map(|()| 0),
        };
        match result {
            Ok(_) if self.state == State::Preface => 0,
            Ok(passed) => passed,
            Err(refusal) => {
                self.refuse(refusal);
                0
            }
        }
    }

    /// A line that does not end must not grow for ever.
    fn check_unfinished(&self, bytes: &[u8]) -> Result<(), Refusal> {
        match self.state {
            State::RequestLine if bytes.len() > self.uri_max + LINE_OVERHEAD => {
                Err(Refusal::UriTooLong)
            }
            State::Fields | State::Trailers if self.section.bytes + bytes.len() > self.head_max => {
                Err(Refusal::HeadTooLarge)
            }
            State::ChunkSize if bytes.len() > chunk::LINE_MAX => Err(Refusal::BadMessage),
            State::ChunkEnd if bytes != b"\r" => Err(Refusal::BadMessage),
            _ => Ok(()),
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        match self.state {
            State::RequestLine => self.request_line(line),
            State::Fields => self.field_line(line),
            State::ChunkSize => self.chunk_size(line),
            State::ChunkEnd if line.is_empty() => {
                self.state = State::ChunkSize;
                Ok(())
            }
            State::ChunkEnd => Err(Refusal::BadMessage),
            State::Trailers => self.trailer_line(line),
            _ => Ok(()),
        }
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if line.is_empty() {
            self.empty_lines += 1;
            let few = self.empty_lines <= EMPTY_LINES;
            return if few { Ok(()) } else { Err(Refusal::BadMessage) };
        }
        self.empty_lines = 0;
        if line.starts_with(PREFACE_START) {
            return self.preface(line);
        }
        self.first = false;
        let target = target(line);
        if target.len() > self.uri_max {
            return Err(Refusal::UriTooLong);
        }
        // RFC 9110 section 7.1: a fragment is not sent; hyper would cut it off.
        if memchr::memchr(b'#', target).is_some() {
            return Err(Refusal::BadTarget);
        }
        self.framing = Framing { connect: line.starts_with(b"CONNECT "), ..Framing::default() };
        self.section = Section { bytes: line.len() + 2, fields: 0 };
        self.state = State::Fields;
        Ok(())
    }

    /// Only the first line can be one; hyper would end the connection without a word.
    fn preface(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if !self.first || line != PREFACE_LINE {
            return Err(Refusal::BadMessage);
        }
        self.state = State::Preface;
        Ok(())
    }

    fn field_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.measure(line)?;
        if !line.is_empty() {
            return self.framing.take_in(line);
        }
        self.framing.check()?;
        self.state = if self.framing.connect { State::Held } else { self.after_head() };
        Ok(())
    }

    fn after_head(&mut self) -> State {
        self.section = Section::default();
        match self.framing.length {
            _ if self.framing.chunked => State::ChunkSize,
            Some(length) if length > 0 => State::Length(length),
            _ => self.after_message(),
        }
    }

    fn after_message(&self) -> State {
        if self.framing.upgrade { State::Held } else { State::RequestLine }
    }

    fn chunk_size(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let size = chunk::size(line).ok_or(Refusal::BadMessage)?;
        // Extensions count, so that a body cannot consist of them.
        self.section.bytes += chunk::extension_bytes(line);
        if self.section.bytes > chunk::EXTENSIONS_MAX {
            return Err(Refusal::BadMessage);
        }
        self.state = if size == 0 {
            self.section = Section::default();
            State::Trailers
        } else {
            State::ChunkData(size)
        };
        Ok(())
    }

    fn trailer_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.measure(line)?;
        if line.is_empty() {
            self.state = self.after_message();
            return Ok(());
        }
        if field::is_well_formed(line) { Ok(()) } else { Err(Refusal::BadMessage) }
    }

    /// Counts a line of the header or trailer section.
    fn measure(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.section.bytes += line.len() + 2;
        self.section.fields += usize::from(!line.is_empty());
        if self.section.bytes > self.head_max || self.section.fields > self.fields_max {
            return Err(Refusal::HeadTooLarge);
        }
        // RFC 9112 section 5.2: a folded field.
        if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(Refusal::BadMessage);
        }
        Ok(())
    }
}

/// What stands between the first and the last space of a request line.
fn target(line: &[u8]) -> &[u8] {
    match (memchr::memchr(b' ', line), memchr::memrchr(b' ', line)) {
        (Some(first), Some(last)) if first < last => &line[first + 1..last],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
