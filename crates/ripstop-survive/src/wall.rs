//! The process wall: a server that dies is replaced by another one with the same connections.
//!
//! Three processes. The *master*, which the user started, starts the server and holds duplicates of
//! its listeners. The *server* is the program itself. The *keeper* is a clone of the server that
//! shares its descriptors, waits for its death, and becomes the next server. What they tell each
//! other is in shared memory (`control`); what is left of the connections is in the claims.
//!
//! [`enter`] is where a program comes into it: the first time the process executes its program anew,
//! as the master; in the server it returns that server's part.

mod blame;
pub(crate) mod control;
mod crash;
mod descent;
mod descriptor;
mod keeper;
mod launch;
mod master;
mod message;
mod outside;
mod resume;
mod shed;
mod suspects;
mod text;
mod threads;
mod transfer;
mod values;
mod wish;

pub use control::Role;
pub use crash::Crash;
pub use outside::{Connections, Outside, ServerSeen, Upgraded};
pub use resume::{Farewells, Resumed};
pub use suspects::{SUSPECT_WORDS, Suspect, Suspects};
pub use threads::{LeftThread, THREAD_WORDS, ThreadWords, Threads};
pub use transfer::{Predecessor, Successor};
pub use values::CarryError;

use crate::{
    Account, NewPrivileges,
    claims::{Claims, claims},
    fail::{self, failpoint},
    privileges,
};
use control::Control;
use keeper::Kit;
use launch::{Launch, VARIABLE, variable_at_start};
use rustix::{
    event::{Timespec, poll},
    io::fcntl_getfd,
    process::{Pid, getpid, getppid},
};
use std::{
    env,
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, Release},
        },
    },
};
use values::Values;

/// The variable's value that turns the wall off.
const OFF: &str = "off";

/// How long the master may take to give its privileges up.
const MASTER_MS: u64 = 5000;

/// The exit code of a program whose wall is not of its version: `EX_SOFTWARE`.
const FOREIGN: i32 = 70;

/// The part of a server in the wall.
#[derive(Debug)]
pub struct Wall {
    control: &'static Control,
    kit: Kit,
    /// To the master. `None` where it could not be inherited.
    master: Option<OwnedFd>,
    /// Listeners of the server before, by their slots, until somebody asks for them.
    listeners: Mutex<Vec<(usize, OwnedFd)>>,
    resumed: Mutex<Option<Resumed>>,
    crash: Mutex<Option<Crash>>,
    /// Who was the server before this one; 0 for nobody.
    before: i32,
    orphan: AtomicBool,
    /// Another server has taken this one's place.
    leaves: AtomicBool,
    values: &'static Values,
    /// Behind `values`; passed on by its number.
    _values: OwnedFd,
}

/// Whether a program wants to have a wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Where it makes sense.
    Yes,
    /// Never.
    No,
}

/// How a server died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// It was killed by a signal.
    Signal(i32),
    /// It ended, with this exit code.
    Exit(i32),
    /// The master killed it, since it stood still.
    Stopped,
    /// There was no master to see it.
    Unknown,
}

static WALL: OnceLock<Option<Wall>> = OnceLock::new();

/// The part of this process in the wall, if it has entered one.
pub fn wall() -> Option<&'static Wall> {
    WALL.get()?.as_ref()
}

/// Enters the wall. The first process of a program becomes the master, and does not come back; the
/// program begins anew in another process, and comes here again. `None` where there is no wall:
/// it is not wanted, it was turned off by `RIPSTOP_WALL=off`, this is not the first thread, the
/// process is debugged, or it is a test of cargo's.
///
/// To be called early, before the program opens what it could not open twice; what was decided once
/// stays so.
pub fn enter(wanted: Wanted) -> Option<&'static Wall> {
    enter_with(wanted, &[])
}

