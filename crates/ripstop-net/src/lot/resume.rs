//! Connections that another process left at rest, on their way into the lots of this one.
//!
//! Each belongs to the listener at whose address it was accepted, whatever that was numbered then.

use super::{Lots, lock};
use crate::{
    Address,
    limits::Ticket,
    listener::{canonical, unix_path},
    socket::Socket,
};
use ripstop_survive::{Claim, Claims, Facts, Resting, claims};
use rustix::net::getsockname;
use std::{
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
};

/// A listener that takes connections.
#[derive(Clone, Debug)]
pub struct Home {
    /// Where it listens.
    pub address: Address,
    /// Its number in the lots.
    pub number: u16,
    /// Its connections begin with a PROXY header, so that their peers are others than said.
    pub proxy_protocol: bool,
}

impl Lots {
    /// Parks what was left at rest by another process, evenly in all lots, and closes what belongs
    /// to none of the listeners. Returns how many were closed.
    pub fn resume(&self, homes: &[Home]) -> usize {
        let Some(claims) = claims() else { return 0 };
        let left: Vec<_> = claims.at_rest().filter(|at| at.parked).collect();
        let turns = (0..self.lots.len()).cycle();
        let parked = left
            .iter()
            .zip(turns)
            .filter(|(at, worker)| self.resume_one(claims, at, *worker, homes).is_some());
        left.len() - parked.count()
    }

    fn resume_one(
        &self,
        claims: &'static Claims,
        at: &Resting,
        worker: usize,
        homes: &[Home],
    ) -> Option<()> {
        let (fd, claim) = claims.unpark(at.number, at.generation)?;
        self.take_in(fd, claim, worker, homes)
    }

    /// Parks a connection, which is busy by its claim, in the lot of this worker. `None`, and it is
    /// closed, where it belongs to none of the listeners.
    pub(super) fn take_in(
        &self,
        fd: OwnedFd,
        claim: Claim,
        worker: usize,
        homes: &[Home],
    ) -> Option<()> {
        let facts = claim.facts();
        let Some(number) = home(&fd, &facts, homes) else {
            claim.free();
            return None;
        };
        let facts = Facts { server: self.server, listener: number, counted: false, ..facts };
        claim.set_facts(&facts);
        let Some(readmission) = self.readmission(&facts) else {
            claim.free();
            return None;
        };
        let ticket = Ticket::second(readmission.connections().clone());
        let mut socket = Socket::resumed(fd, Some(claim), &facts, ticket);
        // It was there before others, so it stays, even where its client has too many by now.
        let counted = socket.admit_client().is_ok() && socket.counts_client();
        claim.set_facts(&Facts { counted, ..facts });
        let lot = &self.lots[worker];
        let entering = lock(&lot.entering);
        let back = lot.enter(socket, worker);
        drop(entering);
        back.is_none().then_some(())
    }
}

/// The number of the listener that a connection was accepted by.
fn home(fd: &OwnedFd, facts: &Facts, homes: &[Home]) -> Option<u16> {
    let local = getsockname(fd).ok()?;
    let home = match SocketAddr::try_from(local.clone()) {
        Ok(local) => {
            let local = canonical(local);
            let is = |home: &&Home, wild| match &home.address {
                Address::Tcp(at) => at.port() == local.port() && covers(at.ip(), local.ip(), wild),
                Address::Unix(_) | Address::Inherited(_) => false,
            };
            let exactly = homes.iter().find(|home| is(home, Wild::No));
            exactly.or_else(|| homes.iter().find(|home| is(home, Wild::Yes)))
        }
        Err(_) => {
            let local = Address::Unix(unix_path(local).ok()?);
            homes.iter().find(|home| home.address == local)
        }
    }?;
    let peer = rustix::net::getpeername(fd).ok().flatten();
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).map(canonical);
    (home.proxy_protocol || peer == facts.peer).then_some(home.number)
}

/// Whether an address that stands for all of its family counts.
#[derive(Clone, Copy)]
enum Wild {
    Yes,
    No,
}

/// Whether a listener at the one address accepts connections to the other.
fn covers(listener: IpAddr, local: IpAddr, wild: Wild) -> bool {
    let all = listener.is_unspecified() && (listener.is_ipv6() || local.is_ipv4());
    listener == local || (matches!(wild, Wild::Yes) && all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_covers_its_address_or_its_family() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        for (listener, local, exactly, widely) in [
            ("127.0.0.1", "127.0.0.1", true, true),
            ("127.0.0.1", "127.0.0.2", false, false),
            ("0.0.0.0", "127.0.0.1", false, true),
            ("0.0.0.0", "::1", false, false),
            ("::", "127.0.0.1", false, true),
            ("::", "::1", false, true),
        ] {
            assert_eq!(covers(ip(listener), ip(local), Wild::No), exactly, "{listener} {local}");
            assert_eq!(covers(ip(listener), ip(local), Wild::Yes), widely, "{listener} {local}");
        }
    }
}
