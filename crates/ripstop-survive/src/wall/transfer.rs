//! Connections on their way from a server to the one that takes its place.
//!
//! Each is one message: the descriptor, and what is known of it. Its claim says [`State::Handed`]
//! before the message is sent, so that no death in the middle leaves it with two owners (it may cost
//! the one connection that is between the two); what was sent is in the kernel, and is not lost with
//! either of them.
//!
//! [`State::Handed`]: crate::State::Handed

use super::descriptor::borrow;
use crate::claims::{Claims, Facts, Resting, claims};
use rustix::{
    fs::fstat,
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
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
        let Some((fd, claim)) = claims().and_then(|claims| claims.hand(at)) else {
            return Ok(false);
        };
        forget(fd.as_fd());
        let sent = self.send(&fd, &at.facts);
        claim.free();
        Ok(sent.map(|()| true)?)
    }

    fn send(&self, fd: &OwnedFd, facts: &Facts) -> rustix::io::Result<()> {
        let bytes = facts.to_bytes();
        let (parts, descriptors) = ([IoSlice::new(&bytes)], [fd.as_fd()]);
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut rights = SendAncillaryBuffer::new(&mut space);
            rights.push(SendAncillaryMessage::ScmRights(&descriptors));
            match sendmsg(&self.0, &parts, &mut rights, SendFlags::NOSIGNAL) {
                // Too many descriptors of this user are on their way.
                Err(Errno::INTR | Errno::TOOMANYREFS) => std::thread::yield_now(),
                sent => return sent.map(drop),
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
    /// When this process has no descriptor or no claim for it; it is closed then.
    pub fn take(&mut self) -> io::Result<Option<Resting>> {
        loop {
            let Some((fd, facts)) = self.receive(RecvFlags::PEEK)? else { return Ok(None) };
            let is_known = std::mem::take(&mut self.first) && is_claimed(&fd);
            let adopted = fd.filter(|_| !is_known).map(|fd| claims()?.adopt(fd, &facts));
            self.receive(RecvFlags::empty())?;
            match adopted {
                Some(Some(resting)) => return Ok(Some(resting)),
                _ if is_known => {}
                _ => return Err(io::Error::other("no descriptor or no claim is left for it")),
            }
        }
    }

    /// The next message: the connection's descriptor, if there was one left for it.
    fn receive(&self, flags: RecvFlags) -> io::Result<Option<(Option<OwnedFd>, Facts)>> {
        let mut bytes = [0; Facts::BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let (mut parts, flags) = ([IoSliceMut::new(&mut bytes)], flags | RecvFlags::CMSG_CLOEXEC);
        let message = loop {
            match recvmsg(&self.socket, &mut parts, &mut rights, flags) {
                Err(Errno::INTR) => {}
                received => break received?,
            }
        };
        let passed = rights.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
            _ => None,
        });
        Ok((message.bytes > 0).then(|| (passed, Facts::from_bytes(&bytes))))
    }
}

/// Whether a parked claim is of the same connection, by another descriptor.
fn is_claimed(fd: &Option<OwnedFd>) -> bool {
    let inode = |fd: BorrowedFd<'_>| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    let Some(wanted) = fd.as_ref().and_then(|fd| inode(fd.as_fd()).ok()) else { return false };
    let parked = claims().into_iter().flat_map(Claims::at_rest).filter(|at| at.parked);
    let mut inodes = parked.map(|at| borrow(at.number, inode));
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
