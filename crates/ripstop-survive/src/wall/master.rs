//! The master: the process that the user started, which sees to it that there is a server.
//!
//! It is the program executed anew, turned off the way before `main`: so it has no threads, no
//! memory to speak of, and nothing of the application. It starts the first server, holds duplicates
//! of the listeners, adopts what is orphaned, passes signals on, and starts a fresh server where
//! server and keeper have both died. What lives on in between is the keeper's affair.

#![expect(unsafe_code, reason = "the C library's fork and signalfd")]

mod listeners;

use super::{
    control::{Control, now},
    descriptor::stay_open,
    launch::Launch,
};
pub(super) use listeners::tell;

use listeners::Held;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, wait, waitid},
    thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled},
};
use std::{
    fs, io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    process::exit,
    ptr::null_mut,
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
};

/// How often the master looks at the server's heart.
const BEAT_MS: u64 = 1000;

/// Looks without a beat after which the server is replaced.
const STILL_MAX: u32 = 10;

/// The first pause before a fresh server, and the longest.
const PAUSE_MS: (u64, u64) = (100, 5000);

/// How long servers must live for the pause to be short again.
const QUIET_MS: u64 = 60_000;

/// How long a keeper may take to end after its server.
const KEEPER_MS: u64 = 1000;

/// Signals that end the server.
const STOP: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::QUIT];

/// Signals that are passed on when the server can take them.
const OTHER: [Signal; 3] = [Signal::HUP, Signal::USR1, Signal::USR2];

/// The exit code where no server can be started: `EX_OSERR`.
const CANNOT_START: i32 = 71;

/// Becomes the master, for the rest of the process.
pub(super) fn run(control: &'static Control, huge_pages: HugePages) -> ! {
    match Master::new(control, huge_pages) {
        Ok(mut master) => master.watch(),
        Err(err) => {
            eprintln!("the master of the server cannot start: {err}");
            exit(CANNOT_START)
        }
    }
}

/// Whether servers may have huge pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct HugePages(bool);

/// Has this process do without huge pages: allocators touch several of them before anything is in
/// them. Says what its children are to be given back.
pub(super) fn without_huge_pages() -> HugePages {
    let before = transparent_huge_pages_are_disabled().unwrap_or(false);
    // Else it takes some megabytes, no more.
    let _ = disable_transparent_huge_pages(true);
    HugePages(!before)
}

struct Master {
    control: &'static Control,
    launch: Launch,
    huge_pages: HugePages,
    /// Readable when a signal has come.
    signals: OwnedFd,
    /// The signals that were blocked at the start.
    blocked: libc::sigset_t,
    /// To the server; closed at its other end when there is none.
    server_socket: Option<OwnedFd>,
    held: Vec<Held>,
    /// The server, or the keeper that is about to be one. `None` in a pause.
    server: Option<Pid>,
    /// When a fresh one is to be started.
    start_at: u64,
    /// The last pause, and when it was.
    pause: (u64, u64),
    stopping: bool,
    /// Signals for when the server can take them.
    waiting: Vec<Signal>,
    look_at: u64,
    /// The server's last beat, and how many looks it was still.
    beat: (u32, u32),
}

impl Master {
    fn new(control: &'static Control, huge_pages: HugePages) -> io::Result<Self> {
        control.master.store(rustix::process::getpid().as_raw_pid(), Release);
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let (signals, blocked) = listen_for_signals()?;
        Ok(Self {
            control,
            launch: Launch::again(&format!("server:{}", control.memory().unwrap_or(-1)))?,
            huge_pages,
            signals,
            blocked,
            server_socket: None,
            held: Vec::new(),
            server: None,
            start_at: 0,
            pause: (0, now()),
            stopping: false,
            waiting: Vec::new(),
            look_at: 0,
            beat: (0, 0),
        })
    }

    /// For ever, until the server has ended and is not to be replaced.
    fn watch(&mut self) -> ! {
        loop {
            if self.server.is_none() && now() >= self.start_at {
                self.start();
            }
            self.wait();
            self.take_signals();
            self.take_listeners();
            self.reap();
            self.pass_on();
            if now() >= self.look_at {
                self.look_at = now() + BEAT_MS;
                self.look();
            }
        }
    }

