//! What can go wrong in this crate, and what the caller does next about it.
//!
//! Every error prints its own level only: what, where, and what would be right. The cause below
//! it is in `source()`. Nothing here decides a log level or a response; the callers do.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::address::Address;

/// A text that is no [`Address`]; each variant carries the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// An IP address without a port.
    NoPort(String),
    /// A port without the colon in front.
    OnlyPort(String),
    /// What follows the last colon is no number from 0 to 65535.
    BadPort(String),
    /// An IPv6 address without brackets.
    NoBrackets(String),
    /// Brackets around something that is no IPv6 address.
    BadIp(String),
    /// A host name other than `localhost`.
    Name(String),
    /// `unix:` without a path.
    NoPath(String),
    /// A socket path longer than the kernel takes.
    LongPath(String),
    /// `fd:` with no name, or with a number below 3.
    BadDescriptor(String),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPort(text) => write!(f, "`{text}` has no port: write `{text}:8080`"),
            Self::OnlyPort(text) => write!(
                f,
                "`{text}` is a port alone: write `:{text}` for all addresses or \
                 `127.0.0.1:{text}` for this machine only"
            ),
            Self::BadPort(text) => {
                write!(f, "`{text}` has no valid port: a port is a number from 0 to 65535")
            }
            Self::NoBrackets(text) => {
                write!(f, "`{text}` is IPv6 without brackets: write `[ADDRESS]:PORT`")
            }
            Self::BadIp(text) => write!(f, "`{text}` has no IPv6 address in its brackets"),
            Self::Name(text) => write!(
                f,
                "`{text}` names a host: a listener takes an IP address, `localhost`, or `:PORT` \
                 for all addresses"
            ),
            Self::NoPath(text) => write!(f, "`{text}` has no path: write `unix:/run/NAME.sock`"),
            Self::LongPath(text) => {
                write!(f, "`{text}` is too long: the path of a socket has at most 107 bytes")
            }
            Self::BadDescriptor(text) => write!(
                f,
                "`{text}` is no inherited descriptor: write `fd:NAME` or a number from 3 on, as \
                 `fd:3`"
            ),
        }
    }
}

impl Error for AddressError {}

/// Why a listener could not be bound; each variant names the address.
#[derive(Debug)]
pub enum BindError {
    /// Somebody listens there already.
    InUse(Address),
    /// The process may not listen there.
    Permission(Address),
    /// No interface of this machine has the address.
    NotAvailable(Address),
    /// The folder of the socket file does not exist.
    NoFolder(Address),
    /// The path of the socket file holds something else.
    NotASocket(Address),
    /// No inherited descriptor goes by that name or number.
    NotInherited {
        /// What was asked for.
        address: Address,
        /// What was inherited, as one can write it after `fd:`.
        inherited: Vec<String>,
    },
    /// Anything else the kernel said.
    Io {
        /// Where it was to listen.
        address: Address,
        /// What the kernel said.
        source: io::Error,
    },
}

impl BindError {
    /// Names what `source` means for a listener at `address`.
    pub(crate) fn new(address: &Address, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let address = address.clone();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::PermissionDenied => Self::Permission(address),
            io::ErrorKind::AddrNotAvailable => Self::NotAvailable(address),
            io::ErrorKind::NotFound => Self::NoFolder(address),
            _ => Self::Io { address, source },
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(at) => write!(
                f,
                "{at} is in use: another process listens there; stop it or choose another address"
            ),
            Self::Permission(at @ Address::Unix(_)) => {
                write!(f, "{at} is not permitted: the folder must be writable by this user")
            }
            Self::Permission(at) => write!(
                f,
                "{at} is not permitted: ports below 1024 need root or CAP_NET_BIND_SERVICE"
            ),
            Self::NotAvailable(at) => write!(
                f,
                "{at} is not available: no interface of this machine has this address; use \
                 `:PORT` for all of them"
            ),
            Self::NoFolder(at) => write!(f, "{at} is in a folder that does not exist: create it"),
            Self::NotASocket(at) => {
                write!(f, "{at} exists and is not a socket: remove the file or choose another path")
            }
            Self::NotInherited { address, inherited } if inherited.is_empty() => write!(
                f,
                "{address} was not inherited: this process was started without LISTEN_FDS"
            ),
            Self::NotInherited { address, inherited } => {
                write!(f, "{address} was not inherited: there are {}", inherited.join(", "))
            }
            Self::Io { address, .. } => write!(f, "cannot listen on {address}"),
        }
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::InUse(_)
            | Self::Permission(_)
            | Self::NotAvailable(_)
            | Self::NoFolder(_)
            | Self::NotASocket(_)
            | Self::NotInherited { .. } => None,
        }
    }
}

