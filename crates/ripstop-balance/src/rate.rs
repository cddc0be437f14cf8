//! How often one key may come: the generic cell rate algorithm (GCRA), and a table of keys whose
//! size has a hard bound whoever makes keys up.
//!
//! The algorithm is the *virtual scheduling algorithm* of ITU-T I.371 and of the ATM Forum's
//! Traffic Management Specification 4.0, section 4.4.2: all that is kept of a key is its
//! theoretical arrival time, that of its next request if it kept to its rate exactly. A request
//! that comes before it, by no more than the burst allows, is admitted and moves it on by one
//! interval; one that comes sooner is refused and moves nothing.
//!
//! A key whose theoretical arrival time has passed is as good as one that never came, so it can be
//! forgotten without anybody noticing. Only such keys give way to others. Where none is found,
//! new keys are *strangers*: they share a few cells, each with the rate of one key. So whoever
//! floods the table takes the places of those who come new, not of those who are known, and no key
//! ever has more than its rate. Keys are hashes; whoever makes them keys the hash, so that nobody
//! can choose which cell is shared.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    num::NonZeroU32,
    time::Duration,
};

/// How many strangers' cells a table has; a power of two.
const STRANGERS: usize = 16;

/// How many entries are looked at for one that has passed, when there is no room.
const LOOKS_FULL: usize = 32;

/// How many are looked at for each key that comes new, so that what has passed goes sooner than it
/// comes.
const LOOKS: usize = 4;

/// A table that is smaller than this keeps its memory.
const SHRINK_MIN: usize = 64;

/// How often one key may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many in each window, spread evenly.
    pub requests: NonZeroU32,
    /// The window.
    pub window: Duration,
    /// So many at once, after a pause that was long enough.
    pub burst: NonZeroU32,
}

impl Rate {
    /// The time between two requests that keep to the rate, in nanoseconds: rounded up, so that a
    /// window never has more than it may.
    fn interval(&self) -> u64 {
        nanos(self.window).div_ceil(u64::from(self.requests.get())).max(1)
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// What a key has left after a request that was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// So many more may come at once.
    pub requests: u32,
    /// After this time without one the burst is whole again.
    pub whole_in: Duration,
}

/// Keys, and when each may come again.
///
/// ```
/// use ripstop_balance::{Rate, RateTable};
/// use std::{num::NonZeroU32, time::Duration};
///
/// let (two, one) = (NonZeroU32::new(2).unwrap(), NonZeroU32::MIN);
/// let rate = Rate { requests: two, window: Duration::from_secs(1), burst: one };
/// let mut table = RateTable::new(rate, 1000);
/// let ms = Duration::from_millis;
/// assert!(table.take(7, ms(0)).is_ok());
/// assert_eq!(table.take(7, ms(100)), Err(ms(400)));
/// assert!(table.take(8, ms(100)).is_ok());
/// assert!(table.take(7, ms(500)).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct RateTable {
    interval: u64,
    /// How much sooner than its theoretical arrival time a request may come.
    tolerance: u64,
    keys_max: usize,
    entries: Vec<Entry>,
    /// Where in `entries` each key is.
    places: HashMap<u64, usize, BuildHasherDefault<Given>>,
    /// Where the search for entries that have passed goes on.
    hand: usize,
    /// Arrival times of the strangers' cells.
    strangers: [u64; STRANGERS],
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u64,
    /// The theoretical arrival time.
    arrival: u64,
}

impl RateTable {
    /// No keys yet, and never more than `keys_max`.
    pub fn new(rate: Rate, keys_max: usize) -> Self {
        let interval = rate.interval();
        Self {
            interval,
            tolerance: interval.saturating_mul(u64::from(rate.burst.get()) - 1),
            keys_max,
            entries: Vec::new(),
            places: HashMap::default(),
            hand: 0,
            strangers: [0; STRANGERS],
        }
    }

    /// Counts a request of `key` at `now`. Returns what it has left.
    ///
    /// # Errors
    ///
    /// It comes too soon, and is not counted: the time after which one would not.
    pub fn take(&mut self, key: u64, now: Duration) -> Result<Left, Duration> {
        let now = nanos(now);
        if let Some(&place) = self.places.get(&key) {
            let next = self.conform(self.entries[place].arrival, now)?;
            self.entries[place].arrival = next;
            return Ok(self.left(next, now));
        }
        let stranger = key as usize % STRANGERS;
        // Who was a stranger just now keeps what all of its cell have used up.
        let next = self.conform(self.strangers[stranger], now)?;
        if self.make_room(now) {
            self.places.insert(key, self.entries.len());
            self.entries.push(Entry { key, arrival: next });
        } else {
            self.strangers[stranger] = next;
        }
        Ok(self.left(next, now))
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The arrival time after a request at `now`, or how long it comes too soon.
    fn conform(&self, arrival: u64, now: u64) -> Result<u64, Duration> {
        let soonest = arrival.saturating_sub(self.tolerance);
        match soonest.checked_sub(now) {
            Some(wait) if wait > 0 => Err(Duration::from_nanos(wait)),
            _ => Ok(arrival.max(now).saturating_add(self.interval)),
        }
    }

    /// What is left at `now` of a key with this arrival time.
    fn left(&self, arrival: u64, now: u64) -> Left {
        let spare = now.saturating_add(self.tolerance).checked_sub(arrival);
        let requests = spare.map_or(0, |spare| spare / self.interval + 1);
        Left {
            requests: u32::try_from(requests).unwrap_or(u32::MAX),
            whole_in: Duration::from_nanos(arrival.saturating_sub(now)),
        }
    }

    /// Forgets what has passed, as far as it is found; says whether there is room for one more.
    fn make_room(&mut self, now: u64) -> bool {
        let looks = if self.entries.len() < self.keys_max { LOOKS } else { LOOKS_FULL };
        for _ in 0..looks.min(self.entries.len()) {
            self.hand = if self.hand < self.entries.len() { self.hand } else { 0 };
            if self.entries.get(self.hand).is_some_and(|entry| entry.arrival <= now) {
                self.forget(self.hand);
            } else {
                self.hand += 1;
            }
        }
        self.entries.len() < self.keys_max
    }

    fn forget(&mut self, place: usize) {
        let gone = self.entries.swap_remove(place);
        self.places.remove(&gone.key);
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.key, place);
        }
        if self.entries.capacity() > SHRINK_MIN.max(self.entries.len() * 4) {
            let twice = self.entries.len() * 2;
            self.entries.shrink_to(twice);
            self.places.shrink_to(twice);
        }
    }
}

/// Takes a key for its own hash.
#[derive(Clone, Debug, Default)]
struct Given(u64);

impl Hasher for Given {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

#[cfg(test)]
mod tests;
