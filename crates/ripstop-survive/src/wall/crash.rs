//! What a server was at when it died.

use super::{
    control::Control,
    threads::{LeftThread, is_dead},
};
use std::sync::atomic::Ordering::Relaxed;

/// A death, as the next server finds it.
#[derive(Debug)]
pub struct Crash {
    /// Whether it is known which thread the process died of. That one is not among `threads` if it
    /// worked on nothing.
    pub has_culprit: bool,
    /// The threads that worked on something; the one that the process died of is the first.
    pub threads: Vec<LeftThread>,
}

impl Crash {
    /// What was left by the server `before` this one, or by one that died together with its keeper.
    pub(super) fn left(control: &Control, before: i32) -> Option<Self> {
        let crashed = control.crashed.swap(0, Relaxed);
        let mut threads = control.threads.left(crashed);
        // A server that lives has given way.
        if threads.is_empty() && crashed == 0 && !is_dead(before) {
            return None;
        }
        threads.sort_by_key(|thread| !thread.crashed);
        Some(Self { has_culprit: crashed != 0, threads })
    }
}
