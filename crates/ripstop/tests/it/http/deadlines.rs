//! Deadlines of HTTP/1 connections and their requests. Outcome and order are looked at, and that
//! nothing happens too early; how late it may be, a busy machine decides.

use super::{
    refusals::assert_ended,
    site::{LARGE, LONG, PATIENCE, PIECE, SHORT, STEP, Site, options},
};
use ripstop::{Disconnect, Timeouts};
use ripstop_testkit::{Client, Ending, until};
use std::{num::NonZeroU32, time::Instant};

/// Expects a 408 not before `SHORT` has passed since `begin`, and the end.
#[track_caller]
fn assert_408(client: &mut Client, begin: Instant) {
    let response = client.response().unwrap();
    assert_eq!((response.status(), response.header("connection")), (408, Some("close")));
    assert_not_early(begin);
    assert_ended(client, "408");
}

#[track_caller]
fn assert_not_early(begin: Instant) {
    assert!(begin.elapsed() >= SHORT, "after {:?}", begin.elapsed());
}

#[test]
fn a_silent_client_is_closed_without_an_answer() {
    let site = Site::with_timeouts(|timeouts| timeouts.header = Some(SHORT));
    let begin = Instant::now();
    let mut client = site.client();
    assert_ended(&mut client, "silent");
    assert_not_early(begin);
}

#[test]
fn a_head_that_does_not_end_in_time_is_answered_408() {
    let site = Site::with_timeouts(|timeouts| timeouts.header = Some(SHORT));
    for part in ["G", "GET / HTTP/1.1", "GET / HTTP/1.1\r\nHost: test\r\n", "PRI * HTTP/2"] {
        let begin = Instant::now();
        let mut client = site.client();
        client.send(part).unwrap();
        assert_408(&mut client, begin);
    }
    assert_eq!(site.probe.begun(), 0);
}

#[test]
fn a_head_that_trickles_gains_no_time() {
    let site = Site::with_timeouts(|timeouts| timeouts.header = Some(SHORT));
    let begin = Instant::now();
    let mut client = site.client();
    let head = format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(200));
    let sent = client.send_slowly(&head, 1, SHORT / 50).unwrap();
    assert!(sent < head.len(), "it was read to its end");
    assert_408(&mut client, begin);
}

#[test]
fn empty_lines_gain_no_time() {
    let site = Site::with_timeouts(|timeouts| {
        timeouts.header = Some(SHORT);
        timeouts.idle = Some(SHORT);
    });
    for first in [true, false] {
        let mut client = site.client();
        if !first {
            assert_eq!(client.get("/").unwrap().status(), 200);
        }
        let begin = Instant::now();
        let lines = "\r\n".repeat(8);
        let sent = client.send_slowly(&lines, 2, SHORT * 2 / 3).unwrap();
        assert!(sent < lines.len(), "they were read to their end (first: {first})");
        assert!(begin.elapsed() >= SHORT / 2);
    }
}

#[test]
fn the_time_of_a_later_head_runs_from_its_first_byte() {
    let site = Site::with_timeouts(|timeouts| {
        timeouts.header = Some(SHORT);
        timeouts.idle = Some(PATIENCE);
    });
    let mut client = site.client();
    assert_eq!(client.get("/").unwrap().status(), 200);
    assert!(client.is_quiet_for(SHORT * 2).unwrap(), "between requests only idle counts");
    let begin = Instant::now();
    client.send("GET / HTTP/1.1\r\nHo").unwrap();
    assert_408(&mut client, begin);
    assert_eq!(site.probe.begun(), 1);
}

#[test]
fn the_time_of_a_head_does_not_run_while_an_earlier_request_is_handled() {
    let header = SHORT * 3;
    let site = Site::with_timeouts(|timeouts| timeouts.header = Some(header));
    for first in [true, false] {
        let mut client = site.client();
        if !first {
            assert_eq!(client.get("/").unwrap().status(), 200);
        }
        client.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\nGET / HTTP/1.1\r\nHo").unwrap();
        let quiet = client.is_quiet_for(header + SHORT).unwrap();
        assert!(quiet, "the slow request was cut (first: {first})");
        site.probe.release();
        client.send("st: test\r\n\r\n").unwrap();
        assert_eq!(client.response().unwrap().text(), "waited");
        assert_eq!(client.response().unwrap().text(), "hello");
    }
}

