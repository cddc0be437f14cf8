//! A server that asks to be replaced, and one that is to end.

use super::{
    family::{Walled, all_answered},
    upgrades::{is_one, upgrade},
};
use crate::serve::setup::SOON;
use ripstop_testkit::{Client, Signal, until};
use std::time::Instant;

#[test]
fn a_server_that_gives_up_is_replaced_and_its_idle_connections_live() {
    let walled = Walled::start(&["--workers", "1", "--spares", "0", "--lane", "inline"]);
    let mut idle = walled.idle(20);
    walled.settle();
    let first = walled.server();
    let mut held = Vec::new();
    // Whichever worker comes to a request is drowned by it.
    let replaced = until(SOON, || {
        let mut client = Client::tcp(walled.address).unwrap();
        let _ = client.send("GET /wedge?ms=600000 HTTP/1.1\r\nHost: test\r\n\r\n");
        held.push(client);
        walled.server().id() != first.id()
    });
    assert!(replaced, "{}", walled.log());
    let line = walled.took_over(2);
    assert!(line.contains("death=exit code 75"), "{line}");
    drop(held);
    all_answered(&mut idle);
}

#[test]
fn a_stop_drains_and_ends_the_whole_family_with_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut walled = Walled::start(&["--workers", "1"]);
        let mut idle = walled.idle(3);
        let mut slow = walled.connect();
        slow.send("GET /slow?ms=300 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        // The next one is answered when the first one is being handled.
        drop(walled.idle(1));
        walled.family.master().signal(signal).unwrap();
        assert_eq!(slow.response().unwrap().text(), "slow");
        assert_eq!(walled.family.master().exit(SOON).unwrap().code(), Some(0));
        assert!(walled.ends(), "{:?}", walled.members());
        assert!(idle.iter_mut().all(|client| client.read_to_end().is_ok()));
        assert!(walled.log().contains("server ended outcome=Drained"), "{}", walled.log());
    }
}

#[test]
fn a_stop_that_reaches_all_processes_is_one_stop() {
    let mut walled = Walled::start(&["--workers", "1"]);
    let mut slow = walled.connect();
    slow.send("GET /slow?ms=500 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    drop(walled.idle(1));
    for member in walled.members() {
        ripstop_testkit::send(member, Signal::TERM).unwrap();
    }
    assert_eq!(slow.response().unwrap().text(), "slow", "it was not cut off");
    assert_eq!(walled.family.master().exit(SOON).unwrap().code(), Some(0));
    assert!(walled.ends());
}

#[test]
fn a_second_stop_later_ends_it_at_once() {
    let mut walled = Walled::start(&["--workers", "1"]);
    let mut slow = walled.connect();
    slow.send("GET /slow?ms=600000 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    drop(walled.idle(1));
    walled.family.master().signal(Signal::TERM).unwrap();
    let begin = Instant::now();
    // Within a quarter of a second it would be the same stop again.
    let ended = until(SOON, || {
        begin.elapsed().as_millis() > 300 && walled.family.master().signal(Signal::TERM).is_err()
    });
    assert!(ended && begin.elapsed() < SOON);
    assert!(walled.ends());
    assert!(walled.log().contains("server ended outcome=Cut("), "{}", walled.log());
}

#[test]
fn a_start_that_fails_is_told_once_and_not_tried_again() {
    let occupied = Walled::start(&["--workers", "1"]);
    let mut command = crate::serve::program::command("tear");
    command.args(["--listen", &occupied.address.to_string()]);
    let mut family = ripstop_testkit::Family::start(&mut command).unwrap();
    assert_eq!(family.master().exit(SOON).unwrap().code(), Some(1));
    assert!(family.ends());
    assert_eq!(family.log().matches("InUse").count(), 1, "{}", family.log());
}

#[test]
fn what_an_application_carries_over_outlives_crashes_and_upgrades() {
    let mut walled = Walled::start(&["--workers", "1"]);
    let count = |walled: &Walled| walled.connect().get("/count").unwrap().text();
    assert_eq!((count(&walled), count(&walled)), ("1".into(), "2".into()));
    walled.kill_server();
    assert_eq!(count(&walled), "3");
    upgrade(&mut walled);
    is_one(&walled);
    assert_eq!(count(&walled), "4");
    // Server and keeper at once: the master has it still.
    for member in [walled.keeper(), walled.server()] {
        ripstop_testkit::send(member, Signal::KILL).unwrap();
    }
    assert!(until(SOON, || walled.log().matches("resumed count=").count() == 3));
    assert_eq!(count(&walled), "5");
    let log = walled.log();
    for seen in ["2", "3", "4"] {
        assert!(log.contains(&format!("resumed count=Some(\"{seen}\")")), "{seen}: {log}");
    }
}
