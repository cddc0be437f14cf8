//! What can go wrong while workers start.

use std::{fmt, io};

/// Workers could not be started.
#[derive(Debug)]
pub enum Error {
    /// The threads or the reactor of a worker could not be created.
    Worker {
        /// The worker's number.
        index: usize,
        /// What the operating system said.
        source: io::Error,
    },
    /// The thread of an executor could not be created.
    Executor(io::Error),
    /// The watchdog's thread could not be created.
    Watchdog(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker { index, .. } => {
                write!(
                    f,
                    "cannot start worker {index}: check the limits on threads and descriptors"
                )
            }
            Self::Executor(_) => f.write_str("cannot start the executors' threads"),
            Self::Watchdog(_) => f.write_str("cannot start the watchdog's thread"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Worker { source, .. } | Self::Executor(source) | Self::Watchdog(source) => {
                Some(source)
            }
        }
    }
}
