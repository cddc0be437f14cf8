//! What is done for memory near its ceiling: idle connections are parked sooner, new ones are
//! refused, idle ones are closed.
//!
//! The memory of a process says little about what can be had back: allocators keep pages that were
//! freed, and applications keep what they like. So nothing is refused because memory is high, but
//! because it grows while it is: then there may be as many busy connections as there are at that
//! moment. Once those have gone, as many others fit into what they have left behind, whether the
//! kernel was given it back or not. And nothing is closed that was not followed by growth.

use std::fmt;

/// Sixteenths of the ceiling from which on a step is taken. It is taken back one sixteenth lower.
const STEPS: [(u64, MemoryStep); 3] =
    [(17, MemoryStep::Close), (16, MemoryStep::Refuse), (14, MemoryStep::Park)];

/// The part of the ceiling by which memory has to rise to have grown.
const GRAIN: u64 = 64;

/// Busy connections that there may be in any case: where connections are not what takes the memory,
/// others are no help.
const ROOM_MIN: usize = 64;

/// The part of the room that goes at most when memory has grown.
const SHRINK: usize = 4;

/// The part of the room that comes back with each look at which memory has not grown.
const REGAIN: usize = 64;

/// How far memory is from its ceiling. Each step goes on with those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryStep {
    /// Nothing is done.
    #[default]
    Free,
    /// Idle connections are parked at once.
    Park,
    /// No more connections are busy than were when memory last grew.
    Refuse,
    /// Idle connections are closed when memory grows, those that have been idle for longest first.
    Close,
}

impl fmt::Display for MemoryStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "free",
            Self::Park => "park",
            Self::Refuse => "refuse",
            Self::Close => "close",
        })
    }
}

/// What is to be done until the next look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// How far it has come.
    pub step: MemoryStep,
    /// How many connections may be open that are not parked.
    pub room: Option<usize>,
    /// To close now: those that have been idle for longer than the idle time halved so often.
    pub close: Option<u32>,
}

/// The policy with what it remembers.
#[derive(Clone, Debug)]
pub struct Ceiling {
    bytes: u64,
    step: MemoryStep,
    /// The most memory there was when the room was last set.
    high: u64,
    room: usize,
    /// How often idle connections were closed in a row.
    closings: u32,
}

impl Ceiling {
    /// A ceiling of so many bytes, far away.
    pub fn new(bytes: u64) -> Self {
        Self { bytes: bytes.max(1), step: MemoryStep::Free, high: 0, room: usize::MAX, closings: 0 }
    }

    /// The ceiling.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Judges that so many bytes are in use while so many connections are open and not parked.
    pub fn look(&mut self, used: u64, busy: usize) -> Measures {
        self.step = self.reached(used).max(self.step.min(self.reached(self.above(used, 16))));
        if self.step < MemoryStep::Refuse {
            *self = Self { step: self.step, ..Self::new(self.bytes) };
            return Measures { step: self.step, ..Measures::default() };
        }
        let grows = self.high == 0 || used >= self.above(self.high, GRAIN);
        if grows {
            self.high = used;
            // Where fewer are busy, it is others that grow: they shall not shut out all at once.
            let least = if self.room == usize::MAX { 0 } else { self.room - self.room / SHRINK };
            self.room = busy.max(least).min(self.room).max(ROOM_MIN);
        } else if self.step == MemoryStep::Refuse {
            self.room = self.room.saturating_add(self.room / REGAIN + 1);
        }
        Measures { step: self.step, room: Some(self.room), close: self.closes(grows) }
    }

    /// The step that belongs to so many bytes by themselves.
    fn reached(&self, used: u64) -> MemoryStep {
        let is_reached = |(sixteenths, _): &&(u64, MemoryStep)| {
            u128::from(used) * 16 >= u128::from(self.bytes) * u128::from(*sixteenths)
        };
        STEPS.iter().find(is_reached).map_or(MemoryStep::Free, |(_, step)| *step)
    }

    /// So many bytes and a part of the ceiling.
    fn above(&self, bytes: u64, part: u64) -> u64 {
        bytes.saturating_add(self.bytes / part)
    }

