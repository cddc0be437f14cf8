//! An application server for Rust in which a fault costs at most the request that caused it.
//!
//! Keep the application, swap the server:
//!
//! ```no_run
//! # use std::error::Error;
//! # fn main() -> Result<(), Box<dyn Error>> {
//! let app = axum::Router::new().route("/", axum::routing::get(|| async { "Hello, World!" }));
//! ripstop::Server::new(app).listen("127.0.0.1:8080").run()?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Server`] takes any `tower::Service` of HTTP requests. [`Options`] has everything that can
//! be set, with its defaults; [`Facts`] is what a handler may know of its request beside the
//! message.

mod admin;
mod crashes;
mod error;
mod gates;
mod landlock;
mod memory;
mod options;
mod privileges;
mod reception;
mod running;
mod server;
mod signals;
mod survival;

pub use error::{Error, ListenError};
pub use landlock::Landlock;
pub use memory::{MemoryCeiling, MemoryCounts};
pub use options::{Listen, Options};
pub use privileges::{Privileges, PrivilegesError};
pub use running::{Handle, Outcome, Running};
pub use server::Server;

pub use ripstop_balance::{
    Class, Lane, MemoryStep, Network, NetworkRules, Networks, ParseNetworkError, Placement, Rate,
    Run,
};
pub use ripstop_files as files;
pub use ripstop_http::{
    Body, BodyError, BoxError, Connection, Disconnect, Exceeded, Facts, Fingerprint,
    ForwardedField, Handler, LaneLayer, Laned, LanedFuture, Limits, Quarantine, Quarantined,
    RateCounts, RateKey, RateLayer, RateLimit, RateLimiter, Rated, RatedFuture, Refusal, RequestId,
    Standing, Timeouts, Tls, TrustedProxies, access,
};
pub use ripstop_net as net;
pub use ripstop_net::{
    Address, CertifiedFiles, ClientAuth, ConnectionCounts, Inherited, ListenerCounts,
    ListenerOptions, RefusedCounts, TlsOptions, TlsVersion,
};
pub use ripstop_survive::{Account, AccountError, Groups};
pub use ripstop_tears::{Activity, Frame, Kind, Tear, TearStream, Tears};
pub use ripstop_work::{
    Full, Job, JobError, JobHandle, Queue, QueueState, RouteState, Sink, Surrender, Target,
    blocking, cpus,
};

/// How workers are made and watched.
pub mod workers {
    pub use ripstop_work::Options;
}

/// The process wall: a server that dies is replaced by another process, with the same connections.
///
/// [`Server::run`] enters it by itself. A program that opens much before it runs its server enters
/// it first thing, so that this happens in the server alone.
pub mod wall {
    pub use ripstop_survive::{
        CarryError, Connections, Death, Outside, Role, ServerSeen, Upgraded, Wall, Wanted, enter,
        enter_with, wall as entered,
    };

    /// The quarantine of a server that runs in another process, by the id of that or of its master.
    ///
    /// # Errors
    ///
    /// As [`Outside::of`].
    pub fn quarantine_of(pid: i32) -> std::io::Result<crate::Quarantine> {
        Ok(crate::Quarantine::new(Outside::of(pid)?.suspects()))
    }
}

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
