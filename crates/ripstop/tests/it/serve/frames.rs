//! A client of HTTP/2 that shows each frame (RFC 9113), over any connection.

use ripstop_testkit::Client;
use std::io;

/// What a client sends first (RFC 9113 section 3.4), with an empty `SETTINGS` frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;

/// `END_STREAM` of `DATA` and `HEADERS`, `ACK` of `SETTINGS` and `PING`.
const LAST: u8 = 1;

/// `:status 200` of HPACK's static table, which begins every such response.
const STATUS_200: u8 = 0x88;

/// One connection.
pub(crate) struct Http2 {
    client: Client,
    next_stream: u32,
}

/// A frame that is no acknowledgement.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
    last: bool,
}

impl Http2 {
    /// Begins a connection.
    pub(crate) fn new(mut client: Client) -> io::Result<Self> {
        client.send(PREFACE)?;
        Ok(Self { client, next_stream: 1 })
    }

    /// Sends a request, and tells its stream.
    pub(crate) fn send_get(&mut self, path: &str) -> io::Result<u32> {
        let stream = self.next_stream;
        self.next_stream += 2;
        // GET and http from the static table, :authority and :path as literals with their names
        // from there.
        let mut block = vec![0x82, 0x86, 0x01, 4];
        block.extend(b"test\x04");
        block.push(u8::try_from(path.len()).expect("a short path"));
        block.extend(path.as_bytes());
        self.send(HEADERS, LAST | 4, stream, &block)?;
        Ok(stream)
    }

    /// Reads the next frame that says something, and answers those that want to be.
    pub(crate) fn frame(&mut self) -> io::Result<Frame> {
        loop {
            let head = self.client.read_exact(9)?;
            let number = |bytes: &[u8]| bytes.iter().fold(0, |n, &b| n << 8 | u32::from(b));
            let (kind, last) = (head[3], head[4] & LAST == LAST);
            let payload = self.client.read_exact(number(&head[..3]) as usize)?;
            match kind {
                SETTINGS | PING if last => {}
                SETTINGS => self.send(SETTINGS, LAST, 0, b"")?,
                PING => self.send(PING, LAST, 0, &payload)?,
                _ => return Ok(Frame { kind, stream: number(&head[5..]), payload, last }),
            }
        }
    }

    /// Reads the rest of a response that must be 200, and passes over the frames of others.
    pub(crate) fn body(&mut self, stream: u32) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let frame = self.frame()?;
            match frame.kind {
                HEADERS | DATA if frame.stream != stream => {}
                HEADERS if frame.payload.first() != Some(&STATUS_200) => {
                    return Err(io::Error::other(format!("no 200: {frame:?}")));
                }
                DATA => body.extend(frame.payload),
                HEADERS | GOAWAY => {}
                // WINDOW_UPDATE
                8 => {}
                _ => return Err(io::Error::other(format!("unexpected {frame:?}"))),
            }
            if frame.last && frame.stream == stream {
                return Ok(body);
            }
        }
    }

    /// Sends a request, and reads the response.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Vec<u8>> {
        let stream = self.send_get(path)?;
        self.body(stream)
    }

    /// Reads frames until one is of this kind.
    pub(crate) fn frame_of(&mut self, kind: u8) -> io::Result<Frame> {
        loop {
            let frame = self.frame()?;
            if frame.kind == kind {
                return Ok(frame);
            }
        }
    }

    /// The connection below.
    pub(crate) fn into_client(self) -> Client {
        self.client
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).expect("a short frame");
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.client.send(frame)
    }
}
