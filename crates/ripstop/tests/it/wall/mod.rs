//! The process wall: a server that dies, in whatever way, and what that costs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crashes;
mod failpoints;
mod family;
mod kills;
mod kinds;
mod poison;
mod privileges;
mod replaced;
mod soak;
mod upgrades;
