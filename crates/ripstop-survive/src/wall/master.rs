//! The master: the process that the user started, which sees to it that there is a server.
//!
//! It is the program executed anew, turned off the way before `main`: so it has no threads, no
//! memory to speak of, and nothing of the application. It starts the first server, holds duplicates
//! of the listeners, adopts what is orphaned, passes signals on, and starts a fresh server where
//! server and keeper have both died. What lives on in between is the keeper's affair. On request it
//! starts a new program beside the present one, and has it take its place once it serves.

#![expect(unsafe_code, reason = "the C library's fork and signalfd")]

mod listeners;
mod service;
mod upgrade;
mod ward;

use super::{
    control::{Control, now},
    descent::Follow,
};
pub(super) use listeners::{passed, tell};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, WaitOptions, wait},
    thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled},
};
use service::Service;
use std::{
    fs, io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    process::exit,
    sync::atomic::Ordering::Release,
};
use upgrade::Upgrade;
use ward::{Fate, Ward};

/// How often the master looks at the server's heart.
const BEAT_MS: u64 = 1000;

/// Signals that end the server.
const STOP: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::QUIT];

/// Signals that wait until the server can take them.
const OTHER: [Signal; 3] = [Signal::HUP, Signal::USR1, UPGRADE];

/// The signal that asks for an upgrade, and is the master's own.
const UPGRADE: Signal = Signal::USR2;

/// The exit code where no server can be started: `EX_OSERR`.
const CANNOT_START: i32 = 71;

/// What is waited for.
const IN: PollFlags = PollFlags::IN;

