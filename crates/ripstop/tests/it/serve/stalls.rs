//! Handlers that block their threads: nobody else may notice.

use ripstop_testkit::{Client, Signal, until};
use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use super::{
    levers::Levers,
    load::{Habit, Load},
    placement::worker,
    program::{Program, freeze, kinds, tear},
    setup::{SOON, connect, options, start},
};

/// What a client may wait for its answer while another one's handler blocks a thread.
const PROMISE: Duration = Duration::from_millis(100);

/// Above this, a client has waited for the stalled handler itself, unless a fourth of that is what
/// clients wait where nothing stalls: then the machine is too busy to tell.
const STALLED: Duration = Duration::from_secs(1);

/// Above this, a connection was left behind, however busy the machine is.
const LEFT: Duration = Duration::from_secs(5);

/// Where nothing stalls, answers on a machine that has nothing else to do come sooner than this.
const CALM: Duration = Duration::from_millis(15);

/// What is said of a thread that had something to do and was not run.
const STARVED: &str = "its thread got no processor";

/// What is said of the watchdog, before the milliseconds for which that was so.
const UNSEEN: &str = "the watchdog got no processor in time millis=";

/// Only one of these tests measures at a time.
static MEASURING: Mutex<()> = Mutex::new(());

/// Forty keep-alive clients and fresh connections go on while these requests block threads. The
/// machine may be busy with something else: so the same load on a server on which nothing stalls
/// tells how late a client is anyway.
#[track_caller]
fn check(stalls: &[&str]) {
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    let arguments = ["--workers", "2", "--spares", "4"];
    let (torn, calm) = (tear(&arguments), tear(&arguments));
    let baseline = Baseline::of(&torn);
    let (load, control) = (Load::new(torn.address), Load::new(calm.address));
    thread::scope(|scope| {
        let _stop = [load.guard(), control.guard()];
        for load in [&load, &control] {
            load.run(scope, 40, Habit::KeepAlive);
            load.run(scope, 1, Habit::Fresh);
        }
        assert!(until(SOON, || load.seen().answers > 400));
        let mut stalled: Vec<_> = stalls.iter().map(|path| send(&torn, path)).collect();
        for client in &mut stalled {
            assert_eq!(client.response().unwrap().status(), 200);
        }
    });
    let (seen, calm_worst) = (load.seen(), control.seen().worst());
    println!("worst {:?}, of the control {calm_worst:?}", seen.worst());
    println!("{}", torn.process.log());
    assert_eq!(seen.failures, [""; 0]);
    let stalled = seen.worst.iter().filter(|&&worst| worst >= STALLED).count();
    assert!(stalled == 0 || calm_worst * 4 > STALLED, "{stalled}: {seen:?}, calm {calm_worst:?}");
    // A stall is noticed and its worker taken over by two wake-ups, each as late as any other.
    let late = calm_worst * 2 * u32::try_from(stalls.len()).unwrap();
    // Whom the machine lets wait for a processor cannot notice, nor take over.
    let log = torn.process.log();
    let unseen = |line: &str| line.split_once(UNSEEN)?.1.parse::<u64>().ok();
    let unseen = log.lines().filter_map(unseen).sum();
    let kept = seen.worst() <= PROMISE + late + Duration::from_millis(unseen);
    let starved = calm_worst > CALM || log.contains(STARVED);
    assert!(kept || starved, "{:?}, calm {calm_worst:?}, unseen {unseen} ms", seen.worst());
    baseline.returns(&torn);
    torn.terminate();
}

/// Sends a request and does not wait for its answer.
fn send(program: &Program, path: &str) -> Client {
    let mut client = program.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).unwrap();
    client
}

/// What a program has when it has answered a request; the connection of that is part of it.
struct Baseline {
    _client: Client,
    threads: Vec<String>,
    fds: usize,
    /// What they were, should there be more of them.
    files: Vec<(u32, String)>,
}

impl Baseline {
    #[track_caller]
    fn of(program: &Program) -> Self {
        let mut client = program.connect();
        assert_eq!(client.get("/").unwrap().status(), 200);
        let proc = program.process.proc();
        // The worker that has not answered may still be at its beginning.
        assert!(until(SOON, || proc.is_at_rest().unwrap()));
        let (threads, fds) = (program.threads(), proc.fds().unwrap());
        Self { _client: client, threads, fds, files: proc.open_files().unwrap() }
    }

    /// Waits until the program has what it had.
    #[track_caller]
    fn returns(&self, program: &Program) {
        let proc = program.process.proc();
        // A thread may have had a file of `/proc` open for a moment when there were so many.
        let back = until(SOON, || proc.fds().is_ok_and(|now| now <= self.fds));
        assert!(back, "{:?}, {:?} before", proc.open_files(), self.files);
        let same = until(SOON, || kinds(&proc.threads().unwrap()) == kinds(&self.threads));
        assert!(same, "{:?}, {:?} before", proc.threads().unwrap(), self.threads);
    }
}

