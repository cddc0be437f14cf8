//! Claims: what is known of each connection, in memory that outlives a process.
//!
//! The table has one entry for each descriptor, by its number; most of it is never touched and
//! takes no memory. An entry holds plain integers: the claim word ([`State`]), and what it takes to
//! serve the connection again without the task that served it. Whoever wins the word owns the
//! connection; so one mechanism serves parking, moving, rescuing and surviving.

mod facts;
mod left;
mod proof;
mod tick;
mod word;

pub use facts::Facts;
pub(crate) use proof::inode;
pub use tick::Tick;
pub use word::State;

use crate::sealed;
use rustix::{
    mm::{MapFlags, ProtFlags, mmap},
    process::{Resource, getrlimit},
};
use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    sync::{
        LazyLock,
        atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};
use word::Word;

/// Descriptors that the table has entries for, at most: 64 MiB of addresses.
const ENTRIES_MAX: u64 = 1 << 20;

/// Entries that there are at least, whatever the limit of descriptors is at first.
const ENTRIES_MIN: u64 = 1 << 16;

/// What stands before the entries.
#[derive(Debug)]
#[repr(C, align(64))]
struct Header {
    /// [`LAYOUT`].
    layout: AtomicU32,
    /// Entries from this number on were never written: to read them would take memory.
    used: AtomicU32,
}

/// The version of the layout, as a process reads it that did not write the memory.
const LAYOUT: u32 = 2;

/// The number of no server.
const NO_SERVER: u16 = u16::MAX;

/// One connection.
#[derive(Debug)]
#[repr(C, align(64))]
struct Entry {
    word: Word,
    /// [`Facts::born`].
    born: AtomicU32,
    /// When it was parked.
    since: AtomicU32,
    /// [`Facts::requests`].
    requests: AtomicU32,
    /// [`Facts::server`].
    server: AtomicU16,
    /// [`Facts::listener`].
    listener: AtomicU16,
    /// [`Claim::belongs_to`].
    worker: AtomicU16,
    /// The port of [`Facts::peer`].
    port: AtomicU16,
    /// [`Facts::flags`].
    flags: AtomicU8,
    /// That of the socket.
    inode: AtomicU64,
    /// The IPv6 address of [`Facts::peer`], an IPv4 one mapped into it.
    address: [AtomicU64; 2],
}

/// The claims of a process.
#[derive(Debug)]
pub struct Claims {
    header: &'static Header,
    entries: &'static [Entry],
    memory: OwnedFd,
}

/// The claims of this process. `None` where the kernel gives no memory for them: then connections
/// are neither parked nor moved.
pub fn claims() -> Option<&'static Claims> {
    static CLAIMS: LazyLock<Option<Claims>> = LazyLock::new(|| {
        let claims = left::inherited().map_or_else(Claims::create, Ok);
        claims.inspect_err(|err| log::warn!(err:%; "no memory for claims")).ok()
    });
    CLAIMS.as_ref()
}

impl Claims {
    /// A table for all descriptors that the process may ever have.
    fn create() -> io::Result<Self> {
        let most = getrlimit(Resource::Nofile).maximum.unwrap_or(ENTRIES_MAX);
        let entries = usize::try_from(most.clamp(ENTRIES_MIN, ENTRIES_MAX)).unwrap_or(1 << 16);
        let memory = sealed::create("ripstop-claims", bytes(entries))?;
        let (header, entries) = map(&memory, entries)?;
        header.layout.store(LAYOUT, Relaxed);
        Ok(Self { header, entries, memory })
    }

    /// The memory behind the table.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Claims a connection that was just accepted, or duplicated: it is busy at first. `None` for a
    /// descriptor beyond the table.
    pub fn begin(&'static self, fd: impl AsFd, facts: &Facts) -> Option<Claim> {
        let fd = fd.as_fd();
        let number = fd.as_raw_fd();
        let entry = self.enter(number, facts)?;
        entry.inode.store(inode(fd), Relaxed);
        let generation = entry.word.begin();
        Some(Claim { entry, number, generation })
    }

    /// Claims a connection at rest that has just come from another process: it is parked, and
    /// belongs to no server. `None`, and it is closed, for a descriptor beyond the table, and for one
    /// that is not the connection with this inode and these facts.
    pub(crate) fn adopt(&'static self, fd: OwnedFd, inode: u64, facts: &Facts) -> Option<Resting> {
        if !proof::is(&fd, inode, facts) {
            return None;
        }
        let facts = Facts { server: NO_SERVER, ..*facts };
        let number = fd.as_raw_fd();
        let entry = self.enter(number, &facts)?;
        entry.inode.store(inode, Relaxed);
        let since = Tick::now();
        entry.since.store(since.0, Relaxed);
        // Not to be closed: the claim owns it from now on.
        let _ = fd.into_raw_fd();
        let generation = entry.word.begin_parked();
        let worker = entry.worker.load(Relaxed);
        Some(Resting { number, generation, worker, parked: true, since, facts })
    }

