//! The byte stream of an established TLS connection.
//!
//! Owns the connection and the facts of its handshake. Records are rustls's.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server;

use super::facts::TlsFacts;
use crate::socket::Socket;

/// An established TLS connection.
///
/// What is written is buffered until [`poll_flush`](AsyncWrite::poll_flush);
/// [`poll_shutdown`](AsyncWrite::poll_shutdown) sends `close_notify` and ends what is sent.
#[derive(Debug)]
pub struct TlsStream {
    inner: server::TlsStream<Socket>,
    facts: Arc<TlsFacts>,
}

impl TlsStream {
    /// Takes over a connection whose handshake is complete.
    pub(super) fn new(inner: server::TlsStream<Socket>) -> Self {
        let facts = Arc::new(TlsFacts::of(inner.get_ref().1));
        Self { inner, facts }
    }

    /// What the handshake found out.
    pub fn facts(&self) -> &Arc<TlsFacts> {
        &self.facts
    }

    /// Makes the close that follows a reset, see [`Socket::abort`].
    pub fn abort(&self) {
        self.inner.get_ref().0.abort();
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &Socket {
        self.inner.get_ref().0
    }

    /// Whether the session holds nothing that was read or is to be sent.
    pub(crate) fn is_at_rest(&mut self) -> bool {
        let session = self.inner.get_mut().1;
        // Nothing new is processed: it only tells the state.
        let plain = session.process_new_packets().map(|state| state.plaintext_bytes_to_read());
        !session.wants_write() && matches!(plain, Ok(0))
    }

    /// Leaves tokio's reactor, see [`Stream::leave_reactor`](crate::Stream::leave_reactor).
    pub(crate) fn leave_reactor(&mut self) -> io::Result<()> {
        self.inner.get_mut().0.leave_reactor()
    }

    /// Sends `close_notify`, as far as it can be sent at once.
    pub(crate) fn say_goodbye(&mut self) {
        let (socket, session) = self.inner.get_mut();
        session.send_close_notify();
        let mut record = Vec::new();
        if session.write_tls(&mut record).is_ok() {
            socket.send_now(&record);
        }
    }

    /// The address of the client, see [`Socket::peer_addr`].
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.inner.get_ref().0.peer_addr()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
