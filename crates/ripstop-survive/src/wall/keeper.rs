//! The keeper: a process that has the server's descriptors and does nothing but wait for its death.
//!
//! It is cloned with the server's table of descriptors, so that all of them are still open when the
//! server dies, however that happens. Then it says which of them the next server gets, and becomes
//! that server. Between the clone and the exec it makes system calls only, on arguments that were
//! prepared: it allocates nothing, takes no lock, and gives the memory back that it does not need.

#![expect(unsafe_code, reason = "a process is cloned, and runs where no library may be used")]

use super::{control::Control, descriptor::stay_open, launch::Launch, shed::Shed};
use crate::claims::Claims;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, open},
    mm::{MapFlags, ProtFlags, mmap_anonymous},
    process::{PidfdFlags, fchdir, getpid, pidfd_open},
    thread::set_name,
};
use std::{
    ffi::c_void,
    io,
    mem::MaybeUninit,
    os::fd::{IntoRawFd, RawFd},
    ptr::null_mut,
    sync::atomic::Ordering::{Relaxed, Release},
};

/// The keeper's stack, and what it needs at its bottom.
const STACK: usize = 64 << 10;

/// Deaths in a row that are answered at once, however young the servers were.
const FREE_DEATHS: u32 = 3;

/// The first pause after that, and the longest, in slices.
const PAUSE_MAX: u32 = 50;

/// How often the keeper looks, in a pause, whether the end is meant after all.
const SLICE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The signals that are meant for servers, or that come to all processes of a terminal.
const SIGNALS: [i32; 7] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGPIPE,
];

/// What a keeper needs to know. Written to the bottom of its stack before it is cloned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kit {
    control: &'static Control,
    claims: Option<&'static Claims>,
    launch: Launch,
    /// Readable when the server is dead.
    server: RawFd,
    /// The working folder of the start.
    folder: RawFd,
    /// Which of [`SIGNALS`] were ignored at the start, by their bits.
    ignored: u64,
    /// The signals that were blocked at the start.
    blocked: libc::sigset_t,
    stack: usize,
    shed: Shed,
}

impl Kit {
    /// All that keepers of this process will need.
    pub(super) fn new(
        control: &'static Control,
        claims: Option<&'static Claims>,
    ) -> io::Result<Self> {
        let server = pidfd_open(getpid(), PidfdFlags::empty())?.into_raw_fd();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(".", flags, Mode::empty())?.into_raw_fd();
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let stack = unsafe { mmap_anonymous(null_mut(), STACK, access, MapFlags::PRIVATE)? };
        let launch = Launch::again(&format!("server:{}", control.memory().unwrap_or(-1)))?;
        let (ignored, blocked, stack) = (ignored(), blocked(), stack as usize);
        let shed = Shed::all_but(&[stack..stack + STACK, launch.memory()]);
        Ok(Self { control, claims, launch, server, folder, ignored, blocked, stack, shed })
    }

