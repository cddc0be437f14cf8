//! Where a thread's words are: in memory that outlives the process, or in its own.

use super::{SUBJECT_WORDS, SubjectWords};
use std::{
    array, fmt,
    ops::Deref,
    sync::{OnceLock, atomic::AtomicU64},
};

/// Memory for what threads work on, which other processes see.
#[derive(Clone, Copy, Debug)]
pub struct SubjectMemory {
    /// Gives words to the calling thread, all 0; `None` if there are no more.
    pub take: fn() -> Option<&'static SubjectWords>,
    /// Takes them back.
    pub give_back: fn(&'static SubjectWords),
}

static SHARED: OnceLock<SubjectMemory> = OnceLock::new();

/// Has all threads of workers and executors that start from now on, of this process, say there what
/// they work on. What is set once stays so.
pub fn share_subjects(memory: SubjectMemory) {
    // It is the process's own in any case.
    let _ = SHARED.set(memory);
}

/// The words of one thread, or of a request that waits.
pub(super) enum Memory {
    Own(Box<SubjectWords>),
    Shared(&'static SubjectWords, SubjectMemory),
}

impl Memory {
    /// Words for the calling thread.
    pub(super) fn take() -> Self {
        Self::take_shared()
            .unwrap_or_else(|| Self::Own(Box::new(array::from_fn(|_| AtomicU64::new(0)))))
    }

    /// Words that outlive the process, if there are any.
    pub(super) fn take_shared() -> Option<Self> {
        let shared = SHARED.get()?;
        Some(Self::Shared((shared.take)()?, *shared))
    }
}

impl Deref for Memory {
    type Target = [AtomicU64; SUBJECT_WORDS];

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Own(words) => words,
            Self::Shared(words, _) => words,
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Self::Shared(words, shared) = self {
            (shared.give_back)(words);
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Own(_)) { "Own" } else { "Shared" })
    }
}
