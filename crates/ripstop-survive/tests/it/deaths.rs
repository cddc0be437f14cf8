//! Whoever dies is replaced, and costs no connection.

use crate::beacon::{Beacon, SOON};
use ripstop_testkit::{Family, Signal, send, until};
use std::time::{Duration, Instant};

/// Whether a server says that the one before died in this way, or that its master has not seen it yet.
fn has_seen(line: &str, death: &str) -> bool {
    [death, "Unknown"].iter().any(|death| line.contains(&format!("death=Some({death})")))
}

#[test]
fn a_killed_server_costs_no_idle_connection_however_often() {
    let beacon = Beacon::start();
    let mut idle: Vec<_> = (0..50).map(|_| beacon.idle()).collect();
    for round in 2..12 {
        beacon.kill_server();
        let line = beacon.generation(round);
        assert!(has_seen(&line, "Signal(9)") && line.contains("kept: 5"), "{line}");
        for client in &mut idle {
            assert_eq!(client.get("/").unwrap().text(), "Hello, World!", "round {round}");
        }
        beacon.settle();
    }
}

#[test]
fn a_server_that_aborts_or_exits_unasked_is_replaced_as_well() {
    let beacon = Beacon::start();
    let mut idle = beacon.idle();
    for (generation, path, death) in [(2, "/abort", "Signal(6)"), (3, "/exit", "Exit(3)")] {
        let before = beacon.family.server();
        assert_eq!(beacon.connect().get(path).unwrap().status(), 503, "the next one answers");
        beacon.successor(before);
        let line = beacon.generation(generation);
        assert!(has_seen(&line, death), "{line}");
        assert_eq!(idle.get("/").unwrap().status(), 200);
        beacon.settle();
    }
}

#[test]
fn a_keeper_that_is_killed_is_replaced_and_the_next_one_keeps() {
    let beacon = Beacon::start();
    let (mut idle, server) = (beacon.idle(), beacon.family.server());
    for _ in 0..3 {
        let keeper = beacon.family.keeper();
        send(keeper, Signal::KILL).unwrap();
        let another = || beacon.family.keeper().id() != keeper.id();
        assert!(until(SOON, another), "the keeper was not replaced");
    }
    assert_eq!(beacon.family.server().id(), server.id());
    beacon.kill_server();
    assert_eq!(idle.get("/").unwrap().status(), 200);
}

#[test]
fn server_and_keeper_killed_together_refuse_nobody() {
    let beacon = Beacon::start();
    let mut lost = beacon.idle();
    let (server, keeper) = (beacon.family.server(), beacon.family.keeper());
    send(keeper, Signal::KILL).unwrap();
    send(server, Signal::KILL).unwrap();
    // Nobody accepts now; the listener is the master's.
    let mut waiting: Vec<_> = (0..20).map(|_| beacon.connect()).collect();
    for client in &mut waiting {
        assert_eq!(client.get("/").unwrap().status(), 200);
    }
    assert!(lost.get("/").is_err(), "its only descriptors were those of the dead");
    beacon.generation(2);
}

#[test]
fn a_server_outlives_its_master_and_is_still_kept() {
    let mut beacon = Beacon::start();
    let mut idle = beacon.idle();
    beacon.family.master().signal(Signal::KILL).unwrap();
    beacon.family.master().exit(SOON).unwrap();
    assert_eq!(idle.get("/").unwrap().status(), 200);
    beacon.settle();
    beacon.kill_server();
    assert_eq!(idle.get("/").unwrap().status(), 200);
}

#[test]
fn a_server_that_stands_still_is_replaced() {
    let beacon = Beacon::start();
    let (mut idle, server) = (beacon.idle(), beacon.family.server());
    beacon.settle();
    send(server, Signal::STOP).unwrap();
    beacon.successor(server);
    let line = beacon.generation(2);
    assert!(line.contains("death=Some(Stopped)"), "{line}");
    assert_eq!(idle.get("/").unwrap().status(), 200);
}

#[test]
fn a_server_that_dies_at_each_start_is_tried_again_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("crash");
    let beacon = Beacon::crashing(&file);
    let mut idle = beacon.idle();
    std::fs::write(&file, "").unwrap();
    send(beacon.family.server(), Signal::KILL).unwrap();
    let begin = Instant::now();
    // The kernel still takes connections, however long there is nobody.
    let mut waiting: Vec<_> = (0..5).map(|_| beacon.connect()).collect();
    assert!(waiting[0].is_quiet_for(Duration::from_millis(1500)).unwrap());
    std::fs::remove_file(&file).unwrap();
    for client in waiting.iter_mut().chain([&mut idle]) {
        assert_eq!(client.get("/").unwrap().status(), 200);
    }
    let line = beacon
        .family
        .announced(SOON, |line| line.contains("death=Some(Signal(6))").then(|| line.to_owned()));
    // At once three times, then after 0.1, 0.2, 0.4, 0.8 seconds: no processor was burned.
    let number = |line: String| line.split_once("generation=")?.1.split(' ').next()?.parse().ok();
    let generations: u32 = number(line.unwrap()).unwrap();
    assert!((4..=10).contains(&generations), "{generations} after {:?}", begin.elapsed());
}

#[test]
fn a_first_server_that_is_killed_before_it_has_served_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("crash");
    std::fs::write(&file, "").unwrap();
    let mut command = Beacon::command_crashing(&file);
    let family = Family::start(&mut command).unwrap();
    // It dies by a signal; one that fails by itself is not started again.
    let keeps_trying = || family.log().matches("aborting").count() >= 3;
    assert!(until(SOON, keeps_trying), "{}", family.log());
    std::fs::remove_file(&file).unwrap();
    family.announced(SOON, ripstop_testkit::address).unwrap();
}
