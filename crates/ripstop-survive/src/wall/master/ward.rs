//! A ward of the master: a server, its keeper, and those that come after them.

use super::{
    Common,
    listeners::{self, Held},
};
use crate::wall::{
    control::{Control, now},
    descriptor::stay_open,
    launch::Launch,
    values::Values,
};
use rustix::{
    event::{Timespec, poll},
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid},
    thread::disable_transparent_huge_pages,
};
use std::{
    ffi::OsStr,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr::null_mut,
    rc::Rc,
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
};

/// Looks without a beat after which the server is replaced.
const STILL_MAX: u32 = 10;

/// The first pause before a fresh server, and the longest.
const PAUSE_MS: (u64, u64) = (100, 5000);

/// How long servers must live for the pause to be short again.
const QUIET_MS: u64 = 60_000;

/// How long a keeper may take to end after its server.
const KEEPER_MS: u64 = 1000;

/// One line of servers, of which one lives at a time.
pub(super) struct Ward {
    pub(super) control: &'static Control,
    memory: OwnedFd,
    /// The values that all servers share.
    values: Rc<OwnedFd>,
    launch: Launch,
    /// To the server; closed at its other end when there is none.
    socket: Option<OwnedFd>,
    held: Vec<Held>,
    /// The server, or the keeper that is about to be one. `None` in a pause.
    server: Option<Pid>,
    /// When a fresh one is to be started.
    pub(super) start_at: u64,
    /// The last pause, and when it was.
    pause: (u64, u64),
    /// The server's last beat, and how many looks it was still.
    beat: (u32, u32),
    /// Where the server gets the connections of the one from whose ward it takes over.
    predecessor: Option<OwnedFd>,
    /// Where the server is to hand its connections to, once another one takes its place.
    successor: Option<OwnedFd>,
}

/// What follows from the end of a server.
pub(super) enum Fate {
    /// Another one takes over.
    GoesOn,
    /// None is left, though that was not meant.
    Lost,
    /// It ends as was meant, or has never served: with this exit code.
    Ended(i32),
}

impl Ward {
    /// The first one.
    pub(super) fn new(memory: OwnedFd, control: &'static Control) -> io::Result<Self> {
        let launch = Launch::again(&place(&memory))?;
        Ok(Self::with(memory, control, Rc::new(Values::create()?), launch))
    }

    fn with(
        memory: OwnedFd,
        control: &'static Control,
        values: Rc<OwnedFd>,
        launch: Launch,
    ) -> Self {
        control.set_memory(memory.as_raw_fd());
        control.set_values(values.as_raw_fd());
        Self {
            control,
            memory,
            values,
            launch,
            socket: None,
            held: Vec::new(),
            server: None,
            start_at: 0,
            pause: (0, now()),
            beat: (0, 0),
            predecessor: None,
            successor: None,
        }
    }

    /// One that may take the place of this one, with its listeners: of the program at `path`, or at
    /// the path of the start. The second is where this one can hand its connections to.
    pub(super) fn next(&self, path: Option<&OsStr>) -> io::Result<(Self, OwnedFd)> {
        let (memory, control) = Control::create()?;
        self.control.bequeath(control);
        let held = self.held.iter().map(Held::duplicate).collect::<io::Result<_>>()?;
        let (from, to) = listeners::socket_pair(listeners::Waits::Yes)?;
        let launch = Launch::again(&place(&memory))?.of(path)?;
        let mut next = Self::with(memory, control, self.values.clone(), launch);
        (next.held, next.predecessor) = (held, Some(from));
        Ok((next, to))
    }

    pub(super) fn server(&self) -> Option<Pid> {
        self.server
    }

    /// What the server says comes by it.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Starts a fresh server.
    pub(super) fn start(&mut self, common: &Common) -> io::Result<()> {
        let (ours, theirs) = listeners::socket_pair(listeners::Waits::No)?;
        let control = self.control;
        control.set_predecessor(self.predecessor.as_ref().map(AsRawFd::as_raw_fd));
        control.set_socket(theirs.as_raw_fd());
        control.set_claims(None);
        control.keeper.store(0, Release);
        control.unlist_all();
        self.held.iter().for_each(|held| held.list(control));
        // SAFETY: this process has no other threads, so the child may do what it likes.
        let pid = unsafe { libc::fork() };
        match Pid::from_raw(pid) {
            None if pid == 0 => self.become_server(&theirs, common),
            None => return Err(io::Error::last_os_error()),
            Some(server) => {
                control.server.store(pid, Release);
                self.socket = Some(ours);
                self.follow(server);
            }
        }
        Ok(())
    }

    /// In the child.
    fn become_server(&self, socket: &OwnedFd, common: &Common) -> ! {
        let control = self.control;
        let memory = Some(self.memory.as_raw_fd());
        let values = Some(self.values.as_raw_fd());
        let known = [memory, Some(socket.as_raw_fd()), control.predecessor(), values];
        let held = self.held.iter().map(Held::number);
        for number in known.into_iter().flatten().chain(control.given()).chain(held) {
            stay_open(number, true);
        }
        if common.huge_pages.0 {
            let _ = disable_transparent_huge_pages(false);
        }
        // SAFETY: the mask was asked for at the start.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &common.blocked, null_mut()) };
        self.launch.execute();
        let err = io::Error::last_os_error();
        control.fail(err.raw_os_error().unwrap_or(libc::EINVAL));
        eprintln!("the server cannot be executed: {err}");
        // SAFETY: ends the child at once; what is to be done at an exit is the master's.
        unsafe { libc::_exit(127) }
    }

