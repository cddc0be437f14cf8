//! The control memory: what master, server and keeper tell each other, and what a server leaves to
//! the next one.
//!
//! A sealed memfd of plain atomics, each written by one process at a time: whoever dies leaves
//! nothing half-done that another one waits for. It owns no descriptor; the numbers in it are those
//! of the server's table, which the keeper shares and the next server inherits.

use super::{descent::Descent, suspects::Suspects, text::Text, threads::Threads, wish::Wish};
use crate::{
    claims::inode,
    clock::{Clock, uptime},
    sealed,
};
use rustix::{
    fs::fstat,
    io::pread,
    mm::{MapFlags, ProtFlags, mmap, munmap},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    sync::atomic::{
        AtomicI32, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

/// Listeners that outlive a process, at most.
pub(super) const LISTENERS: usize = 64;

/// Descriptors that the start was given by its parent and that every server gets, at most.
pub(super) const GIVEN: usize = 32;

/// A server that has served for less has died young.
const YOUNG_MS: u64 = 200;

/// Bytes of what a listener is known by. A Unix path alone has up to 108.
const KEY: usize = 248;

/// Whose memory this is, and the version of its layout, and of how connections are handed over.
const MAGIC: u64 = u64::from_le_bytes(*b"ripstop\x04");

/// Where in [`MAGIC`] the version is.
const VERSION_AT: usize = 7;

/// What is shared.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Control {
    magic: AtomicU64,
    /// Not 0: the end is meant, and nobody takes over. Never goes back.
    planned: AtomicU32,
    /// How many servers have begun, the keeper's successors included.
    pub(super) generation: AtomicU32,
    /// The last generation that served; 0 before the first one did.
    ready: AtomicU32,
    /// Grows by one each second while the server's main thread goes on.
    pub(super) beat: AtomicU32,
    /// How often the configuration was read again.
    reloads: AtomicU32,
    /// When the ready generation became so, in milliseconds.
    born: AtomicU64,
    /// When the last death was seen by a keeper.
    pub(super) died: AtomicU64,
    /// How many generations in a row died young.
    young: AtomicU32,
    /// The generation that a keeper is about to replace, or has replaced.
    pub(super) replacing: AtomicU32,
    pub(super) master: AtomicI32,
    pub(super) server: AtomicI32,
    /// Written by the kernel, before the keeper runs.
    pub(super) keeper: AtomicI32,
    /// The server that the master has reaped last, and its wait status.
    dead: AtomicI32,
    status: AtomicI32,
    /// Not 0: the master killed it, since its heart had stopped.
    pub(super) stopped: AtomicI32,
    /// The number of this memory itself, plus one.
    memory: AtomicI32,
    /// The number of the claims' memory, plus one.
    claims: AtomicI32,
    /// The number of the socket to the master, plus one.
    socket: AtomicI32,
    /// The number of the socket over which the server before hands its connections over, plus one.
    predecessor: AtomicI32,
    /// The number of the memory for values, plus one.
    values: AtomicI32,
    /// Why the program could not be executed: the number of the error, or 0.
    failed: AtomicI32,
    /// Not 0: a server has died at a [`failpoint`](crate::failpoint).
    tripped: AtomicU32,
    /// What the server is there for; a [`Role`].
    role: AtomicU32,
    /// What somebody wants of the master.
    pub(super) wish: Wish,
    /// What the server wants the master to give up.
    pub(super) descent: Descent,
    given: [Given; GIVEN],
    listeners: [Slot; LISTENERS],
    /// The thread that a process died of; 0 where that is not known.
    pub(super) crashed: AtomicU64,
    pub(super) suspects: Suspects,
    pub(super) threads: Threads,
}

/// What a server is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It serves, or is about to.
    Serves,
    /// It is to take the place of the one that serves.
    Starts,
    /// Its place was taken: it hands its connections over, and ends.
    Leaves,
}

/// A descriptor that the start was given: its number plus one, and the file, since the number may
/// have gone to another one.
#[derive(Debug)]
#[repr(C)]
struct Given {
    number: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
}

/// A listener.
#[derive(Debug)]
#[repr(C)]
struct Slot {
    /// Its number plus one; 0 if the slot is free. Written last.
    number: AtomicI32,
    /// That of its socket, by which it is known again.
    inode: AtomicU64,
    key: Text<KEY>,
}

impl Control {
    /// Fresh memory.
    pub(super) fn create() -> io::Result<(OwnedFd, &'static Self)> {
        let memory = sealed::create("ripstop-control", size_of::<Self>())?;
        let control = Self::map(&memory)?;
        control.suspects.begin();
        control.magic.store(MAGIC, Release);
        Ok((memory, control))
    }

