//! `ripstop-net` from the outside: real sockets, real handshakes, processes of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod descriptors;
mod inherited;
mod listeners;
mod proxied;
mod reserve;
mod sockets;
mod support;
mod tls;
