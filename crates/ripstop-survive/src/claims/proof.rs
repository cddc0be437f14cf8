//! Proof that a descriptor is what is claimed of it: the same socket, and to the same peer.
//!
//! A number that has come across an exec, or a descriptor that somebody has sent, is nothing but
//! hearsay. The inode of a socket is its own for as long as it is open anywhere.

use super::{Claim, Facts};
use rustix::{
    fs::{FileType, fstat},
    net::{SocketType, getpeername, getsockname, sockopt},
};
use std::{
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    sync::atomic::Ordering::Relaxed,
};

/// The inode of no socket.
const NONE: u64 = 0;

/// The inode of a socket.
pub(crate) fn inode(socket: impl AsFd) -> u64 {
    let stat = fstat(socket).ok();
    let stat = stat.filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket);
    stat.map_or(NONE, |stat| stat.st_ino)
}

/// Whether it is the socket with this inode, a connection, and to whom the facts say. Behind a PROXY
/// header that is not its peer, and only the family can be compared.
pub(super) fn is(socket: impl AsFd, wanted: u64, facts: &Facts) -> bool {
    let socket = socket.as_fd();
    if wanted == NONE || inode(socket) != wanted {
        return false;
    }
    let is_stream = sockopt::socket_type(socket) == Ok(SocketType::STREAM);
    let local = getsockname(socket).ok().map(|name| SocketAddr::try_from(name).is_ok());
    let Ok(Some(peer)) = getpeername(socket) else { return false };
    let peer = SocketAddr::try_from(peer).ok().map(whom);
    let is_peer = facts.unix || facts.named || peer == facts.peer.map(whom);
    is_stream && local == Some(!facts.unix) && is_peer
}

/// An address without what is not kept of it. One of IPv4 may come as one of IPv6.
fn whom(peer: SocketAddr) -> (IpAddr, u16) {
    (peer.ip().to_canonical(), peer.port())
}

impl Claim {
    /// Whether the descriptor is the connection that was claimed.
    pub(crate) fn is_of(self, socket: impl AsFd) -> bool {
        is(socket, self.entry.inode.load(Relaxed), &self.facts())
    }
}
