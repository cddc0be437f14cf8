//! HTTP/2 frame by frame (RFC 9113, section 4): for what no client sends, and to see exactly what
//! a server sends. Answers pings and settings; everything else is left to the test.

use crate::http::site::Site;
use ripstop_testkit::{Client, Ending};
use std::io;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection.
pub(crate) struct Frames {
    pub(crate) client: Client,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error of a `RST_STREAM` or `GOAWAY`.
    pub(crate) fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        number(&self.payload[at..at + 4])
    }
}

impl Frames {
    /// Connects and sends the preface with these settings.
    pub(crate) fn open(site: &Site, settings: &[(u16, u32)]) -> Self {
        Self::over(site.client(), settings)
    }

    /// The same on a connection that is there already.
    pub(crate) fn over(client: Client, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self { client };
        frames.client.send(PREFACE).unwrap();
        let pair =
            |&(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        frames.send(SETTINGS, 0, 0, &settings.iter().flat_map(pair).collect::<Vec<_>>());
        frames
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.client.send(frame(kind, flags, stream, payload)).unwrap();
    }

    /// Sends a request without a body.
    pub(crate) fn request(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields));
    }

    /// Reads the next frame that is neither a ping nor a confirmation.
    ///
    /// # Errors
    ///
    /// The connection ends before it does.
    pub(crate) fn next(&mut self) -> io::Result<Frame> {
        loop {
            let head = self.client.read_exact(9)?;
            let len = number(&[&[0], &head[..3]].concat()) as usize;
            let stream = number(&head[5..]);
            let payload = self.client.read_exact(len)?;
            let frame = Frame { kind: head[3], flags: head[4], stream, payload };
            match (frame.kind, frame.flags & ACK) {
                (SETTINGS | PING, ACK) => {}
                (SETTINGS, _) => {
                    self.client.send(self::frame(SETTINGS, ACK, 0, &[]))?;
                    return Ok(frame);
                }
                (PING, _) => self.client.send(self::frame(PING, ACK, 0, &frame.payload))?,
                _ => return Ok(frame),
            }
        }
    }

    /// Reads on to the next frame of this kind.
    #[track_caller]
    pub(crate) fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().unwrap_or_else(|err| panic!("no frame of kind {kind}: {err}"));
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Reads on to the end of the stream's response, and tells the payload of its head.
    #[track_caller]
    pub(crate) fn response(&mut self, stream: u32) -> Vec<u8> {
        let mut head = Vec::new();
        loop {
            let frame = self.next().unwrap();
            assert_ne!(frame.kind, RST_STREAM, "{frame:?}");
            if frame.stream != stream || frame.kind > HEADERS {
                continue;
            }
            if frame.kind == HEADERS {
                head = frame.payload;
            }
            if frame.flags & END_STREAM != 0 {
                return head;
            }
        }
    }

    /// Reads on to the end of the connection; the last `GOAWAY` and how it ended.
    #[track_caller]
    pub(crate) fn ending(mut self) -> (Option<Frame>, Ending) {
        let mut goodbye = None;
        loop {
            match self.next() {
                Ok(frame) if frame.kind == GOAWAY => goodbye = Some(frame),
                Ok(_) => {}
                Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => {
                    return (goodbye, Ending::Closed);
                }
                Err(err) if err.kind() == io::ErrorKind::TimedOut => panic!("{err}"),
                Err(_) => return (goodbye, Ending::Cut),
            }
        }
    }
}

/// The frames that these bytes are; what is cut off at their end is left out.
pub(crate) fn frames_of(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let len = number(&[&[0], &head[..3]].concat()) as usize;
        let Some((payload, rest)) = rest.split_at_checked(len) else { break };
        let (kind, flags, stream) = (head[3], head[4], number(&head[5..]));
        frames.push(Frame { kind, flags, stream, payload: payload.to_vec() });
        bytes = rest;
    }
    frames
}

/// A frame as it is sent.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET path` for the host `test`.
pub(crate) fn get(path: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", path)]
}

/// A field block of literal fields with literal names (RFC 7541, section 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let field = |&(name, value): &(&str, &str)| [&[0][..], &string(name), &string(value)].concat();
    fields.iter().flat_map(field).collect()
}

/// A string as it is (RFC 7541, section 5.2).
fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut len = text.len();
    if len < 127 {
        bytes.push(len as u8);
    } else {
        bytes.push(127);
        len -= 127;
        while len >= 128 {
            bytes.push(len as u8 | 128);
            len >>= 7;
        }
        bytes.push(len as u8);
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Four bytes as a number.
fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}
