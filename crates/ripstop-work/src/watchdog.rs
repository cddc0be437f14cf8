//! The watchdog: a thread that looks at every worker and executor, and carries out what
//! [`crate::supervision`] says.
//!
//! It looks every quarter of the stall time while there is something to see, and sleeps while all
//! threads do. What it sees is judged in `polls`, `verdict` and `staff`, without threads and clocks.

mod bell;
mod drowning;
mod polls;
mod sights;
mod staff;
mod verdict;
mod watched;

pub(crate) use bell::Bell;
pub(crate) use sights::sight;

use crate::{
    supervision::{Action, SILENCE, Supervisor},
    wall,
    workers::Crew,
};
use ripstop_balance::Mover;
use ripstop_tears::{Kind, Sighting};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use watched::{WatchedExecutors, WatchedWorker};

/// How long all threads must sleep before the watchdog does.
const QUIET: Duration = Duration::from_secs(1);

/// How long the watchdog sleeps at most: the bell is rung without a fence, so a ring can be
/// missed, and is then made up for by this.
const NAP: Duration = Duration::from_secs(1);

/// How long loads are looked at before connections move.
pub(crate) const WINDOW: Duration = Duration::from_millis(100);

/// The watchdog's thread.
#[derive(Debug)]
pub(crate) struct Watchdog {
    life: Arc<Life>,
    /// What its owner found when it looked last.
    was_silent: Option<Silence>,
}

/// A watchdog has not looked for long.
#[derive(Clone, Copy, Debug)]
struct Silence {
    /// Its last look.
    since: Duration,
    /// When its owner found out.
    found: Instant,
}

/// What a watchdog's thread and its owner know of each other.
#[derive(Debug)]
struct Life {
    start: Instant,
    /// Milliseconds since `start` at the last look, or at the end of the nap that it takes.
    looked: AtomicU64,
    stop: AtomicBool,
}

impl Watchdog {
    pub(crate) fn start(crew: &Arc<Crew>) -> io::Result<Self> {
        Self::start_with(crew, |_| {})
    }

    /// Calls `before` ahead of each look, with its number.
    fn start_with(crew: &Arc<Crew>, before: impl Fn(u64) + Send + 'static) -> io::Result<Self> {
        let (looked, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let life = Arc::new(Life { start: Instant::now(), looked, stop });
        let (crew, of_thread) = (crew.clone(), life.clone());
        let builder = thread::Builder::new().name("rip-watchdog".into());
        builder.spawn(move || watch(&crew, &of_thread, before))?;
        Ok(Self { life, was_silent: None })
    }

    /// Whether it has been silent for two looks of its owner, without a look of its own in between.
    /// Of two threads that were stopped together, the owner may be the first to run again, and so
    /// it may the next time: two looks that are far apart are no two.
    pub(crate) fn stays_silent(&mut self) -> bool {
        let silent = self.silence();
        let before = std::mem::replace(&mut self.was_silent, silent);
        before.zip(silent).is_some_and(|(before, now)| {
            before.since == now.since && now.found - before.found < SILENCE
        })
    }

    /// That it should have looked long ago again.
    fn silence(&self) -> Option<Silence> {
        let since = Duration::from_millis(self.life.looked.load(Relaxed));
        let silent = self.life.start.elapsed().saturating_sub(since) > SILENCE;
        silent.then(|| Silence { since, found: Instant::now() })
    }

    /// Starts another one in place of this.
    pub(crate) fn replace(&mut self, crew: &Arc<Crew>) {
        self.stop();
        report(crew, "the watchdog was silent: another one is started");
        match Self::start(crew) {
            Ok(watchdog) => *self = watchdog,
            Err(err) => log::error!(err:%; "the watchdog cannot be replaced"),
        }
    }

    /// Lets the thread end when it looks next. It is not waited for: it may be what is stuck.
    pub(crate) fn stop(&self) {
        self.life.stop.store(true, Relaxed);
    }
}

impl Life {
    fn looks(&self) {
        self.wakes_at(self.start.elapsed());
    }

