//! Whether the server takes requests: one word that the server writes and the admin service reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What a server is doing with its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does not listen yet.
    Starting,
    /// It takes requests.
    Ready,
    /// It finishes what runs and takes nothing new.
    Draining,
}

/// The state of a server, shared by all clones. Begins as [`State::Starting`].
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: Arc<AtomicU8>,
}

impl Health {
    /// The health of a server that starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that the server starts, or starts again.
    pub fn starting(&self) {
        self.set(State::Starting);
    }

    /// Says that the server takes requests.
    pub fn ready(&self) {
        self.set(State::Ready);
    }

    /// Says that the server takes nothing new.
    pub fn draining(&self) {
        self.set(State::Draining);
    }

    /// What was said last.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            state if state == State::Ready as u8 => State::Ready,
            state if state == State::Draining as u8 => State::Draining,
            _ => State::Starting,
        }
    }

    fn set(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }
}
