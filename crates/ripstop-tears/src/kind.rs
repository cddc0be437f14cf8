//! The kinds of faults, and what a stuck thread does.

use std::fmt;

/// What kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Code of the application panicked.
    Panic,
    /// A poll did not end in time.
    Stall,
    /// All threads of a worker were stuck.
    Drowned,
    /// A thread for jobs did not come back from one.
    ExecutorLost,
    /// A request was not answered in time.
    Deadline,
    /// A thread of the server died and was started again.
    Restart,
    /// The process died, and another one goes on.
    Crash,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Panic,
        Self::Stall,
        Self::Drowned,
        Self::ExecutorLost,
        Self::Deadline,
        Self::Restart,
        Self::Crash,
    ];

    /// The name that people and metrics read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Stall => "stall",
            Self::Drowned => "drowned",
            Self::ExecutorLost => "executor-lost",
            Self::Deadline => "deadline",
            Self::Restart => "restart",
            Self::Crash => "crash",
        }
    }

    /// How loud it is logged: a deadline that passed heals itself.
    pub(crate) fn level(self) -> log::Level {
        match self {
            Self::Deadline => log::Level::Warn,
            Self::Panic
            | Self::Stall
            | Self::Drowned
            | Self::ExecutorLost
            | Self::Restart
            | Self::Crash => log::Level::Error,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether a stuck thread slept or burned its processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It waited for something.
    Asleep,
    /// It ran all the time.
    Spinning,
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Asleep => "asleep",
            Self::Spinning => "spinning",
        })
    }
}
