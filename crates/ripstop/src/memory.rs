//! The memory of the process and its ceiling: looks, and carries out what follows.
//!
//! What follows is decided by [`Ceiling`]. What is looked at is the anonymous memory of the process
//! (`RssAnon` of /proc/self/status): what the kernel cannot take back. That costs a few
//! microseconds; the exact sizes of `smaps_rollup` cost a walk over all pages, during which the
//! process gets no new ones.

mod allowed;
mod gauge;

use ripstop_balance::{Ceiling, Measures, MemoryStep};
use ripstop_http::Buffers;
use ripstop_net::{Connections, Lots};
use ripstop_work::Workers;
use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

pub(crate) use gauge::Gauge;
pub use gauge::MemoryCounts;

/// The time between two looks while memory is far from its ceiling, and while it is not.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(100));

/// The idle time that is halved where connections have none.
const IDLE: Duration = Duration::from_secs(64);

/// How much memory something may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryCeiling {
    /// So many percent of what the process may have: of the machine's memory, or of what its control
    /// group allows (version 1 or 2) where that is less. Of [`Options::buffered`], percent of the
    /// ceiling.
    ///
    /// [`Options::buffered`]: crate::Options::buffered
    Percent(u8),
    /// So many bytes.
    Bytes(u64),
}

impl MemoryCeiling {
    /// In bytes, where `allowed` are what the process may have.
    fn bytes(self, allowed: Option<u64>) -> Option<u64> {
        match self {
            // Divided first: it may be more than can be multiplied.
            Self::Percent(percent) => Some(allowed? / 100 * u64::from(percent)),
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// What gives way where memory is short.
#[derive(Clone, Copy)]
pub(crate) struct Reach<'a> {
    pub(crate) workers: &'a Workers,
    pub(crate) lots: &'a Lots,
    pub(crate) connections: &'a Connections,
    /// The time that a connection may be idle.
    pub(crate) idle: Option<Duration>,
}

/// The memory of the process, as the main thread looks after it.
#[derive(Debug)]
pub(crate) struct Memory {
    ceiling: Option<Ceiling>,
    gauge: Arc<Gauge>,
}

impl Memory {
    /// Without a ceiling at first.
    pub(crate) fn new(workers: &Workers, buffers: &Arc<Buffers>) -> Self {
        let gauge = Gauge::new(workers.thrift().clone(), buffers.clone());
        Self { ceiling: None, gauge: Arc::new(gauge) }
    }

    pub(crate) fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    /// Sets the ceiling, and a limit on what clients have not taken: what may be had is asked for
    /// anew.
    pub(crate) fn set(&mut self, ceiling: Option<MemoryCeiling>, buffered: Option<MemoryCeiling>) {
        let allowed = allowed::allowed(Path::new("/"));
        let bytes = ceiling.and_then(|ceiling| ceiling.bytes(allowed)).filter(|bytes| *bytes > 0);
        let buffered = buffered.and_then(|buffered| buffered.bytes(bytes.or(allowed)));
        self.gauge.buffered_max.store(buffered.unwrap_or(u64::MAX), Relaxed);
        if bytes == self.ceiling.as_ref().map(Ceiling::bytes) {
            return;
        }
        if let Some(bytes) = bytes {
            log::info!(bytes, allowed:?; "ceiling of memory");
        }
        self.ceiling = bytes.map(Ceiling::new);
        self.gauge.ceiling.store(bytes.unwrap_or(0), Relaxed);
    }

    /// Looks, and does what follows. Returns when to look again.
    pub(crate) fn look(&mut self, on: Reach<'_>) -> Duration {
        let used = used().unwrap_or(0);
        self.gauge.used.store(used, Relaxed);
        let parked = on.lots.parked();
        let busy = on.connections.open().saturating_sub(parked);
        let ceiling = self.ceiling.as_mut();
        let measures = ceiling.map_or_else(Measures::default, |it| it.look(used, busy));
        if let Some(before) = self.gauge.enter(measures.step) {
            self.tell(before, measures.step, used);
        }
        self.gauge.room.store(measures.room.unwrap_or(usize::MAX), Relaxed);
        on.connections.leave_room(measures.room.map(|room| room.saturating_add(parked)));
        let idle = on.idle.unwrap_or(IDLE);
        // It is halved away in the end.
        let idle_max =
            measures.close.map(|halvings| idle / 1_u32.checked_shl(halvings).unwrap_or(u32::MAX));
        on.workers.save_memory(measures.step >= MemoryStep::Park, idle_max);
        let closed = idle_max.map_or(0, |idle_max| on.lots.close_idle(idle_max));
        self.gauge.closed.fetch_add(closed as u64, Relaxed);
        let overflows = self.look_at_buffers(on.workers);
        let is_far =
            !overflows && self.ceiling.as_ref().is_none_or(|ceiling| used < ceiling.bytes() / 2);
        if is_far { LOOKS.0 } else { LOOKS.1 }
    }

    /// Has slow clients given up while all of them hold too much. Returns whether they do.
    fn look_at_buffers(&self, workers: &Workers) -> bool {
        let (held, max) = (self.gauge.buffers.held() as u64, self.gauge.buffered_max.load(Relaxed));
        let before = workers.thrift().hurries();
        let overflows = held >= if before { max - max / 16 } else { max };
        workers.hurry(overflows);
        match (before, overflows) {
            (false, true) => {
                self.gauge.overflows.fetch_add(1, Relaxed);
                log::warn!(held, max; "clients do not take their responses: slow ones are given up");
            }
            (true, false) => log::info!(held, max; "clients have taken their responses"),
            _ => {}
        }
        overflows
    }

    fn tell(&self, before: MemoryStep, step: MemoryStep, used: u64) {
        let ceiling = self.gauge.ceiling.load(Relaxed);
        if step < before {
            log::info!(step:%, used, ceiling; "memory is farther from its ceiling");
        } else {
            log::warn!(step:%, used, ceiling; "memory is near its ceiling");
        }
    }
}

/// The anonymous memory of the process in bytes. `None` without /proc.
fn used() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    // Not every kernel tells apart what files are behind.
    kilobytes(&status, "RssAnon:").or_else(|| kilobytes(&status, "VmRSS:"))
}

/// The bytes that a line of a file in /proc says, which begins like this.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_one_of_what_may_be_had_and_bytes_are_bytes() {
        assert_eq!(MemoryCeiling::Percent(80).bytes(Some(1000)), Some(800));
        assert_eq!(MemoryCeiling::Percent(80).bytes(None), None);
        assert_eq!(MemoryCeiling::Percent(100).bytes(Some(u64::MAX)), Some(u64::MAX / 100 * 100));
        assert_eq!(MemoryCeiling::Bytes(7).bytes(None), Some(7));
    }

    #[test]
    fn this_process_has_memory_and_may_have_more() {
        let allowed = allowed::allowed(Path::new("/")).unwrap();
        assert!((1 << 16..allowed).contains(&used().unwrap()));
    }
}