/// Why the inherited descriptors could not be taken over.
#[derive(Debug)]
pub enum InheritError {
    /// `LISTEN_FDS` is no number.
    BadCount(String),
    /// `LISTEN_FDNAMES` has another number of names than `LISTEN_FDS` says.
    NameCount {
        /// How many names there are.
        names: usize,
        /// How many descriptors there are.
        descriptors: usize,
    },
    /// A descriptor is not open, or is no TCP or Unix stream socket.
    NotAStream {
        /// Its number.
        descriptor: usize,
        /// What was found.
        source: io::Error,
    },
    /// A descriptor is a stream socket on which nobody listens.
    NotListening(usize),
    /// A descriptor could not be prepared.
    Io {
        /// Its number.
        descriptor: usize,
        /// What the kernel said.
        source: io::Error,
    },
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadCount(text) => {
                write!(f, "LISTEN_FDS is `{text}`: it must be the number of inherited descriptors")
            }
            Self::NameCount { names, descriptors } => write!(
                f,
                "LISTEN_FDNAMES has {names} names for {descriptors} descriptors: give each one \
                 name, separated by colons"
            ),
            Self::NotAStream { descriptor, .. } => write!(
                f,
                "inherited descriptor {descriptor} must be a TCP or Unix stream socket that listens"
            ),
            Self::NotListening(descriptor) => write!(
                f,
                "inherited descriptor {descriptor} is a connection: it must be a socket that \
                 listens (Accept=no in a systemd socket unit)"
            ),
            Self::Io { descriptor, .. } => {
                write!(f, "cannot take over inherited descriptor {descriptor}")
            }
        }
    }
}

impl Error for InheritError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotAStream { source, .. } | Self::Io { source, .. } => Some(source),
            Self::BadCount(_) | Self::NameCount { .. } | Self::NotListening(_) => None,
        }
    }
}

/// Why [`Listener::accept`](crate::Listener::accept) gave no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptError(pub(crate) Errno);

/// What the caller of [`Listener::accept`](crate::Listener::accept) does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AcceptStep {
    /// Nobody is waiting: wait until the listener is readable.
    WouldBlock,
    /// The process or the system has no descriptor or memory left: answer one connection from
    /// the [`Reserve`](crate::Reserve), then pause.
    OutOfDescriptors,
    /// This one connection failed before it was taken: accept the next.
    Retry,
    /// The listener is gone or is none: stop accepting on it.
    Closed,
}

impl AcceptError {
    /// What the caller does next. Errors that accept(2) does not list say `Retry`, since they can
    /// only be about the one connection that was being taken.
    pub fn next_step(self) -> AcceptStep {
        match self.0 {
            Errno::AGAIN => AcceptStep::WouldBlock,
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => {
                AcceptStep::OutOfDescriptors
            }
            Errno::BADF | Errno::INVAL | Errno::NOTSOCK => AcceptStep::Closed,
            _ => AcceptStep::Retry,
        }
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.next_step() {
            AcceptStep::WouldBlock => "no connection is waiting",
            AcceptStep::OutOfDescriptors => "out of descriptors or memory",
            AcceptStep::Retry => "a connection failed before it was accepted",
            AcceptStep::Closed => "the listener is closed",
        })
    }
}

impl Error for AcceptError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Why a connection has no valid PROXY header. The caller closes it, without an answer.
#[derive(Debug)]
pub enum ProxyError {
    /// The first bytes are of no PROXY header.
    NoHeader,
    /// It begins like a header, and this part of it is against the specification.
    Malformed(&'static str),
    /// The header says it is longer than what is taken, in bytes.
    TooLong(usize),
    /// The peer closed before the header was complete.
    Closed,
    /// The header was not complete at the deadline.
    Deadline,
    /// Reading failed.
    Io(io::Error),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => f.write_str("the connection does not begin with a PROXY header"),
            Self::Malformed(what) => write!(f, "malformed PROXY header: {what}"),
            Self::TooLong(len) => write!(f, "PROXY header of {len} bytes is too long"),
            Self::Closed => f.write_str("closed within the PROXY header"),
            Self::Deadline => f.write_str("no complete PROXY header within the deadline"),
            Self::Io(_) => f.write_str("reading the PROXY header failed"),
        }
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(source) => Some(source),
            Self::NoHeader
            | Self::Malformed(_)
            | Self::TooLong(_)
            | Self::Closed
            | Self::Deadline => None,
        }
    }
}

