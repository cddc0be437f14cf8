//! The HTTP layer, driven from outside: raw bytes against a real server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod site;

mod bodies;
mod deadlines;
mod disconnects;
mod facts;
mod framing;
mod h2;
mod network;
mod order;
mod refusals;
mod upgrades;
mod walls;
