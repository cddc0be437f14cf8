//! The process wall from outside: the example `beacon`, killed in every way and state.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod beacon;
mod deaths;
mod descriptors;
mod states;
mod stops;