#[test]
fn a_head_begun_during_another_request_has_its_time_too() {
    let site = Site::with_timeouts(|timeouts| timeouts.header = Some(SHORT));
    let mut client = site.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\nGET / HTTP/1.1\r\nHo").unwrap();
    let begin = Instant::now();
    assert_eq!(client.response().unwrap().text(), "hello");
    let response = client.response().unwrap();
    assert_eq!(response.status(), 408);
    // The server's clock started before ours.
    assert!(begin.elapsed() >= SHORT / 2);
    assert_ended(&mut client, "second head");
}

#[test]
fn an_idle_connection_is_closed_without_an_answer() {
    let site = Site::with_timeouts(|timeouts| timeouts.idle = Some(SHORT));
    let mut client = site.client();
    for _ in 0..2 {
        assert_eq!(client.get("/").unwrap().status(), 200);
    }
    let begin = Instant::now();
    assert_ended(&mut client, "idle");
    assert!(begin.elapsed() >= SHORT / 2, "after {:?}", begin.elapsed());
}

#[test]
fn a_connection_in_use_is_not_idle() {
    let site = Site::with_timeouts(|timeouts| timeouts.idle = Some(SHORT));
    let mut client = site.client();
    client.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert!(client.is_quiet_for(SHORT * 2).unwrap());
    site.probe.release();
    assert_eq!(client.response().unwrap().text(), "waited");
}

#[test]
fn a_connection_whose_response_is_still_on_its_way_is_not_idle() {
    let site = Site::with_timeouts(|timeouts| timeouts.idle = Some(SHORT));
    for path in ["/large", "/in-two"] {
        let mut client = site.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).unwrap();
        assert_kept_unread(&site);
        assert_eq!(client.response().unwrap().body.len(), LARGE, "{path}");
        assert_ended(&mut client, path);
    }
}

#[test]
fn a_408_waits_for_the_response_before_it() {
    let site = Site::with_timeouts(|timeouts| timeouts.header = Some(SHORT));
    for path in ["/large", "/in-two"] {
        let mut client = site.client();
        let part = "GET / HTTP/1.1\r\nHo";
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n{part}")).unwrap();
        assert_kept_unread(&site);
        let begin = Instant::now();
        let response = client.response().unwrap();
        assert!(response.body == [b'x'; LARGE], "{path}: something else is in it");
        assert_408(&mut client, begin);
    }
}

/// Lets more time pass than a deadline of `SHORT` takes, in which the client does not read.
#[track_caller]
fn assert_kept_unread(site: &Site) {
    let begun = site.probe.begun();
    assert!(!until(SHORT * 2, || site.probe.begun() > begun + 1));
}

const POST: &str = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n";

#[test]
fn a_body_that_stalls_is_answered_408() {
    let site = Site::with_timeouts(|timeouts| timeouts.body = Some(SHORT));
    let chunked = "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    for part in [POST.to_owned(), POST.to_owned() + "hello", chunked.to_owned() + "5\r\nhel"] {
        let begin = Instant::now();
        let mut client = site.client();
        client.send(part).unwrap();
        assert_408(&mut client, begin);
    }
    assert_eq!((site.probe.begun(), site.probe.dropped()), (3, 3));
}

#[test]
fn a_body_that_makes_progress_is_not_cut() {
    // A thousand bytes a step are enough, or any if no rate is asked for.
    for (piece, rate) in [(1000, NonZeroU32::new(1000)), (1, None)] {
        let site = with_rate(rate, |timeouts| timeouts.body = Some(LONG));
        let mut client = site.client();
        let begin = Instant::now();
        let body = "x".repeat(10 * piece);
        let length = body.len();
        client
            .send(format!("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"))
            .unwrap();
        assert_eq!(client.send_slowly(&body, piece, STEP).unwrap(), length);
        assert!(begin.elapsed() > LONG, "it came faster than the deadline");
        assert_eq!(client.response().unwrap().text(), body);
        assert_eq!(client.get("/").unwrap().text(), "hello");
    }
}

