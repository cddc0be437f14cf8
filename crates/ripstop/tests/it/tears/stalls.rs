//! Stalls: what is said of a handler that blocks its thread, and that its route is queued.

use ripstop::{Activity, Kind, Lane, Options, RouteState, Tear};
use ripstop_testkit::{Client, Signal, until};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    disk::Disk,
    site::{Site, alone, names, options},
};
use crate::serve::{
    load::{Habit, Load},
    program::{freeze, tear},
    setup::SOON,
};

/// A stall that lasts longer than this is reported.
const REPORTED: Duration = Duration::from_millis(100);

fn is_queued(route: &RouteState) -> bool {
    format!("{:?}", route.run) == "Queued"
}

#[test]
fn a_short_stall_is_counted_and_charged_but_not_reported() {
    let _alone = alone();
    let site = Site::start(&options(1, 4));
    let (mut client, mut other) = (site.client(), site.client());
    assert_eq!(other.get("/").unwrap().text(), "hello");
    let mut longest = Duration::ZERO;
    // One during which the machine does not run the watchdog is nobody's fault.
    let charged = until(SOON, || {
        let begin = Instant::now();
        assert!(client.get("/wedge/50").unwrap().text().starts_with("rip-w0"));
        longest = longest.max(begin.elapsed());
        !site.handle().routes().is_empty()
    });
    assert!(charged, "{longest:?}");
    let route = site.route("GET /wedge/{}", |route| route.stalls > 0);
    assert_eq!(is_queued(&route), route.stalls > 1, "{route:?}");
    assert!(until(SOON, || site.handle().tears().count(Kind::Stall) > 0));
    // On a machine that did not run it in time, it was longer than it meant to be.
    assert!(site.reports(Kind::Stall).is_empty() || longest >= REPORTED, "{longest:?}");
    assert_eq!(other.get("/").unwrap().text(), "hello");
    drop((client, other));
    site.ends_whole(&[Kind::Stall]);
}

/// That the report is of the request that `client` sent, on a worker's thread.
#[track_caller]
fn is_of(tear: &Tear, client: &Client, route: &str) {
    assert_eq!(tear.route.as_deref(), Some(route), "{tear}");
    assert_eq!(tear.peer, Some(client.local_addr().unwrap()), "{tear}");
    assert!(tear.request_id.is_some() && tear.lasted >= Some(REPORTED), "{tear}");
    assert!(tear.thread.starts_with("rip-w0") && tear.worker == Some(0), "{tear}");
}

/// Handlers run on their worker however often they stall: of an executor there are no reports.
fn inline() -> Options {
    Options { lane: Lane::Inline, ..options(1, 4) }
}

/// Stalls anew until the report has a stack: a thread that the machine does not run when it is asked
/// shows none.
#[track_caller]
fn shows_its_stack(
    client: &mut Client,
    tear: &mut Arc<Tear>,
    mut stall: impl FnMut(&mut Client) -> (Client, Arc<Tear>),
) {
    let shown = until(SOON, || {
        if tear.stack.is_empty() {
            (*client, *tear) = stall(client);
        }
        !tear.stack.is_empty()
    });
    assert!(shown, "{tear}");
}

#[test]
fn a_stall_is_reported_asleep_with_its_request_and_its_stack() {
    let _alone = alone();
    let site = Site::start(&inline());
    let stall = || {
        site.lever.hold();
        let client = site.send("/wedge");
        let tear = site.reported_of(&client);
        (client, tear)
    };
    let (mut client, mut tear) = stall();
    shows_its_stack(&mut client, &mut tear, |client| {
        site.lever.release();
        assert_eq!(client.response().unwrap().status(), 200);
        stall()
    });
    is_of(&tear, &client, "GET /wedge");
    assert_eq!(tear.activity, Some(Activity::Asleep), "{tear}");
    assert!(names(&tear, "it::tears::lever::Stop::wedge"), "{tear}");
    assert!(names(&tear, "it::tears::routes::wedge"), "{tear}");
    assert!(tear.culprit().unwrap().function.as_ref().unwrap().starts_with("it::"), "{tear}");
    // Others of the same worker are answered meanwhile.
    assert_eq!(site.client().get("/").unwrap().text(), "hello");
    site.lever.release();
    assert_eq!(client.response().unwrap().text(), tear.thread);
    assert_eq!(client.get("/").unwrap().text(), "hello");
    drop(client);
    let mut reports = site.reports(Kind::Stall);
    reports.retain(|report| report.request_id == tear.request_id);
    assert_eq!(reports.len(), 1, "{reports:#?}");
    site.ends_whole(&[Kind::Stall]);
}

#[test]
fn a_stall_that_burns_its_thread_is_reported_as_spinning() {
    let _alone = alone();
    let site = Site::start(&inline());
    let mut had = 0;
    let spinning = until(SOON, || {
        site.lever.hold();
        let mut client = site.send("/spin");
        let tear = site.reported_of(&client);
        site.lever.release();
        had = had.max(client.response().unwrap().text().parse().unwrap());
        assert_ne!(tear.activity, Some(Activity::Asleep), "{tear}");
        tear.activity == Some(Activity::Spinning) && names(&tear, "it::tears::routes::spin")
    });
    // Where the machine does not run the thread, or not when it is asked for its stack, nobody can
    // know: that the handler itself has measured.
    println!("spinning: {spinning}, with {had} % of a processor at best");
    assert!(spinning || had < 80, "{had} %");
    site.ends_whole(&[Kind::Stall]);
}

