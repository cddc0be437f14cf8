//! The testkit itself: what it tells must be true before a server is judged by it.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

mod client;
mod process;
mod server;
mod tls;