    /// Until there is something to do.
    fn wait(&self) {
        let mut until = if self.server.is_none() { self.start_at } else { self.look_at };
        if !self.waiting.is_empty() {
            until = until.min(now() + 50);
        }
        let timeout = Timespec {
            tv_sec: (until.saturating_sub(now()) / 1000).cast_signed(),
            tv_nsec: ((until.saturating_sub(now()) % 1000) * 1_000_000).cast_signed(),
        };
        let signals = PollFd::new(&self.signals, PollFlags::IN);
        // Signals are blocked, so nothing interrupts it.
        let _ = match &self.server_socket {
            Some(socket) => {
                poll(&mut [signals, PollFd::new(socket, PollFlags::IN)], Some(&timeout))
            }
            None => poll(&mut [signals], Some(&timeout)),
        };
    }

    /// Starts a fresh server.
    fn start(&mut self) {
        match self.fork() {
            Ok(server) => self.follow(server),
            Err(err) if self.control.was_ready() => {
                eprintln!("a server cannot be started, another attempt follows: {err}");
                self.start_later();
            }
            Err(err) => {
                eprintln!("the server cannot be started: {err}");
                exit(CANNOT_START)
            }
        }
    }

    fn fork(&mut self) -> io::Result<Pid> {
        let (ours, theirs) = listeners::socket_pair()?;
        self.control.set_socket(theirs.as_raw_fd());
        self.control.set_claims(None);
        self.control.keeper.store(0, Release);
        self.control.unlist_all();
        self.held.iter().for_each(|held| held.list(self.control));
        // SAFETY: this process has no other threads, so the child may do what it likes.
        let pid = unsafe { libc::fork() };
        match Pid::from_raw(pid) {
            None if pid == 0 => self.become_server(&theirs),
            None => Err(io::Error::last_os_error()),
            Some(server) => {
                self.control.server.store(pid, Release);
                self.server_socket = Some(ours);
                Ok(server)
            }
        }
    }

    /// In the child.
    fn become_server(&self, socket: &OwnedFd) -> ! {
        let known = [self.control.memory(), Some(socket.as_raw_fd())];
        let held = self.held.iter().map(Held::number);
        for number in known.into_iter().flatten().chain(self.control.given()).chain(held) {
            stay_open(number, true);
        }
        if self.huge_pages.0 {
            let _ = disable_transparent_huge_pages(false);
        }
        // SAFETY: the mask was asked for at the start.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.blocked, null_mut()) };
        self.launch.execute();
        eprintln!("the server cannot be executed: {}", io::Error::last_os_error());
        // SAFETY: ends the child at once; what is to be done at an exit is the master's.
        unsafe { libc::_exit(127) }
    }

    fn follow(&mut self, server: Pid) {
        self.server = Some(server);
        self.beat = (self.control.beat.load(Relaxed), 0);
    }

    /// After a pause that grows while servers do not live.
    fn start_later(&mut self) {
        let (last, when) = self.pause;
        let grown = if now() - when > QUIET_MS { 0 } else { last * 2 };
        self.pause = (grown.clamp(PAUSE_MS.0, PAUSE_MS.1), now());
        self.start_at = now() + self.pause.0;
        self.server = None;
        self.server_socket = None;
    }

    fn take_signals(&mut self) {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        let signals = self.signals.as_raw_fd();
        // SAFETY: it is as large as said, and read only if all of it was written.
        while unsafe { libc::read(signals, info.as_mut_ptr().cast(), size) } == size.cast_signed() {
            // SAFETY: as above.
            let number = unsafe { info.assume_init_ref() }.ssi_signo;
            let is = |signal: &&Signal| signal.as_raw().cast_unsigned() == number;
            if let Some(signal) = STOP.iter().find(is) {
                self.stop(*signal);
            } else if let Some(signal) = OTHER.iter().find(is) {
                self.waiting.push(*signal);
                self.waiting.truncate(8);
            }
        }
    }

    /// Ends the server, and itself with it.
    fn stop(&mut self, signal: Signal) {
        self.stopping = true;
        self.control.plan();
        match self.server {
            Some(server) => drop(kill_process(server, signal)),
            None => exit(0),
        }
    }

    /// Passes on what has waited for the server to serve. A signal that the server does not know
    /// ends it, as it would without a master.
    fn pass_on(&mut self) {
        let (Some(server), true) = (self.server, self.control.is_ready()) else { return };
        for signal in std::mem::take(&mut self.waiting) {
            if !knows(server, signal) {
                self.stopping = true;
                self.control.plan();
            }
            // It may have ended just now, which is seen soon.
            let _ = kill_process(server, signal);
        }
    }