/// A server with deadlines that `change` makes, and a rate that bodies must have.
fn with_rate(rate: Option<NonZeroU32>, change: impl FnOnce(&mut Timeouts)) -> Site {
    let mut options = options();
    options.limits.rate = rate;
    change(&mut options.timeouts);
    Site::start(options)
}

#[test]
fn a_body_that_trickles_gains_little_time() {
    let site = Site::with_timeouts(|timeouts| timeouts.body = Some(SHORT));
    let mut client = site.client();
    let begin = Instant::now();
    let post = "POST /echo HTTP/1.1\r\nHost: test\r\n";
    let bodies = [
        ("Content-Length: 50\r\n\r\n", "x".repeat(50)),
        ("Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n".repeat(10)),
    ];
    for (head, body) in bodies {
        client.send(format!("{post}{head}")).unwrap();
        let sent = client.send_slowly(&body, 1, SHORT / 10).unwrap();
        assert!(sent < body.len(), "it was read to its end");
        assert_408(&mut client, begin);
        client = site.client();
    }
}

#[test]
fn a_conversation_may_trickle() {
    let site = Site::with_timeouts(|timeouts| timeouts.body = Some(LONG));
    let mut client = site.client();
    client.send(POST.replace("/echo", "/mirror") + "0").unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.read_exact(1).unwrap(), b"0");
    let begin = Instant::now();
    for byte in b"123456789" {
        assert!(client.is_quiet_for(STEP).unwrap());
        client.send([*byte]).unwrap();
        assert_eq!(client.read_exact(1).unwrap(), [*byte]);
    }
    assert!(begin.elapsed() > LONG, "it came faster than the deadline");
}

#[test]
fn a_client_that_takes_a_byte_now_and_then_is_reset() {
    let site = Site::with_timeouts(|timeouts| timeouts.write = Some(SHORT));
    let mut client = site.client();
    client.send("GET /stream HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    // It would be read for ever, had the server not given it up.
    assert!(until(PATIENCE, || {
        client.read_exact(1).unwrap();
        site.probe.dropped() > 0
    }));
    assert_eq!(client.ending().unwrap().1, Ending::Cut);
}

#[test]
fn a_body_that_nobody_waits_for_has_no_deadline() {
    let site = Site::with_timeouts(|timeouts| timeouts.body = Some(SHORT));
    let mut client = site.client();
    client.send(POST.replace("/echo", "/wait")).unwrap();
    assert!(client.is_quiet_for(SHORT * 2).unwrap());
    site.probe.release();
    assert_eq!(client.response().unwrap().text(), "waited");
}

#[test]
fn a_body_that_was_given_up_has_no_deadline() {
    let site = Site::with_timeouts(|timeouts| timeouts.body = Some(SHORT));
    let mut client = site.client();
    client.send(POST.replace("/echo", "/give-up") + "hello").unwrap();
    assert!(client.is_quiet_for(SHORT * 2).unwrap(), "408 though nobody waits for it");
    site.probe.release();
    assert_eq!(client.response().unwrap().text(), "waited");
}

#[test]
fn a_response_that_has_begun_is_reset_when_the_body_stalls() {
    let site = Site::with_timeouts(|timeouts| timeouts.body = Some(SHORT));
    let mut client = site.client();
    client.send(POST.replace("/echo", "/mirror") + "hello").unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.ending().unwrap().1, Ending::Cut);
}

