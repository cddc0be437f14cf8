//! The wall as another process of the same user sees it: through the memory of its master.

use super::{
    control::{Control, Role},
    suspects::Suspects,
    wish::Stage,
};
use crate::claims::Claims;
use rustix::{
    fs::{Mode, OFlags, open, readlink},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

/// What `/proc` calls the memory of the wall.
const CONTROL: &str = "/memfd:ripstop-control";

/// What it calls the memory of claims.
const CLAIMS: &str = "/memfd:ripstop-claims";

/// A master, seen from outside.
#[derive(Debug)]
pub struct Outside {
    master: i32,
    control: &'static Control,
}

/// One server of a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerSeen {
    /// What it is there for.
    pub role: Role,
    /// How many servers there have been in a row, with this one.
    pub generation: u32,
    /// Its process id; 0 in a pause between two.
    pub server: i32,
    /// That of its keeper; 0 for none.
    pub keeper: i32,
    /// The HTTP/1 connections in clear text that outlive it, and others that have a claim. `None`
    /// where it cannot be seen.
    pub connections: Option<Connections>,
}

/// Connections, by their claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Idle, with a task.
    pub idle: usize,
    /// Idle, and nothing but a claim.
    pub parked: usize,
    /// With a request, or under TLS.
    pub busy: usize,
}

/// What became of an upgrade that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upgraded {
    /// It is not over.
    NotYet,
    /// The new server serves.
    Done,
    /// The server that was there goes on, for this reason.
    Failed(String),
}

impl Outside {
    /// The master with this process id.
    ///
    /// # Errors
    ///
    /// When there is no such process, it has no wall, or its memory is closed to us.
    pub fn of(master: i32) -> io::Result<Self> {
        let none = || io::Error::other("the process has no wall, or one of another version");
        let all = controls(master)?;
        let serves = all.into_iter().find(|control| control.role() == Role::Serves);
        Ok(Self { master, control: serves.ok_or_else(none)? })
    }

    /// Asks for an upgrade to the program at `path`, or to what is now at the path of the start. The
    /// master looks when it gets the signal USR2. False if an upgrade is under way, or the path has
    /// more than 4096 bytes.
    pub fn ask(&self, path: Option<&OsStr>, patience: Duration) -> bool {
        self.control.wish.ask(path, patience)
    }

    /// What became of it.
    pub fn upgraded(&self) -> Upgraded {
        match self.control.wish.stage() {
            Stage::Done => Upgraded::Done,
            Stage::Failed => Upgraded::Failed(self.control.wish.reason()),
            Stage::None | Stage::Written | Stage::Asked | Stage::Starting => Upgraded::NotYet,
        }
    }

    /// Requests that were running when its servers died.
    pub fn suspects(&self) -> &'static Suspects {
        &self.control.suspects
    }

    /// All servers of the master, the one that serves first.
    ///
    /// # Errors
    ///
    /// As [`Outside::of`].
    pub fn servers(&self) -> io::Result<Vec<ServerSeen>> {
        let mut seen: Vec<_> = controls(self.master)?.into_iter().map(seen).collect();
        seen.sort_by_key(|seen| (seen.role as u32, seen.generation));
        Ok(seen)
    }
}

fn seen(control: &Control) -> ServerSeen {
    let (server, keeper) = control.processes();
    let connections = claims(server).map(|claims| {
        let mut connections = Connections::default();
        claims.count(&mut connections.idle, &mut connections.parked, &mut connections.busy);
        connections
    });
    let (role, generation) = (control.role(), control.generation());
    ServerSeen { role, generation, server, keeper, connections }
}

/// The memories of a master's servers.
fn controls(master: i32) -> io::Result<Vec<&'static Control>> {
    let memories = memories(master, CONTROL)?;
    Ok(memories.iter().filter_map(|memory| Control::open(memory.as_fd()).ok()).collect())
}

fn claims(server: i32) -> Option<Claims> {
    Claims::open(memories(server, CLAIMS).ok()?.pop()?).ok()
}

/// What a process has open that `/proc` calls so.
fn memories(process: i32, name: &str) -> io::Result<Vec<OwnedFd>> {
    let folder = PathBuf::from(format!("/proc/{process}/fd"));
    let is_meant = |path: &Path| {
        let link = readlink(path, Vec::new());
        link.is_ok_and(|link| link.as_bytes().starts_with(name.as_bytes()))
    };
    let paths = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let open = |path: PathBuf| match open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        // It was closed meanwhile.
        Err(Errno::NOENT) => None,
        opened => Some(opened.map_err(io::Error::from)),
    };
    paths.filter(|path| is_meant(path)).filter_map(open).collect()
}
