//! Listeners: binds a socket and takes one connection after the other from it.
//!
//! Owns the listening socket and, for a Unix one, its file. When to accept, how many, and what
//! becomes of a connection is left to `gate.rs`.

use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ripstop_survive::{Kept, Wall, set_defer_accept, wall};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{
    self, AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, acceptfrom_with,
};

use crate::address::{Address, Descriptor};
use crate::error::{AcceptError, BindError};
use crate::inherited::Inherited;
use crate::socket::{Family, Socket};
use crate::unix_file::{UnixFile, make_way};

/// What a [`Listener`] is bound with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerOptions {
    /// What logs and requests call this listener. Default: `main`.
    pub name: Arc<str>,
    /// Where it listens. Default: `127.0.0.1:8080`.
    pub address: Address,
    /// How many connections may wait to be accepted, from 1; the kernel lowers it to
    /// `net.core.somaxconn`. Default: 4096, which is Linux's own default for that. Not used for
    /// an inherited socket.
    pub backlog: u32,
    /// Whether the address can be bound again while connections of an earlier process are in
    /// `TIME_WAIT` (`SO_REUSEADDR`). Default: true.
    pub reuse_address: bool,
    /// How long a TCP connection on which nothing was sent yet may wait in the kernel, which wakes
    /// us only with the first bytes (`TCP_DEFER_ACCEPT`, in whole seconds): it costs a fifth of
    /// the processor time of a short connection to be told earlier. A silent client is accepted
    /// when the time is over. `None` accepts at once. Default: one second.
    pub defer_accept: Option<Duration>,
    /// The permission bits of a Unix listener's file, as `0o660`. Default: what the umask leaves.
    pub unix_mode: Option<u32>,
    /// Whether every connection must begin with a PROXY header, see [`proxy`](crate::proxy).
    /// Default: false, then none is looked for.
    pub proxy_protocol: bool,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            name: "main".into(),
            address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            backlog: 4096,
            reuse_address: true,
            defer_accept: Some(Duration::from_secs(1)),
            unix_mode: None,
            proxy_protocol: false,
        }
    }
}

/// A socket that listens.
///
/// ```
/// use ripstop_net::{AcceptStep, Inherited, Listener, ListenerOptions};
///
/// let options = ListenerOptions { address: "127.0.0.1:0".parse()?, ..Default::default() };
/// let listener = Listener::bind(&options, &Inherited::default())?;
/// assert_ne!(listener.local_address().to_string(), "127.0.0.1:0");
/// assert_eq!(listener.accept().unwrap_err().next_step(), AcceptStep::WouldBlock);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    /// Has the socket outlive the process, where there is a process wall. Goes before the socket.
    kept: Option<Kept>,
    fd: OwnedFd,
    name: Arc<str>,
    address: Address,
    family: Family,
    proxy_protocol: bool,
    /// Held for the `Drop` of its last owner, which removes the file.
    file: Option<Arc<UnixFile>>,
}

impl Listener {
    /// Binds and listens, unless [`Inherited::bind`] has done so. A Unix socket file on which nobody
    /// listens is replaced. The socket is non-blocking and closes itself on exec.
    ///
    /// # Errors
    /// Says what is wrong with the address, and what would be right.
    pub fn bind(options: &ListenerOptions, inherited: &Inherited) -> Result<Self, BindError> {
        if let Some(bound) = inherited.take_bound(options) {
            return Ok(bound);
        }
        match wall().and_then(|wall| wall.listener(&key(options))) {
            // Somebody may have removed its file.
            Some((fd, kept)) => {
                Self::resume(fd, kept, options).or_else(|_| Self::bind_anew(options, inherited))
            }
            None => Self::bind_anew(options, inherited),
        }
    }

    /// Goes on with the listener of the process before this one.
    fn resume(fd: OwnedFd, kept: Kept, options: &ListenerOptions) -> Result<Self, BindError> {
        let file = match &options.address {
            Address::Unix(path) => UnixFile::adopt(path, options.unix_mode)
                .map(Some)
                .map_err(|err| BindError::new(&options.address, err))?,
            Address::Tcp(_) | Address::Inherited(_) => None,
        };
        let resumed = Self::new(fd, options, file.map(Arc::new))?;
        let listener = Self { kept: Some(kept), ..resumed };
        listener.take_options(options)?;
        Ok(listener)
    }

