//! The groups of threads that are watched, and what was seen of them so far.

use super::{
    drowning::Drowning,
    polls::Event,
    sights::Sights,
    staff::Staff,
    verdict::{self, Look, Verdict},
};
use crate::{
    Worker,
    slot::Slot,
    supervision::{REPORT_AFTER, Supervisor, Thresholds},
    workers::Crew,
};
use ripstop_tears::{Kind, Sighting};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// A worker.
pub(super) struct WatchedWorker {
    worker: Arc<Worker>,
    verdict: Verdict,
    look: Look,
    events: Vec<Event>,
    sights: Sights,
    /// All its threads are stuck.
    pub(super) drowned: Option<Drowning>,
    /// That has been reported.
    reported: bool,
    /// Spares that run.
    freed: usize,
    /// Threads that will hardly come back.
    pub(super) lost: usize,
}

impl WatchedWorker {
    pub(super) fn new(worker: &Arc<Worker>, crew: &Crew) -> Self {
        let common = &crew.common;
        Self {
            worker: worker.clone(),
            verdict: Verdict::new(Thresholds::of(&crew.options)),
            look: Look::default(),
            events: Vec::new(),
            sights: Sights::new(common.routes.clone(), common.tears.clone()),
            drowned: None,
            reported: false,
            freed: 0,
            lost: 0,
        }
    }

    pub(super) fn is_of(&self, worker: &Arc<Worker>) -> bool {
        Arc::ptr_eq(&self.worker, worker)
    }

    /// Looks, acts, and returns whether the worker did anything since the last look, or is at it.
    pub(super) fn look(&mut self, now: Duration, crew: &Crew) -> bool {
        self.see();
        self.events.clear();
        let seen = self.verdict.judge(&self.look, now, &mut self.events);
        if let Some(percent) = seen.busy_percent {
            self.worker.load().busy_percent.store(percent, Relaxed);
        }
        self.lost = self.verdict.stuck_for(crew.options.lost, now);
        let spares = crew.options.spares;
        self.free_spares(seen.stuck, spares);
        self.drowns(&seen, now, crew);
        // Last: to ask a thread for its stack may take a while.
        if !self.events.is_empty() {
            let slots = self.worker.slots.lock();
            self.events.iter().for_each(|event| self.sights.heed(event, &slots, now));
        }
        seen.moved || seen.at_work
    }

    fn see(&mut self) {
        self.worker.slots.lock().marks(&mut self.look.marks);
        let metrics = self.worker.handle().metrics();
        self.look.held = self.worker.plugs.held();
        self.look.threads.clear();
        self.look.threads.extend((0..metrics.num_workers()).map(|thread| verdict::Thread {
            parks: metrics.worker_park_unpark_count(thread),
            busy: metrics.worker_total_busy_duration(thread),
        }));
    }

    /// As many spares run as threads are stuck.
    fn free_spares(&mut self, stuck: usize, spares: usize) {
        let freed = stuck.min(spares);
        if freed > self.freed {
            let worker = self.worker.index();
            log::debug!(worker, stuck; "a thread is stuck: spare freed");
        }
        self.freed = freed;
        self.worker.free_spares(freed);
    }

    /// It gets nothing more at once, and is reported when it stays so: for a moment, threads look
    /// stuck that only wait for a processor.
    fn drowns(&mut self, seen: &verdict::Seen, now: Duration, crew: &Crew) {
        let drowned = seen.drowns(self.drowned.is_some(), crew.options.spares);
        self.worker.load().stuck.store(drowned, Relaxed);
        if !drowned {
            self.drowned = None;
            // Where nothing has moved, it is the machine that slept.
            self.reported &= !seen.moved;
            return;
        }
        if self.drowned.is_none() {
            crew.drowned.notify_one();
        }
        let (slots, stall) = (self.worker.slots.lock(), crew.options.stall);
        let drowned = self.drowned.get_or_insert_with(|| Drowning::begins(now, &slots));
        if self.reported {
            return;
        }
        if drowned.is_starved(&slots, self.look.threads.len(), stall, now) {
            // Its time begins when all of them have got one.
            drowned.since = now;
        } else if now.saturating_sub(drowned.since) >= REPORT_AFTER {
            self.reported = true;
            crew.common.tears.file(self.sight_of_drowning());
        }
    }

    fn sight_of_drowning(&self) -> Sighting {
        let index = self.worker.index();
        let message = "all its threads are stuck: it gets no connections until one comes back";
        Sighting {
            worker: Some(index),
            message: message.into(),
            ..Sighting::new(Kind::Drowned, &format!("rip-w{index}"))
        }
    }
}

/// The executors.
pub(super) struct WatchedExecutors {
    staff: Staff,
    marks: Vec<(usize, u64)>,
    events: Vec<Event>,
    sights: Sights,
    /// Threads that will hardly come back.
    pub(super) lost: usize,
}

impl WatchedExecutors {
    pub(super) fn new(crew: &Crew) -> Self {
        let (common, options) = (&crew.common, &crew.options);
        let (free, most) = (options.executors.get(), options.executors_max);
        Self {
            staff: Staff::new(Thresholds::of(options), free, most),
            marks: Vec::new(),
            events: Vec::new(),
            sights: Sights::new(common.routes.clone(), common.tears.clone()),
            lost: 0,
        }
    }

    /// Looks, acts, and returns whether they did anything since the last look, or are at it.
    pub(super) fn look(&mut self, now: Duration, crew: &Crew, supervisor: &mut Supervisor) -> bool {
        let executors = &crew.executors;
        executors.slots.lock().marks(&mut self.marks);
        self.events.clear();
        let at_work = self.staff.judge(&self.marks, now, &mut self.events);
        self.lost = self.lost(now, crew);
        let held = self.held(now, crew);
        self.resize(held, now, crew, supervisor);
        if !self.events.is_empty() {
            let slots = executors.slots.lock();
            self.events.iter().for_each(|event| self.sights.heed(event, &slots, now));
        }
        at_work
    }

    /// Executors that a request holds for too long. What the application has submitted by itself may
    /// take the time that it takes.
    fn lost(&self, now: Duration, crew: &Crew) -> usize {
        let slots = crew.executors.slots.lock();
        let of_request = |thread: &usize| slots.slot(*thread).is_some_and(Slot::has_subject);
        self.staff.lost(now).filter(of_request).count()
    }

    /// Executors that their jobs hold: for the time of a stall, or asleep while others wait.
    fn held(&self, now: Duration, crew: &Crew) -> usize {
        if crew.executors.waiting() == 0 {
            return self.staff.stuck(now);
        }
        let slots = crew.executors.slots.lock();
        let asleep = |thread| {
            let usage = slots.slot(thread).and_then(|slot| slot.thread.usage());
            usage.is_some_and(|usage| matches!(usage.state, 'S' | 'D'))
        };
        self.staff.held(now, asleep)
    }

    fn resize(&mut self, held: usize, now: Duration, crew: &Crew, supervisor: &mut Supervisor) {
        let (running, may_start) = (crew.executors.running(), supervisor.may_start(now));
        let Some(wanted) = self.staff.resize(running, held, may_start, now) else { return };
        if let Err(err) = crew.executors.resize(wanted) {
            supervisor.failed(now);
            log::warn!(err:%, running, wanted; "an executor cannot be started yet");
        }
    }
}
