//! Resuming: what becomes of the connections that a dead server left.
//!
//! Those at rest are kept, as parked ones. Where no byte of a response was out, the client is told;
//! the others are reset, so that nobody takes what was cut for whole. A claim is believed only as
//! far as its socket agrees. At each step the claims say what has been done, so that a death in the
//! middle leaves the next server with the rest.

use super::descriptor::{borrow, own};
use crate::{
    claims::{Claim, Claims, State},
    fail::failpoint,
};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt},
};
use std::{os::fd::OwnedFd, time::Duration};

/// What a client is told whose request was lost with its server, before anything of the response
/// was out.
const LOST: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 20\r\n\
    retry-after: 1\r\nconnection: close\r\n\r\nService Unavailable\n";

/// How long a client that was told has to close its end.
const FAREWELL_MS: u64 = 2000;

/// Pieces that are read and forgotten of one client at a time.
const PIECES: usize = 16;

/// What was found.
#[derive(Debug, Default)]
pub struct Resumed {
    /// Connections that go on; they are parked in their claims.
    pub kept: usize,
    /// Those that were answered 503.
    pub told: usize,
    /// Those that were reset.
    pub cut: usize,
    /// Those whose socket did not agree with the claim.
    pub disbelieved: usize,
    farewells: Farewells,
}

/// Clients that were told, until they close.
#[derive(Debug, Default)]
pub struct Farewells {
    waiting: Vec<OwnedFd>,
    since: u64,
}

impl Resumed {
    /// Goes through all that was left.
    pub(super) fn from(claims: &'static Claims) -> Self {
        let mut resumed = Self::default();
        for (state, claim) in claims.left() {
            resumed.settle(state, claim);
        }
        resumed.farewells.since = super::control::now();
        resumed
    }

    /// The clients that were told and have not closed yet.
    pub fn farewells(&mut self) -> Farewells {
        std::mem::take(&mut self.farewells)
    }

    fn settle(&mut self, state: State, claim: Claim) {
        if state != State::Free {
            failpoint("settle");
        }
        match state {
            State::Free => {}
            // The keeper has let it close.
            State::Handed => claim.free(),
            // Who was about to take it away had not done so.
            State::Idle | State::Taking | State::Parked => self.keep(claim),
            State::Handing => self.go_on_handing(claim),
            State::Busy => self.tell(claim),
            State::Started => self.cut(claim),
        }
    }

    fn keep(&mut self, claim: Claim) {
        if !is_as_claimed(claim) {
            claim.park_in_place();
            claim.free();
            drop(own(claim.left_number()));
            self.disbelieved += 1;
        } else if super::descriptor::stay_open(claim.left_number(), false) {
            claim.park_in_place();
            self.kept += 1;
            failpoint("kept");
        }
    }

    fn tell(&mut self, claim: Claim) {
        // Before it is: who dies after this must not have it told twice.
        claim.start();
        failpoint("telling");
        let believed = is_as_claimed(claim);
        claim.free();
        let Some(socket) = own(claim.left_number()) else { return };
        if !believed {
            self.disbelieved += 1;
        } else if say(&socket).is_ok() {
            failpoint("told");
            self.told += 1;
            self.farewells.waiting.push(socket);
        } else {
            self.cut += 1;
            reset(&socket);
        }
    }

    /// It may be another process's by now: whoever hands connections over goes on with it.
    fn go_on_handing(&mut self, claim: Claim) {
        if is_as_claimed(claim) {
            super::descriptor::stay_open(claim.left_number(), false);
        } else {
            claim.free();
            drop(own(claim.left_number()));
            self.disbelieved += 1;
        }
    }

    fn cut(&mut self, claim: Claim) {
        let believed = is_as_claimed(claim);
        claim.free();
        let Some(socket) = own(claim.left_number()) else { return };
        if !believed {
            self.disbelieved += 1;
        } else {
            self.cut += 1;
            reset(&socket);
            failpoint("cut");
        }
    }
}

impl Farewells {
    /// Reads on, so that what comes still does not turn the answer into a reset, and closes what is
    /// done. Returns whether anybody is left.
    pub fn look(&mut self) -> bool {
        let late = super::control::now().saturating_sub(self.since) > FAREWELL_MS;
        self.waiting.retain(|socket| !late && is_open(socket));
        !self.waiting.is_empty()
    }

    /// How often to look.
    pub const PAUSE: Duration = Duration::from_millis(50);
}

/// Whether the descriptor that was left is the connection that the claim says.
fn is_as_claimed(claim: Claim) -> bool {
    borrow(claim.left_number(), |socket| claim.is_of(socket))
}

fn say(socket: &OwnedFd) -> rustix::io::Result<()> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match send(socket, LOST, flags)? {
        sent if sent == LOST.len() => shutdown(socket, Shutdown::Write),
        _ => Err(Errno::AGAIN),
    }
}

/// Has the client see, when it is closed now, that something is missing.
fn reset(socket: &OwnedFd) {
    // On a Unix socket the client sees it anyway, by its unread request or an end in the middle.
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

fn is_open(socket: &OwnedFd) -> bool {
    let mut piece = [0; 4096];
    for _ in 0..PIECES {
        match recv(socket, &mut piece[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return false,
            Ok(_) => {}
            Err(err) => return err == Errno::AGAIN || err == Errno::INTR,
        }
    }
    true
}
