//! A server with all its processes: master, server and keeper, none of which is left behind.
//!
//! They are known by a mark in the environment, which each hands on to the next, and so are found
//! even where their parents have died.

use std::fs;
use std::io;
use std::ops::Deref;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::process::WALL;
use crate::{Proc, Process, until};

/// The name of the mark.
const MARK: &str = "TEST_FAMILY";

/// What the kernel calls a keeper.
const KEEPER: &str = "rip-keeper";

/// How long a change in the family may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A started server; the [`Process`] is its master. All of it is killed when this is dropped.
pub struct Family {
    master: Process,
    mark: String,
}

impl Family {
    /// Starts `command` as a server with a master.
    ///
    /// # Errors
    ///
    /// As [`Process::start`].
    pub fn start(command: &mut Command) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let master = Process::start(command.env(MARK, &mark).env(WALL, ""))?;
        Ok(Self { master, mark: format!("{MARK}={mark}") })
    }

    /// The master, to be signalled and waited for.
    pub fn master(&mut self) -> &mut Process {
        &mut self.master
    }

    /// All that live.
    pub fn members(&self) -> Vec<Proc> {
        let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
        let id = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        all.filter_map(id).filter(|id| self.has(*id)).map(Proc::new).collect()
    }

    /// The server, once there is one and one alone.
    ///
    /// # Panics
    ///
    /// There is none for a long time.
    #[track_caller]
    pub fn server(&self) -> Proc {
        self.only("server", |id, name| id != self.master.id() && name != KEEPER)
    }

    /// The keeper, once there is one and one alone.
    ///
    /// # Panics
    ///
    /// There is none for a long time.
    #[track_caller]
    pub fn keeper(&self) -> Proc {
        self.only("keeper", |_, name| name == KEEPER)
    }

    /// Waits until nobody lives, and tells whether that came about.
    #[must_use]
    pub fn ends(&self) -> bool {
        until(PATIENCE, || self.members().is_empty())
    }

    #[track_caller]
    fn only(&self, what: &str, is: impl Fn(u32, &str) -> bool) -> Proc {
        let mut found = None;
        let one = until(PATIENCE, || {
            let member = |proc: &Proc| proc.name().is_ok_and(|name| is(proc.id(), &name));
            let members: Vec<_> = self.members().into_iter().filter(member).collect();
            found = members.first().copied();
            members.len() == 1
        });
        assert!(one, "there is not one {what}; it printed:\n{}", self.master.log());
        found.unwrap_or_else(|| unreachable!("one was found"))
    }

    fn has(&self, id: u32) -> bool {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|text| text == self.mark.as_bytes())
    }
}

impl Deref for Family {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.master
    }
}

/// Sends a signal to one of a family.
///
/// # Errors
///
/// It has ended.
pub fn send(to: Proc, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(to.id()).ok().and_then(Pid::from_raw);
    Ok(kill_process(pid.ok_or(io::ErrorKind::NotFound)?, signal)?)
}

impl Drop for Family {
    fn drop(&mut self) {
        // Each that is killed may have started another one just before.
        let _ended = until(PATIENCE, || {
            let members = self.members();
            for member in &members {
                // It may have ended meanwhile, which is what is wanted.
                let _ = send(*member, Signal::KILL);
            }
            members.is_empty()
        });
    }
}
