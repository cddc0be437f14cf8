//! The reserve: one spare descriptor, given up to answer a connection when no other is left.
//!
//! Without it a process that has run out of descriptors can neither take nor refuse those who
//! wait, and its listener stays readable for ever. Owns the spare descriptor. When to refuse, and
//! how long to pause after it, is left to `gate.rs`.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use crate::listener::Listener;

/// How often at most a connection is read from before it is closed.
const DRAIN_READS_MAX: usize = 16;

/// What is told to a client for whom there is no place.
pub(crate) const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    connection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// What is told to a client that may not come.
pub(crate) const FORBIDDEN: &[u8] = b"HTTP/1.1 403 Forbidden\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";

/// A spare descriptor.
#[derive(Debug)]
pub struct Reserve {
    /// `None` after it was given up, as long as no descriptor was free to replace it.
    spare: Option<OwnedFd>,
}

/// What became of [`Reserve::refuse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// One connection was taken, answered and closed.
    Answered,
    /// No connection was waiting, or it failed before it was taken.
    NobodyWaited,
    /// Not even the spare descriptor is there: pause, descriptors come back when others close.
    NoSpare,
}

impl Reserve {
    /// Opens the spare descriptor.
    ///
    /// # Errors
    /// If there is none, or `/dev/null` can't be opened.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { spare: Some(open_spare()?) })
    }

    /// Takes the one connection that has waited longest, sends it `answer` (nothing, if that is
    /// empty, as for a TLS listener) and closes it. Never blocks.
    pub fn refuse(&mut self, listener: &Listener, answer: &[u8]) -> Refusal {
        if self.spare.is_none() {
            self.spare = open_spare().ok();
        }
        if self.spare.take().is_none() {
            return Refusal::NoSpare;
        }
        let refusal = match listener.accept() {
            Ok((socket, _)) => {
                socket.fd().inspect(|fd| turn_away(fd, answer));
                Refusal::Answered
            }
            Err(_) => Refusal::NobodyWaited,
        };
        self.spare = open_spare().ok();
        refusal
    }
}

/// Sends the answer so that it arrives: a close with unread bytes would discard it.
pub(crate) fn turn_away(fd: impl AsFd, answer: &[u8]) {
    // The peer is going to be closed in any case, so its errors change nothing.
    if send(&fd, answer, SendFlags::NOSIGNAL).is_ok() && shutdown(&fd, Shutdown::Write).is_ok() {
        let mut unread = [0; 4096];
        for _ in 0..DRAIN_READS_MAX {
            if !matches!(recv(&fd, &mut unread, RecvFlags::empty()), Ok((_, read)) if read > 0) {
                break;
            }
        }
    }
}

fn open_spare() -> rustix::io::Result<OwnedFd> {
    open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}
