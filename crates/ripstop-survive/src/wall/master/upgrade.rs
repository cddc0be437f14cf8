//! An upgrade: a ward that is to take the place of the one that serves, once it serves itself.

use super::{
    Common,
    ward::{Fate, Ward},
};
use crate::wall::{
    control::{Role, now},
    wish::Stage,
};
use rustix::process::{Pid, Signal};
use std::os::fd::OwnedFd;

/// A new program that has been started.
pub(super) struct Upgrade {
    pub(super) ward: Ward,
    /// Where the one that serves now can hand its connections to.
    to: OwnedFd,
    deadline: u64,
}

impl Upgrade {
    /// Starts what was asked for.
    ///
    /// # Errors
    ///
    /// Why it cannot be started, in words.
    pub(super) fn start(present: &Ward, common: &Common) -> Result<Self, String> {
        let wish = &present.control.wish;
        let (path, patience) = wish.asked();
        wish.set_stage(Stage::Starting);
        let started = present.next(path.as_deref()).and_then(|(mut ward, to)| {
            ward.start(common)?;
            Ok(Self { ward, to, deadline: now() + patience })
        });
        started.map_err(|err| format!("it cannot be started: {err}"))
    }

    pub(super) fn serves(&self) -> bool {
        self.ward.control.is_ready()
    }

    /// When it will have taken too long.
    pub(super) fn deadline(&self) -> u64 {
        self.deadline
    }

    /// Takes the place of the ward that serves, which is returned: it has been told to leave.
    pub(super) fn take_place(self, of: &mut Ward) -> Ward {
        let mut old = std::mem::replace(of, self.ward);
        old.control.set_role(Role::Leaves);
        of.control.set_role(Role::Serves);
        old.leave(self.to);
        old.control.wish.set_stage(Stage::Done);
        old
    }

    /// Why it has ended, in words; `None` if another one goes on for it, as it has served for a moment.
    pub(super) fn bury(&mut self, pid: Pid, status: i32) -> Option<String> {
        let control = self.ward.control;
        if control.was_ready() {
            let goes_on = matches!(self.ward.bury(pid, status), Fate::GoesOn);
            return (!goes_on).then(|| "it ended as soon as it served".to_owned());
        }
        // Its keeper ends, too.
        control.plan();
        Some(match control.failure() {
            Some(err) => format!("it cannot be executed: {err}"),
            None if libc::WIFSIGNALED(status) => {
                format!("it was killed by signal {} before it served", libc::WTERMSIG(status))
            }
            None => {
                format!("it ended with exit code {} before it served", libc::WEXITSTATUS(status))
            }
        })
    }

    /// Ends what was started.
    pub(super) fn give_up(self) {
        self.ward.control.plan();
        self.ward.signal(Signal::KILL);
    }
}
