//! The hub of all reports: takes sightings without waiting, counts, keeps the last, streams.
//!
//! Owns the queue to the reporter's thread and what that thread shares with everybody. The thread
//! itself is in `reporter.rs`.

use crate::{
    Kind, Sighting, Tear,
    reporter::{self, Filed, Reporter},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
        mpsc::{SyncSender, sync_channel},
    },
    time::SystemTime,
};
use tokio::sync::broadcast;

/// Sightings that wait for the reporter.
const QUEUE: usize = 64;

/// Reports that are kept.
const KEPT: usize = 256;

/// Reports that a slow reader of the stream may be behind.
const BEHIND: usize = 256;

/// Where faults are filed, counted and read; cheap to clone.
#[derive(Clone, Debug)]
pub struct Tears {
    hub: Arc<Hub>,
}

#[derive(Debug)]
struct Hub {
    /// Only here: when the hub goes, the reporter finds the queue closed and ends.
    queue: SyncSender<Filed>,
    shared: Arc<Shared>,
}

/// What the reporter shares with the hub.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Locked by the reporter's thread while that runs.
    pub(crate) reporter: Mutex<Reporter>,
    /// A thread looks after the queue.
    pub(crate) reporting: AtomicBool,
    counts: [AtomicU64; Kind::ALL.len()],
    unreported: AtomicU64,
    kept: Mutex<VecDeque<Arc<Tear>>>,
    stream: broadcast::Sender<Arc<Tear>>,
}

impl Tears {
    /// A hub of its own; nothing runs until something is filed.
    pub fn new() -> Self {
        let (sender, receiver) = sync_channel(QUEUE);
        let shared = Shared {
            reporter: Mutex::new(Reporter::new(receiver)),
            reporting: AtomicBool::new(false),
            counts: Default::default(),
            unreported: AtomicU64::new(0),
            kept: Mutex::default(),
            stream: broadcast::Sender::new(BEHIND),
        };
        Self { hub: Arc::new(Hub { queue: sender, shared: Arc::new(shared) }) }
    }

    /// Counts a fault and hands it to the reporter. Does not wait: what finds the queue of 64 full
    /// is counted as [unreported](Self::unreported).
    pub fn file(&self, sighting: Sighting) {
        let Hub { queue, shared } = &*self.hub;
        self.add(sighting.kind);
        if queue.try_send(Filed { time: SystemTime::now(), sighting }).is_err() {
            shared.miss();
        }
        shared.ensure_reporter();
    }

    /// Counts a fault that nobody needs a report of.
    pub fn add(&self, kind: Kind) {
        self.hub.shared.counts[kind as usize].fetch_add(1, Relaxed);
    }

    /// How many faults of a kind there have been, reported or not.
    pub fn count(&self, kind: Kind) -> u64 {
        self.hub.shared.counts[kind as usize].load(Relaxed)
    }

    /// How many sightings were filed and became no report: the queue was full, or making the report
    /// failed.
    pub fn unreported(&self) -> u64 {
        self.hub.shared.unreported.load(Relaxed)
    }

    /// The last reports, at most 256, the newest last.
    pub fn recent(&self) -> Vec<Arc<Tear>> {
        self.hub.shared.kept().iter().cloned().collect()
    }

    /// Every report from now on.
    pub fn stream(&self) -> TearStream {
        TearStream { reports: self.hub.shared.stream.subscribe() }
    }
}

impl Default for Tears {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    /// Starts the reporter's thread unless it runs. A thread that cannot be had is tried for again
    /// when the next fault is filed.
    fn ensure_reporter(self: &Arc<Self>) {
        if !self.reporting.swap(true, SeqCst) && reporter::start(self.clone()).is_err() {
            self.reporting.store(false, SeqCst);
        }
    }

    /// Counts a sighting that becomes no report.
    pub(crate) fn miss(&self) {
        self.unreported.fetch_add(1, Relaxed);
    }

    /// Keeps a report and streams it.
    pub(crate) fn publish(&self, tear: Arc<Tear>) {
        let mut kept = self.kept();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(tear.clone());
        drop(kept);
        // That nobody reads the stream is no fault.
        let _ = self.stream.send(tear);
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<Tear>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports as they are made.
#[derive(Debug)]
pub struct TearStream {
    reports: broadcast::Receiver<Arc<Tear>>,
}

impl TearStream {
    /// The next report; `None` when the hub is gone. A reader that is more than 256 reports behind
    /// misses the oldest.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a report that was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<Arc<Tear>> {
        loop {
            match self.reports.recv().await {
                Ok(tear) => return Some(tear),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripstop_testkit::until;
    use std::time::Duration;

    #[test]
    fn the_reporter_ends_when_it_is_idle_and_comes_back() {
        const SOON: Duration = Duration::from_secs(20);
        let tears = Tears::new();
        for reports in 1..=2 {
            tears.file(Sighting::new(Kind::Restart, "here"));
            assert!(until(SOON, || tears.recent().len() == reports));
            let shared = &tears.hub.shared;
            assert!(until(SOON, || !shared.reporting.load(SeqCst)), "it is idle after {reports}");
            assert!(until(SOON, || shared.reporter.try_lock().is_ok()), "and has ended");
        }
    }
}
