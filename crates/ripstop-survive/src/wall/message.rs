//! Messages between two processes that may pass a descriptor.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Sends one message.
pub(super) fn send(
    to: impl AsFd,
    parts: &[IoSlice<'_>],
    passed: Option<BorrowedFd<'_>>,
) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    if let Some(passed) = &passed {
        rights.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(passed)));
    }
    sendmsg(to, parts, &mut rights, SendFlags::NOSIGNAL).map(drop)
}

/// Receives one message: its length, 0 when there is nobody any more, and the descriptor that came
/// with it, if there was room for it.
pub(super) fn receive(
    from: impl AsFd,
    parts: &mut [IoSliceMut<'_>],
    flags: RecvFlags,
) -> rustix::io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(from, parts, &mut rights, flags | RecvFlags::CMSG_CLOEXEC)?;
    let passed = rights.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
        _ => None,
    });
    Ok((message.bytes, passed))
}