    fn wakes_at(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.looked.store(millis, Relaxed);
    }
}

/// Looks until it is stopped. A panic of a look begins anew with nothing remembered.
fn watch(crew: &Arc<Crew>, life: &Life, before: impl Fn(u64)) {
    crew.bell.is_for(thread::current());
    let mut supervisor = Supervisor::new();
    let mut looks = 0;
    while !life.stop.load(Relaxed) {
        let mut round = Round::new(crew, life);
        let watched = wall(|| {
            while !life.stop.load(Relaxed) {
                looks += 1;
                before(looks);
                round.look(&mut supervisor);
                round.rest();
            }
        });
        if watched.is_err() {
            report(crew, "the watchdog panicked: it begins anew");
            if let Some(reason) = supervisor.watchdog_panicked(round.now) {
                round.surrender(reason);
            }
            thread::park_timeout(round.period);
        }
    }
}

fn report(crew: &Crew, message: &str) {
    let message = message.to_owned();
    let sighting = Sighting::new(Kind::Restart, "rip-watchdog");
    crew.common.tears.file(Sighting { message, ..sighting });
}

/// One life of the watchdog's memory.
struct Round<'a> {
    crew: &'a Arc<Crew>,
    life: &'a Life,
    workers: Vec<WatchedWorker>,
    executors: WatchedExecutors,
    mover: Mover,
    /// When the last window ended, and its number.
    window: (Duration, u32),
    period: Duration,
    now: Duration,
    last_moved: Duration,
}

impl<'a> Round<'a> {
    fn new(crew: &'a Arc<Crew>, life: &'a Life) -> Self {
        Self {
            crew,
            life,
            workers: Vec::new(),
            executors: WatchedExecutors::new(crew),
            mover: Mover::default(),
            window: (life.start.elapsed(), 1),
            period: crew.options.stall / 4,
            now: life.start.elapsed(),
            last_moved: life.start.elapsed(),
        }
    }

    fn look(&mut self, supervisor: &mut Supervisor) {
        self.now = self.life.start.elapsed();
        self.life.looks();
        self.take_in_workers();
        let mut moved = false;
        for worker in &mut self.workers {
            moved |= worker.look(self.now, self.crew);
        }
        moved |= self.executors.look(self.now, self.crew, supervisor);
        if moved {
            self.last_moved = self.now;
        }
        self.act(supervisor);
        self.balance();
    }

    /// At the end of a window, asks workers to give connections away, or to stop that.
    fn balance(&mut self) {
        let (last, number) = self.window;
        if self.now.saturating_sub(last) < WINDOW {
            return;
        }
        let next = number.wrapping_add(1).max(1);
        self.window = (self.now, next);
        let list = self.crew.list();
        let loads: Vec<_> = list.iter().map(|worker| worker.load().snapshot()).collect();
        let order = self.mover.judge(&loads);
        for (index, worker) in list.iter().enumerate() {
            worker.load().ask(next, order.filter(|order| order.from == index));
        }
    }

    /// Follows the list of workers, as those who are replaced leave it.
    fn take_in_workers(&mut self) {
        let all = self.crew.all();
        self.workers.retain(|watched| all.iter().any(|worker| watched.is_of(worker)));
        for worker in &all {
            if !self.workers.iter().any(|watched| watched.is_of(worker)) {
                self.workers.push(WatchedWorker::new(worker, self.crew));
            }
        }
    }

    fn act(&mut self, supervisor: &mut Supervisor) {
        let list = self.crew.list();
        let of = |worker| self.workers.iter().find(|watched| watched.is_of(worker));
        let drowned: Vec<_> =
            list.iter().map(|worker| Some(of(worker)?.drowned.as_ref()?.since)).collect();
        let lost = self.workers.iter().map(|worker| worker.lost).sum::<usize>();
        let lost = lost + self.executors.lost;
        match supervisor.judge(&drowned, lost, self.now) {
            None => {}
            Some(Action::Rebuild(index)) => self.rebuild(index, supervisor),
            Some(Action::Surrender(reason)) => self.surrender(reason),
        }
        self.crew.bury();
    }

    fn rebuild(&self, index: usize, supervisor: &mut Supervisor) {
        match self.crew.rebuild(index) {
            Ok(()) => {
                let message = format!("worker {index} drowned: a fresh one takes its place");
                report(self.crew, &message);
            }
            Err(err) => {
                supervisor.rebuild_failed(self.now);
                log::error!(err:%, worker = index; "a drowned worker cannot be replaced yet");
            }
        }
    }

    fn surrender(&self, reason: crate::Surrender) {
        let first = self.crew.surrender.send_if_modified(|said| said.replace(reason).is_none());
        if first {
            report(self.crew, &format!("{reason}: the process asks to be replaced"));
        }
    }

    fn rest(&self) {
        let begin = self.life.start.elapsed();
        let most = if self.now.saturating_sub(self.last_moved) < QUIET {
            thread::park_timeout(self.period);
            self.period
        } else {
            self.life.wakes_at(self.now + NAP);
            self.crew.bell.while_asleep(|| thread::park_timeout(NAP));
            NAP
        };
        let late = self.life.start.elapsed().saturating_sub(begin + most);
        if late > self.crew.options.stall {
            log::debug!(millis:% = late.as_millis(); "the watchdog got no processor in time");
        }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