    /// The memory behind an inherited descriptor; an error if it is anything else.
    pub(super) fn open(memory: BorrowedFd<'_>) -> io::Result<&'static Self> {
        let foreign = || io::Error::other("not the control memory of this version");
        if sealed::size(memory)? != Some(size_of::<Self>()) {
            return Err(foreign());
        }
        let control = Self::map(memory)?;
        let known = control.magic.load(Acquire) == MAGIC;
        known.then_some(control).ok_or_else(foreign)
    }

    fn map(memory: impl AsFd) -> io::Result<&'static Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice, which is never unmapped. The
        // file has this size and cannot shrink; all of it is atomics, for which any bytes are valid.
        #[expect(unsafe_code, reason = "shared memory is mapped")]
        unsafe {
            let start = std::ptr::null_mut();
            let start = mmap(start, size_of::<Self>(), access, MapFlags::SHARED, memory, 0)?;
            Ok(&*start.cast::<Self>())
        }
    }

    /// Ends the mapping.
    ///
    /// # Safety
    ///
    /// Nothing refers to it from now on.
    #[expect(unsafe_code, reason = "shared memory is unmapped")]
    pub(super) unsafe fn unmap(&'static self) {
        // SAFETY: it was mapped with this length; the rest is the caller's word.
        let _ = unsafe { munmap(std::ptr::from_ref(self).cast_mut().cast(), size_of::<Self>()) };
    }

    /// Passes on, to one that begins, what all of its master's have in common.
    pub(super) fn bequeath(&self, next: &Self) {
        next.set_role(Role::Starts);
        next.master.store(self.master.load(Relaxed), Release);
        next.generation.store(self.generation.load(Relaxed), Release);
        for number in self.given() {
            super::descriptor::borrow(number, |fd| next.give(fd, number));
        }
    }

    /// The end is meant.
    pub(super) fn plan(&self) {
        self.planned.store(1, Release);
    }

    pub(super) fn is_planned(&self) -> bool {
        self.planned.load(Acquire) != 0
    }

