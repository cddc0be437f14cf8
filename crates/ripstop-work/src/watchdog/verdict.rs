//! What a series of looks at a worker means: how many of its threads are stuck, and how busy it
//! is. Pure: times are handed in.

use super::polls::{Event, Polls, Still};
use crate::supervision::{GAP_STALLS, Thresholds};
use std::time::Duration;

/// What was seen of a worker at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// The mark of each of its threads, with its number: odd inside a poll.
    pub(super) marks: Vec<(usize, u64)>,
    /// What tokio publishes of the same threads, in an order of its own.
    pub(super) threads: Vec<Thread>,
    /// How many of the threads a plug holds.
    pub(super) held: usize,
}

/// What tokio publishes of one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Thread {
    /// How often it went to sleep and woke up: odd while it sleeps.
    pub(super) parks: u64,
    /// How long it was awake in all; published when it goes to sleep and every 61 polls.
    pub(super) busy: Duration,
}

impl Thread {
    fn is_awake(&self) -> bool {
        self.parks.is_multiple_of(2)
    }
}

/// What a look means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Threads that are stuck.
    pub(super) stuck: usize,
    /// Whether anything happened since the last look.
    pub(super) moved: bool,
    /// Whether any thread neither sleeps between its tasks nor is held by a plug, however long it
    /// has been like that: then there is something to watch.
    pub(super) at_work: bool,
    /// The busy share, once a window.
    pub(super) busy_percent: Option<u8>,
}

impl Seen {
    /// Whether all threads of a worker with so many spares are stuck. One of which that is known,
    /// and in which nothing has moved since, is not better off for a pause of the machine.
    pub(super) fn drowns(&self, was: bool, spares: usize) -> bool {
        self.stuck > spares || (was && !self.moved)
    }
}

/// Tasks that are not ours bear no mark. Tokio publishes a busy thread only every 61 polls, so a
/// thread that did not move is believed to be stuck only after this many stall times.
const UNMARKED_STALLS: u32 = 4;

/// The window over which the busy share is taken.
const BUSY_WINDOW: Duration = Duration::from_millis(100);

/// The looks at one worker so far, as far as they matter.
#[derive(Debug)]
pub(super) struct Verdict {
    stall: Duration,
    last_look: Duration,
    polls: Polls,
    threads: Vec<Still<Thread>>,
    /// How many threads were held, and since when it has been that many.
    held: Still<usize>,
    /// What `stuck_unmarked` said last.
    unmarked: usize,
    window: Still<Duration>,
}

impl Verdict {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self {
            stall: thresholds.stall,
            last_look: Duration::ZERO,
            polls: Polls::new(thresholds),
            threads: Vec::new(),
            held: Still { value: 0, since: Duration::ZERO },
            unmarked: 0,
            window: Still { value: Duration::ZERO, since: Duration::ZERO },
        }
    }

    /// Takes in what was seen at `now`, and says what has become of polls.
    pub(super) fn judge(&mut self, look: &Look, now: Duration, events: &mut Vec<Event>) -> Seen {
        if now.saturating_sub(self.last_look) > self.stall * GAP_STALLS {
            self.forgive(now);
        }
        self.last_look = now;
        let marks_moved = self.polls.judge(&look.marks, now, events);
        let threads_moved = take_in(&mut self.threads, &look.threads, now);
        self.held.see(look.held, now);
        self.unmarked = self.stuck_unmarked(now);
        Seen {
            stuck: self.stuck_for(self.stall, now).max(self.unmarked),
            moved: marks_moved || threads_moved,
            at_work: self.polls.any_inside() || self.awake() > self.held.value,
            busy_percent: self.busy_percent(now),
        }
    }

    /// Threads inside one and the same marked poll for at least this long.
    pub(super) fn stuck_for(&self, least: Duration, now: Duration) -> usize {
        self.polls.longer_than(least, now).count()
    }

    /// Threads that do not sleep, those among them that a plug holds.
    fn awake(&self) -> usize {
        self.threads.iter().filter(|thread| thread.value.is_awake()).count()
    }

    /// Threads that neither sleep nor move, less those that a plug holds. One that moves is
    /// enough for the worker: then nothing needs to be done. A thread that was freed has as much
    /// time to move as any other: until then, nothing more is said of the worker.
    fn stuck_unmarked(&self, now: Duration) -> usize {
        let patience = self.stall * UNMARKED_STALLS;
        let awake = self.threads.iter().filter(|thread| thread.value.is_awake());
        let still = awake.filter(|thread| thread.age(now) >= patience).count();
        if still < self.threads.len() {
            0
        } else if self.held.age(now) < patience {
            self.unmarked
        } else {
            still.saturating_sub(self.held.value)
        }
    }

    fn busy_percent(&mut self, now: Duration) -> Option<u8> {
        let elapsed = self.window.age(now);
        if elapsed < BUSY_WINDOW {
            return None;
        }
        let busy: Duration = self.threads.iter().map(|thread| thread.value.busy).sum();
        let spent = busy.saturating_sub(self.window.value);
        self.window = Still { value: busy, since: now };
        // A thread that a plug held publishes all of that time at once: cut to the whole.
        let percent = spent.as_micros().saturating_mul(100) / elapsed.as_micros().max(1);
        Some(u8::try_from(percent.min(100)).unwrap_or(100))
    }

    /// Starts all patience anew.
    fn forgive(&mut self, now: Duration) {
        self.polls.forgive(now);
        for thread in &mut self.threads {
            thread.since = now;
        }
    }
}

/// Takes the new values in, in their order; returns whether any differs.
fn take_in<T: PartialEq + Copy>(kept: &mut Vec<Still<T>>, new: &[T], now: Duration) -> bool {
    let mut moved = kept.len() != new.len();
    kept.truncate(new.len());
    for (kept, &value) in kept.iter_mut().zip(new) {
        moved |= kept.see(value, now);
    }
    let fresh = new.iter().skip(kept.len()).map(|&value| Still { value, since: now });
    kept.extend(fresh);
    moved
}

#[cfg(test)]
mod tests;
