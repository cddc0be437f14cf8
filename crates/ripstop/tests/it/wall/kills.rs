//! `kill -9` of one process or several, under load.

use super::family::{Walled, all_answered};
use crate::serve::setup::SOON;
use ripstop::net::raise_descriptors;
use ripstop_testkit::{Busy, Signal, send, until};
use std::{
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant},
};

/// Idle connections of each kind.
const IDLE: usize = 150;

/// Kills in a row.
const KILLS: usize = 5;

#[test]
fn kills_under_load_cost_no_idle_connection_and_refuse_nobody() {
    let walled = Walled::start(&["--workers", "2", "--park", "200"]);
    let mut idle = walled.idle(IDLE);
    let busy = Busy::default();
    thread::scope(|scope| {
        let _guard = busy.guard();
        busy.run(scope, walled.address, 8);
        let mut first = Vec::new();
        for round in 0..KILLS {
            // Half of them are parked by now, or all; the others were answered a moment ago.
            all_answered(&mut idle[..IDLE / 2]);
            walled.settle_between(&busy);
            let answered = busy.answered.load(Relaxed);
            send(walled.server(), Signal::KILL).unwrap();
            let begin = Instant::now();
            assert!(until(SOON, || busy.answered.load(Relaxed) > answered), "{busy:?}");
            all_answered(&mut idle[..1]);
            first.push(begin.elapsed());
            walled.took_over(round + 2);
            all_answered(&mut idle);
        }
        println!("first answers after {first:?}");
    });
    println!("{busy:?}");
    assert_eq!((busy.refused.load(Relaxed), busy.wrong.load(Relaxed)), (0, 0), "{busy:?}");
    // Each kill hits at most one request of each of them.
    let hit = busy.told.load(Relaxed) + busy.cut.load(Relaxed);
    assert!(hit <= KILLS * 8, "{busy:?}");
    assert!(busy.answered.load(Relaxed) > 0);
}

/// Idle connections of a crowd: as many again are parked.
const CROWD: usize = 5000;

/// Row 22, at its size: five thousand connections that were just used, and five thousand parked ones.
#[test]
fn ten_kills_in_a_row_cost_none_of_ten_thousand_idle_connections() {
    raise_descriptors().unwrap();
    let walled = Walled::start(&["--workers", "2", "--park", "1000"]);
    let mut idle = walled.idle(2 * CROWD);
    let busy = Busy::default();
    thread::scope(|scope| {
        let _guard = busy.guard();
        busy.run(scope, walled.address, 8);
        for round in 0..10 {
            all_answered(&mut idle[..CROWD / 10]);
            walled.settle_between(&busy);
            send(walled.server(), Signal::KILL).unwrap();
            walled.took_over(round + 2);
        }
    });
    assert_eq!((busy.refused.load(Relaxed), busy.wrong.load(Relaxed)), (0, 0), "{busy:?}");
    let begin = Instant::now();
    all_answered(&mut idle);
    println!("one after the other answered after {:?}; {busy:?}", begin.elapsed());
    let begin = Instant::now();
    let request = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    idle.iter_mut().for_each(|client| client.send(request).unwrap());
    assert!(idle.iter_mut().all(|client| client.response().unwrap().text() == "Hello, World!"));
    println!("all at once answered after {:?}", begin.elapsed());
}

#[test]
fn ten_kills_leave_no_descriptor_no_thread_and_no_process_behind() {
    let walled = Walled::start(&["--workers", "2", "--park", "50"]);
    let mut idle = walled.idle(10);
    // Parked, so that no task or reactor has them.
    let counts = |walled: &Walled| {
        let server = walled.server();
        (server.fds().unwrap_or(0), server.threads().map_or(0, |threads| threads.len()))
    };
    walled.settle();
    walled.kill_server();
    walled.took_over(2);
    all_answered(&mut idle);
    walled.settle();
    let mut before = (0, 0);
    let stable = until(SOON, || std::mem::replace(&mut before, counts(&walled)) == before);
    assert!(stable);
    for round in 3..13 {
        walled.kill_server();
        walled.took_over(round);
        all_answered(&mut idle);
        walled.settle();
    }
    let after = || counts(&walled);
    assert!(until(SOON, || after() == before), "{before:?} {:?}", after());
    assert_eq!(walled.members().len(), 3);
}

#[test]
fn server_and_keeper_killed_together_cost_connections_but_refuse_nobody() {
    let walled = Walled::start(&["--workers", "1"]);
    let mut idle = walled.idle(3);
    let (keeper, server) = (walled.keeper(), walled.server());
    send(keeper, Signal::KILL).unwrap();
    send(server, Signal::KILL).unwrap();
    let mut fresh: Vec<_> = (0..20).map(|_| walled.connect()).collect();
    all_answered(&mut fresh);
    assert!(idle.iter_mut().all(|client| client.get("/").is_err()));
}

#[test]
fn a_keeper_that_is_killed_is_replaced_within_seconds() {
    let walled = Walled::start(&["--workers", "1"]);
    let mut idle = walled.idle(20);
    let (server, keeper) = (walled.server(), walled.keeper());
    send(keeper, Signal::KILL).unwrap();
    let begin = Instant::now();
    assert!(until(SOON, || walled.keeper().id() != keeper.id()));
    println!("a keeper again after {:?}", begin.elapsed());
    assert_eq!(walled.server().id(), server.id());
    all_answered(&mut idle);
    walled.settle();
    // It was cloned from a server in full swing, and gave back what it had of it.
    let private = walled.keeper().private_bytes().unwrap();
    assert!(private < 512 << 10, "{private}");
    walled.kill_server();
    all_answered(&mut idle);
}

#[test]
fn a_server_whose_master_was_killed_serves_on_and_is_kept() {
    let mut walled = Walled::start(&["--workers", "1"]);
    let mut idle = walled.idle(5);
    walled.family.master().signal(Signal::KILL).unwrap();
    walled.family.master().exit(SOON).unwrap();
    all_answered(&mut idle);
    walled.settle();
    walled.kill_server();
    all_answered(&mut idle);
    let mut fresh = walled.idle(1);
    all_answered(&mut fresh);
}

#[test]
fn a_server_that_is_stopped_is_replaced_at_its_deadline() {
    let walled = Walled::start(&["--workers", "1"]);
    let mut idle = walled.idle(5);
    walled.settle();
    let server = walled.server();
    send(server, Signal::STOP).unwrap();
    // Until then it could begin with a request.
    assert!(until(SOON, || server.has_stopped().unwrap()));
    idle.iter_mut().for_each(|client| client.set_deadline(Duration::from_secs(60)));
    all_answered(&mut idle);
    let line = walled.took_over(2);
    assert!(line.contains("death=it stood still"), "{line}");
}

#[test]
fn master_and_keeper_have_little_memory_of_their_own() {
    let walled = Walled::start(&["--workers", "2"]);
    let _idle = walled.idle(100);
    let master = walled.proc().private_bytes().unwrap();
    let keeper = walled.keeper().private_bytes().unwrap();
    println!("master {} KiB, keeper {} KiB", master >> 10, keeper >> 10);
    assert!(master < 1536 << 10 && keeper < 512 << 10, "{master} {keeper}");
    assert_eq!(walled.proc().threads().unwrap().len(), 1);
}