    fn take_listeners(&mut self) {
        let Some(socket) = &self.server_socket else { return };
        if listeners::take(socket, &mut self.held).is_err() {
            self.server_socket = None;
        }
    }

    /// Reaps whatever child has ended, adopted ones too.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if Some(pid) == self.server {
                self.succeed(pid, status.as_raw());
            }
        }
    }

    /// The server has ended: its keeper takes over, or there is a fresh one, or that was all.
    fn succeed(&mut self, pid: Pid, status: i32) {
        self.control.bury(pid.as_raw_pid(), status);
        // A keeper ends by itself where nothing has ever served; that is no server's failure.
        let was_server = self.control.server.load(Acquire) == pid.as_raw_pid();
        let failed_at_start = was_server && !self.control.was_ready() && libc::WIFEXITED(status);
        if self.stopping || self.control.is_planned() || failed_at_start {
            self.end(pid, status);
        }
        match self.successor(pid) {
            Some(successor) => self.follow(successor),
            None => self.start_later(),
        }
    }

    /// The keeper that a server has left, if it lives: then it is a child by now. It may be the
    /// next server already, with a keeper of its own.
    fn successor(&self, dead: Pid) -> Option<Pid> {
        let control = self.control;
        let candidates = [&control.keeper, &control.server].map(|id| id.load(Acquire));
        let is_child = |candidate: &Pid| {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            *candidate != dead && matches!(waitid(WaitId::Pid(*candidate), options), Ok(None))
        };
        candidates.into_iter().filter_map(Pid::from_raw).find(is_child)
    }

    /// Ends as the server did, and leaves nothing behind.
    fn end(&mut self, server: Pid, status: i32) -> ! {
        self.control.plan();
        if let Some(keeper) = self.successor(server) {
            let until = now() + KEEPER_MS;
            while !is_gone(keeper) {
                if now() >= until {
                    let _ = kill_process(keeper, Signal::KILL);
                }
                let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 2_000_000 }));
            }
        }
        match libc::WIFEXITED(status) {
            true => exit(libc::WEXITSTATUS(status)),
            false => exit(128 + libc::WTERMSIG(status)),
        }
    }

    /// Looks whether the server goes on: looks are counted, not time, since a machine that slept
    /// has not looked either.
    fn look(&mut self) {
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
        if self.beat.1 > STILL_MAX && !is_debugged(server) {
            self.control.stopped.store(server.as_raw_pid(), Relaxed);
            let _ = kill_process(server, Signal::KILL);
        }
    }
}

/// Has signals wait in a descriptor. The second is which were blocked before.
fn listen_for_signals() -> io::Result<(OwnedFd, libc::sigset_t)> {
    let (mut ours, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: the sets are filled before they are read, and the descriptor is a new one.
    unsafe {
        libc::sigemptyset(ours.as_mut_ptr());
        for signal in STOP.iter().chain(&OTHER).chain(&[Signal::CHILD]) {
            libc::sigaddset(ours.as_mut_ptr(), signal.as_raw());
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, ours.as_ptr(), before.as_mut_ptr());
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        match libc::signalfd(-1, ours.as_ptr(), flags) {
            -1 => Err(io::Error::last_os_error()),
            signals => Ok((OwnedFd::from_raw_fd(signals), before.assume_init())),
        }
    }
}

/// Reaps it, if it has ended.
fn is_gone(child: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    !matches!(waitid(WaitId::Pid(child), options), Ok(None) | Err(Errno::INTR))
}

/// Whether a process handles or ignores a signal.
fn knows(process: Pid, signal: Signal) -> bool {
    let mask = |name| {
        status_field(process, name).map_or(0, |text| u64::from_str_radix(&text, 16).unwrap_or(0))
    };
    (mask("SigCgt:") | mask("SigIgn:")) & 1 << (signal.as_raw() - 1) != 0
}

/// Whether somebody traces it: then it may stand still.
fn is_debugged(process: Pid) -> bool {
    status_field(process, "TracerPid:").is_some_and(|tracer| tracer != "0")
}

/// A field of `/proc/PID/status`.
pub(super) fn status_field(process: Pid, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_pid())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().to_owned())
}