    fn follow(&mut self, server: Pid) {
        self.server = Some(server);
        self.beat = (self.control.beat.load(Relaxed), 0);
    }

    /// After a pause that grows while servers do not live.
    pub(super) fn start_later(&mut self) {
        let (last, when) = self.pause;
        let grown = if now() - when > QUIET_MS { 0 } else { last * 2 };
        self.pause = (grown.clamp(PAUSE_MS.0, PAUSE_MS.1), now());
        self.start_at = now() + self.pause.0;
        self.server = None;
        self.socket = None;
    }

    /// Has the server hand its connections over, by this, and end.
    pub(super) fn leave(&mut self, successor: OwnedFd) {
        self.successor = Some(successor);
        self.tell_of_successor();
    }

    /// Whoever serves in this ward now may not have been told.
    fn tell_of_successor(&self) {
        if let (Some(socket), Some(successor)) = (&self.socket, &self.successor) {
            // One that has just died is followed by another one, which is told again.
            let _ = listeners::pass(socket, successor.as_fd());
        }
    }

    pub(super) fn take_listeners(&mut self) {
        let Some(socket) = &self.socket else { return };
        if listeners::take(socket, &mut self.held).is_err() {
            self.socket = None;
        }
    }

    /// The server has ended: its keeper takes over, or nobody does.
    pub(super) fn bury(&mut self, pid: Pid, status: i32) -> Fate {
        self.control.bury(pid.as_raw_pid(), status);
        // A keeper ends by itself where nothing has ever served; that is no server's failure.
        let was_server = self.control.server.load(Acquire) == pid.as_raw_pid();
        let failed_at_start = was_server && !self.control.was_ready() && libc::WIFEXITED(status);
        if self.control.is_planned() || failed_at_start {
            self.end(pid);
            return Fate::Ended(exit_code(status));
        }
        match self.heir(pid) {
            Some(heir) => {
                self.follow(heir);
                self.tell_of_successor();
                Fate::GoesOn
            }
            None => Fate::Lost,
        }
    }

    /// The keeper that a server has left, if it lives: then it is a child by now. It may be the
    /// next server already, with a keeper of its own.
    fn heir(&self, dead: Pid) -> Option<Pid> {
        let control = self.control;
        let candidates = [&control.keeper, &control.server].map(|id| id.load(Acquire));
        let is_child = |candidate: &Pid| {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            *candidate != dead && matches!(waitid(WaitId::Pid(*candidate), options), Ok(None))
        };
        candidates.into_iter().filter_map(Pid::from_raw).find(is_child)
    }

    /// Leaves nothing behind.
    fn end(&mut self, server: Pid) {
        self.server = None;
        self.control.plan();
        if let Some(keeper) = self.heir(server) {
            let until = now() + KEEPER_MS;
            while !is_gone(keeper) {
                if now() >= until {
                    let _ = kill_process(keeper, Signal::KILL);
                }
                let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 2_000_000 }));
            }
        }
    }

    /// Looks whether the server goes on: looks are counted, not time, since a machine that slept
    /// has not looked either.
    pub(super) fn look(&mut self) {
        let Some(server) = self.server else { return };
        let (beat, still) = (self.control.beat.load(Relaxed), self.beat.1);
        let replacing = self.control.replacing.load(Relaxed);
        let is_keeper = server.as_raw_pid() != self.control.server.load(Relaxed);
        let waits = match is_keeper {
            // A program may take its time before it serves; a keeper may not.
            true => replacing != self.control.generation.load(Relaxed),
            false => self.control.is_ready() && !self.control.is_planned(),
        };
        self.beat = (beat, if waits && beat == self.beat.0 { still + 1 } else { 0 });
        if self.beat.1 > STILL_MAX && !super::is_debugged(server) {
            self.control.stopped.store(server.as_raw_pid(), Relaxed);
            let _ = kill_process(server, Signal::KILL);
        }
    }

    /// Sends the server a signal, if there is one. It may have ended just now, which is seen soon.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(server) = self.server {
            let _ = kill_process(server, signal);
        }
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        // SAFETY: in the master, the ward alone refers to its memory and executes its program.
        unsafe {
            self.control.unmap();
            self.launch.release();
        }
    }
}

/// The place in the wall of a server with this memory.
fn place(memory: &OwnedFd) -> String {
    format!("server:{}", memory.as_raw_fd())
}

/// As a shell tells of it.
fn exit_code(status: i32) -> i32 {
    match libc::WIFEXITED(status) {
        true => libc::WEXITSTATUS(status),
        false => 128 + libc::WTERMSIG(status),
    }
}

/// Reaps it, if it has ended.
fn is_gone(child: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    !matches!(waitid(WaitId::Pid(child), options), Ok(None) | Err(Errno::INTR))
}
