//! Requests that crash one server after the other.

use super::family::{Walled, all_answered};
use crate::serve::setup::SOON;
use ripstop_testkit::{Busy, Client, Response, until};
use std::{
    fs,
    sync::atomic::Ordering::Relaxed,
    thread::scope,
    time::{Duration, Instant},
};

/// What a request in quarantine is answered.
const REFUSED: &str = "requests like this have crashed the server\n";

/// What is logged, once for each quarantine.
const QUARANTINED: &str = "a request was running at crash after crash";

/// A request that ends long after its test.
const WEDGE: &str = "/wedge?ms=60000";

/// What is logged when it has ended.
const OVER: &str = "a quarantine is over";

/// Sends one request on a connection of its own: the answer, if there was one.
fn ask(walled: &Walled, path: &str) -> Option<Response> {
    walled.connect().get(path).ok()
}

/// Sends a request that crashes the server, and waits for the next one.
#[track_caller]
fn crash(walled: &Walled, path: &str) {
    let dead = walled.server();
    let response = ask(walled, path);
    assert!(!is_refused(response.as_ref()), "{path}:\n{}", walled.log());
    walled.successor(dead);
}

fn is_refused(response: Option<&Response>) -> bool {
    response.is_some_and(|response| response.status() == 503 && response.text() == REFUSED)
}

/// Sends a request again and again, every twentieth of a second, until it is refused.
#[track_caller]
fn replay_until_refused(walled: &Walled, path: &str) {
    let mut next = Instant::now();
    let refused = until(SOON, || {
        if next.elapsed() < Duration::from_millis(20) {
            return false;
        }
        next = Instant::now();
        is_refused(ask(walled, path).as_ref())
    });
    assert!(refused, "{path} is never refused:\n{}", walled.log());
}

/// How often there was a line with `text` that names the route.
fn said(walled: &Walled, text: &str, route: &str) -> usize {
    let log = walled.log();
    log.lines().filter(|line| line.contains(text) && line.contains(route)).count()
}

/// Keeps a thread of the server busy, and waits until that has been noticed.
#[track_caller]
fn wedge(walled: &Walled, path: &str, times: usize) -> Client {
    let mut client = walled.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).unwrap();
    let mut seen = 0;
    let stalls = walled.announced(SOON, |line| {
        seen += usize::from(line.contains("stall of"));
        (seen == times).then_some(())
    });
    stalls.unwrap();
    client
}

#[test]
fn a_request_that_crashes_three_servers_is_refused_and_no_other() {
    let walled = Walled::start(&["--workers", "2", "--park", "100", "--quarantine", "300000"]);
    let mut idle = walled.idle(20);
    walled.settle();
    let busy = Busy::default();
    scope(|scope| {
        let guard = busy.guard();
        busy.run(scope, walled.address, 8);
        // One that is in a thread at nearly every crash.
        busy.run_on(scope, walled.address, 4, ("/cpu?us=2000", "done"));
        replay_until_refused(&walled, "/segv");
        let server = walled.server();
        // Its connection goes on, and other requests of the same path are others.
        let mut client = walled.connect();
        for _ in 0..20 {
            let refused = client.get("/segv").unwrap();
            assert!(is_refused(Some(&refused)), "{refused:?}");
            let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=300).contains(&seconds));
            assert_eq!(client.get("/").unwrap().status(), 200);
        }
        assert_eq!(walled.server().id(), server.id());
        crash(&walled, "/segv?other");
        drop(guard);
    });
    assert_eq!(said(&walled, QUARANTINED, ""), 1, "{}", walled.log());
    assert_eq!(said(&walled, QUARANTINED, "route=GET /segv fingerprint="), 1);
    assert_eq!((busy.refused.load(Relaxed), busy.wrong.load(Relaxed)), (0, 0), "{busy:?}");
    all_answered(&mut idle);
}

#[test]
fn a_quarantine_is_over_by_itself_and_the_next_crash_is_one_too_many() {
    let walled = Walled::start(&["--workers", "2", "--quarantine", "1000"]);
    replay_until_refused(&walled, "/segv");
    walled.announced(SOON, |line| line.contains(OVER).then_some(())).unwrap();
    crash(&walled, "/segv");
    assert!(is_refused(ask(&walled, "/segv").as_ref()));
    let doubled =
        |line: &str| (line.contains(QUARANTINED) && line.contains("seconds=2")).then_some(());
    walled.announced(SOON, doubled).unwrap();
    assert_eq!(said(&walled, QUARANTINED, "GET /segv"), 2);
}

