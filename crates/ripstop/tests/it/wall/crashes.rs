//! Crashes by a request: what it costs the others, and what is said of it.

use super::family::{Walled, all_answered};
use crate::serve::setup::SOON;
use ripstop_testkit::{Ending, Signal, send, until};

/// A request that kills its server by this signal.
#[track_caller]
fn check(path: &str, signal: &str) {
    let walled = Walled::start(&["--workers", "2", "--park", "100"]);
    let mut idle = walled.idle(30);
    walled.settle();
    for round in 2..4 {
        let before = walled.server();
        let mut client = walled.connect();
        // The next server answers, where no byte of a response was out.
        assert_eq!(client.get(path).unwrap().status(), 503, "{path}");
        assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
        walled.successor(before);
        let line = walled.took_over(round);
        assert!(line.contains(&format!("death=signal {signal} ")), "{path}: {line}");
        let running = format!("running=GET {} (", path.split('?').next().unwrap());
        assert!(line.contains(&running), "{path}: {line}");
        assert!(line.contains("kept=30 answered_503=1 reset=0 disbelieved=0"), "{path}: {line}");
        all_answered(&mut idle);
        walled.settle();
    }
}

#[test]
fn a_segmentation_fault_costs_no_other_connection() {
    check("/segv", "11");
}

#[test]
fn an_abort_costs_no_other_connection() {
    check("/abort", "6");
}

#[test]
fn a_stack_overflow_costs_no_other_connection() {
    check("/recurse", "6");
}

#[test]
fn a_lack_of_memory_costs_no_other_connection() {
    // More than any machine has, so that it is refused at once: the program aborts.
    check("/alloc?mb=100000000", "6");
}

#[test]
fn a_response_that_had_begun_is_reset_not_ended() {
    let walled = Walled::start(&["--workers", "2"]);
    let mut cut = walled.connect();
    cut.send("GET /stream?kb=1000000 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert_eq!(cut.head().unwrap().status, 200);
    walled.kill_server();
    walled.took_over(2);
    assert_eq!(cut.ending().unwrap().1, Ending::Cut);
}

#[test]
fn half_a_request_and_a_body_are_told_and_never_taken_for_another_request() {
    let walled = Walled::start(&["--workers", "1"]);
    let mut halves = walled.idle(2);
    halves[0].send("GET / HTTP/1.1\r\nHo").unwrap();
    halves[1].send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 40\r\n\r\nGET /").unwrap();
    // What was sent has been read when a later connection is answered, by the same worker.
    let mut later = walled.idle(1);
    walled.settle();
    walled.kill_server();
    halves[1].send("abort HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert_eq!(halves[0].response().unwrap().status(), 503);
    assert_eq!(halves[0].ending().unwrap(), (Vec::new(), Ending::Closed));
    // Its response had begun, with what there was of the body.
    let (begun, ending) = halves[1].ending().unwrap();
    assert_eq!((begun.windows(5).filter(|at| at == b"HTTP/").count(), ending), (1, Ending::Cut));
    all_answered(&mut later);
}

#[test]
fn a_request_that_waits_in_the_kernel_is_answered_by_the_next_server() {
    let walled = Walled::start(&["--workers", "1", "--park", "20"]);
    let mut idle = walled.idle(5);
    walled.settle();
    let dead = walled.server();
    send(dead, Signal::STOP).unwrap();
    assert!(until(SOON, || dead.has_stopped().unwrap()));
    for client in &mut idle {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    }
    send(dead, Signal::KILL).unwrap();
    for client in &mut idle {
        assert_eq!(client.response().unwrap().status(), 200);
    }
}