    fn bind_anew(options: &ListenerOptions, inherited: &Inherited) -> Result<Self, BindError> {
        let named = |err: Errno| BindError::new(&options.address, err);
        let (fd, file) = match &options.address {
            Address::Tcp(addr) => {
                let fd = bind_tcp(*addr, options).map_err(named)?;
                defer_accept(&fd, options);
                (fd, None)
            }
            Address::Unix(path) => bind_unix(path, options)?,
            Address::Inherited(descriptor) => (inherit(descriptor, options, inherited)?, None),
        };
        Ok(Self::new(fd, options, file.map(Arc::new))?.keep(options))
    }

    fn new(
        fd: OwnedFd,
        options: &ListenerOptions,
        file: Option<Arc<UnixFile>>,
    ) -> Result<Self, BindError> {
        let named = |err: Errno| BindError::new(&options.address, err);
        let (address, family) = local_address(&fd).map_err(named)?;
        if family == Family::Tcp {
            // Accepted sockets inherit it, which saves a system call for each.
            sockopt::set_tcp_nodelay(&fd, true).map_err(named)?;
        }
        let (name, proxy_protocol) = (options.name.clone(), options.proxy_protocol);
        Ok(Self { kept: None, fd, name, address, family, proxy_protocol, file })
    }

    /// Has it outlive the process, where there is a process wall. What a service manager passed
    /// does so in any case.
    fn keep(mut self, options: &ListenerOptions) -> Self {
        let keep = |wall: &'static Wall| wall.keep(&self.fd, &key(options));
        if !matches!(options.address, Address::Inherited(_)) {
            self.kept = wall().and_then(keep);
        }
        self
    }

    /// Sets what can be set on a socket that listens.
    fn take_options(&self, options: &ListenerOptions) -> Result<(), BindError> {
        if !matches!(options.address, Address::Inherited(_)) {
            listen(&self.fd, options.backlog)
                .map_err(|err| BindError::new(&options.address, err))?;
        }
        if matches!(options.address, Address::Tcp(_)) {
            defer_accept(&self.fd, options);
        }
        Ok(())
    }

    /// The same socket with other options, of which the address has to be the same: nobody who
    /// waits in its queue is lost, and the address is never free in between.
    ///
    /// # Errors
    /// As [`Listener::bind`]. What belongs to the socket itself (backlog, deferral, the mode of its
    /// file) may have changed for this listener too.
    pub fn renewed(&self, options: &ListenerOptions) -> Result<Self, BindError> {
        let named = |err: Errno| BindError::new(&options.address, err);
        let fd = rustix::io::fcntl_dupfd_cloexec(&self.fd, 3).map_err(named)?;
        if let Some(file) = &self.file {
            file.set_mode(options.unix_mode).map_err(|err| BindError::new(&self.address, err))?;
        }
        let renewed = Self::new(fd, options, self.file.clone())?;
        renewed.take_options(options)?;
        Ok(renewed.keep(options))
    }

