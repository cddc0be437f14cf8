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
