//! What the peers have in common: their arguments, and the work of their handlers, which is that of
//! Ripstop's example `tear`.

use clap::Parser;
use serde::Deserialize;
use std::hint::spin_loop;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

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

/// The answer of `/cpu`, after burning the thread's processor for as long as asked.
#[must_use]
pub fn spin(burn: &Burn) -> &'static str {
    let end = Instant::now() + Duration::from_micros(burn.us);
    while Instant::now() < end {
        spin_loop();
    }
    "done"
}