    /// The present generation serves.
    pub(super) fn set_ready(&self) {
        self.born.store(now(), Relaxed);
        self.ready.store(self.generation.load(Relaxed), Release);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Acquire) == self.generation.load(Relaxed)
    }

    /// Whether any generation has ever served.
    pub(super) fn was_ready(&self) -> bool {
        self.ready.load(Acquire) != 0
    }

    /// Counts the death of the present generation: how many before it have died in a row that had
    /// hardly served.
    pub(super) fn count_death(&self) -> u32 {
        let lived = now().saturating_sub(self.born.load(Relaxed));
        let young = if self.is_ready() && lived >= YOUNG_MS { 0 } else { self.young.load(Relaxed) };
        self.young.store(young.saturating_add(1), Relaxed);
        young
    }

    /// Says how the server ended.
    pub(super) fn bury(&self, pid: i32, status: i32) {
        self.status.store(status, Relaxed);
        self.dead.store(pid, Release);
    }

    /// The wait status of a server that was reaped.
    pub(super) fn status_of(&self, pid: i32) -> Option<i32> {
        (self.dead.load(Acquire) == pid).then(|| self.status.load(Relaxed))
    }

    pub(super) fn memory(&self) -> Option<RawFd> {
        self.memory.load(Acquire).checked_sub(1).filter(|number| *number >= 0)
    }

    pub(super) fn set_memory(&self, number: RawFd) {
        self.memory.store(number + 1, Release);
    }

    pub(super) fn claims(&self) -> Option<RawFd> {
        self.claims.load(Acquire).checked_sub(1).filter(|number| *number >= 0)
    }

    pub(super) fn set_claims(&self, number: Option<RawFd>) {
        self.claims.store(number.map_or(0, |number| number + 1), Release);
    }

    pub(super) fn socket(&self) -> Option<RawFd> {
        self.socket.load(Acquire).checked_sub(1).filter(|number| *number >= 0)
    }

    pub(super) fn set_socket(&self, number: RawFd) {
        self.socket.store(number + 1, Release);
    }

    pub(super) fn predecessor(&self) -> Option<RawFd> {
        self.predecessor.load(Acquire).checked_sub(1).filter(|number| *number >= 0)
    }

    pub(super) fn set_predecessor(&self, number: Option<RawFd>) {
        self.predecessor.store(number.map_or(0, |number| number + 1), Release);
    }

    pub(super) fn role(&self) -> Role {
        match self.role.load(Acquire) {
            1 => Role::Starts,
            2 => Role::Leaves,
            _ => Role::Serves,
        }
    }

    pub(super) fn set_role(&self, role: Role) {
        self.role.store(role as u32, Release);
    }

    /// The server and its keeper.
    pub(super) fn processes(&self) -> (i32, i32) {
        (self.server.load(Relaxed), self.keeper.load(Relaxed))
    }

    /// Whether a server should die at a failpoint: the first one alone.
    pub(crate) fn fails(&self) -> bool {
        self.tripped.swap(1, AcqRel) == 0
    }

    pub(super) fn reloads(&self) -> u32 {
        self.reloads.load(Acquire)
    }

    pub(super) fn count_reload(&self) {
        self.reloads.fetch_add(1, Release);
    }

    pub(super) fn beats(&self) -> u32 {
        self.beat.load(Relaxed)
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Relaxed)
    }

    pub(super) fn values(&self) -> Option<RawFd> {
        self.values.load(Acquire).checked_sub(1).filter(|number| *number >= 0)
    }

    pub(super) fn set_values(&self, number: RawFd) {
        self.values.store(number + 1, Release);
    }

    /// The program cannot be executed.
    pub(super) fn fail(&self, errno: i32) {
        self.failed.store(errno, Release);
    }

    pub(super) fn failure(&self) -> Option<io::Error> {
        let errno = self.failed.load(Acquire);
        (errno != 0).then(|| io::Error::from_raw_os_error(errno))
    }

    /// Whether the memory is this kind of memory, of whatever version.
    pub(super) fn is_any_version(memory: BorrowedFd<'_>) -> bool {
        let mut magic = [0; size_of::<u64>()];
        let ours = MAGIC.to_le_bytes();
        pread(memory, &mut magic[..], 0).is_ok_and(|read| read == ours.len())
            && magic[..VERSION_AT] == ours[..VERSION_AT]
    }

    /// Takes down a descriptor that every server gets. What does not fit closes at an exec.
    pub(super) fn give(&self, number: BorrowedFd<'_>, raw: RawFd) {
        let Ok(stat) = fstat(number) else { return };
        if let Some(free) = self.given.iter().find(|given| given.number.load(Relaxed) == 0) {
            free.device.store(stat.st_dev, Relaxed);
            free.inode.store(stat.st_ino, Relaxed);
            free.number.store(raw + 1, Release);
        }
    }

    /// The descriptors that every server gets, as far as they are still what they were.
    pub(super) fn given(&self) -> impl Iterator<Item = RawFd> {
        self.given.iter().filter_map(|given| {
            let number = given.number.load(Acquire).checked_sub(1).filter(|number| *number > 2)?;
            let stat = super::descriptor::borrow(number, |fd| fstat(fd)).ok()?;
            let same = stat.st_dev == given.device.load(Relaxed)
                && stat.st_ino == given.inode.load(Relaxed);
            same.then_some(number)
        })
    }

    /// Takes down a listener: its slot, if there is one free and the key fits.
    pub(super) fn list(&self, number: RawFd, key: &str) -> Option<usize> {
        let free = |slot: &Slot| slot.number.load(Acquire) == 0;
        let index = self.listeners.iter().position(free)?;
        self.write(index, number, key.as_bytes()).then_some(index)
    }

    /// Writes into a slot; false if the key does not fit.
    pub(super) fn write(&self, index: usize, number: RawFd, key: &[u8]) -> bool {
        let Some(slot) = self.listeners.get(index).filter(|_| key.len() <= KEY) else {
            return false;
        };
        slot.key.write(key);
        slot.inode.store(super::descriptor::borrow(number, |fd| inode(fd)), Relaxed);
        slot.number.store(number + 1, Release);
        true
    }

    /// Frees a slot.
    pub(super) fn unlist(&self, index: usize) {
        self.listeners[index].number.store(0, Release);
    }

    /// Frees all slots.
    pub(super) fn unlist_all(&self) {
        self.listeners.iter().for_each(|slot| slot.number.store(0, Release));
    }

    /// The listeners' numbers, with their slots. Allocates nothing.
    pub(super) fn listeners(&self) -> impl Iterator<Item = (usize, RawFd)> {
        let number = |slot: &Slot| slot.number.load(Acquire).checked_sub(1);
        let numbers = self.listeners.iter().map(number).enumerate();
        numbers.filter_map(|(index, number)| Some((index, number.filter(|number| *number > 2)?)))
    }

    /// Whether the slot's number leads to the socket that was listed.
    pub(super) fn is_as_listed(&self, index: usize, number: RawFd) -> bool {
        let listed = self.listeners[index].inode.load(Relaxed);
        listed != 0 && super::descriptor::borrow(number, |fd| inode(fd)) == listed
    }

    /// What a listener is known by.
    pub(super) fn key(&self, index: usize) -> String {
        String::from_utf8_lossy(&self.listeners[index].key.read()).into_owned()
    }
}

/// Milliseconds of the machine's monotonic clock, which all processes agree on.
pub(super) fn now() -> u64 {
    let now = uptime(Clock::Exact);
    now.as_secs() * 1000 + u64::from(now.subsec_millis())
}
