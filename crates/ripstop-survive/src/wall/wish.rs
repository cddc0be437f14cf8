//! What an operator asks of the master, and what became of it: a part of the control memory that
//! another process of the same user can map.

use super::text::Text;
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    sync::atomic::{
        AtomicU32,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};

/// Bytes of a path, at most.
const PATH: usize = 4096;

/// Bytes of a reason, at most.
const REASON: usize = 256;

/// How long a new program has to serve if nobody says otherwise.
const PATIENCE_MS: u32 = 30_000;

/// Where an upgrade stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody has asked for one.
    None,
    /// Somebody writes what is asked for.
    Written,
    /// It is asked for.
    Asked,
    /// The new program has been started.
    Starting,
    /// It serves.
    Done,
    /// All is as it was; [`Wish::reason`] says why.
    Failed,
}

impl Stage {
    fn of(number: u32) -> Self {
        match number {
            1 => Self::Written,
            2 => Self::Asked,
            3 => Self::Starting,
            4 => Self::Done,
            5 => Self::Failed,
            _ => Self::None,
        }
    }

    /// Whether another upgrade may be asked for.
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::None | Self::Done | Self::Failed)
    }
}

/// An upgrade that is asked for, and what became of it.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Wish {
    stage: AtomicU32,
    patience_ms: AtomicU32,
    path: Text<PATH>,
    reason: Text<REASON>,
}

impl Wish {
    pub(super) fn stage(&self) -> Stage {
        Stage::of(self.stage.load(Acquire))
    }

    pub(super) fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u32, Release);
    }

    /// Asks for an upgrade to the program at `path`, or to the one at the path of the start. False
    /// if another one is under way, or the path is too long.
    pub(super) fn ask(&self, path: Option<&OsStr>, patience: Duration) -> bool {
        let now = self.stage.load(Acquire);
        let path = path.map(OsStr::as_bytes).unwrap_or_default();
        let written = Stage::Written as u32;
        if path.len() > PATH
            || !Stage::of(now).is_over()
            || self.stage.compare_exchange(now, written, AcqRel, Relaxed).is_err()
        {
            return false;
        }
        self.path.write(path);
        let patience = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        self.patience_ms.store(patience, Relaxed);
        self.set_stage(Stage::Asked);
        true
    }

    /// What was asked for; by a signal alone, the path of the start and the usual patience.
    pub(super) fn asked(&self) -> (Option<OsString>, u64) {
        if self.stage() != Stage::Asked {
            return (None, PATIENCE_MS.into());
        }
        let path = OsString::from_vec(self.path.read());
        (Some(path).filter(|path| !path.is_empty()), self.patience_ms.load(Relaxed).into())
    }

    /// It has failed, and all is as it was.
    pub(super) fn fail(&self, reason: &str) {
        self.reason.write(reason.as_bytes());
        self.set_stage(Stage::Failed);
    }

    pub(super) fn reason(&self) -> String {
        String::from_utf8_lossy(&self.reason.read()).into_owned()
    }
}
