//! What is known of the process's memory, for all to see.

use ripstop_balance::MemoryStep;
use ripstop_http::Buffers;
use ripstop_work::Thrift;
use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// The memory of the process at one moment, and what was done for it since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryCounts {
    /// Bytes in use: those that no file is behind, with what the allocator keeps. As of the last
    /// look, which is at most a second ago.
    pub used: u64,
    /// The ceiling, in bytes, if there is one.
    pub ceiling: Option<u64>,
    /// What is done now.
    pub step: MemoryStep,
    /// How many connections may be open that are not parked, while there are no more than that.
    pub room: Option<usize>,
    /// How often idle connections began to be parked at once.
    pub parks: u64,
    /// How often new connections began to be refused. How many were is in
    /// [`RefusedCounts`](crate::RefusedCounts).
    pub refuses: u64,
    /// How often idle connections began to be closed.
    pub closes: u64,
    /// How many idle connections were closed.
    pub closed: u64,
    /// Bytes of responses that clients have not taken. Those of a connection are counted by
    /// multiples of 16 KiB, and of one of HTTP/1 up to 128 KiB.
    pub buffered: u64,
    /// How many there may be, if there is a limit.
    pub buffered_max: Option<u64>,
    /// How often it was reached.
    pub overflows: u64,
    /// How many connections and streams were reset for that.
    pub cut: u64,
}

/// What is known of the memory, for all to see.
#[derive(Debug)]
pub(crate) struct Gauge {
    pub(super) used: AtomicU64,
    /// 0 for none.
    pub(super) ceiling: AtomicU64,
    step: AtomicU8,
    /// The largest number for none.
    pub(super) room: AtomicUsize,
    /// How often each step after the first was begun.
    begun: [AtomicU64; 3],
    /// Parked connections that were closed.
    pub(super) closed: AtomicU64,
    pub(super) buffers: Arc<Buffers>,
    /// The largest number for none.
    pub(super) buffered_max: AtomicU64,
    pub(super) overflows: AtomicU64,
    thrift: Arc<Thrift>,
}

impl Gauge {
    pub(super) fn new(thrift: Arc<Thrift>, buffers: Arc<Buffers>) -> Self {
        Self {
            used: AtomicU64::new(0),
            ceiling: AtomicU64::new(0),
            step: AtomicU8::new(MemoryStep::Free as u8),
            room: AtomicUsize::new(usize::MAX),
            begun: Default::default(),
            closed: AtomicU64::new(0),
            buffers,
            buffered_max: AtomicU64::new(u64::MAX),
            overflows: AtomicU64::new(0),
            thrift,
        }
    }

    pub(crate) fn counts(&self) -> MemoryCounts {
        let [parks, refuses, closes] = [0, 1, 2].map(|step| self.begun[step].load(Relaxed));
        let ceiling = self.ceiling.load(Relaxed);
        MemoryCounts {
            used: self.used.load(Relaxed),
            ceiling: (ceiling > 0).then_some(ceiling),
            step: STEPS[usize::from(self.step.load(Relaxed))],
            room: Some(self.room.load(Relaxed)).filter(|room| *room < usize::MAX),
            parks,
            refuses,
            closes,
            closed: self.closed.load(Relaxed) + self.thrift.closed(),
            buffered: self.buffers.held() as u64,
            buffered_max: Some(self.buffered_max.load(Relaxed)).filter(|max| *max < u64::MAX),
            overflows: self.overflows.load(Relaxed),
            cut: self.thrift.cut(),
        }
    }

    /// Returns the step before, if this is another one.
    pub(super) fn enter(&self, step: MemoryStep) -> Option<MemoryStep> {
        let before = self.step.swap(step as u8, Relaxed);
        for begun in usize::from(before)..step as usize {
            self.begun[begun].fetch_add(1, Relaxed);
        }
        (before != step as u8).then(|| STEPS[usize::from(before)])
    }
}

const STEPS: [MemoryStep; 4] =
    [MemoryStep::Free, MemoryStep::Park, MemoryStep::Refuse, MemoryStep::Close];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_on_the_way_up_is_counted() {
        let gauge = Gauge::new(Arc::default(), Arc::default());
        let begun = || {
            let counts = gauge.counts();
            (counts.step, counts.parks, counts.refuses, counts.closes)
        };
        assert_eq!(gauge.enter(MemoryStep::Refuse), Some(MemoryStep::Free));
        assert_eq!(gauge.enter(MemoryStep::Refuse), None);
        assert_eq!(begun(), (MemoryStep::Refuse, 1, 1, 0));
        gauge.enter(MemoryStep::Park);
        gauge.enter(MemoryStep::Close);
        assert_eq!(begun(), (MemoryStep::Close, 1, 2, 1));
    }
}