    /// Does something with a parked connection, which stays so: its rest begins now. `None` if it is
    /// not parked any more. The caller sees to it that nobody unparks it meanwhile.
    pub fn visit<T>(
        &'static self,
        at: &Resting,
        visit: impl FnOnce(BorrowedFd<'_>, Claim) -> T,
    ) -> Option<T> {
        let (number, generation) = (at.number, at.generation);
        let entry = self.entry(number)?;
        let is_parked =
            entry.word.state() == State::Parked && entry.word.generation() == generation;
        if !is_parked {
            return None;
        }
        entry.since.store(Tick::now().0, Relaxed);
        // SAFETY: a parked claim owns its descriptor, which stays open as long as it is parked.
        #[expect(unsafe_code, reason = "a claim keeps nothing but the descriptor's number")]
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        Some(visit(fd, Claim { entry, number, generation }))
    }

    /// Takes a parked connection out of its claim: the descriptor, and the claim, which is busy
    /// now. `None` if somebody else was faster.
    pub fn unpark(&'static self, number: RawFd, generation: u32) -> Option<(OwnedFd, Claim)> {
        let entry = self.entry(number)?;
        let generation = entry.word.unpark(generation)?;
        // SAFETY: a parked claim owns its descriptor, which `Claim::park` took out of an `OwnedFd`,
        // and the compare-and-swap gives it to one caller.
        #[expect(unsafe_code, reason = "a claim keeps nothing but the descriptor's number")]
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        Some((fd, Claim { entry, number, generation }))
    }

    /// Takes a parked connection for another process: the descriptor, which is to be closed here
    /// after that, and the claim. `None` if somebody else was faster.
    pub(crate) fn hand(&'static self, at: &Resting) -> Option<(OwnedFd, Claim)> {
        self.entry(at.number)?.word.hand(at.generation).then_some(())?;
        self.handing(at.number)
    }

    /// The same, of a connection for which that was begun by a process that died.
    pub(crate) fn handing(&'static self, number: RawFd) -> Option<(OwnedFd, Claim)> {
        let entry = self.entry(number)?;
        if entry.word.state() != State::Handing {
            return None;
        }
        let generation = entry.word.generation();
        // SAFETY: as in `Claims::unpark`; whoever hands connections over is one thread.
        #[expect(unsafe_code, reason = "a claim keeps nothing but the descriptor's number")]
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        Some((fd, Claim { entry, number, generation }))
    }

    /// Takes an idle connection away from the task that has it: a duplicate of its descriptor.
    /// The task finds itself without a claim when it next wants to read. `None` if it is not idle
    /// any more, or there is no descriptor left.
    pub fn take(&'static self, number: RawFd, generation: u32) -> Option<(OwnedFd, Facts)> {
        let entry = self.entry(number)?;
        if !entry.word.take(generation) {
            return None;
        }
        // SAFETY: the task that has the descriptor waits in `Claim::free` before it closes it, until
        // `taken` is said.
        #[expect(unsafe_code, reason = "the descriptor belongs to a task that is stuck")]
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        let duplicate = rustix::io::fcntl_dupfd_cloexec(fd, 3);
        let facts = entry.read();
        entry.word.taken(generation, duplicate.is_ok());
        duplicate.ok().map(|fd| (fd, facts))
    }

    /// The claims that are idle or parked, of whatever server, by their descriptors' numbers.
    pub fn at_rest(&'static self) -> impl Iterator<Item = Resting> {
        let used = RawFd::try_from(self.header.used.load(Relaxed)).unwrap_or(RawFd::MAX);
        (0..used).zip(self.entries).filter_map(|(number, entry)| {
            // The generation first: if it is another one's by now, whoever uses it loses.
            let generation = entry.word.generation();
            let parked = match entry.word.state() {
                State::Idle => false,
                State::Parked => true,
                _ => return None,
            };
            let (worker, since) = (entry.worker.load(Relaxed), Tick(entry.since.load(Relaxed)));
            Some(Resting { number, generation, worker, parked, since, facts: entry.read() })
        })
    }

    /// The entry of a descriptor that was just opened, with what is known of it.
    fn enter(&self, number: RawFd, facts: &Facts) -> Option<&'static Entry> {
        let entry = self.entry(number)?;
        self.header.used.fetch_max(u32::try_from(number).ok()? + 1, Relaxed);
        entry.write(facts);
        Some(entry)
    }

    fn entry(&self, number: RawFd) -> Option<&'static Entry> {
        self.entries.get(usize::try_from(number).ok()?)
    }
}

/// A connection at rest, as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// Its descriptor.
    pub number: RawFd,
    /// The generation of its claim.
    pub generation: u32,
    /// The worker that it belongs to.
    pub worker: u16,
    /// Whether the claim owns the descriptor.
    pub parked: bool,
    /// Since when, if it is parked.
    pub since: Tick,
    /// What is known of it.
    pub facts: Facts,
}

