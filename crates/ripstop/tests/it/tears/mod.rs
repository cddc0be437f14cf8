//! What tears, and what that costs: each fault is injected, and a client and the server's own
//! reports tell what came of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod lanes;
mod lever;
mod panics;
mod queue;
mod routes;
mod site;
mod stalls;
mod supervision;
mod threads;
