//! All interleavings of the hand-overs between threads, by loom: the plugs of a worker, and the
//! hub of the task queue. The sources are the product's own, with loom's primitives in place of the
//! standard library's.

// Parts of the sources have no part in the models.
#![allow(dead_code, missing_docs, unreachable_pub)]

#[path = "../../src/queue/hub.rs"]
mod hub;
#[path = "../../src/plugs.rs"]
mod plugs;

/// Loom's primitives, by the names that the sources use.
mod sync {
    pub(crate) use loom::{
        sync::{Condvar, Mutex, MutexGuard},
        thread::{Thread, current, park},
    };
    pub(crate) use std::sync::PoisonError;
}

mod hub_model;
mod plugs_model;