/// Becomes the master, for the rest of the process.
pub(super) fn run(memory: OwnedFd, control: &'static Control, huge_pages: HugePages) -> ! {
    match Master::new(memory, control, huge_pages) {
        Ok(mut master) => exit(master.watch()),
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

/// What all servers are started with.
struct Common {
    huge_pages: HugePages,
    /// The signals that were blocked at the start.
    blocked: libc::sigset_t,
}

struct Master {
    common: Common,
    service: Service,
    /// Readable when a signal has come.
    signals: OwnedFd,
    /// Whose server serves.
    ward: Ward,
    /// What is to take its place.
    upgrade: Option<Upgrade>,
    /// Those whose place was taken, until they have ended.
    leaving: Vec<Ward>,
    /// How the server that was stopped has ended.
    ended: Option<i32>,
    stopping: bool,
    /// Signals for when the server can take them.
    waiting: Vec<Signal>,
    look_at: u64,
}

impl Master {
    fn new(memory: OwnedFd, control: &'static Control, huge_pages: HugePages) -> io::Result<Self> {
        control.master.store(rustix::process::getpid().as_raw_pid(), Release);
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let (signals, blocked) = listen_for_signals()?;
        Ok(Self {
            common: Common { huge_pages, blocked },
            service: Service::new(),
            signals,
            ward: Ward::new(memory, control)?,
            upgrade: None,
            leaving: Vec::new(),
            ended: None,
            stopping: false,
            waiting: Vec::new(),
            look_at: 0,
        })
    }

    /// Until the server has ended and is not to be replaced.
    fn watch(&mut self) -> i32 {
        loop {
            if self.ward.server().is_none() && self.ended.is_none() && now() >= self.ward.start_at {
                self.start();
            }
            self.wait();
            self.take_signals();
            self.wards().for_each(Ward::take_listeners);
            self.descend();
            self.reap();
            self.go_on_with_upgrade();
            self.pass_on();
            self.service.look(&self.ward, self.stopping);
            if now() >= self.look_at {
                self.look_at = now() + BEAT_MS;
                self.wards().for_each(Ward::look);
            }
            if let Some(code) = self.ended.filter(|_| self.is_alone()) {
                return code;
            }
        }
    }

    /// Gives up what servers have given up.
    fn descend(&mut self) {
        self.ward.control.descent.obey(Follow::Anywhere);
        self.wards().skip(1).for_each(|ward| ward.control.descent.obey(Follow::Not));
    }

    fn wards(&mut self) -> impl Iterator<Item = &mut Ward> {
        let next = self.upgrade.as_mut().map(|upgrade| &mut upgrade.ward);
        [&mut self.ward].into_iter().chain(next).chain(&mut self.leaving)
    }

    /// Whether no server is left.
    fn is_alone(&self) -> bool {
        self.upgrade.is_none() && self.leaving.is_empty()
    }

    /// Until there is something to do.
    fn wait(&mut self) {
        let mut until = self.look_at;
        if self.ward.server().is_none() {
            until = until.min(self.ward.start_at);
        }
        if !self.waiting.is_empty() {
            until = until.min(now() + 50);
        }
        until = self.upgrade.as_ref().map_or(until, |upgrade| until.min(upgrade.deadline()));
        let timeout = Timespec {
            tv_sec: (until.saturating_sub(now()) / 1000).cast_signed(),
            tv_nsec: ((until.saturating_sub(now()) % 1000) * 1_000_000).cast_signed(),
        };
        let next = self.upgrade.as_ref().map(|upgrade| &upgrade.ward);
        let wards = [&self.ward].into_iter().chain(next).chain(&self.leaving);
        let sockets = wards.filter_map(Ward::socket).map(|at| PollFd::from_borrowed_fd(at, IN));
        let signals = PollFd::new(&self.signals, IN);
        // Signals are blocked, so nothing interrupts it.
        let _ = poll(&mut [signals].into_iter().chain(sockets).collect::<Vec<_>>(), Some(&timeout));
    }

    /// Starts a fresh server.
    fn start(&mut self) {
        match self.ward.start(&self.common) {
            Ok(()) => {}
            Err(err) if self.ward.control.was_ready() => {
                eprintln!("a server cannot be started, another attempt follows: {err}");
                self.ward.start_later();
            }
            Err(err) => {
                eprintln!("the server cannot be started: {err}");
                exit(CANNOT_START)
            }
        }
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

    /// Ends all servers, and itself with them.
    fn stop(&mut self, signal: Signal) {
        self.stopping = true;
        self.end_upgrade("the server ends");
        if self.ward.server().is_none() {
            self.ended = Some(0);
        }
        for ward in self.wards() {
            ward.control.plan();
            ward.signal(signal);
        }
    }

    /// Passes on what has waited for the server to serve, and for an upgrade to be over. A signal
    /// that the server does not know ends it, as it would without a master.
    fn pass_on(&mut self) {
        let (Some(server), None) = (self.ward.server(), &self.upgrade) else { return };
        if self.stopping || !self.ward.control.is_ready() {
            return;
        }
        for signal in std::mem::take(&mut self.waiting) {
            if signal == UPGRADE {
                self.begin_upgrade();
            } else if !knows(server, signal) {
                self.stop(signal);
            } else {
                if signal == Signal::HUP {
                    self.service.reloads(&self.ward);
                }
                self.ward.signal(signal);
            }
        }
    }

    fn begin_upgrade(&mut self) {
        if self.upgrade.is_some() {
            return;
        }
        match Upgrade::start(&self.ward, &self.common) {
            Ok(upgrade) => self.upgrade = Some(upgrade),
            Err(reason) => self.say_failed(&reason),
        }
    }

    /// The new server takes its place, or has had its time.
    fn go_on_with_upgrade(&mut self) {
        let Some(upgrade) = &self.upgrade else { return };
        if upgrade.serves() {
            let old = self.upgrade.take().map(|upgrade| upgrade.take_place(&mut self.ward));
            self.leaving.extend(old);
        } else if now() >= upgrade.deadline() {
            self.end_upgrade("it did not serve in time");
        }
    }

    fn end_upgrade(&mut self, reason: &str) {
        if let Some(upgrade) = self.upgrade.take() {
            self.say_failed(reason);
            upgrade.give_up();
        }
    }

    fn say_failed(&self, reason: &str) {
        eprintln!("the server was not upgraded, the present one goes on: {reason}");
        self.ward.control.wish.fail(reason);
    }

    /// Reaps whatever child has ended, adopted ones too.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let status = status.as_raw();
            let is = |ward: &Ward| ward.server() == Some(pid);
            if is(&self.ward) {
                self.succeed(pid, status);
            } else if let Some(upgrade) = self.upgrade.as_mut().filter(|at| is(&at.ward)) {
                if let Some(reason) = upgrade.bury(pid, status) {
                    self.upgrade = None;
                    self.say_failed(&reason);
                }
            } else if let Some(index) = self.leaving.iter().position(is)
                && !matches!(self.leaving[index].bury(pid, status), Fate::GoesOn)
            {
                self.leaving.swap_remove(index);
            }
        }
    }

    /// The server has ended: its keeper takes over, or there is a fresh one, or that was all.
    fn succeed(&mut self, pid: Pid, status: i32) {
        match self.ward.bury(pid, status) {
            Fate::GoesOn => {}
            Fate::Lost => self.ward.start_later(),
            Fate::Ended(code) => {
                self.end_upgrade("the server has ended");
                self.ended = Some(code);
            }
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
