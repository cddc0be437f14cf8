//! Listeners, accepting, streams, TLS and the PROXY protocol: the only crate with sockets.
//!
//! A connection's way through this crate: [`Listener::bind`] once, [`Listener::accept`] for each
//! connection, [`proxy::read`] where the listener wants a PROXY header, [`Tls::accept`] where it
//! wants TLS, and from there on a [`Stream`], the one type behind which the bytes stay.
//!
//! Nothing here spawns, and nothing waits without a deadline that the caller gave. What is done
//! with a connection (placing it on a worker, speaking HTTP on it) is left to the crates above.

mod address;
mod descriptors;
mod error;
mod gate;
mod inherited;
mod limits;
mod listener;
mod lot;
pub mod proxy;
mod reserve;
mod socket;
mod stream;
mod tls;
mod unix_file;

pub use address::{Address, Descriptor};
pub use descriptors::{connections_by_descriptors, raise_descriptors};
pub use error::{
    AcceptError, AcceptStep, AddressError, BindError, HandshakeError, InheritError, ProxyError,
    TlsError,
};
pub use gate::{Gate, Reception};
pub use inherited::Inherited;
pub use limits::{
    ConnectionCounts, ConnectionLimits, Connections, Full, ListenerConnections, ListenerCounts,
    RefusedCounts,
};
pub use listener::{Listener, ListenerOptions};
pub use lot::{HandedOver, Home, Lots, Readmission, TakenOver};
pub use reserve::{Refusal, Reserve};
pub use socket::Socket;
pub use stream::Stream;
pub use tls::{
    Alpn, CertifiedFiles, ClientAuth, Refreshed, Tls, TlsFacts, TlsOptions, TlsStream, TlsVersion,
    TlsWarning,
};
