//! `Files` from the outside: requests in, responses out, files on a real disk.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changes;
mod codings;
mod conditionals;
mod escapes;
mod listings;
mod memory;
mod pages;
mod plain;
mod ranges;
mod streams;
mod support;
