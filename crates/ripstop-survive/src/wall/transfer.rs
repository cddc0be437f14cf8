//! Connections on their way from a server to the one that takes its place.
//!
//! Each is one message: the descriptor, and what is known of it. Its claim says [`State::Handing`]
//! before the message is sent, and the receiver claims it before the message is taken, so that a death
//! at any time leaves it with one owner: whoever goes on for the dead sends it again, or takes it again,
//! and the receiver knows it by its socket. What was sent is in the kernel, and is not lost with either
//! of them.
//!
//! [`State::Handing`]: crate::State::Handing

use super::{descriptor::borrow, message};
use crate::{
    claims::{Claims, Facts, Resting, claims, inode},
    fail::failpoint,
};
use rustix::{fs::fstat, io::Errno, net::RecvFlags};
use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// The way to the server that takes this one's place.
#[derive(Debug)]
pub struct Successor(OwnedFd);

/// The way from the server whose place this one takes.
#[derive(Debug)]
pub struct Predecessor {
    socket: OwnedFd,
    /// Nothing was taken yet.
    first: bool,
}

impl Successor {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Hands a parked connection over, if nobody else was faster, and closes it here; `forget` has it
    /// before, to take it out of what watches it. Blocks while the other server is behind.
    /// `Ok(false)`: it is not parked any more.
    ///
    /// # Errors
    ///
    /// When the other server is gone for good; the connection is closed then.
    pub fn give(&self, at: &Resting, forget: impl FnOnce(BorrowedFd<'_>)) -> io::Result<bool> {
        let taken = claims().and_then(|claims| claims.hand(at));
        let Some((fd, claim)) = taken else { return Ok(false) };
        failpoint("handing");
        forget(fd.as_fd());
        let sent = self.send(&fd, &claim.facts(), false);
        failpoint("sent");
        claim.free();
        Ok(sent.map(|()| true)?)
    }

    /// Hands those over that a dead process was about to. Returns how many.
    ///
    /// # Errors
    ///
    /// As [`Successor::give`].
    pub fn give_left(&self) -> io::Result<usize> {
        let Some(claims) = claims() else { return Ok(0) };
        let left: Vec<_> = claims.left_handing().filter_map(|at| claims.handing(at)).collect();
        let count = left.len();
        for (fd, claim) in left {
            let sent = self.send(&fd, &claim.facts(), true);
            claim.free();
            sent?;
        }
        Ok(count)
    }

    /// `again`: the other one may have it already.
    fn send(&self, fd: &OwnedFd, facts: &Facts, again: bool) -> rustix::io::Result<()> {
        let (bytes, again) = (facts.to_bytes(), [u8::from(again)]);
        let inode = inode(fd).to_ne_bytes();
        let parts = [IoSlice::new(&bytes), IoSlice::new(&inode), IoSlice::new(&again)];
        loop {
            match message::send(&self.0, &parts, Some(fd.as_fd())) {
                // Too many descriptors of this user are on their way.
                Err(Errno::INTR | Errno::TOOMANYREFS) => std::thread::yield_now(),
                sent => return sent,
            }
        }
    }
}

impl Predecessor {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, first: true }
    }

    /// Waits for the next connection: it is parked, by its claim, and belongs to no server yet.
    /// `None` when there are no more.
    ///
    /// It is looked at first, then claimed, and only then taken out of the socket: a death in
    /// between leaves it there for the next server, which knows it again by its claim.
    ///
    /// # Errors
    ///
    /// When this process has no descriptor or no claim for it, or it is not the connection that it is
    /// said to be; it is closed then.
    pub fn take(&mut self) -> io::Result<Option<Resting>> {
        loop {
            let Some(Message { fd, inode, facts, again }) = self.receive(RecvFlags::PEEK) else {
                return Ok(None);
            };
            failpoint("peeked");
            let maybe_known = std::mem::take(&mut self.first) || again;
            let is_known = maybe_known && is_claimed(&fd);
            let adopted = fd.filter(|_| !is_known).map(|fd| claims()?.adopt(fd, inode, &facts));
            failpoint("adopted");
            let _ = self.receive(RecvFlags::empty());
            failpoint("taken");
            match adopted {
                Some(Some(resting)) => return Ok(Some(resting)),
                _ if is_known => {}
                _ => {
                    return Err(io::Error::other(
                        "no room is left for it, or it is not what was said",
                    ));
                }
            }
        }
    }

    /// The next message; `None` when nothing more can be received.
    fn receive(&self, flags: RecvFlags) -> Option<Message> {
        let (mut bytes, mut inode, mut again) = ([0; Facts::BYTES], [0; 8], [0]);
        let parts = [&mut bytes[..], &mut inode, &mut again];
        let mut parts = parts.map(IoSliceMut::new);
        let (length, fd) = loop {
            match message::receive(&self.socket, &mut parts, flags) {
                Err(Errno::INTR) => {}
                Err(err) => {
                    log::error!(err:%; "no more connections can be taken over");
                    return None;
                }
                Ok(received) => break received,
            }
        };
        let (facts, inode) = (Facts::from_bytes(&bytes), u64::from_ne_bytes(inode));
        let again = again != [0];
        (length > 0).then_some(Message { fd, inode, facts, again })
    }
}

/// A connection that comes.
struct Message {
    /// `None` if there was no descriptor left for it.
    fd: Option<OwnedFd>,
    /// That of the connection.
    inode: u64,
    facts: Facts,
    /// It may have come before.
    again: bool,
}

/// Whether a claim is of the same connection, by another descriptor.
fn is_claimed(fd: &Option<OwnedFd>) -> bool {
    let inode = |fd: BorrowedFd<'_>| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    let Some(wanted) = fd.as_ref().and_then(|fd| inode(fd.as_fd()).ok()) else { return false };
    let claimed = claims().into_iter().flat_map(Claims::claimed);
    let mut inodes = claimed.map(|number| borrow(number, inode));
    inodes.any(|inode| inode == Ok(wanted))
}

impl Drop for Predecessor {
    fn drop(&mut self) {
        // Whoever comes after this server has nobody to wait for.
        if let Some(wall) = super::wall() {
            wall.control.set_predecessor(None);
        }
    }
}
