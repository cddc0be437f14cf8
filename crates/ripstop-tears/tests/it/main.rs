//! Stacks of real threads, and what becomes of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod captures;
mod reports;
mod stuck;
mod threads;
