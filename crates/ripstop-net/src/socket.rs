//! Sockets: accepted connections that join tokio's reactor only when they have to wait.
//!
//! A connection that finds its request already there, answers it and closes never costs an
//! `epoll_ctl` or a wake-up. Owns the descriptor and the bytes that were read ahead of it. TLS
//! and the PROXY protocol are left to their modules.

use std::fmt;
use std::io::{self, IoSlice};
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use ripstop_survive::{Claim, Facts, Tick, claims};
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::coop::poll_proceed;

use crate::limits::Ticket;
use crate::reserve::{FORBIDDEN, UNAVAILABLE, turn_away};

/// How much of a reader's uninitialised buffer is initialised at once.
const INITIALIZE_MAX: usize = 16 * 1024;

/// Which kind of stream a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Tcp,
    Unix,
}

/// An accepted TCP or Unix stream.
///
/// It reads and writes its descriptor directly until one of the two would block; then it
/// registers with the tokio runtime in whose context it is polled and stays there. Both ways
/// count against tokio's cooperative budget. A clean end of what is sent needs
/// [`poll_shutdown`](AsyncWrite::poll_shutdown); dropping it closes it.
///
/// # Panics
/// Polling panics outside a tokio runtime with I/O enabled, once the socket has to wait.
pub struct Socket {
    /// What others may know of it; in front of the stream, since it is given up before that is
    /// closed.
    claim: Option<Held>,
    stream: Inner,
    /// The peer of a TCP connection, or what a PROXY header said instead.
    peer: Option<SocketAddr>,
    /// A PROXY header said it.
    named: bool,
    /// What was read ahead, and is read first. Boxed, since hardly any socket has it.
    prefix: Option<Box<Bytes>>,
    /// The worker whose lot knows the descriptor, since it was parked there.
    lot: Option<u16>,
    /// Its place among the connections; behind the stream, since it is free when that is closed.
    pub(crate) ticket: Option<Ticket>,
}

/// The claim of a socket, given up on drop.
struct Held(Claim);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.free();
    }
}

enum Inner {
    Direct(OwnedFd, Family),
    Registered(Registered),
    /// Registering failed and closed the descriptor.
    Lost,
}

enum Registered {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Wraps a non-blocking descriptor.
    pub(crate) fn accepted(fd: OwnedFd, family: Family, peer: Option<SocketAddr>) -> Self {
        let stream = Inner::Direct(fd, family);
        Self { claim: None, stream, peer, named: false, prefix: None, lot: None, ticket: None }
    }

    /// Goes on with a connection that was at rest, which keeps its place.
    pub(crate) fn resumed(
        fd: OwnedFd,
        claim: Option<Claim>,
        facts: &Facts,
        ticket: Ticket,
    ) -> Self {
        let family = if facts.unix { Family::Unix } else { Family::Tcp };
        Self {
            claim: claim.map(Held),
            stream: Inner::Direct(fd, family),
            peer: facts.peer,
            named: facts.named,
            prefix: None,
            lot: None,
            ticket: Some(ticket),
        }
    }

    /// Claims the connection, of the listener with this number, which from now on can be found by
    /// others of its server. Without memory for claims it stays with its task.
    pub(crate) fn enter_claims(&mut self, server: u16, listener: u16) {
        let counted = self.counts_client();
        let (peer, unix) = (self.peer, self.family() == Some(Family::Unix));
        let (named, born) = (self.named, Tick::now());
        let facts = Facts { peer, server, listener, unix, named, counted, born, requests: 0 };
        self.claim = self.fd().and_then(|fd| claims()?.begin(fd, &facts)).map(Held);
    }

    /// Whether it is counted among the connections of its client.
    pub(crate) fn counts_client(&self) -> bool {
        self.ticket.as_ref().is_some_and(Ticket::counts_client)
    }

    /// The connection's claim, if it has one.
    pub fn claim(&self) -> Option<Claim> {
        self.claim.as_ref().map(|held| held.0)
    }

    fn family(&self) -> Option<Family> {
        match &self.stream {
            Inner::Direct(_, family) => Some(*family),
            Inner::Registered(Registered::Tcp(_)) => Some(Family::Tcp),
            Inner::Registered(Registered::Unix(_)) => Some(Family::Unix),
            Inner::Lost => None,
        }
    }

