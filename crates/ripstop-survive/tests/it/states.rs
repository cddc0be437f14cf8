//! What becomes of a connection, by what its server had done of a request.

use crate::beacon::{Beacon, SOON};
use ripstop_testkit::{Client, Ending};

/// A connection that has asked, and whose request the server has seen.
#[track_caller]
fn asked(beacon: &Beacon, path: &str) -> Client {
    let mut client = beacon.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).unwrap();
    beacon.settle();
    client
}

#[test]
fn a_request_without_a_byte_of_its_response_is_answered_503_and_closed() {
    let beacon = Beacon::start();
    let mut busy: Vec<_> = (0..10).map(|_| asked(&beacon, "/busy")).collect();
    beacon.kill_server();
    for client in &mut busy {
        let response = client.response().unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(response.header("connection"), Some("close"));
        // What is sent meanwhile does not turn the answer into a reset.
        client.send(b"more").unwrap();
        assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
    }
}

#[test]
fn a_response_that_had_begun_is_reset() {
    let beacon = Beacon::start();
    let mut begun = asked(&beacon, "/started");
    assert_eq!(begun.head().unwrap().status, 200);
    beacon.kill_server();
    let (_, ending) = begun.ending().unwrap();
    assert_eq!(ending, Ending::Cut);
}

#[test]
fn half_a_request_is_answered_503_and_never_taken_for_another() {
    let beacon = Beacon::start();
    let mut half = beacon.connect();
    half.send(b"GET / HTTP/1.1\r\nHost: te").unwrap();
    beacon.settle();
    beacon.kill_server();
    half.send(b"st\r\n\r\n").unwrap();
    assert_eq!(half.response().unwrap().status(), 503);
}

#[test]
fn a_descriptor_that_is_not_what_its_claim_says_is_not_used() {
    let beacon = Beacon::start();
    let mut idle = beacon.idle();
    let (mut forger, number) = (beacon.connect(), beacon.family.server().id());
    // The number of the idle connection leads to this one from now on, by the same listener.
    assert_eq!(forger.get("/forge").unwrap().text(), "forged");
    beacon.settle();
    beacon.kill_server();
    let line = beacon.generation(2);
    assert!(line.contains("disbelieved: 1,"), "{line}");
    assert_eq!(idle.ending().unwrap(), (Vec::new(), Ending::Closed));
    let pid = forger.get("/pid").unwrap().text().clone();
    assert!(pid.starts_with("pid ") && pid != format!("pid {number}"), "{pid}");
}

#[test]
fn a_request_is_told_of_one_death_once() {
    let beacon = Beacon::start();
    let mut busy = asked(&beacon, "/busy");
    for generation in 2..5 {
        beacon.kill_server();
        beacon.generation(generation);
    }
    assert_eq!(busy.response().unwrap().status(), 503);
    busy.set_deadline(SOON);
    assert_eq!(busy.read_to_end().unwrap_or_default(), b"");
}
