//! Why a server does not start, or does not take new options.

use crate::PrivilegesError;
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
    /// Privileges could not be given up.
    Privileges(PrivilegesError),
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
                let faults: Vec<_> = faults.iter().map(chain).collect();
                f.write_str(&faults.join("; "))
            }
            Self::Workers(_) => f.write_str("the workers cannot be started"),
            Self::Privileges(err) => err.fmt(f),
            Self::Main(_) => f.write_str("the main thread cannot be set up"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NothingToListenOn | Self::Listen(_) => None,
            Self::Workers(err) => Some(err),
            Self::Privileges(err) => err.source(),
            Self::Main(err) => Some(err),
        }
    }
}

/// A fault with its causes: several faults have no chain of their own to show them by.
fn chain(fault: &ListenError) -> String {
    let mut text = fault.to_string();
    let mut cause = std::error::Error::source(fault);
    while let Some(err) = cause {
        text.push_str(": ");
        text.push_str(&err.to_string());
        cause = err.source();
    }
    text
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, .. } => write!(f, "address {address:?}"),
            Self::Bind(err) => err.fmt(f),
            Self::Tls { listener, .. } => write!(f, "listener {listener}"),
            Self::Reserve(_) => f.write_str("no descriptor for the reserve of a listener"),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Address { source, .. } => Some(source),
            Self::Bind(err) => err.source(),
            Self::Tls { source, .. } => Some(source),
            Self::Reserve(err) => Some(err),
        }
    }
}
