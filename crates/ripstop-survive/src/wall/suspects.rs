//! Requests that were running when servers died, in memory that outlives all of them.
//!
//! A table of plain atomics: fingerprints, and for each some words that whoever judges it keeps. It
//! can be read, and entries be taken out of it, from other processes too.

use super::text::Text;
use std::{
    array,
    hash::{BuildHasher, RandomState},
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// Fingerprints that are known, at most.
const SUSPECTS: usize = 64;

/// Bytes of a name.
const NAME: usize = 120;

/// Words that are kept of each.
pub const SUSPECT_WORDS: usize = 4;

/// The table.
#[derive(Debug)]
#[repr(C)]
pub struct Suspects {
    /// What fingerprints are made with, so that no client can make one of its choice.
    key: AtomicU64,
    /// Requests that were refused in all.
    refused: AtomicU64,
    /// How many are known: all that is looked at while there are none.
    known: AtomicU32,
    /// 0 where a place is free. Written last.
    fingerprints: [AtomicU64; SUSPECTS],
    suspects: [Suspect; SUSPECTS],
}

/// A fingerprint that is known.
#[derive(Debug)]
#[repr(C)]
pub struct Suspect {
    words: [AtomicU64; SUSPECT_WORDS],
    /// Requests of it that were refused.
    refused: AtomicU64,
    name: Text<NAME>,
}

impl Suspects {
    /// To be called once for fresh memory.
    pub(super) fn begin(&self) {
        self.key.store(RandomState::new().hash_one(std::process::id()), Relaxed);
    }

    /// Whether any is known.
    #[inline]
    pub fn any(&self) -> bool {
        self.known.load(Relaxed) != 0
    }

    /// What fingerprints are made with.
    pub fn key(&self) -> u64 {
        self.key.load(Relaxed)
    }

    /// How many requests were refused, by all servers.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// The suspect of this fingerprint, if it is known.
    pub fn find(&'static self, fingerprint: u64) -> Option<&'static Suspect> {
        self.place(fingerprint).map(|place| &self.suspects[place])
    }

    /// The suspect of this fingerprint, which is made known by this name if it is not. `None` if
    /// there is no room.
    pub fn enter(&'static self, fingerprint: u64, name: &str) -> Option<&'static Suspect> {
        if let Some(known) = self.find(fingerprint) {
            return Some(known);
        }
        let place = self.place(0)?;
        let suspect = &self.suspects[place];
        suspect.begin(name);
        self.fingerprints[place].store(fingerprint, Release);
        self.count();
        Some(suspect)
    }

    /// Forgets a fingerprint; false if it was not known.
    pub fn remove(&self, fingerprint: u64) -> bool {
        let place = self.place(fingerprint);
        place.inspect(|place| self.fingerprints[*place].store(0, Release));
        self.count();
        place.is_some()
    }

    /// All that are known, with their fingerprints.
    pub fn list(&'static self) -> impl Iterator<Item = (u64, &'static Suspect)> {
        let fingerprints = self.fingerprints.iter().map(|place| place.load(Acquire));
        fingerprints.zip(&self.suspects).filter(|(fingerprint, _)| *fingerprint != 0)
    }

    /// Counts a request that was refused.
    pub fn refuses(&self, suspect: &Suspect) {
        self.refused.fetch_add(1, Relaxed);
        suspect.refused.fetch_add(1, Relaxed);
    }

    fn place(&self, fingerprint: u64) -> Option<usize> {
        self.fingerprints.iter().position(|place| place.load(Acquire) == fingerprint)
    }

    /// Counted anew each time, so that a death in the middle of a change is mended by the next one.
    fn count(&self) {
        let known = self.fingerprints.iter().filter(|place| place.load(Relaxed) != 0).count();
        self.known.store(u32::try_from(known).unwrap_or(u32::MAX), Relaxed);
    }
}

impl Suspect {
    fn begin(&self, name: &str) {
        let kept = &name.as_bytes()[..name.floor_char_boundary(NAME)];
        self.set_words([0; SUSPECT_WORDS]);
        self.refused.store(0, Relaxed);
        self.name.write(kept);
    }

    /// What is kept of it.
    pub fn words(&self) -> [u64; SUSPECT_WORDS] {
        array::from_fn(|word| self.words[word].load(Relaxed))
    }

    /// Keeps something else. A reader at the same time may find a mixture.
    pub fn set_words(&self, words: [u64; SUSPECT_WORDS]) {
        self.words.iter().zip(words).for_each(|(place, word)| place.store(word, Relaxed));
    }

    /// Its name, cut at 120 bytes.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.name.read()).into_owned()
    }

    /// Requests of it that were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wall::control::Control;

    /// A table of its own, which other processes could see.
    fn suspects() -> &'static Suspects {
        let (memory, control) = Control::create().expect("memory");
        // Else the test beside it would find this one.
        drop(memory);
        &control.suspects
    }

    #[test]
    fn what_was_entered_is_found_until_it_is_removed() {
        let suspects = suspects();
        assert!(!suspects.any() && suspects.find(7).is_none());
        let entered = suspects.enter(7, &"é".repeat(100)).expect("room");
        entered.set_words([1, 2, 3, 4]);
        suspects.refuses(entered);
        let again = suspects.enter(7, "other").expect("it is known");
        assert_eq!((again.words(), again.name()), ([1, 2, 3, 4], "é".repeat(60)));
        assert_eq!((again.refused(), suspects.refused()), (1, 1));
        assert!(suspects.any() && suspects.list().map(|(print, _)| print).eq([7]));
        assert!(suspects.remove(7) && !suspects.remove(7) && !suspects.any());
        let anew = suspects.enter(7, "anew").expect("room");
        assert_eq!((anew.words(), anew.name(), anew.refused()), ([0; 4], "anew".into(), 0));
        assert_eq!(suspects.refused(), 1);
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let suspects = suspects();
        let entered = (1..).map_while(|print| suspects.enter(print, "x")).count();
        assert_eq!(entered, SUSPECTS);
        assert!(suspects.enter(1, "x").is_some());
    }

    #[test]
    fn keys_differ() {
        assert_ne!(suspects().key(), suspects().key());
    }
}
