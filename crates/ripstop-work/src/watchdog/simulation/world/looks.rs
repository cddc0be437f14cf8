//! The looks of the watchdog at the world, and what has to hold at each.

use super::{GAP, World};
use crate::{
    supervision::{Action, LOST_AFTER, LOST_MOST, NONE_LEFT, Supervisor, Surrender},
    watchdog::{
        polls::{Event, Step},
        simulation::{Seen, lanes::Lane, threads::Group, watch::Worker},
    },
};
use std::time::Duration;

/// A try to start a thread waits after a failure, at least and at most.
const RETRY_LEAST: u64 = 100;
const RETRY_MOST: u64 = 5_000;

impl World {
    pub(super) fn look(&mut self) {
        let anew = self.now - self.last_look > GAP * self.stall;
        self.last_look = self.now;
        for at in 0..self.workers.len() + self.retired.len() {
            let worker = self.workers.iter_mut().chain(&mut self.retired).nth(at);
            let worker = worker.expect("it is one of them");
            worker.threads.looked_at(self.now, anew);
            let mut events = vec![];
            worker.look(self.now, self.stall, &mut events);
            worker.check(self.now, self.stall);
            if worker.drowned.is_some() {
                self.seen.insert("a worker that drowned");
            }
            let seen = &mut self.seen;
            charge(&events, &worker.threads, &mut self.lanes, self.now, self.stall, seen);
        }
        self.executors.looked_at(self.now, anew);
        self.look_at_executors();
        self.act();
        self.retired.retain(|worker| !worker.is_idle());
    }

    fn look_at_executors(&mut self) {
        let (now, mut events) = (Duration::from_millis(self.now), vec![]);
        self.staff.judge(&self.executors.marks(), now, &mut events);
        let seen = &mut self.seen;
        charge(&events, &self.executors, &mut self.lanes, self.now, self.stall, seen);
        let held = match self.jobs.waiting() {
            0 => self.staff.stuck(now),
            _ => self.staff.held(now, |thread| self.executors.poll_of(thread).asleep),
        };
        let may_start = self.supervisor.may_start(now);
        let running = self.executors.list.len();
        if let Some(wanted) = self.staff.resize(running, held, may_start, now) {
            self.jobs.set_surplus(running.saturating_sub(wanted));
            for _ in running..wanted {
                if !self.can_start(Supervisor::failed) {
                    break;
                }
                self.executors.start(false);
            }
        }
    }

    /// Whether a thread can be started; if not, the supervisor is told so.
    fn can_start(&mut self, failed: fn(&mut Supervisor, Duration)) -> bool {
        let rested = self.failed.is_none_or(|failed| self.now >= failed + RETRY_LEAST);
        assert!(rested, "a try at {} after a failure at {:?}", self.now, self.failed);
        let can = self.now >= self.no_threads;
        if !can {
            failed(&mut self.supervisor, Duration::from_millis(self.now));
            self.failed = Some(self.now);
            self.seen.insert("a thread that could not be started");
        }
        can
    }

    fn act(&mut self) {
        let now = Duration::from_millis(self.now);
        let drowned: Vec<_> = self.workers.iter().map(|worker| worker.drowned).collect();
        let all = self.workers.iter().chain(&self.retired);
        let of_workers: usize = all.map(|worker| worker.lost(self.thresholds.lost, self.now)).sum();
        let lost = of_workers + self.staff.lost(now).count();
        match self.supervisor.judge(&drowned, lost, now) {
            None => {}
            Some(Action::Rebuild(index)) => {
                let since = drowned[index].expect("only what has drowned is rebuilt");
                let for_long = |at: &Option<Duration>| at.is_some_and(|at| now - at >= NONE_LEFT);
                let none_left = drowned.iter().all(for_long);
                assert!(none_left || now - since >= LOST_AFTER, "rebuilt too early");
                self.rebuild(index);
            }
            Some(Action::Surrender(reason)) => {
                match reason {
                    Surrender::LostThreads => {
                        assert!(lost > LOST_MOST);
                        self.seen.insert("too many lost threads");
                    }
                    Surrender::Rebuilds => {
                        let recent = |at: &&u64| self.now - **at < 10_000;
                        let rebuilds = self.rebuilds.iter().filter(recent).count();
                        assert!(rebuilds >= 5, "it gives up after {rebuilds} rebuilds");
                        self.seen.insert("too many rebuilds");
                    }
                }
                self.surrender = Some(reason);
            }
        }
    }

    fn rebuild(&mut self, index: usize) {
        if self.can_start(Supervisor::rebuild_failed) {
            self.rebuilds.push(self.now);
            self.seen.insert("a worker that was rebuilt");
            let fresh = Worker::new(self.workers[index].spares(), self.thresholds);
            self.retired.push(std::mem::replace(&mut self.workers[index], fresh));
        }
    }

    /// What has to hold between looks; what holds at each event is asserted there.
    pub(super) fn check(&mut self) {
        self.jobs.check(&mut self.executors);
        let limit = self.most.max(self.free);
        let running = self.executors.list.len();
        assert!(running <= limit, "{running} executors");
        let held = self.executors.stuck_for(self.stall, self.now);
        let wanted = (self.free + held).min(limit);
        let may = self.failed.is_none_or(|failed| self.now > failed + RETRY_MOST);
        let may = may && self.now >= self.no_threads;
        self.short = if may && running < wanted { self.short + 1 } else { 0 };
        assert!(self.short < 3, "{running} executors in place of {wanted}");
    }
}

/// Charges the routes of polls that have become stalls, each with reason.
fn charge(
    events: &[Event],
    threads: &Group,
    lanes: &mut [Lane],
    now: u64,
    stall: u64,
    seen: &mut Seen,
) {
    for event in events.iter().filter(|event| event.step == Some(Step::Stall)) {
        let poll = threads.poll_of(event.thread);
        let took = now - poll.began - poll.paused;
        assert!(took >= stall, "charged after {took} ms: {poll:?}");
        lanes[poll.route].charge(now, seen);
    }
}
