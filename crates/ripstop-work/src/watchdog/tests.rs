//! The watchdog over real threads: it panics, it hangs, and what it looks after goes.

use super::*;
use crate::{Ending, Job, workers::Options};
use ripstop_tears::Tears;
use ripstop_testkit::until;
use std::{num::NonZeroUsize, panic::resume_unwind, sync::mpsc};

/// Nothing here takes longer than this, on whatever machine.
const SOON: Duration = Duration::from_secs(20);

/// Workers, and one executor.
struct Bench(Arc<Crew>);

impl Bench {
    /// One worker with a spare.
    fn new() -> Self {
        Self::with(1, 1)
    }

    fn with(workers: usize, spares: usize) -> Self {
        let options = Options {
            workers: NonZeroUsize::new(workers).expect("a bench has workers"),
            spares,
            executors: NonZeroUsize::MIN,
            ..Options::default()
        };
        Self(Arc::new(Crew::start(&options, Tears::new()).expect("threads can be started")))
    }

    fn count(&self, kind: Kind) -> u64 {
        self.0.common.tears.count(kind)
    }

    /// Waits until the watchdog has been restarted so often. (A worker that is has drowned: on a
    /// busy machine its threads may sleep for long at a lock of the test's own.)
    #[track_caller]
    fn await_restarts(&self, count: usize) {
        let restarts = || {
            let mut reports = self.0.common.tears.recent();
            reports.retain(|tear| tear.kind == Kind::Restart && tear.message.contains("watchdog"));
            reports
        };
        assert!(until(SOON, || restarts().len() >= count), "{:#?}", restarts());
        assert_eq!(restarts().len(), count, "{:#?}", restarts());
    }

    /// Blocks a thread of the worker until the sender goes.
    fn block(&self) -> mpsc::Sender<()> {
        let (release, held) = mpsc::channel();
        let (told, begun) = mpsc::channel();
        self.0.list()[0].spawn(async move {
            told.send(()).expect("the test waits for it");
            let _ = held.recv();
        });
        begun.recv_timeout(SOON).expect("the worker runs tasks");
        release
    }

    /// That the worker runs tasks.
    fn serves(&self) {
        let (told, done) = mpsc::channel();
        self.0.list()[0].spawn(async move { told.send(()).expect("the test waits for it") });
        done.recv_timeout(SOON).expect("the worker runs tasks");
    }

    /// That somebody watches: only then a spare takes over from a thread that is stuck.
    fn is_watched(&self) {
        let stuck = self.block();
        self.serves();
        drop(stuck);
    }

    /// The thread on which a job runs.
    fn executor(&self) -> String {
        let (told, name) = mpsc::channel();
        let own = || thread::current().name().unwrap_or_default().to_owned();
        let job = Job::call(move || told.send(own()).expect("the test waits for it"));
        drop(self.0.common.queue.submit(job).expect("there is room").detached());
        name.recv_timeout(SOON).expect("there is an executor")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.0.executors.close();
        self.0.all().iter().for_each(|worker| worker.shut_down());
    }
}

#[test]
fn a_look_that_panics_is_reported_and_the_next_ones_go_on() {
    let bench = Bench::new();
    let torn = |look| {
        if look == 3 {
            resume_unwind(Box::new("torn"));
        }
    };
    let watchdog = Watchdog::start_with(&bench.0, torn).expect("a thread can be started");
    bench.await_restarts(1);
    bench.is_watched();
    bench.await_restarts(1);
    watchdog.stop();
}

#[test]
fn requests_go_on_beside_a_watchdog_that_panics_at_every_look() {
    let bench = Bench::new();
    let torn = |_| resume_unwind(Box::new("torn"));
    let watchdog = Watchdog::start_with(&bench.0, torn).expect("a thread can be started");
    assert!(until(SOON, || bench.count(Kind::Restart) > 3));
    (0..100).for_each(|_| bench.serves());
    assert_eq!(bench.executor(), "rip-e0");
    watchdog.stop();
}

