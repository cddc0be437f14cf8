//! The primitives of those modules whose interleavings are model-checked: the models put others
//! of the same names in their place.

pub(crate) use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread::yield_now,
};
