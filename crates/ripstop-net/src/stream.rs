//! The byte stream of a connection, whatever carries it.
//!
//! The only type that the crates above see of a connection, so that another carrier (a TLS record
//! layer of our own) is one more variant here. Owns nothing but the choice.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use ripstop_survive::Claim;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::socket::Socket;
use crate::tls::{TlsFacts, TlsStream};

/// A connection's bytes, both ways.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// Clear text. The socket can be taken out, to leave tokio by [`Socket::into_fd`].
    Plain(Socket),
    /// TLS. Boxed, so that a plain connection does not pay for its size.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// The address of the client, see [`Socket::peer_addr`].
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(socket) => socket.peer_addr(),
            Self::Tls(tls) => tls.peer_addr(),
        }
    }

    /// Makes the close that follows a reset, see [`Socket::abort`].
    pub fn abort(&self) {
        match self {
            Self::Plain(socket) => socket.abort(),
            Self::Tls(tls) => tls.abort(),
        }
    }

    /// The connection's claim, if it has one.
    pub fn claim(&self) -> Option<Claim> {
        match self {
            Self::Plain(socket) => socket.claim(),
            Self::Tls(tls) => tls.socket().claim(),
        }
    }

    /// Waits until there is something to read, without reading it; ready at once where only reading
    /// can tell. Cancel safe.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_readable(cx),
            Self::Tls(tls) => tls.socket().poll_readable(cx),
        }
    }

    /// Puts bytes that were read back in front of all others. Not under TLS, where nobody reads
    /// ahead of a session.
    pub fn unread(&mut self, bytes: Bytes) {
        if let Self::Plain(socket) = self {
            socket.unread(bytes);
        }
    }

    /// Leaves tokio's reactor, and joins that of the thread which next has to wait for it.
    ///
    /// # Errors
    /// If the reactor does not let it go; the connection is closed then.
    pub fn leave_reactor(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.leave_reactor(),
            Self::Tls(tls) => tls.leave_reactor(),
        }
    }

    /// Whether there is nothing to read, and never will be: the client has ended, or the connection
    /// is lost.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_over(),
            Self::Tls(tls) => tls.socket().is_over(),
        }
    }

    /// Closes a connection at rest, which is told so under TLS. Does not wait for anything.
    pub(crate) fn close(self) {
        if let Self::Tls(mut tls) = self {
            tls.say_goodbye();
        }
    }

    /// What the TLS handshake found out; `None` for clear text.
    pub fn tls_facts(&self) -> Option<&Arc<TlsFacts>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => Some(tls.facts()),
        }
    }
}

impl From<Socket> for Stream {
    fn from(socket: Socket) -> Self {
        Self::Plain(socket)
    }
}

impl From<TlsStream> for Stream {
    fn from(tls: TlsStream) -> Self {
        Self::Tls(Box::new(tls))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