/// As [`enter`]; master and servers get these variables, unless the environment has them: for what
/// has to be set before a program begins, as what its allocator goes by.
pub fn enter_with(wanted: Wanted, defaults: &[(&str, &str)]) -> Option<&'static Wall> {
    WALL.get_or_init(|| {
        let place = env::var(VARIABLE).unwrap_or_default();
        if wanted == Wanted::No || place == OFF || !is_first_thread() {
            return None;
        }
        let entered = match inherited(&place, "server") {
            Some((memory, control)) => serve(memory, control).map(Some),
            None if is_debugged() || is_test() => Ok(None),
            None => become_master(defaults).map(|()| None),
        };
        let refused = |err: &io::Error| log::warn!(err:%; "no wall: a crash costs connections");
        entered.inspect_err(refused).ok().flatten()
    })
    .as_ref()
}

/// The master is told from other processes before `main`, so that it has nothing of the program.
#[used]
#[expect(unsafe_code, reason = "the master has to begin before the program does")]
// SAFETY: the C library calls it before `main`, with nothing else running; where this process is no
// master, it looks at one variable.
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

extern "C" fn begin() {
    // SAFETY: a look at a variable, of which nothing is kept.
    #[expect(unsafe_code, reason = "the standard library would allocate memory already")]
    let is_master = unsafe {
        let place = libc::getenv(c"RIPSTOP_WALL".as_ptr());
        !place.is_null() && CStr::from_ptr(place).to_bytes().starts_with(b"master:")
    };
    if !is_master {
        return;
    }
    let huge_pages = master::without_huge_pages();
    let place = env::var(VARIABLE).unwrap_or_default();
    if let Some((memory, control)) = inherited(&place, "master") {
        master::run(memory, control, huge_pages);
    }
}

/// The control memory, if this process has the place of this name.
fn inherited(place: &str, name: &str) -> Option<(OwnedFd, &'static Control)> {
    let number = place.strip_prefix(name)?.strip_prefix(':')?.parse::<RawFd>().ok()?;
    // What is inherited survived an exec. A program that was started by a server has the variable,
    // but not the descriptor.
    let survived = |fd: BorrowedFd<'_>| fcntl_getfd(fd).is_ok_and(|flags| flags.is_empty());
    if number <= 2 || !descriptor::borrow(number, survived) {
        return None;
    }
    match descriptor::borrow(number, Control::open) {
        Ok(control) => Some((descriptor::own(number)?, control)),
        Err(err) if descriptor::borrow(number, Control::is_any_version) => {
            // An upgrade between versions that do not understand each other: the present one stays.
            eprintln!("{name} of another version of the wall: {err}; stop it and start this one");
            std::process::exit(FOREIGN)
        }
        Err(_) => None,
    }
}

/// Executes the program anew, as the master. Returns only if that fails.
fn become_master(defaults: &[(&str, &str)]) -> io::Result<()> {
    let (memory, control) = Control::create()?;
    for number in given() {
        descriptor::borrow(number, |fd| control.give(fd, number));
        descriptor::stay_open(number, true);
    }
    let launch = Launch::again_with(&format!("master:{}", memory.as_raw_fd()), defaults)?;
    descriptor::stay_open(memory.as_raw_fd(), true);
    launch.execute();
    Err(io::Error::last_os_error())
}

/// What the parent has given: all that would survive an exec, and what a service manager says it
/// has passed.
fn given() -> Vec<RawFd> {
    // Whoever has taken over what was passed may have removed the variables.
    let number = |name| variable_at_start(name).and_then(|text| text.parse::<i32>().ok());
    let passed = match number("LISTEN_PID") == Some(getpid().as_raw_pid()) {
        true => number("LISTEN_FDS").unwrap_or(0),
        false => 0,
    };
    let survives = |fd: BorrowedFd<'_>| fcntl_getfd(fd).is_ok_and(|flags| flags.is_empty());
    let is_given =
        |number: &RawFd| descriptor::borrow(*number, survives) || (3..3 + passed).contains(number);
    open_numbers().into_iter().filter(is_given).collect()
}

