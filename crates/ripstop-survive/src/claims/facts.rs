//! What is known of a connection beside its claim word.

use super::Tick;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What it takes to serve a connection again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The address of the client; `None` on Unix sockets.
    pub peer: Option<SocketAddr>,
    /// The number of the server in its process.
    pub server: u16,
    /// The number of the listener, in its server, that accepted it.
    pub listener: u16,
    /// Whether it is a Unix socket. That has a peer, too, where a PROXY header named one.
    pub unix: bool,
    /// Whether a PROXY header named the peer, so that the socket has another one.
    pub named: bool,
    /// Whether it is counted among the connections of its client.
    pub counted: bool,
    /// When it was accepted.
    pub born: Tick,
    /// Requests that have come.
    pub requests: u32,
}

/// There is a peer address.
const PEER: u8 = 1;

/// The connection is counted among those of its client.
const COUNTED: u8 = 2;

/// It is a Unix socket.
const UNIX: u8 = 4;

/// A PROXY header named the peer.
const NAMED: u8 = 8;

impl Facts {
    /// The size of what [`Facts::to_bytes`] gives.
    pub(crate) const BYTES: usize = 27;

    /// The peer's address as one of IPv6, and its port; zeros where there is none.
    pub(super) fn address(&self) -> (u128, u16) {
        let (ip, port) = match self.peer {
            Some(SocketAddr::V4(peer)) => (peer.ip().to_ipv6_mapped(), peer.port()),
            Some(SocketAddr::V6(peer)) => (*peer.ip(), peer.port()),
            None => (Ipv6Addr::UNSPECIFIED, 0),
        };
        (ip.to_bits(), port)
    }

    /// What is either so or not.
    pub(super) fn flags(&self) -> u8 {
        let flag = |set, flag| if set { flag } else { 0 };
        flag(self.peer.is_some(), PEER)
            | flag(self.counted, COUNTED)
            | flag(self.unix, UNIX)
            | flag(self.named, NAMED)
    }

    /// Those of [`Facts::address`] and [`Facts::flags`], and nothing else.
    pub(super) fn of((address, port): (u128, u16), flags: u8) -> Self {
        let ip = Ipv6Addr::from_bits(address);
        let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), |ip: Ipv4Addr| ip.into());
        Self {
            peer: (flags & PEER != 0).then(|| SocketAddr::new(ip, port)),
            server: 0,
            listener: 0,
            unix: flags & UNIX != 0,
            named: flags & NAMED != 0,
            counted: flags & COUNTED != 0,
            born: Tick::default(),
            requests: 0,
        }
    }

    /// What another process needs to know: all but the numbers, which are this one's own.
    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let (address, port) = self.address();
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&address.to_ne_bytes());
        bytes[16..18].copy_from_slice(&port.to_ne_bytes());
        bytes[18] = self.flags();
        bytes[19..23].copy_from_slice(&self.born.0.to_ne_bytes());
        bytes[23..].copy_from_slice(&self.requests.to_ne_bytes());
        bytes
    }

    /// The other way round.
    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let part = |from: usize| bytes[from..from + 4].try_into().unwrap_or_default();
        let address = bytes[..16].try_into().unwrap_or_default();
        let port = u16::from_ne_bytes([bytes[16], bytes[17]]);
        Self {
            born: Tick(u32::from_ne_bytes(part(19))),
            requests: u32::from_ne_bytes(part(23)),
            ..Self::of((u128::from_ne_bytes(address), port), bytes[18])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_another_process_comes_there() {
        for peer in [None, Some("127.0.0.1:80"), Some("[2001:db8::1]:65535")] {
            let peer = peer.map(|peer| peer.parse().unwrap());
            for (unix, counted) in [(false, true), (true, false)] {
                let named = unix;
                let (born, requests) = (Tick(u32::MAX - 1), 0x0102_0304);
                let facts =
                    Facts { peer, server: 0, listener: 0, unix, named, counted, born, requests };
                assert_eq!(Facts::from_bytes(&facts.to_bytes()), facts);
            }
        }
    }
}