    /// Gives the file of a Unix listener to a user and a group, by their numbers.
    pub(crate) fn give_to(&self, user: u32, group: u32) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.give_to(user, group))
    }

    /// Where it listens, with the port that the kernel chose if it was asked for port 0.
    pub fn local_address(&self) -> &Address {
        &self.address
    }

    /// What logs and requests call it.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether every connection must begin with a PROXY header.
    pub fn proxy_protocol(&self) -> bool {
        self.proxy_protocol
    }

    /// Takes the next connection that waits, with the peer's address if it is a TCP one, in one
    /// system call. An IPv4 peer of an IPv6 listener shows its IPv4 address. Never blocks.
    ///
    /// # Errors
    /// [`AcceptError::next_step`] says what to do.
    pub fn accept(&self) -> Result<(Socket, Option<SocketAddr>), AcceptError> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (fd, addr) = acceptfrom_with(&self.fd, flags).map_err(AcceptError)?;
        let peer = match self.family {
            Family::Tcp => addr.and_then(|addr| SocketAddr::try_from(addr).ok()).map(canonical),
            Family::Unix => None,
        };
        Ok((Socket::accepted(fd, self.family, peer), peer))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn bind_tcp(addr: SocketAddr, options: &ListenerOptions) -> rustix::io::Result<OwnedFd> {
    match bind_tcp_exactly(addr, options) {
        // A machine without IPv6 still has an idea of "all addresses".
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
            if addr.is_ipv6() && addr.ip().is_unspecified() =>
        {
            bind_tcp_exactly((Ipv4Addr::UNSPECIFIED, addr.port()).into(), options)
        }
        bound => bound,
    }
}

fn bind_tcp_exactly(addr: SocketAddr, options: &ListenerOptions) -> rustix::io::Result<OwnedFd> {
    let family = if addr.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let fd = stream_socket(family)?;
    sockopt::set_socket_reuseaddr(&fd, options.reuse_address)?;
    if addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, false)?;
    }
    net::bind(&fd, &addr)?;
    listen(&fd, options.backlog)?;
    Ok(fd)
}

/// By what the next process knows a listener. Several may have asked for any port.
fn key(options: &ListenerOptions) -> String {
    format!("{} {}", options.name, options.address)
}

/// For sockets of our own; how an inherited one defers is its manager's business.
fn defer_accept(fd: &OwnedFd, options: &ListenerOptions) {
    // Where the kernel does not do it, connections are only accepted earlier.
    let _ = set_defer_accept(fd, options.defer_accept.unwrap_or_default());
}

fn bind_unix(
    path: &Path,
    options: &ListenerOptions,
) -> Result<(OwnedFd, Option<UnixFile>), BindError> {
    make_way(path)?;
    let named = |err: Errno| BindError::new(&options.address, err);
    let fd = stream_socket(AddressFamily::UNIX).map_err(named)?;
    net::bind(&fd, &SocketAddrUnix::new(path).map_err(named)?).map_err(named)?;
    // The mode is set before anybody can connect, since nobody can before `listen`.
    let file = UnixFile::adopt(path, options.unix_mode)
        .map_err(|err| BindError::new(&options.address, err))?;
    listen(&fd, options.backlog).map_err(named)?;
    Ok((fd, Some(file)))
}

fn inherit(
    descriptor: &Descriptor,
    options: &ListenerOptions,
    inherited: &Inherited,
) -> Result<OwnedFd, BindError> {
    match inherited.duplicate(descriptor) {
        Some(fd) => fd.map_err(|err| BindError::new(&options.address, err)),
        None => Err(BindError::NotInherited {
            address: options.address.clone(),
            inherited: inherited.names(),
        }),
    }
}

fn stream_socket(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    net::socket_with(family, SocketType::STREAM, flags, None)
}

fn listen(fd: &OwnedFd, backlog: u32) -> rustix::io::Result<()> {
    net::listen(fd, i32::try_from(backlog).unwrap_or(i32::MAX))
}

/// Where the socket is bound, by the kernel's word.
fn local_address(fd: &OwnedFd) -> rustix::io::Result<(Address, Family)> {
    let name = net::getsockname(fd)?;
    match SocketAddr::try_from(name.clone()) {
        Ok(addr) => Ok((Address::Tcp(addr), Family::Tcp)),
        Err(_) => Ok((Address::Unix(unix_path(name)?), Family::Unix)),
    }
}

/// The path of a Unix socket; empty for one that has no path (an inherited, abstract one).
pub(crate) fn unix_path(name: SocketAddrAny) -> rustix::io::Result<PathBuf> {
    let name = SocketAddrUnix::try_from(name)?;
    Ok(PathBuf::from(OsStr::from_bytes(name.path_bytes().unwrap_or_default())))
}

/// An IPv4 address that came mapped into IPv6 is shown as what it is.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