/// The numbers of all open descriptors but the standard streams.
fn open_numbers() -> Vec<RawFd> {
    let Ok(folder) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let names = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).filter(|number| *number > 2).collect()
}

/// Takes the server's part: first of all a keeper, so that a death from here on is survived, too.
fn serve(memory: OwnedFd, control: &'static Control) -> io::Result<Wall> {
    control.set_memory(memory.into_raw_fd());
    fail::arm(control);
    if control.is_planned() {
        // The stop came while this process was about to begin, and its signal may be lost.
        std::process::exit(0);
    }
    control.generation.fetch_add(1, Release);
    let me = getpid().as_raw_pid();
    let before = control.server.swap(me, Release);
    let crash = Crash::left(control, before);
    blame::watch(&control.crashed);
    let left = inherit_claims(control);
    let master = control.socket().and_then(descriptor::own);
    let listeners = control.listeners().collect::<Vec<_>>();
    let owned = |(slot, number)| {
        let is_it = control.is_as_listed(slot, number);
        let owned = is_it.then(|| descriptor::own(number)).flatten();
        // It is bound anew.
        owned.is_none().then(|| control.unlist(slot));
        Some((slot, owned?))
    };
    let listeners = listeners.into_iter().filter_map(owned).collect();
    let memory = control.values().and_then(descriptor::own);
    let memory = memory.ok_or_else(|| io::Error::other("no memory for values was inherited"))?;
    let values = Values::open(memory.as_fd())?;
    let kit = Kit::new(control, claims())?;
    kit.clone_keeper()?;
    let (listeners, resumed) = (Mutex::new(listeners), Mutex::new(left.map(Resumed::from)));
    let before = if before == me { 0 } else { before };
    let (crash, orphan, leaves) = (Mutex::new(crash), Default::default(), Default::default());
    Ok(Wall {
        control,
        kit,
        master,
        listeners,
        resumed,
        crash,
        before,
        orphan,
        leaves,
        values,
        _values: memory,
    })
}

/// Goes on with the claims of the server before, if it left any that can be read. Else those begin
/// that are this server's own.
fn inherit_claims(control: &Control) -> Option<&'static Claims> {
    let memory = control.claims().and_then(descriptor::own);
    let inherited = memory.map(Claims::inherit);
    if let Some(Err(err)) = &inherited {
        log::warn!(err:%; "the claims of the server before cannot be read");
    }
    let claims = claims();
    control.set_claims(claims.map(|claims| claims.memory().as_raw_fd()));
    claims.filter(|_| matches!(inherited, Some(Ok(()))))
}

/// A listener that outlives the server, as long as this is there.
#[derive(Debug)]
pub struct Kept {
    wall: &'static Wall,
    slot: usize,
}

impl Wall {
    /// What was left by the server before, once: `None` if there was none.
    pub fn resumed(&self) -> Option<Resumed> {
        lock(&self.resumed).take()
    }

    /// What the server before was at when it died, once: `None` if there was none.
    pub fn crash(&self) -> Option<Crash> {
        lock(&self.crash).take()
    }

