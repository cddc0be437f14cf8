//! Connections on their way from a server to the one that takes its place.
//!
//! Each is one message: the descriptor, and what is known of it. Its claim says [`State::Handed`]
//! before the message is sent, so that no death in the middle leaves it with two owners; the memory
//! between both ends is the kernel's, so what was sent is not lost with either of them.
//!
//! [`State::Handed`]: crate::State::Handed

use crate::claims::{Claim, Facts};
use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

/// The way to the server that takes this one's place.
#[derive(Debug)]
pub struct Successor(OwnedFd);

/// The way from the server whose place this one takes.
#[derive(Debug)]
pub struct Predecessor(OwnedFd);

impl Successor {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Hands a connection over, which must be busy by its claim, and closes it here. Blocks while the
    /// other one is behind.
    ///
    /// # Errors
    ///
    /// When the other server is gone for good; the connection is closed then.
    pub fn give(&self, fd: OwnedFd, claim: Claim) -> io::Result<()> {
        let facts = claim.facts();
        claim.hand();
        let sent = self.send(&fd, &facts);
        claim.free();
        Ok(sent?)
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
        Self(socket)
    }

    /// Waits for the next connection. `None` when there are no more.
    ///
    /// # Errors
    ///
    /// When this process has no descriptor for it, which is lost then.
    pub fn take(&self) -> io::Result<Option<(OwnedFd, Facts)>> {
        let mut bytes = [0; Facts::BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let (mut parts, flags) = ([IoSliceMut::new(&mut bytes)], RecvFlags::CMSG_CLOEXEC);
        let message = loop {
            match recvmsg(&self.0, &mut parts, &mut rights, flags) {
                Err(Errno::INTR) => {}
                received => break received?,
            }
        };
        if message.bytes == 0 {
            return Ok(None);
        }
        let passed = rights.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
            _ => None,
        });
        let fd = passed.ok_or_else(|| io::Error::other("a connection came without descriptor"))?;
        Ok(Some((fd, Facts::from_bytes(&bytes))))
    }
}

impl Drop for Predecessor {
    fn drop(&mut self) {
        // Whoever comes after this server has nobody to wait for.
        if let Some(wall) = super::wall() {
            wall.control.set_predecessor(None);
        }
    }
}
