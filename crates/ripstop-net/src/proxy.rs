//! The PROXY protocol, versions 1 and 2: who the client is, told by the load balancer in front.
//!
//! Owns reading the header off a connection; what its bytes mean is left to `parse.rs`. Only for
//! listeners on which it is configured: there it is required, since a client that could leave it
//! out, or send it unasked, could choose its own address.
//!
//! Specification: the PROXY protocol, 2020/03/05, <https://www.haproxy.org/download/2.2/doc/proxy-protocol.txt>.
//! TLVs are skipped, and the `CRC32c` one is not verified: TCP has checksums of its own.

mod parse;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

use crate::error::ProxyError;
use crate::socket::Socket;
use parse::{Parsed, parse};

/// What is read at first: most headers, and often the beginning of the request behind it.
const READ_LEN: usize = 1024;

/// The two ends of the connection that the client made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The client.
    pub source: SocketAddr,
    /// Where the client connected to.
    pub destination: SocketAddr,
}

/// Reads the header with which a connection begins. From then on the socket's
/// [`peer_addr`](Socket::peer_addr) is the client. `None` if the header names nobody (`UNKNOWN`,
/// `LOCAL`, a Unix client): then the peer stays the client, as for a load balancer's own checks.
///
/// Bytes behind the header are kept and read first from the socket.
///
/// # Errors
/// If there is no complete, valid header before `deadline`; the caller closes the connection.
///
/// # Cancel safety
/// Not cancel safe: what was read of the header is lost. The connection can only be closed.
pub async fn read(socket: &mut Socket, deadline: Instant) -> Result<Option<Addresses>, ProxyError> {
    let mut bytes = BytesMut::with_capacity(READ_LEN);
    let read = timeout_at(deadline, read_header(socket, &mut bytes)).await;
    let (addresses, len) = read.unwrap_or(Err(ProxyError::Deadline))?;
    bytes.advance(len);
    socket.unread(bytes.freeze());
    if let Some(addresses) = addresses {
        socket.set_peer_addr(addresses.source);
    }
    Ok(addresses)
}

/// Reads until the header is complete; gives its length beside what it says.
async fn read_header(
    socket: &mut Socket,
    bytes: &mut BytesMut,
) -> Result<(Option<Addresses>, usize), ProxyError> {
    loop {
        match parse(bytes)? {
            Parsed::Complete { addresses, len } => return Ok((addresses, len)),
            Parsed::Incomplete => {}
        }
        bytes.reserve(READ_LEN / 2);
        if socket.read_buf(bytes).await.map_err(ProxyError::Io)? == 0 {
            return Err(ProxyError::Closed);
        }
    }
}