    /// Where threads say what they work on, for the next server.
    pub fn threads(&self) -> &'static Threads {
        &self.control.threads
    }

    /// Requests that were running when servers died.
    pub fn suspects(&self) -> &'static Suspects {
        &self.control.suspects
    }

    /// How the server before this one died, if there was one.
    pub fn death(&self) -> Option<Death> {
        let status = (self.before != 0).then(|| self.control.status_of(self.before))?;
        Some(match status {
            _ if self.control.stopped.load(Relaxed) == self.before => Death::Stopped,
            Some(status) if libc::WIFSIGNALED(status) => Death::Signal(libc::WTERMSIG(status)),
            Some(status) => Death::Exit(libc::WEXITSTATUS(status)),
            None => Death::Unknown,
        })
    }

    /// Milliseconds since the death that this server is the answer to, if there was one.
    pub fn since_death_ms(&self) -> Option<u64> {
        let died = self.control.died.load(Relaxed);
        (self.before != 0 && died != 0).then(|| control::now().saturating_sub(died))
    }

    /// How many servers there have been, with this one.
    pub fn generation(&self) -> u32 {
        self.control.generation.load(Relaxed)
    }

    /// The master's process id: what the user started, and what signals go to.
    pub fn master(&self) -> i32 {
        self.control.master.load(Relaxed)
    }

    /// A listener of the server before, which was known by this key.
    pub fn listener(&'static self, key: &str) -> Option<(OwnedFd, Kept)> {
        let mut listeners = lock(&self.listeners);
        let mut slots = listeners.iter().map(|(slot, _)| self.control.key(*slot));
        let index = slots.position(|kept| kept == key)?;
        let (slot, fd) = listeners.remove(index);
        Some((fd, Kept { wall: self, slot }))
    }

    /// Has a listener outlive this server: the next one finds it by its key. `None` if there are
    /// too many, or the key is too long.
    pub fn keep(&'static self, listener: impl AsFd, key: &str) -> Option<Kept> {
        let listener = listener.as_fd();
        let slot = self.control.list(listener.as_raw_fd(), key);
        let Some(slot) = slot else {
            log::warn!(listener = key; "a listener one too many to outlive a crash");
            return None;
        };
        self.tell_master(slot, key, Some(listener));
        Some(Kept { wall: self, slot })
    }

    /// The server serves: what the one before had listened on and this one does not want is closed,
    /// and its death will be answered by another one.
    pub fn ready(&self) {
        let unwanted = std::mem::take(&mut *lock(&self.listeners));
        for (slot, listener) in unwanted {
            self.let_go(slot);
            drop(listener);
        }
        failpoint("unready");
        self.control.set_ready();
        self.wake_master();
        failpoint("ready");
    }

    /// The configuration was read again, or was refused.
    pub fn reloaded(&self) {
        self.control.count_reload();
        self.wake_master();
    }

    /// The socket that is readable when there may be a [`Wall::successor`].
    pub fn socket(&'static self) -> Option<BorrowedFd<'static>> {
        self.master.as_ref().map(AsFd::as_fd)
    }

    /// The server that takes this one's place, once it serves and the master has said so: from now
    /// on what this one leaves behind is the other's.
    ///
    /// # Errors
    ///
    /// When the master has ended, and says nothing any more.
    pub fn successor(&self) -> io::Result<Option<Successor>> {
        let Some(master) = &self.master else { return Ok(None) };
        let passed = master::passed(master)?;
        if passed.is_some() {
            self.leaves.store(true, Relaxed);
            failpoint("leaves");
        }
        Ok(passed.map(Successor::new))
    }

    /// Whether another server has taken this one's place.
    pub fn leaves(&self) -> bool {
        self.leaves.load(Relaxed)
    }

    /// The server whose place this one takes, if there is one that may have connections.
    pub fn predecessor(&self) -> Option<Predecessor> {
        self.control.predecessor().and_then(descriptor::own).map(Predecessor::new)
    }

    /// A value that the application has carried over, with the version that it gave it: from
    /// whichever server has written it, before a crash or an upgrade.
    pub fn value(&self, name: &str) -> Option<(u32, Vec<u8>)> {
        self.values.get(name)
    }

    /// Carries a value over to the servers that come after this one. It is there at once, whatever
    /// becomes of this process; one that dies meanwhile leaves the value that was there.
    ///
    /// # Errors
    ///
    /// It is too long, there are too many, or this server does not serve any more.
    pub fn carry(&self, name: &str, version: u32, value: &[u8]) -> Result<(), CarryError> {
        if self.leaves() {
            return Err(CarryError::Superseded);
        }
        self.values.set(name, version, value)
    }

    /// Carries a value over no longer.
    pub fn drop_value(&self, name: &str) {
        if !self.leaves() {
            self.values.remove(name);
        }
    }

    /// Whether the end is meant.
    pub fn is_planned(&self) -> bool {
        self.control.is_planned()
    }

    /// The end is meant: nobody takes over.
    pub fn plan(&self) {
        failpoint("unplanned");
        self.control.plan();
    }

    /// To be called each second by the thread that decides for the server: says that it goes on,
    /// and replaces a keeper that has died.
    pub fn beat(&self) {
        self.control.beat.fetch_add(1, Relaxed);
        if getppid().map_or(0, Pid::as_raw_pid) != self.master() && !self.orphan.swap(true, Relaxed)
        {
            log::warn!("the master has ended: nobody replaces server and keeper if both die");
        }
        if self.is_keeper_gone() {
            log::warn!("the keeper has ended: another one takes its place");
            if let Err(err) = self.kit.clone_keeper() {
                log::error!(err:%; "there is no keeper");
            }
        }
    }

    /// Gives privileges up, in all three processes. The server first, so that the master can still
    /// signal it; the keeper by being cloned anew, as whoever the server is then.
    pub(crate) fn give_up(&self, account: Option<&Account>, new: NewPrivileges) -> io::Result<()> {
        self.kit.end_keeper();
        privileges::give_up_alone(account, new)?;
        self.kit.clone_keeper()?;
        privileges::be_seen()?;
        self.control.descent.ask(account, new);
        self.wake_master();
        let until = control::now() + MASTER_MS;
        loop {
            if let Some(outcome) = self.control.descent.outcome() {
                return outcome.map_err(|err| {
                    io::Error::other(format!(
                        "the master does not follow ({err}): it takes a restart"
                    ))
                });
            }
            if control::now() > until {
                return Err(io::Error::other("the master has not given its privileges up"));
            }
            let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 1_000_000 }));
        }
    }

    /// Ends this process at once: the keeper has the next one take over.
    pub fn replace(&self, exit_code: i32) -> ! {
        log::logger().flush();
        // SAFETY: ends the process. What else is done at an exit could wait for threads that are
        // stuck.
        #[expect(unsafe_code, reason = "the standard library runs what C libraries registered")]
        unsafe {
            libc::_exit(exit_code)
        }
    }

    fn is_keeper_gone(&self) -> bool {
        let Some(keeper) = Pid::from_raw(self.control.keeper.load(Relaxed)) else { return true };
        let mut status = 0;
        // SAFETY: it asks whether a child has ended, one that tells nobody of its end by itself.
        #[expect(unsafe_code, reason = "rustix does not know that kind of child")]
        let gone = unsafe {
            let options = libc::WNOHANG | libc::__WALL;
            libc::waitpid(keeper.as_raw_pid(), &raw mut status, options) != 0
        };
        if gone {
            self.control.keeper.store(0, Release);
        }
        gone
    }

    fn let_go(&self, slot: usize) {
        self.control.unlist(slot);
        self.tell_master(slot, "", None);
    }

    /// Has the master look at the control memory.
    fn wake_master(&self) {
        self.tell_master(usize::MAX, "", None);
    }

    fn tell_master(&self, slot: usize, key: &str, listener: Option<BorrowedFd<'_>>) {
        let Some(master) = &self.master else { return };
        if let Err(err) = master::tell(master, slot, key, listener) {
            log::debug!(err:%; "the master cannot be told of a listener");
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.wall.let_go(self.slot);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The program begins anew in the first thread: what another one runs is a part of it.
fn is_first_thread() -> bool {
    rustix::thread::gettid() == getpid()
}

fn is_debugged() -> bool {
    master::status_field(getpid(), "TracerPid:").is_some_and(|tracer| tracer != "0")
}

/// Whether cargo has built this program for tests. To execute that anew would run all of them.
fn is_test() -> bool {
    let program = env::current_exe().unwrap_or_default();
    let folder = program.parent().and_then(|folder| folder.file_name());
    folder.is_some_and(|folder| folder == "deps")
}
