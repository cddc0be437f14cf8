//! The listeners that the master holds: duplicates that a server sends it, so that their queues of
//! clients outlive server and keeper together. And what it sends a server: the way to the next one.

use super::super::{control::Control, message};
use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair},
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

/// Bytes of a message: its slot, and the key.
const MESSAGE: usize = 256;

/// One listener.
#[derive(Debug)]
pub(super) struct Held {
    slot: u8,
    key: Vec<u8>,
    fd: OwnedFd,
}

impl Held {
    pub(super) fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub(super) fn duplicate(&self) -> io::Result<Self> {
        Ok(Self { slot: self.slot, key: self.key.clone(), fd: self.fd.try_clone()? })
    }

    /// Lists it for the next server, by its number here.
    pub(super) fn list(&self, control: &Control) {
        control.write(usize::from(self.slot), self.number(), &self.key);
    }
}

/// Whether whoever uses a socket waits for the other end.
#[derive(Clone, Copy)]
pub(super) enum Waits {
    Yes,
    No,
}

/// The ends of a connection between two processes, which keeps messages apart.
pub(super) fn socket_pair(waits: Waits) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let flags = match waits {
        Waits::Yes => SocketFlags::CLOEXEC,
        Waits::No => SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
    };
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// Tells the master to hold a listener, or, without one, to let that of the slot go.
pub(in super::super) fn tell(
    master: impl AsFd,
    slot: usize,
    key: &str,
    listener: Option<BorrowedFd<'_>>,
) -> rustix::io::Result<()> {
    let slot = [u8::try_from(slot).unwrap_or(u8::MAX)];
    let parts = [IoSlice::new(&slot), IoSlice::new(key.as_bytes())];
    message::send(master, &parts, listener)
}

/// Passes the server a descriptor.
pub(super) fn pass(server: impl AsFd, passed: BorrowedFd<'_>) -> rustix::io::Result<()> {
    tell(server, 0, "", Some(passed))
}

/// What the master has passed, if it has; an error when there is nobody any more.
pub(in super::super) fn passed(master: impl AsFd) -> rustix::io::Result<Option<OwnedFd>> {
    match receive(master, &mut [0; MESSAGE]) {
        Ok((0, _)) => Err(Errno::PIPE),
        Ok((_, passed)) => Ok(passed),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(err) => Err(err),
    }
}

/// Takes what the server says; an error when there is nobody any more.
pub(super) fn take(server: &OwnedFd, held: &mut Vec<Held>) -> rustix::io::Result<()> {
    loop {
        let mut bytes = [0; MESSAGE];
        let (count, fd) = match receive(server, &mut bytes) {
            Ok((0, _)) => return Err(Errno::PIPE),
            Ok(received) => received,
            Err(Errno::AGAIN) => return Ok(()),
            Err(err) => return Err(err),
        };
        let (slot, key) = (bytes[0], bytes[1..count].to_vec());
        held.retain(|held| held.slot != slot);
        held.extend(fd.map(|fd| Held { slot, key, fd }));
    }
}

fn receive(
    from: impl AsFd,
    bytes: &mut [u8; MESSAGE],
) -> rustix::io::Result<(usize, Option<OwnedFd>)> {
    message::receive(from, &mut [IoSliceMut::new(bytes)], RecvFlags::empty())
}
