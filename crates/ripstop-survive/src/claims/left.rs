//! What a process left: its claims, as the next one finds them.

use super::{Claim, Claims, Entry, Header, LAYOUT, State, bytes, map};
use crate::sealed;
use std::{
    io,
    os::fd::{OwnedFd, RawFd},
    sync::{Mutex, PoisonError, atomic::Ordering::Relaxed},
};

/// The memory that this process inherited, until its claims are asked for.
static INHERITED: Mutex<Option<Claims>> = Mutex::new(None);

/// What was inherited, if it was.
pub(super) fn inherited() -> Option<Claims> {
    INHERITED.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Claims {
    /// Has this process go on with the claims of another one. To be called before anything asks
    /// for them.
    pub(crate) fn inherit(memory: OwnedFd) -> io::Result<()> {
        let claims = Self::open(memory)?;
        *INHERITED.lock().unwrap_or_else(PoisonError::into_inner) = Some(claims);
        Ok(())
    }

    /// The table in the memory, if it is one of this version.
    pub(crate) fn open(memory: OwnedFd) -> io::Result<Self> {
        let size = sealed::size(&memory)?.unwrap_or(0);
        let entries = size.saturating_sub(size_of::<Header>()) / size_of::<Entry>();
        if entries == 0 || size != bytes(entries) {
            return Err(io::Error::other("no table of claims"));
        }
        let (header, entries) = map(&memory, entries)?;
        match header.layout.load(Relaxed) {
            LAYOUT => Ok(Self { header, entries, memory }),
            other => Err(io::Error::other(format!("claims of layout {other}, not {LAYOUT}"))),
        }
    }

    /// The descriptors that somebody has claimed and that are not only to be closed. Allocates
    /// nothing, and is async-signal-safe.
    pub(crate) fn alive(&'static self) -> impl Iterator<Item = RawFd> {
        let alive = |entry: &Entry| !matches!(entry.word.state(), State::Free | State::Handed);
        self.numbered().filter_map(move |(number, entry)| alive(entry).then_some(number))
    }

    /// All claims, as their owners left them.
    pub(crate) fn left(&'static self) -> impl Iterator<Item = (State, Claim)> {
        self.numbered().map(|(number, entry)| {
            let generation = entry.word.generation();
            (entry.word.state(), Claim { entry, number, generation })
        })
    }

    /// The descriptors of connections that are on their way to another process.
    pub(crate) fn left_handing(&'static self) -> impl Iterator<Item = RawFd> {
        let handing = |entry: &Entry| entry.word.state() == State::Handing;
        self.numbered().filter_map(move |(number, entry)| handing(entry).then_some(number))
    }

    /// The descriptors that somebody has claimed.
    pub(crate) fn claimed(&'static self) -> impl Iterator<Item = RawFd> {
        let claimed = |entry: &Entry| entry.word.state() != State::Free;
        self.numbered().filter_map(move |(number, entry)| claimed(entry).then_some(number))
    }

    /// Counts the connections, by what their claims say.
    pub(crate) fn count(&self, idle: &mut usize, parked: &mut usize, busy: &mut usize) {
        let used = self.header.used.load(Relaxed) as usize;
        for entry in self.entries.iter().take(used) {
            match entry.word.state() {
                State::Free | State::Handed => {}
                State::Idle | State::Taking => *idle += 1,
                State::Parked | State::Handing => *parked += 1,
                State::Busy | State::Started => *busy += 1,
            }
        }
    }

    fn numbered(&'static self) -> impl Iterator<Item = (RawFd, &'static Entry)> {
        let used = RawFd::try_from(self.header.used.load(Relaxed)).unwrap_or(RawFd::MAX);
        (0..used).zip(self.entries)
    }
}

impl Claim {
    /// The claim owns its descriptor, which it was left with. As [`Claim::park`].
    pub(crate) fn park_in_place(self) {
        self.entry.word.park_in_place(self.generation);
    }

    /// The number of the descriptor.
    pub(crate) fn left_number(self) -> RawFd {
        self.number
    }
}