#[test]
fn a_watchdog_that_hangs_is_replaced_and_ends_when_it_comes_back() {
    let bench = Bench::new();
    let (release, held) = mpsc::channel::<()>();
    let hangs = move |look| {
        if look == 3 {
            let _ = held.recv();
        }
    };
    let mut watchdog = Watchdog::start_with(&bench.0, hangs).expect("a thread can be started");
    let life = Arc::downgrade(&watchdog.life);
    assert!(!watchdog.stays_silent());
    assert!(until(SOON, || {
        bench.serves();
        watchdog.stays_silent()
    }));
    watchdog.replace(&bench.0);
    bench.await_restarts(1);
    bench.is_watched();
    assert!(!watchdog.stays_silent());
    drop(release);
    assert!(until(SOON, || life.strong_count() == 0), "the one that hung has ended");
    watchdog.stop();
}

#[test]
fn silence_counts_only_at_the_second_look() {
    let bench = Bench::new();
    let (release, held) = mpsc::channel::<()>();
    let hangs = move |_| {
        let _ = held.recv();
    };
    let mut watchdog = Watchdog::start_with(&bench.0, hangs).expect("a thread can be started");
    assert!(until(SOON, || watchdog.silence().is_some()));
    assert_eq!((watchdog.stays_silent(), watchdog.stays_silent()), (false, true));
    drop(release);
    assert!(until(SOON, || watchdog.silence().is_none()));
    assert!(!watchdog.stays_silent());
    watchdog.stop();
}

#[test]
fn silences_with_a_look_or_a_pause_between_them_are_not_one() {
    let (looked, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let life = Arc::new(Life { start: Instant::now() - 10 * SILENCE, looked, stop });
    let mut watchdog = Watchdog { life, was_silent: None };
    assert!(!watchdog.stays_silent());
    watchdog.life.wakes_at(SILENCE);
    assert_eq!((watchdog.stays_silent(), watchdog.stays_silent()), (false, true));
    // Its owner has not looked either.
    watchdog.was_silent.as_mut().expect("it is silent").found -= SILENCE;
    assert_eq!((watchdog.stays_silent(), watchdog.stays_silent()), (false, true));
}

#[test]
fn a_watchdog_that_was_stopped_for_a_while_still_knows_what_has_been_stuck_before() {
    // As nobody takes over, nothing else happens; as there is another worker, this one is left.
    let bench = Bench::with(2, 0);
    let (pause, pauses) = mpsc::channel::<()>();
    let (told, paused) = mpsc::channel();
    let pauses_once = move |_| {
        if pauses.try_recv().is_ok() {
            let _ = until(QUIET + QUIET / 4, || false);
            told.send(()).expect("the test waits for it");
        }
    };
    let watchdog = Watchdog::start_with(&bench.0, pauses_once).expect("a thread can be started");
    let is_seen = || bench.0.list()[0].load().snapshot().stuck;
    // A thread that had not begun yet may have been taken for a stuck one.
    bench.serves();
    assert!(until(SOON, || !is_seen()));
    let stuck = bench.block();
    assert!(until(SOON, is_seen));
    pause.send(()).expect("the watchdog looks");
    paused.recv_timeout(SOON).expect("the watchdog looks");
    // It is judged by what it does, not by the pause, and so at no moment given anything.
    assert!(!until(QUIET / 4, || !is_seen()), "it was taken for one that can do something");
    drop(stuck);
    assert!(until(SOON, || !is_seen()));
    watchdog.stop();
}

#[test]
fn an_executor_that_is_gone_is_replaced() {
    let bench = Bench::new();
    let watchdog = Watchdog::start(&bench.0).expect("a thread can be started");
    assert_eq!(bench.executor(), "rip-e0");
    bench.0.common.queue.shared().hub.set_surplus(1);
    assert!(until(SOON, || bench.executor() == "rip-e1"));
    assert_eq!(bench.0.executors.running(), 1);
    watchdog.stop();
}

#[test]
fn a_worker_that_was_replaced_ends_with_its_last_task() {
    let bench = Bench::new();
    let watchdog = Watchdog::start(&bench.0).expect("a thread can be started");
    let old = Arc::downgrade(&bench.0.list()[0]);
    let stuck = bench.block();
    bench.0.rebuild(0).expect("threads can be started");
    assert_eq!(old.upgrade().map(|old| old.ending()), Some(Ending::MoveOn));
    bench.serves();
    assert_eq!(bench.0.all().len(), 2);
    drop(stuck);
    assert!(until(SOON, || old.strong_count() == 0), "{} references", old.strong_count());
    assert_eq!(bench.0.all().len(), 1);
    bench.is_watched();
    watchdog.stop();
}
