//! The claim word: to whom a connection belongs, and what of a request is under way on it.
//!
//! `FREE → BUSY ⇄ IDLE`, and from there by compare-and-swap to whoever wins it. The number of the
//! generation grows whenever the owner changes, so that what was seen of an earlier owner never
//! matches. All that is written here are plain integers, one store each: a writer that dies leaves
//! nothing half-done.

use crate::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    yield_now,
};

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// The descriptor is no connection of ours.
    Free = 0,
    /// Nothing is owed, and nothing of a next request was read; a task has the descriptor.
    Idle = 1,
    /// As `Idle`, and the claim itself owns the descriptor.
    Parked = 2,
    /// A request is being read or handled; no byte of the response is out.
    Busy = 3,
    /// Some of the response is out.
    Started = 4,
    /// Somebody has won it, and duplicates the descriptor.
    Taking = 5,
    /// The connection belongs to somebody else by another descriptor: this one is only closed.
    Handed = 6,
    /// It goes to another process, which may have it already.
    Handing = 7,
}

impl State {
    fn of(word: u64) -> Self {
        match word & STATE {
            1 => Self::Idle,
            2 => Self::Parked,
            3 => Self::Busy,
            4 => Self::Started,
            5 => Self::Taking,
            6 => Self::Handed,
            7 => Self::Handing,
            _ => Self::Free,
        }
    }
}

/// The bits of the state; the generation is above them.
const STATE: u64 = 0xff;

const GENERATION_SHIFT: u32 = 32;

fn word(state: State, generation: u32) -> u64 {
    u64::from(generation) << GENERATION_SHIFT | state as u64
}

fn generation(word: u64) -> u32 {
    u32::try_from(word >> GENERATION_SHIFT).unwrap_or(0)
}

/// A claim word.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct Word(AtomicU64);

impl Word {
    pub(crate) fn state(&self) -> State {
        State::of(self.0.load(Acquire))
    }

    pub(crate) fn generation(&self) -> u32 {
        generation(self.0.load(Relaxed))
    }

    /// A connection begins; to be called by whoever has just opened the descriptor.
    pub(crate) fn begin(&self) -> u32 {
        let next = self.generation().wrapping_add(1);
        self.0.store(word(State::Busy, next), Release);
        next
    }

    /// A connection at rest comes, which has no task.
    pub(crate) fn begin_parked(&self) -> u32 {
        let next = self.generation().wrapping_add(1);
        self.0.store(word(State::Parked, next), Release);
        next
    }

    /// The owner is certain that nothing is owed and nothing of a next request was read.
    pub(crate) fn rest(&self, generation: u32) {
        self.0.store(word(State::Idle, generation), Release);
    }

    /// The owner wants to read: false if the connection has gone to somebody else.
    pub(crate) fn resume(&self, generation: u32) -> bool {
        self.swap(State::Idle, State::Busy, generation, generation)
    }

    /// The first byte of a response goes out.
    pub(crate) fn start(&self, generation: u32) {
        self.0.store(word(State::Started, generation), Release);
    }

    /// The next response has not begun.
    pub(crate) fn is_started(&self) -> bool {
        State::of(self.0.load(Relaxed)) == State::Started
    }

    /// The owner gives the descriptor to the claim. False if the connection was idle and has gone to
    /// somebody else.
    pub(crate) fn park(&self, generation: u32) -> bool {
        if matches!(self.state(), State::Busy | State::Started) {
            // Nobody else writes it.
            self.0.store(word(State::Parked, generation), Release);
            return true;
        }
        self.swap(State::Idle, State::Parked, generation, generation)
    }

    /// Parks what a dead process left at rest: nobody else writes it.
    pub(crate) fn park_in_place(&self, generation: u32) {
        self.0.store(word(State::Parked, generation), Release);
    }

    /// Takes a parked connection; its new generation, if it was won.
    pub(crate) fn unpark(&self, generation: u32) -> Option<u32> {
        let next = generation.wrapping_add(1);
        self.swap(State::Parked, State::Busy, generation, next).then_some(next)
    }

    /// Begins to take an idle connection from the task that has it. Whoever has won it calls
    /// [`Word::taken`] soon: the owner may be waiting in [`Word::free`].
    pub(crate) fn take(&self, generation: u32) -> bool {
        self.swap(State::Idle, State::Taking, generation, generation)
    }

    /// The descriptor has been duplicated, or could not be: then the owner keeps it.
    pub(crate) fn taken(&self, generation: u32, done: bool) {
        let state = if done { State::Handed } else { State::Idle };
        self.0.store(word(state, generation), Release);
    }

    /// Takes a parked connection, to give it to another process.
    pub(crate) fn hand(&self, generation: u32) -> bool {
        self.swap(State::Parked, State::Handing, generation, generation)
    }

    /// The owner is about to close the descriptor.
    pub(crate) fn free(&self) {
        loop {
            let now = self.0.load(Acquire);
            let free = word(State::Free, generation(now));
            if State::of(now) == State::Taking {
                // A system call away from being handed.
                yield_now();
            } else if self.0.compare_exchange(now, free, AcqRel, Relaxed).is_ok() {
                return;
            }
        }
    }

    fn swap(&self, from: State, to: State, old: u32, new: u32) -> bool {
        self.0.compare_exchange(word(from, old), word(to, new), AcqRel, Relaxed).is_ok()
    }
}