#[test]
fn the_report_of_a_deadlock_shows_the_lock_and_the_handler() {
    let _alone = alone();
    let site = Site::start(&inline());
    let stall = || {
        let client = site.send("/deadlock");
        let tear = site.reported_of(&client);
        (client, tear)
    };
    let mut locked = Some(site.lever.lock());
    let (mut client, mut tear) = stall();
    shows_its_stack(&mut client, &mut tear, |client| {
        drop(locked.take());
        assert_eq!(client.response().unwrap().status(), 200);
        locked = Some(site.lever.lock());
        stall()
    });
    is_of(&tear, &client, "GET /deadlock");
    assert_eq!(tear.activity, Some(Activity::Asleep), "{tear}");
    for function in ["futex", "Mutex", "it::tears::routes::deadlock"] {
        assert!(names(&tear, function), "{function}: {tear}");
    }
    assert_eq!(site.client().get("/").unwrap().text(), "hello");
    drop(locked);
    assert_eq!(client.response().unwrap().status(), 200);
    drop(client);
    site.ends_whole(&[Kind::Stall]);
}

#[test]
fn a_handler_that_waits_for_a_dead_disk_costs_nobody_anything() {
    let _alone = alone();
    let site = Site::start(&options(1, 4));
    let disk = Disk::new();
    let mut client = site.send(&format!("/open{}", disk.file().display()));
    let tear = &site.reported(Kind::Stall, 1)[0];
    assert_eq!(tear.activity, Some(Activity::Asleep), "{tear}");
    assert!(tear.route.as_ref().unwrap().starts_with("GET /open/"), "{tear}");
    // Where no signal comes through, there is no stack to be had.
    assert!(disk.is_deaf() || names(tear, "it::tears::routes::open"), "{tear}");
    assert!(!disk.is_deaf() || tear.stack.is_empty(), "{tear}");
    for _ in 0..10 {
        assert_eq!(site.client().get("/").unwrap().text(), "hello");
    }
    assert!(client.is_quiet_for(Duration::ZERO).unwrap());
    drop(disk);
    assert_eq!(client.response().unwrap().status(), 200);
    assert_eq!(client.get("/").unwrap().text(), "hello");
    drop(client);
    site.ends_whole(&[Kind::Stall]);
}

#[test]
fn a_route_that_stalls_twice_is_queued_and_then_runs_on_executors() {
    let _alone = alone();
    let site = Site::start(&options(1, 4));
    let mut neighbour = site.client();
    for stall in 1..=2 {
        site.lever.hold();
        let mut client = site.send("/wedge");
        let tear = site.reported(Kind::Stall, stall).pop().unwrap();
        assert_eq!(neighbour.get("/").unwrap().text(), "hello");
        site.lever.release();
        let thread = client.response().unwrap().text();
        assert!(thread.starts_with("rip-w0") && thread == tear.thread, "{stall} on {thread}");
        let route = site.route("GET /wedge", |route| route.stalls == stall as u64);
        assert_eq!(is_queued(&route), stall == 2, "{route:?}");
    }
    site.lever.hold();
    let mut client = site.send("/wedge");
    // On an executor, it is charged all the same: it has not behaved.
    site.route("GET /wedge", |route| route.stalls == 3);
    assert_eq!(neighbour.get("/").unwrap().text(), "hello");
    site.lever.release();
    assert!(client.response().unwrap().text().starts_with("rip-e"));
    assert_eq!(site.reports(Kind::Stall).len(), 2);
    // The others are not.
    assert!(neighbour.get("/name").unwrap().text().starts_with("rip-w0"));
    assert_eq!(site.handle().routes().len(), 1);
    let queue = site.handle().queue().state();
    assert_eq!((queue.taken, queue.waiting, queue.late), (1, 0, 0));
    drop(neighbour);
    site.ends_whole(&[Kind::Stall]);
}

/// Under load, some thread is always inside a poll when the machine stops.
#[test]
fn a_pause_under_load_is_no_stall_of_anybody() {
    let _alone = alone();
    let (mut paused, awake) = (tear(&["--workers", "2"]), tear(&["--workers", "2"]));
    let (load, control) = (Load::new(paused.address), Load::new(awake.address));
    std::thread::scope(|scope| {
        let _stop = [load.guard(), control.guard()];
        load.run(scope, 4, Habit::Restless);
        control.run(scope, 4, Habit::Restless);
        for pause in [3000, 200, 200, 200, 90, 90, 90, 60, 60, 60] {
            let answers = load.seen().answers;
            assert!(until(SOON, || load.seen().answers > answers + 50));
            freeze(&mut paused);
            // That nothing comes from a process that stands still is the length of the pause.
            let mut silent = paused.connect();
            silent.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
            assert!(silent.is_quiet_for(Duration::from_millis(pause)).unwrap());
            paused.signal(Signal::CONT);
            assert_eq!(silent.response().unwrap().status(), 200);
        }
    });
    assert_eq!(load.seen().failures, [""; 0]);
    paused.signal(Signal::TERM);
    assert_eq!(paused.exit_code(), Some(0));
    paused.logged("server ended");
    // Where the other one has seen a stall, the machine is so busy that it means nothing.
    assert!(!paused.blames() || awake.blames(), "{}", paused.process.log());
    awake.terminate();
}
