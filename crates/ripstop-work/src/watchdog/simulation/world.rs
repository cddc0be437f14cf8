//! The world: what happens in it.

mod looks;

use super::{
    Seen,
    jobs::{Jobs, Work},
    lanes::Lane,
    threads::Group,
    watch::{Request, Worker},
};
use crate::{
    supervision::{Supervisor, Surrender, Thresholds},
    watchdog::staff::Staff,
};
use ripstop_balance::{Class, Offer, Run};
use ripstop_testkit::{Random, Seed};
use std::time::Duration;

/// From the end of all faults until everything is as it was: beside the time of a hundred stalls.
const RECOVERY: u64 = 10_000;
/// With a gap of more stalls than this the machine has slept.
const GAP: u64 = 8;

pub(super) struct World {
    random: Random,
    now: u64,
    stall: u64,
    thresholds: Thresholds,
    last_look: u64,
    faults: bool,
    /// How often requests misbehave, in percent.
    malice: usize,
    /// How many of those never return.
    endless: usize,
    /// Requests run inline whatever their routes have done, as an operator may say.
    inline: bool,
    /// Until when no thread can be started, and when that failed last.
    no_threads: u64,
    failed: Option<u64>,
    free: usize,
    most: usize,
    jobs: Jobs,
    executors: Group,
    staff: Staff,
    /// Looks since when there have been too few executors.
    short: u32,
    workers: Vec<Worker>,
    retired: Vec<Worker>,
    supervisor: Supervisor,
    lanes: [Lane; 4],
    rebuilds: Vec<u64>,
    surrender: Option<Surrender>,
    seen: Seen,
}