/// The claim of one connection, for its owner. A copy of it is no second owner: it is for the parts
/// of the same task.
#[derive(Clone, Copy)]
pub struct Claim {
    entry: &'static Entry,
    number: RawFd,
    generation: u32,
}

impl Claim {
    /// The descriptor's number.
    pub fn number(self) -> RawFd {
        self.number
    }

    /// The generation, which changes with the owner.
    pub fn generation(self) -> u32 {
        self.generation
    }

    /// What is known of the connection.
    pub fn facts(self) -> Facts {
        self.entry.read()
    }

    /// Replaces what is known of the connection.
    pub fn set_facts(self, facts: &Facts) {
        self.entry.write(facts);
    }

    /// Says which worker has the connection.
    pub fn belongs_to(self, worker: usize) {
        self.entry.worker.store(u16::try_from(worker).unwrap_or(u16::MAX), Relaxed);
    }

    /// Which worker has the connection.
    pub fn worker(self) -> usize {
        usize::from(self.entry.worker.load(Relaxed))
    }

    /// The owner is certain that nothing is owed and nothing of a next request was read: from now
    /// on others may take the connection.
    pub fn rest(self) {
        self.entry.word.rest(self.generation);
    }

    /// Whether the owner has said so, and has not taken that back; somebody may have taken the
    /// connection since.
    pub fn is_resting(self) -> bool {
        !matches!(self.entry.word.state(), State::Busy | State::Started)
    }

    /// To be called before the first byte of a request is read: false if the connection has gone
    /// to somebody else. Then its descriptor is to be closed, and nothing else done with it.
    #[must_use]
    pub fn resume(self) -> bool {
        self.entry.word.resume(self.generation)
    }

    /// A byte of a response goes out.
    pub fn start(self) {
        if !self.entry.word.is_started() {
            self.entry.word.start(self.generation);
        }
    }

    /// Gives the descriptor, which must be the claim's own, to the claim. From now on
    /// [`Claims::unpark`] has it. The connection has to be busy, or idle: then somebody else may have
    /// taken it, and the descriptor comes back to be closed, without the claim.
    ///
    /// # Errors
    ///
    /// The connection has gone to somebody else.
    ///
    /// # Panics
    ///
    /// When the descriptor is another one.
    pub fn park(self, fd: OwnedFd) -> Result<(), OwnedFd> {
        assert_eq!(fd.as_raw_fd(), self.number, "a claim is of one descriptor");
        self.entry.since.store(Tick::now().0, Relaxed);
        if !self.entry.word.park(self.generation) {
            return Err(fd);
        }
        // Not to be closed: the claim owns it from now on.
        let _ = fd.into_raw_fd();
        Ok(())
    }

    /// Gives the claim up, just before the descriptor is closed.
    pub fn free(self) {
        self.entry.word.free();
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.entry.word.state();
        f.debug_struct("Claim").field("number", &self.number).field("state", &state).finish()
    }
}

impl Entry {
    fn write(&self, facts: &Facts) {
        let (address, port) = facts.address();
        // The low half, by a truncation that is meant.
        self.address[0].store(address as u64, Relaxed);
        self.address[1].store((address >> 64) as u64, Relaxed);
        self.port.store(port, Relaxed);
        self.flags.store(facts.flags(), Relaxed);
        self.server.store(facts.server, Relaxed);
        self.listener.store(facts.listener, Relaxed);
        self.born.store(facts.born.0, Relaxed);
        self.requests.store(facts.requests, Relaxed);
    }

    fn read(&self) -> Facts {
        let half = |index: usize| u128::from(self.address[index].load(Relaxed));
        let address = (half(1) << 64 | half(0), self.port.load(Relaxed));
        Facts {
            server: self.server.load(Relaxed),
            listener: self.listener.load(Relaxed),
            born: Tick(self.born.load(Relaxed)),
            requests: self.requests.load(Relaxed),
            ..Facts::of(address, self.flags.load(Relaxed))
        }
    }
}

/// The size of a table.
fn bytes(entries: usize) -> usize {
    size_of::<Header>() + entries * size_of::<Entry>()
}

/// Maps the memory, which has to be sealed at its size, for the rest of the process.
fn map(memory: &OwnedFd, entries: usize) -> io::Result<(&'static Header, &'static [Entry])> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a fresh mapping at an address of the kernel's choice, which is never unmapped. The file
    // cannot shrink below it, its bytes are zero, which is a valid header and valid entries, and all
    // of it is atomics.
    #[expect(unsafe_code, reason = "shared memory is mapped")]
    unsafe {
        let nowhere = std::ptr::null_mut();
        let start = mmap(nowhere, bytes(entries), access, MapFlags::SHARED, memory, 0)?;
        let header = start.cast::<Header>();
        let first = header.add(1).cast::<Entry>();
        Ok((&*header, std::slice::from_raw_parts(first, entries)))
    }
}

#[cfg(test)]
mod tests;