    /// Waits until there is something to read, without reading it; ready at once where only reading
    /// can tell. Cancel safe.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            Inner::Registered(Registered::Tcp(stream)) => stream.poll_read_ready(cx),
            Inner::Registered(Registered::Unix(stream)) => stream.poll_read_ready(cx),
            Inner::Direct(..) | Inner::Lost => Poll::Ready(Ok(())),
        }
    }

    /// Leaves tokio's reactor; it joins again when it next has to wait.
    ///
    /// # Errors
    /// If the reactor does not let it go; the descriptor is closed then.
    pub(crate) fn leave_reactor(&mut self) -> io::Result<()> {
        self.stream = match std::mem::replace(&mut self.stream, Inner::Lost) {
            Inner::Registered(Registered::Tcp(tcp)) => {
                Inner::Direct(tcp.into_std()?.into(), Family::Tcp)
            }
            Inner::Registered(Registered::Unix(unix)) => {
                Inner::Direct(unix.into_std()?.into(), Family::Unix)
            }
            other => other,
        };
        Ok(())
    }

    /// Gives the descriptor to the claim, and leaves the place among the connections behind. The
    /// socket must have left the reactor, and have nothing read ahead; without a claim it closes.
    ///
    /// # Errors
    ///
    /// Somebody else has taken the connection: the descriptor is to be closed, and nothing else.
    pub(crate) fn park(self) -> Result<(), OwnedFd> {
        let Self { claim, stream, ticket, .. } = self;
        let (Some(claim), Inner::Direct(fd, _)) = (claim, stream) else { return Ok(()) };
        claim.0.park(fd)?;
        // It is the claim's now.
        let _ = ManuallyDrop::new(claim);
        ticket.map(Ticket::leave_behind).unwrap_or_default();
        Ok(())
    }

    /// Remembers that the descriptor is known to the lot of this worker.
    pub(crate) fn registered_in(mut self, worker: usize) -> Self {
        self.lot = u16::try_from(worker).ok();
        self
    }

    /// The worker whose lot knows the descriptor.
    pub(crate) fn lot(&self) -> Option<usize> {
        self.lot.map(usize::from)
    }

    /// Sends as much of the bytes as can be sent at once. A peer that is gone does not matter.
    pub(crate) fn send_now(&self, bytes: &[u8]) {
        self.fd().map(|fd| send(fd, bytes, SendFlags::NOSIGNAL));
    }

    /// Whether there is nothing to read, and never will be.
    pub(crate) fn is_over(&self) -> bool {
        let Some(fd) = self.fd() else { return true };
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match recv(fd, [0u8; 1].as_mut_slice(), flags) {
            Ok((_, length)) => length == 0,
            Err(err) => !matches!(err, Errno::AGAIN | Errno::INTR),
        }
    }

    /// Whether bytes that were read ahead wait to be read.
    pub(crate) fn has_read_ahead(&self) -> bool {
        self.prefix.is_some()
    }

    /// The address of the client: the TCP peer, or what a PROXY header said. A Unix peer has none.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Replaces the address of the client, which a PROXY header knows better.
    pub(crate) fn set_peer_addr(&mut self, peer: SocketAddr) {
        self.peer = Some(peer);
        self.named = true;
    }

    /// Puts bytes that were read ahead back in front of all others.
    pub(crate) fn unread(&mut self, bytes: Bytes) {
        assert!(self.prefix.is_none(), "only one reader reads ahead of a socket");
        self.prefix = (!bytes.is_empty()).then(|| Box::new(bytes));
    }

    /// Whether it has joined a tokio reactor.
    pub fn is_registered(&self) -> bool {
        matches!(self.stream, Inner::Registered(_))
    }

    /// The descriptor, to ask or set what only the socket knows; `None` after it could not join a
    /// reactor, which closes it.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.stream {
            Inner::Direct(fd, _) => Some(fd.as_fd()),
            Inner::Registered(Registered::Tcp(stream)) => Some(stream.as_fd()),
            Inner::Registered(Registered::Unix(stream)) => Some(stream.as_fd()),
            Inner::Lost => None,
        }
    }

    /// Makes the close that follows a reset, so that the peer does not take what it got for the
    /// whole (`SO_LINGER` of zero). On a Unix socket it does nothing.
    pub fn abort(&self) {
        if let Some(fd) = self.fd() {
            // A socket that cannot be reset is closed all the same.
            let _ = rustix::net::sockopt::set_socket_linger(fd, Some(std::time::Duration::ZERO));
        }
    }

    /// Answers that there is no place for it, if its client speaks HTTP in clear text (`plain`),
    /// and closes it. Never blocks, and does not wait for the client.
    pub fn turn_away(self, plain: bool) {
        self.close_with(if plain { UNAVAILABLE } else { b"" });
    }

    /// Answers that its client may not come, if that speaks HTTP in clear text (`plain`), and
    /// closes it, as [`Socket::turn_away`] does.
    pub fn forbid(self, plain: bool) {
        self.close_with(if plain { FORBIDDEN } else { b"" });
    }

    fn close_with(self, answer: &[u8]) {
        self.fd().inspect(|fd| turn_away(fd, answer));
    }

    /// Leaves tokio, and gives the descriptor and what was read ahead of it, which is empty but
    /// after a PROXY header. It is no longer counted among the connections.
    ///
    /// # Errors
    /// If the reactor does not let it go, or the socket was lost to an earlier error; the
    /// descriptor is closed then.
    pub fn into_fd(self) -> io::Result<(OwnedFd, Bytes)> {
        let fd = match self.stream {
            Inner::Direct(fd, _) => fd,
            Inner::Registered(Registered::Tcp(tcp)) => tcp.into_std()?.into(),
            Inner::Registered(Registered::Unix(unix)) => unix.into_std()?.into(),
            Inner::Lost => return Err(lost()),
        };
        Ok((fd, self.prefix.map(|prefix| *prefix).unwrap_or_default()))
    }

    /// The stream within tokio's reactor, which it joins if it has not yet.
    fn registered(&mut self) -> io::Result<&mut Registered> {
        if let Inner::Direct(..) = self.stream {
            self.stream = match std::mem::replace(&mut self.stream, Inner::Lost) {
                Inner::Direct(fd, family) => Inner::Registered(Registered::join(fd, family)?),
                other => other,
            };
        }
        match &mut self.stream {
            Inner::Registered(stream) => Ok(stream),
            Inner::Direct(..) | Inner::Lost => Err(lost()),
        }
    }

    /// Runs `io` on the descriptor, if the socket is not registered and `io` would not block.
    fn poll_direct<T>(
        &mut self,
        cx: &mut Context<'_>,
        io: impl FnOnce(&OwnedFd) -> Result<T, Errno>,
    ) -> Poll<Option<io::Result<T>>> {
        let Inner::Direct(fd, _) = &self.stream else {
            return Poll::Ready(None);
        };
        let budget = ready!(poll_proceed(cx));
        match io(fd) {
            Err(Errno::AGAIN | Errno::INTR) => Poll::Ready(None),
            done => {
                budget.made_progress();
                Poll::Ready(Some(done.map_err(io::Error::from)))
            }
        }
    }

    /// Moves bytes that were read ahead into `buf`; false if there are none.
    fn read_prefix(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let Some(prefix) = &mut self.prefix else {
            return false;
        };
        let len = prefix.len().min(buf.remaining());
        buf.put_slice(&prefix[..len]);
        prefix.advance(len);
        if prefix.is_empty() {
            self.prefix = None;
        }
        true
    }
}

