//! A client that sends exactly the bytes it is told to, and tells exactly what came back.
//!
//! Owns one connection (TCP, Unix or TLS) and the bytes read ahead of what was asked for. Knows of
//! HTTP only what it takes to find the end of a response (`response.rs`); repairs nothing.

mod response;
mod stream;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

pub use response::{Head, Response};
use stream::Stream;

/// How long a call may take where the test says nothing else.
const DEADLINE: Duration = Duration::from_secs(10);

/// How a server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// An orderly end: FIN, and under TLS `close_notify` before it.
    Closed,
    /// A reset, or under TLS an end without `close_notify`: what came before may be incomplete.
    Cut,
}

/// One connection. Every call ends within its deadline, ten seconds unless
/// [`Client::set_deadline`] said otherwise, with [`ErrorKind::TimedOut`] when that passes.
pub struct Client {
    stream: Stream,
    /// What was read and not asked for yet.
    buf: Vec<u8>,
    deadline: Duration,
}

impl Client {
    /// Connects over TCP.
    ///
    /// # Errors
    ///
    /// The connection is refused or not made in time.
    pub fn tcp(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self::new(Stream::Tcp(connect(addr)?)))
    }

    /// Connects to a Unix socket.
    ///
    /// # Errors
    ///
    /// As [`Client::tcp`].
    pub fn unix(path: &Path) -> io::Result<Self> {
        Ok(Self::new(Stream::Unix(stream::connect_unix(path, DEADLINE)?)))
    }

    /// Connects over TCP and finishes a TLS handshake for the host `name`.
    ///
    /// # Errors
    ///
    /// As [`Client::tcp`], or the handshake fails, as its error says.
    pub fn tls(addr: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let stream = stream::handshake(connect(addr)?, name, config, DEADLINE)?;
        Ok(Self::new(Stream::Tls(Box::new(stream))))
    }

    fn new(stream: Stream) -> Self {
        Self { stream, buf: Vec::new(), deadline: DEADLINE }
    }

    /// How long each call after this one may take.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// The protocol chosen by ALPN.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.stream.tls()?.alpn_protocol()
    }

    /// The TLS session: version, cipher, the server's certificates, whether it was resumed.
    pub fn tls_session(&self) -> Option<&rustls::ClientConnection> {
        self.stream.tls()
    }

    /// The client's own address.
    ///
    /// # Errors
    ///
    /// A Unix socket has none.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.tcp().ok_or_else(|| io::Error::from(ErrorKind::Unsupported))?.local_addr()
    }

    /// Sends `bytes`, all of them.
    ///
    /// # Errors
    ///
    /// The server closed the connection, or did not read in time.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.limit_writes(self.deadline)?;
        let sent = self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush());
        sent.map_err(|err| {
            let unread = || io::Error::new(ErrorKind::TimedOut, "the server did not read in time");
            if is_timeout(&err) { unread() } else { err }
        })
    }

    /// Sends `bytes` in pieces of `piece` bytes, with `pause` between them, and ends early when the
    /// server answers or closes. Returns how many bytes were sent. (The pause waits for that
    /// answer, so no time is lost; a deadline that the test expects must be shorter than all the
    /// pauses together.)
    ///
    /// # Errors
    ///
    /// As [`Client::send`].
    pub fn send_slowly(
        &mut self,
        bytes: impl AsRef<[u8]>,
        piece: usize,
        pause: Duration,
    ) -> io::Result<usize> {
        let mut sent = 0;
        for piece in bytes.as_ref().chunks(piece.max(1)) {
            if !self.is_quiet_for(if sent == 0 { Duration::ZERO } else { pause })? {
                break;
            }
            self.send(piece)?;
            sent += piece.len();
        }
        Ok(sent)
    }

    /// Sends `GET path` with `Host: test` and reads the response.
    ///
    /// # Errors
    ///
    /// As [`Client::send`] and [`Client::response`].
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))?;
        self.response()
    }

    /// Says that nothing more will be sent (FIN; under TLS `close_notify` before it). The server
    /// can still answer.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.limit_writes(self.deadline)?;
        self.stream.finish()
    }

    /// Closes with a reset (`SO_LINGER` 0): what was not sent yet is forgotten.
    ///
    /// # Errors
    ///
    /// The socket does not take the option.
    pub fn reset(self) -> io::Result<()> {
        self.stream.reset_on_close()
    }

    /// Tells whether nothing comes, no byte and no end, for `time`. (Under TLS a session ticket is
    /// something, too.)
    ///
    /// # Errors
    ///
    /// The socket cannot be waited for.
    pub fn is_quiet_for(&mut self, time: Duration) -> io::Result<bool> {
        Ok(self.buf.is_empty() && !self.stream.is_readable_within(time)?)
    }

    /// Reads one response, the interim ones (1xx) too, to a request other than `HEAD`.
    ///
    /// # Errors
    ///
    /// It is not valid, is cut, or does not come in time.
    pub fn response(&mut self) -> io::Result<Response> {
        let end = self.end();
        let head = self.read_head(end)?;
        let body = self.read_body(&head, end)?;
        Ok(Response { head, body })
    }

    /// Reads the head of a response: all there is of one to `HEAD`, or what comes before a body
    /// that the test reads for itself.
    ///
    /// # Errors
    ///
    /// As [`Client::response`].
    pub fn head(&mut self) -> io::Result<Head> {
        self.read_head(self.end())
    }

    /// Reads exactly `len` bytes.
    ///
    /// # Errors
    ///
    /// The connection ends before that ([`ErrorKind::UnexpectedEof`]), or they do not come in time.
    pub fn read_exact(&mut self, len: usize) -> io::Result<Vec<u8>> {
        self.take(len, self.end())
    }

    /// Reads to the end of the connection.
    ///
    /// # Errors
    ///
    /// It is cut, or does not end in time.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let end = self.end();
        while self.fill(end)? > 0 {}
        Ok(std::mem::take(&mut self.buf))
    }

    /// Reads to the end of the connection, whichever it is, and tells which.
    ///
    /// # Errors
    ///
    /// It does not end in time.
    pub fn ending(&mut self) -> io::Result<(Vec<u8>, Ending)> {
        let end = self.end();
        let ending = loop {
            match self.fill(end) {
                Ok(0) => break Ending::Closed,
                Ok(_) => {}
                Err(err) if err.kind() == ErrorKind::TimedOut => return Err(err),
                Err(_) => break Ending::Cut,
            }
        };
        Ok((std::mem::take(&mut self.buf), ending))
    }

    fn end(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// Reads what comes next into the buffer; 0 is the end of the connection.
    fn fill(&mut self, end: Instant) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let left = end.saturating_duration_since(Instant::now());
        let read = if left.is_zero() {
            Err(ErrorKind::TimedOut.into())
        } else {
            self.stream.limit_reads(left)?;
            self.stream.read(&mut chunk)
        };
        match read {
            Ok(len) => {
                self.buf.extend_from_slice(&chunk[..len]);
                Ok(len)
            }
            Err(err) if is_timeout(&err) => {
                let text = format!("no end in time; unread: {}", response::excerpt(&self.buf));
                Err(io::Error::new(ErrorKind::TimedOut, text))
            }
            Err(err) => Err(err),
        }
    }

    fn fill_some(&mut self, end: Instant) -> io::Result<()> {
        if self.fill(end)? > 0 {
            return Ok(());
        }
        let text = format!("the server closed after {}", response::excerpt(&self.buf));
        Err(io::Error::new(ErrorKind::UnexpectedEof, text))
    }

    fn take(&mut self, len: usize, end: Instant) -> io::Result<Vec<u8>> {
        while self.buf.len() < len {
            self.fill_some(end)?;
        }
        Ok(self.buf.drain(..len).collect())
    }

    /// Reads to `mark`, which is the last of what is returned.
    fn take_through(&mut self, mark: &[u8], end: Instant) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buf.windows(mark.len()).position(|window| window == mark) {
                return self.take(at + mark.len(), end);
            }
            self.fill_some(end)?;
        }
    }

    fn read_head(&mut self, end: Instant) -> io::Result<Head> {
        Head::parse(&self.take_through(b"\r\n\r\n", end)?)
    }

    fn read_body(&mut self, head: &Head, end: Instant) -> io::Result<Vec<u8>> {
        if head.has_no_body() {
            return Ok(Vec::new());
        }
        if head.is_chunked()? {
            return self.read_chunks(end);
        }
        if let Some(len) = head.content_length()? {
            return self.take(len, end);
        }
        while self.fill(end)? > 0 {}
        Ok(std::mem::take(&mut self.buf))
    }

    /// Reads a chunked body (RFC 9112, 7.1) and forgets its trailers.
    fn read_chunks(&mut self, end: Instant) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let len = response::chunk_len(&self.take_through(b"\r\n", end)?)?;
            if len == 0 {
                break;
            }
            body.extend(self.take(len, end)?);
            response::expect_line_end(&self.take(2, end)?)?;
        }
        while self.take_through(b"\r\n", end)? != b"\r\n" {}
        Ok(body)
    }
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn is_timeout(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