impl World {
    /// Half of all worlds are short and quick, the others so long that minutes matter.
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Seed(seed).random();
        let (stall, lost) = *random.pick(&[(20, 1_000), (1_000, 60_000)]);
        let [stall_time, report, lost] = [stall, stall.max(100), lost].map(Duration::from_millis);
        let thresholds = Thresholds { stall: stall_time, report, lost };
        let (free, most) = (1 + random.below(3), *random.pick(&[1, 4, 8, 64]));
        let (workers, spares) = (1 + random.below(3), 1 + random.below(4));
        let mut executors = Group::default();
        (0..free).for_each(|_| executors.start(false));
        Self {
            malice: *random.pick(&[1, 5, 20, 90]),
            endless: *random.pick(&[1, 10, 60]),
            inline: random.chance(30),
            random,
            now: 0,
            stall,
            thresholds,
            last_look: 0,
            faults: true,
            no_threads: 0,
            failed: None,
            free,
            most,
            jobs: Jobs::new(),
            executors,
            staff: Staff::new(thresholds, free, most),
            short: 0,
            workers: (0..workers).map(|_| Worker::new(spares, thresholds)).collect(),
            retired: vec![],
            supervisor: Supervisor::new(),
            lanes: Default::default(),
            rebuilds: vec![],
            surrender: None,
            seen: Seen::new(),
        }
    }

    /// Lives through the faults, and sees that all is well after them, or that another process was
    /// asked for. Returns what there was to see.
    pub(super) fn live(mut self) -> Seen {
        let end = 150 * self.stall;
        while self.now < end && self.surrender.is_none() {
            self.happen();
            self.step();
        }
        self.heal();
        let healed = self.now;
        while self.surrender.is_none() && !self.is_as_before() {
            self.step();
            let took = self.now - healed;
            assert!(took < RECOVERY + 100 * self.stall, "it does not recover");
        }
        self.seen
    }

    /// From now on everything goes well.
    fn heal(&mut self) {
        (self.faults, self.no_threads) = (false, 0);
        self.jobs.heal();
        let soon = self.now + self.stall;
        let groups = self.workers.iter_mut().chain(&mut self.retired);
        for worker in groups {
            worker.requests.iter_mut().for_each(|request| request.takes = Some(1));
            worker.threads.polls().for_each(|poll| poll.ends = Some(soon));
        }
        self.executors.polls().for_each(|poll| poll.ends = Some(soon));
    }

    fn is_as_before(&self) -> bool {
        self.workers.iter().all(Worker::at_rest)
            && self.retired.is_empty()
            && self.executors.list.len() == self.free
            && self.jobs.open() == 0
    }

    /// Requests come, jobs are submitted and cancelled, the machine fails.
    fn happen(&mut self) {
        for _ in 0..self.random.below(3) {
            self.request();
        }
        if self.random.chance(20) {
            let deadline = self.random.chance(50).then(|| self.now + self.random.number() % 500);
            let class = *self.random.pick(&Class::ALL);
            self.submit(3, deadline, class);
        }
        if self.random.chance(5) {
            self.jobs.cancel_one(&mut self.random);
        }
        if self.random.chance(1) && self.random.chance(50) {
            self.no_threads = self.now + self.random.number() % (100 * self.stall);
        }
        if self.random.chance(1) && self.random.chance(50) {
            self.pause();
        }
    }

    fn request(&mut self) {
        let route = self.random.below(3);
        let (takes, asleep) = self.takes(route);
        match self.lanes[route].run() {
            Run::Queued if !self.inline => self.submit(route, None, Class::Normal),
            _ => {
                let worker = self.random.below(self.workers.len());
                let worker = &mut self.workers[worker];
                // Nothing is placed on a worker that has drowned.
                if worker.drowned.is_none() {
                    worker.requests.push_back(Request { route, takes, asleep });
                }
            }
        }
    }

    fn submit(&mut self, route: usize, deadline: Option<u64>, class: Class) {
        let (takes, asleep) = self.takes(route);
        let mut polls = vec![Some(1); self.random.below(2)];
        polls.push(takes);
        let cost = Duration::from_millis(self.random.number() % 50);
        let offer = Offer { class, cost, deadline: deadline.map(Duration::from_millis) };
        if !self.jobs.submit(self.now, offer, Work { route, polls, asleep }) {
            self.seen.insert("a full queue");
        }
    }

    /// How long work of a route takes, and whether it blocks. Route 0 behaves.
    fn takes(&mut self, route: usize) -> (Option<u64>, bool) {
        let asleep = self.random.chance(50);
        let short = 1 + self.random.number() % (self.stall / 4);
        if route == 0 || !self.random.chance(self.malice) {
            return (Some(short), asleep);
        }
        let long = self.random.number() % (20 * self.stall);
        let endless = self.random.chance(self.endless);
        ((!endless).then_some(long), asleep)
    }

    /// The machine stands still: longer than a gap, so that nobody may be charged for it.
    fn pause(&mut self) {
        let pause = (GAP + 1) * self.stall + self.random.number() % (100 * self.stall);
        self.now += pause;
        let workers = self.workers.iter_mut().chain(&mut self.retired);
        let groups = workers.map(|worker| &mut worker.threads).chain([&mut self.executors]);
        for poll in groups.flat_map(Group::polls) {
            poll.ends = poll.ends.map(|ends| ends + pause);
            poll.paused += pause;
        }
    }

    /// Until the next look, and that.
    fn step(&mut self) {
        let late = if self.faults && self.random.chance(3) { 3 * self.stall } else { 1 };
        let look = self.now + self.stall / 4 + self.random.number() % late;
        self.pass(look);
        self.look();
        self.serve();
        self.check();
    }

    /// Lets time pass.
    fn pass(&mut self, until: u64) {
        loop {
            self.serve();
            let workers = self.workers.iter().chain(&self.retired);
            let groups = workers.map(|worker| &worker.threads).chain([&self.executors]);
            let next = groups.filter_map(Group::first_end).chain(self.jobs.first_wake()).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            for worker in self.workers.iter_mut().chain(&mut self.retired) {
                worker.threads.ended(self.now);
            }
            for poll in self.executors.ended(self.now) {
                let route = poll.route;
                if let Some(longest) = self.jobs.polled(poll, self.now) {
                    self.lanes[route].ran(self.now, longest, self.stall, &mut self.seen);
                }
            }
            self.jobs.wake(self.now);
        }
        self.now = until;
    }

    fn serve(&mut self) {
        for worker in self.workers.iter_mut().chain(&mut self.retired) {
            worker.serve(self.now);
        }
        self.jobs.serve(self.now, &mut self.executors, &mut self.seen);
    }
}
