//! The listeners that the master holds: duplicates that a server sends it, so that their queues of
//! clients outlive server and keeper together.

use super::super::control::Control;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};
use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
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

    /// Lists it for the next server, by its number here.
    pub(super) fn list(&self, control: &Control) {
        control.write(usize::from(self.slot), self.number(), &self.key);
    }
}

/// The ends of a connection between master and server, which keeps messages apart.
pub(super) fn socket_pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
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
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<_> = listener.into_iter().collect();
    if !descriptors.is_empty() {
        rights.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    sendmsg(master, &parts, &mut rights, SendFlags::NOSIGNAL).map(drop)
}

/// Takes what the server says; an error when there is nobody any more.
pub(super) fn take(server: &OwnedFd, held: &mut Vec<Held>) -> rustix::io::Result<()> {
    loop {
        let mut bytes = [0; MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let (mut parts, flags) = ([IoSliceMut::new(&mut bytes)], RecvFlags::CMSG_CLOEXEC);
        let count = match recvmsg(server, &mut parts, &mut rights, flags) {
            Ok(message) if message.bytes == 0 => return Err(Errno::PIPE),
            Ok(message) => message.bytes,
            Err(Errno::AGAIN) => return Ok(()),
            Err(err) => return Err(err),
        };
        let (slot, key) = (bytes[0], bytes[1..count].to_vec());
        held.retain(|held| held.slot != slot);
        let passed = rights.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
            _ => None,
        });
        held.extend(passed.map(|fd| Held { slot, key, fd }));
    }
}