    fn closes(&mut self, grows: bool) -> Option<u32> {
        if self.step < MemoryStep::Close {
            self.closings = 0;
            return None;
        }
        self.closings = self.closings.saturating_add(u32::from(grows));
        grows.then_some(self.closings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 1600;

    /// What follows from looks at (used, busy), each a step and the room.
    #[track_caller]
    fn check(looks: &[(u64, usize)], expected: &[(MemoryStep, Option<usize>)]) {
        let mut ceiling = Ceiling::new(BYTES);
        let seen = looks.iter().map(|&(used, busy)| ceiling.look(used, busy));
        let seen: Vec<_> = seen.map(|measures| (measures.step, measures.room)).collect();
        assert_eq!(seen, expected);
    }

    /// The steps alone.
    #[track_caller]
    fn check_steps(used: &[u64], expected: &[MemoryStep]) {
        let mut ceiling = Ceiling::new(BYTES);
        let seen: Vec<_> = used.iter().map(|&used| ceiling.look(used, 0).step).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn each_step_is_taken_at_its_height_and_taken_back_a_sixteenth_lower() {
        use MemoryStep::{Close, Free, Park, Refuse};
        check_steps(&[0, 1399, 1400, 1301, 1300, 1299], &[Free, Free, Park, Park, Park, Free]);
        check_steps(&[1599, 1600, 1500, 1499], &[Park, Refuse, Refuse, Park]);
        check_steps(&[1700, 1600, 1599, 1400, 0], &[Close, Close, Refuse, Park, Free]);
        check_steps(&[u64::MAX, 0], &[Close, Free]);
    }

    #[test]
    fn at_the_ceiling_no_more_are_busy_than_were_when_it_was_reached() {
        check(
            &[(1500, 1000), (1600, 1000), (1400, 0)],
            &[(MemoryStep::Park, None), (MemoryStep::Refuse, Some(1000)), (MemoryStep::Park, None)],
        );
    }

    #[test]
    fn memory_that_is_kept_and_does_not_grow_shuts_nobody_out() {
        let mut ceiling = Ceiling::new(BYTES);
        // The height of a spike, and what the allocator keeps of it for ever.
        assert_eq!(ceiling.look(1800, 640).room, Some(640));
        for busy in [640, 300, 0, 0, 640] {
            let measures = ceiling.look(1800, busy);
            assert_eq!((measures.room, measures.close), (Some(640), None));
        }
    }

    #[test]
    fn below_the_last_step_the_room_comes_back_while_memory_does_not_grow() {
        let mut ceiling = Ceiling::new(BYTES);
        ceiling.look(1600, 640);
        assert_eq!(ceiling.look(1624, 640).room, Some(651));
        // A sixty-fourth more than when the room was set.
        assert_eq!(ceiling.look(1625, 645).room, Some(645));
        assert_eq!(ceiling.look(1649, 645).room, Some(656));
    }

    #[test]
    fn a_few_connections_may_be_busy_whatever_takes_the_memory() {
        check(
            &[(1600, 0), (3200, 0)],
            &[(MemoryStep::Refuse, Some(64)), (MemoryStep::Close, Some(64))],
        );
    }

    #[test]
    fn the_room_shrinks_with_growth_and_never_grows_with_it() {
        check(
            &[(1700, 500), (1800, 400), (1900, 700)],
            &[
                (MemoryStep::Close, Some(500)),
                (MemoryStep::Close, Some(400)),
                (MemoryStep::Close, Some(400)),
            ],
        );
    }

    #[test]
    fn idle_ones_are_closed_with_each_growth_the_longest_idle_first() {
        let mut ceiling = Ceiling::new(BYTES);
        let mut close = |used| ceiling.look(used, 100).close;
        assert_eq!(
            [1600, 1700, 1724, 1725, 1750].map(&mut close),
            [None, Some(1), None, Some(2), Some(3)]
        );
        // It begins anew where it had fallen meanwhile.
        assert_eq!([1550, 1750, 1775].map(&mut close), [None, None, Some(1)]);
    }

    #[test]
    fn however_large_or_small_a_ceiling_is_nothing_overflows() {
        for bytes in [0, 1, 15, u64::MAX] {
            let mut ceiling = Ceiling::new(bytes);
            for used in [0, 1, u64::MAX] {
                ceiling.look(used, usize::MAX);
                ceiling.look(used, 0);
            }
        }
    }
}
