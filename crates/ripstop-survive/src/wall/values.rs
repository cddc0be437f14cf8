//! Values that an application carries over from one server to the next: a few, small, each with a
//! name and the version of what it means, in memory that outlives the processes.
//!
//! One server writes at a time. Each value has two places, and a number that says which counts: a
//! writer that dies leaves the value that was there before.

use super::text::Text;
use crate::sealed;
use rustix::mm::{MapFlags, ProtFlags, mmap};
use std::{
    fmt, io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{
        Mutex, PoisonError,
        atomic::{
            AtomicU32,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

/// Values that there can be.
const SLOTS: usize = 64;

/// Bytes of a name, at most.
const NAME: usize = 64;

/// Bytes of a value, at most.
const VALUE: usize = 4096;

/// The version of this layout.
const LAYOUT: u32 = 1;

/// The values of a family of servers.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Values {
    layout: AtomicU32,
    slots: [Slot; SLOTS],
}

#[derive(Debug)]
#[repr(C)]
struct Slot {
    /// Which place counts: 1 or 2; 0 for none, and a free slot.
    current: AtomicU32,
    name: Text<NAME>,
    places: [Place; 2],
}

#[derive(Debug)]
#[repr(C)]
struct Place {
    version: AtomicU32,
    bytes: Text<VALUE>,
}

/// Why a value cannot be carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CarryError {
    /// The name has more than 64 bytes, or none.
    Name,
    /// The value has more than 4096 bytes.
    Value,
    /// There are 64 others.
    Full,
    /// Another server has taken this one's place: it is the one that writes.
    Superseded,
}

impl fmt::Display for CarryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "the name of a value that is carried over must have 1 to 64 bytes",
            Self::Value => "a value that is carried over has at most 4096 bytes",
            Self::Full => "there are 64 values that are carried over, which is all that can be",
            Self::Superseded => "another server has taken the place of this one",
        })
    }
}

impl std::error::Error for CarryError {}

/// Held by the thread that writes.
static WRITES: Mutex<()> = Mutex::new(());

impl Values {
    /// Fresh memory.
    pub(super) fn create() -> io::Result<OwnedFd> {
        sealed::create("ripstop-values", size_of::<Self>())
    }

    /// The memory behind an inherited descriptor; an error if it is anything else.
    pub(super) fn open(memory: BorrowedFd<'_>) -> io::Result<&'static Self> {
        let size = size_of::<Self>();
        if sealed::size(memory)? != Some(size) {
            return Err(io::Error::other("not the values of this version"));
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice, which is never unmapped. The
        // file has this size and cannot shrink; all of it is atomics, for which any bytes are valid.
        #[expect(unsafe_code, reason = "shared memory is mapped")]
        let values = unsafe {
            let start = std::ptr::null_mut();
            &*mmap(start, size, access, MapFlags::SHARED, memory, 0)?.cast::<Self>()
        };
        match values.layout.load(Acquire) {
            0 => values.layout.store(LAYOUT, Release),
            LAYOUT => {}
            other => return Err(io::Error::other(format!("values of layout {other}"))),
        }
        Ok(values)
    }

    pub(super) fn get(&self, name: &str) -> Option<(u32, Vec<u8>)> {
        self.slot(name)?.get()
    }

    pub(super) fn set(&self, name: &str, version: u32, value: &[u8]) -> Result<(), CarryError> {
        if name.is_empty() || name.len() > NAME {
            return Err(CarryError::Name);
        }
        if value.len() > VALUE {
            return Err(CarryError::Value);
        }
        let _writes = WRITES.lock().unwrap_or_else(PoisonError::into_inner);
        let free = || self.slots.iter().find(|slot| slot.current.load(Acquire) == 0);
        let known = self.slot(name);
        let slot = known.or_else(free).ok_or(CarryError::Full)?;
        if known.is_none() {
            // A free slot's name is nobody's.
            slot.name.write(name.as_bytes());
        }
        slot.set(version, value);
        Ok(())
    }

    pub(super) fn remove(&self, name: &str) {
        let _writes = WRITES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = self.slot(name) {
            slot.current.store(0, Release);
        }
    }

    fn slot(&self, name: &str) -> Option<&Slot> {
        let is =
            |slot: &&Slot| slot.current.load(Acquire) != 0 && slot.name.read() == name.as_bytes();
        self.slots.iter().find(is)
    }
}

impl Slot {
    fn get(&self) -> Option<(u32, Vec<u8>)> {
        let place = &self.places[self.current.load(Acquire).checked_sub(1)? as usize % 2];
        Some((place.version.load(Relaxed), place.bytes.read()))
    }

    /// Writes the place that does not count, and then has it count.
    fn set(&self, version: u32, value: &[u8]) {
        let next = if self.current.load(Acquire) == 1 { 2 } else { 1 };
        let place = &self.places[next as usize - 1];
        place.version.store(version, Relaxed);
        place.bytes.write(value);
        self.current.store(next, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn values() -> (OwnedFd, &'static Values) {
        let memory = Values::create().unwrap();
        let values = Values::open(memory.as_fd()).unwrap();
        (memory, values)
    }

    #[test]
    fn a_value_is_what_was_written_last_and_seen_by_the_next() {
        let (memory, values) = values();
        assert_eq!(values.get("a"), None);
        for (version, value) in [(1, &b"one"[..]), (2, b""), (3, &[7; VALUE])] {
            values.set("a", version, value).unwrap();
            values.set("b", 9, b"other").unwrap();
            assert_eq!(values.get("a"), Some((version, value.to_vec())));
            let next = Values::open(memory.as_fd()).unwrap();
            assert_eq!(next.get("a"), Some((version, value.to_vec())));
        }
        values.remove("a");
        assert_eq!((values.get("a"), values.get("b")), (None, Some((9, b"other".to_vec()))));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_changes() {
        let (_memory, values) = values();
        let names: Vec<_> = (0..SLOTS).map(|number| number.to_string()).collect();
        names.iter().for_each(|name| values.set(name, 0, name.as_bytes()).unwrap());
        assert_eq!(values.set("one more", 0, b""), Err(CarryError::Full));
        assert_eq!(values.set("", 0, b""), Err(CarryError::Name));
        assert_eq!(values.set(&"n".repeat(NAME + 1), 0, b""), Err(CarryError::Name));
        assert_eq!(values.set("1", 0, &[0; VALUE + 1]), Err(CarryError::Value));
        assert!(names.iter().all(|name| values.get(name) == Some((0, name.clone().into_bytes()))));
        values.remove("1");
        assert_eq!(values.set("one more", 0, b""), Ok(()));
    }

    #[test]
    fn a_writer_that_dies_in_the_middle_leaves_what_was_there() {
        let (_memory, values) = values();
        values.set("a", 1, b"whole").unwrap();
        // What `set` does before the last store.
        let slot = values.slot("a").unwrap();
        slot.places[1].bytes.write(b"hal");
        assert_eq!(values.get("a"), Some((1, b"whole".to_vec())));
        values.set("a", 2, b"next").unwrap();
        assert_eq!(values.get("a"), Some((2, b"next".to_vec())));
    }
}
