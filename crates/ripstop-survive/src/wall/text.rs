//! A text in shared memory.

use std::sync::atomic::{
    AtomicU8, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// Up to so many bytes. One writes at a time, and says by other means when others may read.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Text<const MOST: usize> {
    length: AtomicU32,
    bytes: [AtomicU8; MOST],
}

impl<const MOST: usize> Text<MOST> {
    /// Writes as much of it as there is room for.
    pub(super) fn write(&self, bytes: &[u8]) {
        for (place, byte) in self.bytes.iter().zip(bytes) {
            place.store(*byte, Relaxed);
        }
        self.length.store(u32::try_from(bytes.len().min(MOST)).unwrap_or(0), Release);
    }

    pub(super) fn read(&self) -> Vec<u8> {
        let length = self.length.load(Acquire) as usize;
        self.bytes.iter().take(length).map(|byte| byte.load(Relaxed)).collect()
    }
}
