//! Connections that another process left at rest, on their way into the lots of this one.
//!
//! Each belongs to the listener at whose address it was accepted, whatever that was numbered then.

use super::{Key, Lots, lock};
use crate::{
    Address,
    limits::Ticket,
    listener::{canonical, unix_path},
};
use ripstop_survive::{Claims, Facts, Resting, claims, failpoint};
use rustix::net::getsockname;
use std::{
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    sync::atomic::Ordering::Relaxed,
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
    /// Takes in what was left at rest by another process, evenly in all lots, and closes what belongs
    /// to none of the listeners. Returns how many were closed.
    pub fn resume(&self, homes: &[Home]) -> usize {
        let parked = claims().into_iter().flat_map(Claims::at_rest).filter(|at| at.parked);
        let left: Vec<_> = parked.collect();
        let turns = (0..self.lots.len()).cycle();
        let taken = left.iter().zip(turns).filter(|(at, lot)| self.take_in(at, *lot, homes));
        left.len() - taken.count()
    }

    /// Takes in a connection that is parked, for the lot of this worker: at no moment it has another
    /// owner than its claim, so that a death costs nothing. False, and it is closed, where it
    /// belongs to none of the listeners.
    pub(super) fn take_in(&self, at: &Resting, worker: usize, homes: &[Home]) -> bool {
        let (Some(claims), lot) = (claims(), &self.lots[worker]) else { return false };
        let entering = lock(&lot.entering);
        let taken = claims.visit(at, |fd, claim| {
            let number = home(fd, &at.facts, homes)?;
            let facts = Facts { server: self.server, listener: number, ..at.facts };
            let mut ticket = Ticket::second(self.readmission(&facts)?.connections().clone());
            lot.watch(fd, Key::of(claim), false).ok()?;
            failpoint("taking-in");
            // It was there before others, so it stays, even where its client has too many by now.
            let client = facts.peer.map(|peer| peer.ip());
            let counted = client.is_some_and(|client| ticket.admit_client(client).is_ok())
                && ticket.counts_client();
            claim.set_facts(&Facts { counted, ..facts });
            claim.belongs_to(worker);
            lot.parked.fetch_add(1, Relaxed);
            ticket.leave_behind();
            Some(())
        });
        drop(entering);
        let is_in = taken.flatten().is_some();
        if !is_in && let Some((_fd, claim)) = claims.unpark(at.number, at.generation) {
            claim.free();
        }
        is_in
    }
}

/// The number of the listener that a connection was accepted by.
fn home(fd: BorrowedFd<'_>, facts: &Facts, homes: &[Home]) -> Option<u16> {
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
    // A listener without it takes no connection whose client a header has named.
    (home.proxy_protocol || !facts.named).then_some(home.number)
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