#[test]
fn a_quarantine_is_lifted_from_outside() {
    let walled = Walled::start(&["--workers", "2"]);
    replay_until_refused(&walled, "/segv");
    let server = walled.server();
    for pid in [walled.id(), server.id()] {
        let quarantine = ripstop::wall::quarantine_of(pid.cast_signed()).unwrap();
        let [quarantined] = &quarantine.list()[..] else { panic!("{:?}", quarantine.list()) };
        assert_eq!(quarantined.route, "GET /segv");
        assert!(quarantined.refused > 0 && quarantined.left > Duration::from_secs(200));
    }
    let quarantine = ripstop::wall::quarantine_of(server.id().cast_signed()).unwrap();
    let fingerprint = quarantine.list()[0].fingerprint;
    assert!(quarantine.lift(fingerprint) && !quarantine.lift(fingerprint));
    assert!(quarantine.list().is_empty());
    crash(&walled, "/segv");
    // It is as if it had never crashed one before.
    crash(&walled, "/segv");
    crash(&walled, "/segv");
    assert!(is_refused(ask(&walled, "/segv").as_ref()));
}

#[test]
fn where_the_thread_is_known_that_crashed_no_other_request_is_blamed() {
    for path in ["/abort", "/recurse", "/abort-blocking"] {
        let walled = Walled::start(&["--workers", "2"]);
        for deaths in 1..4 {
            // It runs at each of the crashes, too, and never comes to its end.
            let wedged = wedge(&walled, WEDGE, deaths);
            crash(&walled, path);
            drop(wedged);
        }
        assert!(is_refused(ask(&walled, path).as_ref()), "{path}:\n{}", walled.log());
        assert_eq!(said(&walled, QUARANTINED, ""), 1, "{path}:\n{}", walled.log());
        let line = walled.took_over(4);
        assert!(line.contains(&format!("running=GET {path} (")), "{line}");
        assert!(line.contains(", GET /wedge ("), "{line}");
        let report = format!("the process died (signal 6) while it ran GET {path} (");
        walled.announced(SOON, |line| line.contains(&report).then_some(())).unwrap();
    }
}

#[test]
fn where_it_is_not_known_requests_that_never_end_are_blamed() {
    let walled = Walled::start(&["--workers", "2"]);
    for deaths in 1..4 {
        let wedged = wedge(&walled, WEDGE, deaths);
        all_answered(&mut [walled.connect()]);
        walled.kill_server();
        assert!(walled.took_over(deaths + 1).contains("running=GET /wedge ("));
        drop(wedged);
    }
    assert!(is_refused(ask(&walled, WEDGE).as_ref()), "{}", walled.log());
    assert_eq!(said(&walled, QUARANTINED, ""), 1, "{}", walled.log());
}

#[test]
fn a_request_that_comes_to_its_end_between_crashes_is_not_blamed() {
    let walled = Walled::start(&["--workers", "2"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("end");
    let path = &format!("/hold?until={}", file.display());
    for round in 1..4 {
        // A server reports the stalls of a route once in a while: each of these is its first.
        let wedged = wedge(&walled, path, 2 * round - 1);
        walled.kill_server();
        let line = walled.took_over(2 * round);
        assert!(line.contains("running=GET /hold ("), "{line}");
        drop(wedged);
        // One that is like it ends, though late.
        let mut like = wedge(&walled, path, 2 * round);
        fs::write(&file, "").unwrap();
        assert_eq!(like.response().unwrap().text(), "let go");
        fs::remove_file(&file).unwrap();
        walled.kill_server();
        let line = walled.took_over(2 * round + 1);
        assert!(line.contains("running=no request"), "{line}");
    }
    assert_eq!(said(&walled, QUARANTINED, ""), 0, "{}", walled.log());
}

#[test]
fn requests_that_wait_are_named_and_never_blamed() {
    let walled = Walled::start(&["--workers", "2"]);
    for deaths in 1..5 {
        let mut slow = walled.connect();
        let head = "GET /slow?ms=60000 HTTP/1.1\r\nHost: test\r\nX-Request-Id: mine\r\n\r\n";
        slow.send(head).unwrap();
        all_answered(&mut [walled.connect()]);
        walled.settle();
        walled.kill_server();
        let line = walled.took_over(deaths + 1);
        assert!(line.ends_with("running=no request waiting=GET /slow (mine)"), "{line}");
        assert_eq!(slow.response().unwrap().status(), 503);
    }
    assert_eq!(said(&walled, QUARANTINED, ""), 0, "{}", walled.log());
}

#[test]
fn without_a_quarantine_requests_crash_as_many_servers_as_they_like() {
    let walled = Walled::start(&["--workers", "1", "--quarantine", "0"]);
    for _ in 0..5 {
        crash(&walled, "/abort");
    }
    assert_eq!(said(&walled, QUARANTINED, ""), 0);
}
