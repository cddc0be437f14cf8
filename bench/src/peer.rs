//! What the servers compared have in common: their arguments, and what their handlers do.

use axum::{Router, extract::Query, routing::get};
use clap::Parser;
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use std::num::NonZeroUsize;
use std::time::Duration;

/// The arguments of a peer.
#[derive(Parser)]
pub struct Arguments {
    /// Where to listen.
    #[arg(long)]
    pub listen: String,
    /// Threads that serve.
    #[arg(long)]
    pub workers: NonZeroUsize,
}

/// The query of `/cpu`.
#[derive(Deserialize)]
pub struct Burn {
    us: u64,
}

/// The answer of `/`.
#[must_use]
pub fn hello() -> &'static str {
    "Hello, World!"
}

/// The answer of `/cpu`, after burning as much processor time as asked.
///
/// It is the thread's own time that is waited for. By the wall clock a thread that is preempted
/// would get its work done meanwhile, for nothing: most of all where a server has more threads than
/// there are processors, as Ripstop has after a stall.
#[must_use]
pub fn burn(burn: &Burn) -> &'static str {
    let end = thread_time() + Duration::from_micros(burn.us);
    while thread_time() < end {}
    "done"
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("time since a begin is not negative")
}

/// The application, for servers that take one of axum.
pub fn app() -> Router {
    Router::new()
        .route("/", get(|| async { hello() }))
        .route("/cpu", get(|Query(query)| async move { burn(&query) }))
}
