//! A worker of a simulated world, and what its watchdog sees and does.

use super::threads::{Group, Poll};
use crate::{
    supervision::Thresholds,
    watchdog::{
        polls::Event,
        verdict::{Look, Verdict},
    },
};
use std::{collections::VecDeque, time::Duration};

/// A request on the worker of its connection.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) route: usize,
    pub(super) takes: Option<u64>,
    pub(super) asleep: bool,
}

/// A worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) threads: Group,
    pub(super) requests: VecDeque<Request>,
    spares: usize,
    /// Plugs that are out.
    out: usize,
    /// Plugs that were put back and hold no thread yet.
    loose: usize,
    verdict: Verdict,
    pub(super) drowned: Option<Duration>,
}

impl Worker {
    pub(super) fn new(spares: usize, thresholds: Thresholds) -> Self {
        let mut threads = Group::default();
        (0..=spares).for_each(|nth| threads.start(nth > 0));
        let (requests, verdict) = (VecDeque::new(), Verdict::new(thresholds));
        Self { threads, requests, spares, out: 0, loose: 0, verdict, drowned: None }
    }

    /// Lets free threads work, or be plugged.
    pub(super) fn serve(&mut self, now: u64) {
        while let Some(thread) = self.threads.free() {
            if self.loose > 0 {
                self.loose -= 1;
                thread.held = true;
                continue;
            }
            let Some(Request { route, takes, asleep }) = self.requests.pop_front() else { return };
            let ends = takes.map(|takes| now + takes);
            let (seen, job) = (None, None);
            thread.begin(Poll { route, began: now, ends, asleep, paused: 0, seen, job });
        }
    }

    /// One look of the watchdog, and what it does.
    pub(super) fn look(&mut self, now: u64, stall: u64, events: &mut Vec<Event>) {
        let held = self.threads.held();
        let (marks, threads) = (self.threads.marks(), self.threads.published());
        let look = Look { marks, threads, held };
        let seen = self.verdict.judge(&look, Duration::from_millis(now), events);
        assert_eq!(seen.stuck, self.threads.stuck_for(stall, now), "{:?}", self.threads);
        self.let_out(seen.stuck.min(self.spares));
        let drowned = seen.drowns(self.drowned.is_some(), self.spares);
        let since = self.drowned.unwrap_or(Duration::from_millis(now));
        self.drowned = drowned.then_some(since);
    }

    /// Threads that will hardly come back.
    pub(super) fn lost(&self, lost: Duration, now: u64) -> usize {
        self.verdict.stuck_for(lost, Duration::from_millis(now))
    }

    fn let_out(&mut self, wanted: usize) {
        for _ in self.out..wanted {
            match self.threads.list.iter_mut().find(|thread| thread.held) {
                Some(thread) => thread.held = false,
                None => self.loose -= 1,
            }
        }
        self.loose += self.out.saturating_sub(wanted);
        self.out = wanted;
    }

    /// As long as not all its threads are stuck, one of the others serves.
    pub(super) fn check(&self, now: u64, stall: u64) {
        let stuck = self.threads.stuck_for(stall, now);
        let serving = self.threads.list.len() - stuck - self.threads.held();
        assert!(stuck > self.spares || serving > 0, "nobody serves: {self:?}");
        assert!(self.drowned.is_some() || stuck <= self.spares, "it is drowned: {self:?}");
    }

    /// Nothing to do, and each spare in its plug.
    pub(super) fn at_rest(&self) -> bool {
        let held = self.threads.held() == self.spares;
        held && self.drowned.is_none() && self.is_idle()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.threads.list.iter().all(|thread| thread.poll.is_none())
    }

    pub(super) fn spares(&self) -> usize {
        self.spares
    }
}