#[test]
fn a_client_that_does_not_read_is_reset_and_costs_little_memory() {
    let site = Site::with_timeouts(|timeouts| timeouts.write = Some(SHORT));
    let mut client = site.client();
    client.send("GET /stream HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    // The handler has finished; its body is given up.
    site.probe.await_dropped(1);
    let produced = site.probe.produced();
    assert!(produced <= 16 << 20, "{produced} bytes for nobody");
    assert_eq!(client.ending().unwrap().1, Ending::Cut);
    site.assert_serves();
}

#[test]
fn a_client_that_reads_slowly_is_not_cut() {
    // The kernel says that there is room only when much was read: the more time it gets.
    let write = LONG * 2;
    let site = Site::with_timeouts(|timeouts| timeouts.write = Some(write));
    let mut client = site.client();
    client.send("GET /stream HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let begin = Instant::now();
    while begin.elapsed() < write * 3 / 2 {
        client.read_exact(32 * PIECE).unwrap();
        // Data is always there: this only takes time away from reading.
        let _ = until(STEP / 6, || false);
    }
    assert_eq!(site.probe.dropped(), 0);
}

#[test]
fn a_request_that_takes_too_long_is_answered_504_and_its_handler_dropped() {
    let site = Site::with_timeouts(|timeouts| timeouts.request = Some(SHORT));
    let begin = Instant::now();
    let mut client = site.client();
    let response = client.get("/wait").unwrap();
    assert_eq!(response.status(), 504);
    assert!(response.header("x-request-id").is_some());
    assert_not_early(begin);
    assert_eq!((site.probe.begun(), site.probe.dropped()), (1, 1));
    // It was read whole, so the connection goes on.
    assert_eq!(response.header("connection"), None);
    assert_eq!(client.get("/").unwrap().text(), "hello");
    assert_eq!(client.get("/wait").unwrap().status(), 504);
    assert_eq!(client.get("/").unwrap().text(), "hello");
}

#[test]
fn a_handler_that_is_to_run_to_its_end_does_so_behind_its_504() {
    let mut options = options();
    options.timeouts.request = Some(SHORT);
    options.disconnect = Disconnect::RunToEnd;
    let site = Site::start(options);
    let mut client = site.client();
    assert_eq!(client.get("/wait").unwrap().status(), 504);
    assert_eq!(client.get("/").unwrap().text(), "hello");
    site.probe.release();
    site.probe.await_finished(2);
    assert_eq!(site.probe.dropped(), 0);
    assert_eq!(client.get("/").unwrap().text(), "hello");
}

#[test]
fn a_504_to_a_request_with_an_unread_body_ends_the_connection() {
    let site = Site::with_timeouts(|timeouts| timeouts.request = Some(SHORT));
    let mut client = site.client();
    client.send(POST.replace("/echo", "/wait") + "hello").unwrap();
    assert_eq!(client.response().unwrap().status(), 504);
    assert_ended(&mut client, "half a body");
    assert_eq!(site.probe.begun(), 1);
}

#[test]
fn the_time_of_a_request_starts_anew_with_each_piece_of_its_body() {
    let site = Site::with_timeouts(|timeouts| timeouts.request = Some(LONG));
    let mut client = site.client();
    let begin = Instant::now();
    client.send(POST).unwrap();
    assert_eq!(client.send_slowly("0123456789", 1, STEP).unwrap(), 10);
    assert!(begin.elapsed() > LONG, "it came faster than the deadline");
    assert_eq!(client.response().unwrap().text(), "0123456789");
}

#[test]
fn the_time_of_a_request_ends_with_the_head_of_its_response() {
    let site = Site::with_timeouts(|timeouts| timeouts.request = Some(SHORT));
    let mut client = site.client();
    client.send(POST.replace("/echo", "/mirror") + "hello").unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.read_exact(5).unwrap(), b"hello");
    assert!(client.is_quiet_for(SHORT * 2).unwrap(), "cut while it streamed");
    client.send("world").unwrap();
    assert_eq!(client.read_exact(5).unwrap(), b"world");
}

#[test]
fn an_old_connection_is_asked_to_end_after_its_request() {
    let site = Site::with_timeouts(|timeouts| timeouts.connection_age = Some(SHORT));
    let begin = Instant::now();
    let mut client = site.client();
    client.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert!(client.is_quiet_for(SHORT * 2).unwrap());
    site.probe.release();
    let response = client.response().unwrap();
    assert_eq!((response.text(), response.header("connection")), ("waited".into(), Some("close")));
    assert_not_early(begin);
    assert_ended(&mut client, "old");
}

#[test]
fn an_old_connection_that_is_idle_is_closed() {
    let site = Site::with_timeouts(|timeouts| timeouts.connection_age = Some(SHORT));
    let begin = Instant::now();
    let mut client = site.client();
    assert_eq!(client.get("/").unwrap().header("connection"), None);
    assert_ended(&mut client, "old and idle");
    assert_not_early(begin);
}
