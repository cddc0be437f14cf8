//! The server as a whole: everything between `Server::start` and the end of the process, over real
//! sockets, in this process or in a started example.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accept_errors;
mod apply;
mod axum_app;
mod drain;
mod examples;
mod exhaustion;
mod frames;
mod handshakes;
mod inside;
mod levers;
mod limits;
mod listeners;
pub(crate) mod load;
mod memory;
mod moving;
mod networks;
mod parking;
mod placement;
pub(crate) mod program;
mod rates;
pub(crate) mod setup;
mod signals;
mod stalls;
mod tls;
