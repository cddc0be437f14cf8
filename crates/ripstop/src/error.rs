//! Why a server does not start, or does not take new options.

use ripstop_net::{AddressError, BindError, TlsError};
use std::{fmt, io};

/// A server did not start, or did not take new options; nothing has changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No address to listen on was given.
    NothingToListenOn,
    /// Listeners that cannot be had, all of them.
    Listen(Vec<ListenError>),
    /// The workers could not be started.
    Workers(ripstop_work::Error),
    /// The main thread's own runtime or signal handlers could not be set up.
    Main(io::Error),
}

/// A listener that cannot be had.
#[derive(Debug)]
pub enum ListenError {
    /// Its address makes no sense.
    Address {
        /// The address as it was given.
        address: String,
        /// Why not.
        source: AddressError,
    },
    /// It cannot be bound.
    Bind(BindError),
    /// A fault of its TLS files.
    Tls {
        /// The listener's name.
        listener: String,
        /// What is wrong.
        source: TlsError,
    },
    /// There is no descriptor for its reserve.
    Reserve(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToListenOn => f.write_str("no address to listen on was given"),
            Self::Listen(faults) => {
                let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
                f.write_str(&faults.join("; "))
            }
            Self::Workers(_) => f.write_str("the workers cannot be started"),
            Self::Main(_) => f.write_str("the main thread cannot be set up"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NothingToListenOn | Self::Listen(_) => None,
            Self::Workers(err) => Some(err),
            Self::Main(err) => Some(err),
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, source } => write!(f, "address {address:?}: {source}"),
            Self::Bind(err) => write!(f, "{err}"),
            Self::Tls { listener, source } => write!(f, "listener {listener}: {source}"),
            Self::Reserve(err) => write!(f, "no descriptor for the reserve: {err}"),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Address { source, .. } => Some(source),
            Self::Bind(err) => Some(err),
            Self::Tls { source, .. } => Some(source),
            Self::Reserve(err) => Some(err),
        }
    }
}
