//! What can end the program, and with which exit code.

use std::{error, fmt, io, path::PathBuf};

use ripstop::{Fingerprint, Surrender};

use crate::config::Faults;

/// The exit code of a command line that is wrong (`EX_USAGE`).
pub(crate) const USAGE: u8 = 64;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// The configuration has faults.
    Config(Faults),
    /// There is no pid file, so there is no server that could be meant.
    NoServer(PathBuf),
    /// The pid file is of a process that has ended.
    Ended(PathBuf),
    /// The pid file is not ours to believe.
    Untrusted(PathBuf),
    /// The pid file is of a server that runs.
    AlreadyRunning { path: PathBuf, pid: i32 },
    /// The server did not end in time.
    StillRunning { pid: i32 },
    /// The server runs without a master.
    NoMaster { pid: i32, source: io::Error },
    /// The new program does not serve: for this reason.
    NotUpgraded { reason: String },
    /// The server does not refuse such requests.
    NotQuarantined(Fingerprint),
    /// The server could not start or go on.
    Server(ripstop::Error),
    /// The server asks for a new process.
    Surrendered(Surrender),
    /// The operating system refused something.
    Io { what: String, source: io::Error },
}

impl Error {
    /// Something the operating system refused; `what` was tried.
    pub(crate) fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { what: what.into(), source: source.into() }
    }

    /// The exit code, one of those in `sysexits.h`.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(faults) if faults.is_usage() => USAGE,
            Self::Config(_) => 78,
            Self::NotQuarantined(_) => 65,
            Self::NoServer(_) | Self::Ended(_) => 69,
            Self::Untrusted(_) => 77,
            Self::AlreadyRunning { .. }
            | Self::StillRunning { .. }
            | Self::NotUpgraded { .. }
            | Self::Surrendered(_) => 75,
            Self::NoMaster { .. } => 69,
            Self::Io { .. } => 74,
            Self::Server(_) => 70,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(faults) => faults.fmt(f),
            Self::NoServer(path) => {
                let path = path.display();
                write!(f, "no server runs here: there is no {path}, name its file by --pid-file")
            }
            Self::Ended(path) => {
                write!(f, "no server runs here: the one that wrote {} has ended", path.display())
            }
            Self::Untrusted(path) => {
                let path = path.display();
                write!(f, "{path} belongs to another user, so what it says is not believed")
            }
            Self::AlreadyRunning { path, pid } => {
                let path = path.display();
                write!(f, "{path} is of a server that runs (pid {pid}), stop it or name another")
            }
            Self::NoMaster { pid, .. } => {
                write!(f, "the server (pid {pid}) has no master that could be asked: restart it")
            }
            Self::NotUpgraded { reason } => {
                write!(f, "not upgraded, the server that was there goes on: {reason}")
            }
            Self::StillRunning { pid } => {
                write!(f, "pid {pid} still runs, `ripstop stop` again ends it at once")
            }
            Self::NotQuarantined(fingerprint) => {
                write!(f, "{fingerprint} is not in quarantine, see `ripstop poison list`")
            }
            Self::Server(_) => f.write_str("the server cannot run"),
            Self::Surrendered(reason) => {
                write!(f, "{reason}: the server has ended and should be started again")
            }
            Self::Io { what, .. } => f.write_str(what),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::NoMaster { source, .. } => Some(source),
            Self::Server(source) => Some(source),
            Self::Config(_)
            | Self::NoServer(_)
            | Self::Ended(_)
            | Self::Untrusted(_)
            | Self::AlreadyRunning { .. }
            | Self::StillRunning { .. }
            | Self::NotUpgraded { .. }
            | Self::NotQuarantined(_)
            | Self::Surrendered(_) => None,
        }
    }
}

/// The error and what caused it, level by level.
pub(crate) fn chain(err: &dyn error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        let told = err.to_string();
        // Some levels say what their cause says.
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        cause = err.source();
    }
    text
}