#[test]
fn nobody_waits_for_a_handler_that_blocks_its_thread() {
    check(&["/wedge?ms=1500"]);
}

#[test]
fn nobody_waits_for_three_handlers_that_block_their_threads_at_once() {
    check(&["/wedge?ms=1500"; 3]);
}

#[test]
fn nobody_waits_for_a_handler_that_burns_its_thread() {
    check(&["/spin?ms=1500"]);
}

#[test]
fn a_worker_with_more_stalls_than_spares_takes_no_other_with_it_and_comes_back() {
    let (levers, app) = Levers::new();
    let running = start(app, &options(2, 1));
    let mut clients: Vec<_> = (0..12).map(|_| connect(&running)).collect();
    let (mut drowning, mut others): (Vec<_>, Vec<_>) =
        clients.drain(..).map(|mut client| (worker(&mut client), client)).partition(|on| on.0 == 0);
    assert!(drowning.len() >= 3 && !others.is_empty());
    for (begun, (_, client)) in drowning.iter_mut().take(2).enumerate() {
        client.send("GET /wedge HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        levers.await_begun(begun + 1);
    }
    // An idle connection of it goes on elsewhere.
    assert_eq!(drowning[2].1.get("/").unwrap().text(), "hello");
    for _ in 0..20 {
        assert_eq!(connect(&running).get("/").unwrap().text(), "hello");
        assert_eq!(others[0].1.get("/").unwrap().text(), "hello");
    }
    levers.unwedge();
    for (_, client) in &mut drowning[..2] {
        assert_eq!(client.response().unwrap().text(), "unwedged");
        assert_eq!(worker(client), 0);
    }
    // It takes connections again: kept ones, so that the balance leans to it.
    let mut kept = Vec::new();
    assert!(until(SOON, || {
        kept.push(connect(&running));
        kept.last_mut().is_some_and(|client| worker(client) == 0)
    }));
}

#[test]
fn threads_and_descriptors_are_back_after_more_stalls_than_spares() {
    let tear = tear(&["--workers", "1", "--spares", "1"]);
    let baseline = Baseline::of(&tear);
    let mut stalled: Vec<_> = (0..4).map(|_| send(&tear, "/wedge?ms=300")).collect();
    for client in &mut stalled {
        assert_eq!(client.response().unwrap().text(), "unwedged");
    }
    drop(stalled);
    for _ in 0..100 {
        assert_eq!(tear.connect().get("/").unwrap().status(), 200);
    }
    baseline.returns(&tear);
    tear.terminate();
}

#[test]
fn many_short_stalls_leave_no_connection_behind() {
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    let tear = tear(&["--workers", "2", "--spares", "2"]);
    let baseline = Baseline::of(&tear);
    let load = Load::new(tear.address);
    thread::scope(|scope| {
        let _stop = load.guard();
        load.run(scope, 20, Habit::KeepAlive);
        load.run(scope, 4, Habit::Restless);
        load.run(scope, 2, Habit::Fresh);
        for _ in 0..50 {
            assert_eq!(tear.connect().get("/wedge?ms=30").unwrap().text(), "unwedged");
        }
    });
    let seen = load.seen();
    assert_eq!(seen.failures, [""; 0]);
    assert!(seen.worst() < LEFT, "{seen:?}");
    baseline.returns(&tear);
    tear.terminate();
}

#[test]
fn a_machine_that_slept_is_nobodys_fault() {
    let (mut asleep, awake) = (tear(&["--workers", "2"]), tear(&["--workers", "2"]));
    let mut client = asleep.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").unwrap().status(), 200);
        freeze(&mut asleep);
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        assert!(client.is_quiet_for(Duration::from_secs(2)).unwrap());
        asleep.signal(Signal::CONT);
        assert_eq!(client.response().unwrap().status(), 200);
    }
    asleep.signal(Signal::TERM);
    assert_eq!(asleep.exit_code(), Some(0));
    asleep.logged("server ended");
    // Where the other one has seen a stall, the machine is so busy that it means nothing.
    assert!(!asleep.blames() || awake.blames(), "{}", asleep.process.log());
    awake.terminate();
}

#[test]
fn a_stall_is_seen_and_said() {
    let tear = tear(&["--workers", "1"]);
    // One during which the machine does not run the watchdog is nobody's fault.
    let said = || {
        assert_eq!(tear.connect().get("/wedge?ms=200").unwrap().status(), 200);
        tear.process.log().contains("a thread is stuck: spare freed")
    };
    assert!(until(SOON, said), "{}", tear.process.log());
    tear.terminate();
}