/// A fault in TLS options or in one of the files they name.
#[derive(Debug)]
pub enum TlsError {
    /// No certificate is configured.
    NoCertificate,
    /// A file can't be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file holds nothing of what it is there for.
    NothingInside {
        /// The file.
        path: PathBuf,
        /// What it must hold.
        wanted: &'static str,
    },
    /// A file's PEM is damaged.
    BadPem {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate can't be understood.
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: x509_cert::der::Error,
    },
    /// A private key is encrypted with a passphrase.
    EncryptedKey(PathBuf),
    /// A private key is of a kind that is not supported, or is damaged.
    BadKey {
        /// The file.
        path: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The private key belongs to another certificate.
    KeyMismatch {
        /// The file with the certificate chain.
        chain: PathBuf,
        /// The file with the private key.
        key: PathBuf,
    },
    /// A certificate authority for client certificates can't be used.
    BadAuthority {
        /// The file.
        path: PathBuf,
        /// What the TLS library said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The TLS library refused the options as a whole.
    Refused(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => {
                f.write_str("no certificate: TLS needs at least one, with its key")
            }
            Self::Unreadable { path, .. } => write!(f, "cannot read {}", path.display()),
            Self::NothingInside { path, wanted } => {
                write!(f, "{} must hold {wanted} in PEM, and has none", path.display())
            }
            Self::BadPem { path, .. } => write!(f, "{} holds damaged PEM", path.display()),
            Self::BadCertificate { path, .. } => {
                write!(f, "{} holds a certificate that can't be understood", path.display())
            }
            Self::EncryptedKey(path) => write!(
                f,
                "the private key in {} is encrypted: decrypt it, as with `openssl pkey`",
                path.display()
            ),
            Self::BadKey { path, .. } => write!(
                f,
                "the private key in {} can't be used: RSA from 2048 bits, ECDSA on P-256, P-384 \
                 or P-521, and Ed25519 can",
                path.display()
            ),
            Self::KeyMismatch { chain, key } => write!(
                f,
                "the private key in {} does not belong to the first certificate in {}",
                key.display(),
                chain.display()
            ),
            Self::BadAuthority { path, .. } => {
                write!(f, "the certificate authorities in {} can't be used", path.display())
            }
            Self::Refused(_) => f.write_str("the TLS options can't be used together"),
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            Self::BadPem { source, .. } => Some(source),
            Self::BadCertificate { source, .. } => Some(source),
            Self::BadKey { source, .. } | Self::Refused(source) => Some(source),
            Self::BadAuthority { source, .. } => Some(source.as_ref()),
            Self::NoCertificate
            | Self::NothingInside { .. }
            | Self::EncryptedKey(_)
            | Self::KeyMismatch { .. } => None,
        }
    }
}

/// Why a TLS handshake came to nothing. The connection is closed by then.
#[derive(Debug)]
pub enum HandshakeError {
    /// The deadline passed while the handshake waited for one of the places.
    Crowded,
    /// The deadline passed while the handshake ran.
    Deadline,
    /// The peer closed before the handshake was complete.
    Closed,
    /// The peer's handshake was refused, or the peer refused ours.
    Tls(rustls::Error),
    /// Reading or writing failed.
    Io(io::Error),
}

impl From<io::Error> for HandshakeError {
    fn from(err: io::Error) -> Self {
        if err.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed;
        }
        match err.downcast::<rustls::Error>() {
            Ok(tls) => Self::Tls(tls),
            Err(io) => Self::Io(io),
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crowded => "no place for another TLS handshake within the deadline",
            Self::Deadline => "the TLS handshake was not complete at its deadline",
            Self::Closed => "closed within the TLS handshake",
            Self::Tls(_) => "the TLS handshake failed",
            Self::Io(_) => "the connection failed within the TLS handshake",
        })
    }
}

impl Error for HandshakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Tls(source) => Some(source),
            Self::Io(source) => Some(source),
            Self::Crowded | Self::Deadline | Self::Closed => None,
        }
    }
}