impl Registered {
    fn join(fd: OwnedFd, family: Family) -> io::Result<Self> {
        match family {
            Family::Tcp => TcpStream::from_std(fd.into()).map(Self::Tcp),
            Family::Unix => UnixStream::from_std(StdUnixStream::from(fd)).map(Self::Unix),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read_prefix(buf) {
            return Poll::Ready(Ok(()));
        }
        if let Some(done) = ready!(this.poll_direct(cx, |fd| receive(fd, buf))) {
            return Poll::Ready(done);
        }
        match this.registered()? {
            Registered::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Registered::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(done) = ready!(this.poll_direct(cx, |fd| send(fd, buf, SendFlags::NOSIGNAL))) {
            return Poll::Ready(done);
        }
        match this.registered()? {
            Registered::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Registered::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(done) = ready!(this.poll_direct(cx, |fd| send_vectored(fd, bufs))) {
            return Poll::Ready(done);
        }
        match this.registered()? {
            Registered::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Registered::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends what is sent (`SHUT_WR`); reading goes on.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = match self.fd() {
            Some(fd) => shutdown(fd, Shutdown::Write),
            None => Ok(()),
        };
        // A peer that is gone already needs no end.
        Poll::Ready(done.or_else(|err| match err {
            Errno::NOTCONN => Ok(()),
            _ => Err(err.into()),
        }))
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("fd", &self.fd())
            .field("peer", &self.peer)
            .field("registered", &self.is_registered())
            .finish_non_exhaustive()
    }
}

/// Reads what is there into `buf`, without asking for more initialised memory than is sensible.
fn receive(fd: &OwnedFd, buf: &mut ReadBuf<'_>) -> Result<(), Errno> {
    let initialized = buf.initialized().len() - buf.filled().len();
    let len = buf.remaining().min(initialized.max(INITIALIZE_MAX));
    let (_, read) = recv(fd, buf.initialize_unfilled_to(len), RecvFlags::empty())?;
    buf.advance(read);
    Ok(())
}

fn send_vectored(fd: &OwnedFd, bufs: &[IoSlice<'_>]) -> Result<usize, Errno> {
    // The kernel refuses more (UIO_MAXIOV).
    let bufs = &bufs[..bufs.len().min(1024)];
    sendmsg(fd, bufs, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket could not join the reactor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_small() {
        assert!(size_of::<Socket>() <= 136, "{}", size_of::<Socket>());
    }
}