    /// Clones a keeper. Its id is in the control memory before it runs.
    pub(super) fn clone_keeper(&self) -> io::Result<()> {
        let mut kit = *self;
        kit.shed = kit.shed.and_thread();
        let bottom = self.stack as *mut Self;
        // SAFETY: the block is ours, as long as a stack, and aligned as a page is. A keeper that
        // was cloned before has a copy of its own.
        let top = unsafe {
            bottom.write(kit);
            (self.stack + STACK) as *mut c_void
        };
        let everything = full_mask();
        let mut before = MaybeUninit::uninit();
        let keeper = self.control.keeper.as_ptr();
        // SAFETY: the child has a copy of this memory, so whatever it does there is its own affair;
        // it runs on a stack of its own. Signals are blocked meanwhile, for their handlers are the
        // server's.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &everything, before.as_mut_ptr());
            // No signal to the server when it ends: an application that waits for children of its
            // own must not find it.
            let flags = libc::CLONE_FILES | libc::CLONE_PARENT_SETTID;
            let cloned = libc::clone(keep, top, flags, bottom.cast(), keeper);
            let error = io::Error::last_os_error();
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut());
            if cloned < 0 { Err(error) } else { Ok(()) }
        }
    }

    /// Ends the keeper that there is, before this process is another one than it.
    pub(super) fn end_keeper(&self) {
        let keeper = self.control.keeper.swap(0, Relaxed);
        if keeper > 0 {
            // SAFETY: a child of this process that nobody has reaped, so that the number is its own.
            unsafe {
                libc::kill(keeper, libc::SIGKILL);
                while libc::waitpid(keeper, null_mut(), libc::__WALL) < 0
                    && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
                {
                }
            }
        }
    }

    fn keep(&self) {
        ignore_signals();
        let _ = set_name(c"rip-keeper");
        self.shed.shed();
        self.wait_for_death();
        // Where nothing has ever served, there is nothing to keep: the master decides.
        if self.control.is_planned() || !self.control.was_ready() {
            return;
        }
        self.control.died.store(super::control::now(), Relaxed);
        self.pause(self.control.count_death());
        if self.control.is_planned() {
            return;
        }
        self.control.replacing.store(self.control.generation.load(Relaxed), Release);
        self.sort_descriptors();
        let _ = super::descriptor::borrow(self.folder, |folder| fchdir(folder));
        self.reset_signals();
        self.launch.execute();
    }

    fn wait_for_death(&self) {
        super::descriptor::borrow(self.server, |server| {
            // Nothing but signals can interrupt it, and those are ignored.
            while poll(&mut [PollFd::new(&server, PollFlags::IN)], None).is_err() {}
        });
    }

    /// Lets servers that die young not burn a processor: a tenth of a second, doubling to five.
    fn pause(&self, young: u32) {
        let doublings = young.saturating_sub(FREE_DEATHS).min(6);
        let slices = if young < FREE_DEATHS { 0 } else { (1 << doublings).min(PAUSE_MAX) };
        for _ in 0..slices {
            if self.control.is_planned() {
                return;
            }
            let _ = poll(&mut [], Some(&SLICE));
        }
    }

    /// Leaves open what the next server gets, and nothing else.
    fn sort_descriptors(&self) {
        // SAFETY: it closes nothing now. The program is executed in any case: where the kernel does
        // not know the call, what an application's libraries forgot stays open.
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        let control = self.control;
        let known = [control.memory(), control.claims(), control.socket()];
        let known = known.into_iter().chain([control.predecessor(), control.values()]);
        let listeners = control.listeners().map(|(_, number)| number);
        let claimed = self.claims.into_iter().flat_map(Claims::alive);
        let all = known.flatten().chain(control.given()).chain(listeners);
        for number in all.chain(claimed) {
            stay_open(number, true);
        }
    }

    /// What is ignored or blocked stays so across an exec: as it was at the start.
    fn reset_signals(&self) {
        for signal in SIGNALS.into_iter().filter(|signal| self.ignored & bit(*signal) == 0) {
            // SAFETY: the default, for a process without other threads.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        // SAFETY: the mask was written when the kit was made.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.blocked, null_mut()) };
    }
}

/// Where a keeper begins, and ends if it does not become a server.
extern "C" fn keep(kit: *mut c_void) -> i32 {
    // SAFETY: the kit was written there before the clone, and nobody else has this copy.
    let kit = unsafe { &*kit.cast_const().cast::<Kit>() };
    kit.keep();
    // SAFETY: ends the process at once, without the handlers that the server has for its exit.
    unsafe { libc::_exit(0) }
}

fn bit(signal: i32) -> u64 {
    1 << signal
}

/// Which signals this process ignores.
fn ignored() -> u64 {
    let is_ignored = |signal: &i32| {
        let mut action = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: it only asks, and the answer is read only if there is one.
        unsafe {
            libc::sigaction(*signal, std::ptr::null(), action.as_mut_ptr()) == 0
                && action.assume_init().sa_sigaction == libc::SIG_IGN
        }
    };
    let signals = SIGNALS.into_iter().filter(is_ignored);
    signals.fold(0, |bits, signal| bits | bit(signal))
}

fn blocked() -> libc::sigset_t {
    let mut mask = MaybeUninit::uninit();
    // SAFETY: it only asks, which cannot fail.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), mask.as_mut_ptr());
        mask.assume_init()
    }
}

fn full_mask() -> libc::sigset_t {
    let mut mask = MaybeUninit::uninit();
    // SAFETY: it fills the set.
    unsafe {
        libc::sigfillset(mask.as_mut_ptr());
        mask.assume_init()
    }
}

/// Signals that wait for the keeper are forgotten with it, and none ends it.
fn ignore_signals() {
    for signal in SIGNALS {
        // SAFETY: no handler is called, and the process has no other threads.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let mut none = MaybeUninit::uninit();
    // SAFETY: it empties the set, and then unblocks what can only end the process.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), null_mut());
    }
}
