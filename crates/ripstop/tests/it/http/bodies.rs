//! Bodies of requests: their limit, `Expect: 100-continue`, and answers that arrive although the
//! client has more to say.

use super::{
    refusals::{assert_ended, refused},
    site::{QUIET, Site, options},
};
use ripstop::Options;
use ripstop_testkit::{Client, Ending};

/// The limit of these tests.
const LIMIT: u64 = 1000;

fn limited() -> Options {
    let mut options = options();
    options.limits.body = Some(LIMIT);
    options
}

/// A POST with a body of `len` bytes, of which none is in it.
fn post(path: &str, len: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len}\r\n\r\n")
}

fn chunked(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
}

/// A chunk of `len` bytes.
fn chunk(len: usize) -> String {
    format!("{len:x}\r\n{}\r\n", "x".repeat(len))
}

#[test]
fn a_length_over_the_limit_is_answered_413_before_any_of_the_body_is_sent() {
    let site = Site::start(limited());
    let mut client = site.client();
    client.send(post("/echo", 1001)).unwrap();
    let response = client.response().unwrap();
    assert_eq!((response.status(), response.header("connection")), (413, Some("close")));
    assert_ended(&mut client, "1001 bytes announced");
    assert_eq!(site.probe.begun(), 0);
}

#[test]
fn a_body_over_the_limit_is_not_read_as_another_request() {
    let site = Site::start(limited());
    let inner = "GET /inner HTTP/1.1\r\nHost: test\r\n\r\n".repeat(50);
    refused(&site, post("/echo", inner.len()) + &inner, 413);
    assert_eq!(site.probe.begun(), 0);
}

#[test]
fn a_body_at_the_limit_is_read() {
    let site = Site::start(limited());
    let mut client = site.client();
    client.send(post("/echo", 1000) + &"x".repeat(1000)).unwrap();
    assert_eq!(client.response().unwrap().body.len(), 1000);
    client.send(chunked("/echo") + &chunk(600) + &chunk(400) + "0\r\n\r\n").unwrap();
    assert_eq!(client.response().unwrap().body.len(), 1000);
}

#[test]
fn chunks_over_the_limit_are_answered_413_while_they_come() {
    for path in ["/echo", "/swallow"] {
        let site = Site::start(limited());
        let mut client = site.client();
        client.send(chunked(path) + &chunk(600)).unwrap();
        site.probe.await_begun(1);
        assert!(client.is_quiet_for(QUIET).unwrap(), "{path}: 600 bytes are allowed");
        client.send(chunk(401)).unwrap();
        let response = client.response().unwrap();
        assert_eq!(response.status(), 413, "{path}");
        assert_eq!(response.header("connection"), Some("close"), "{path}");
        assert_ended(&mut client, path);
    }
}

#[test]
fn chunks_over_the_limit_that_nobody_reads_change_nothing_and_end_the_connection() {
    let site = Site::start(limited());
    let mut client = site.client();
    client.send(chunked("/ignore") + &chunk(600) + &chunk(600) + &chunk(600)).unwrap();
    assert_eq!(client.response().unwrap().text(), "ignored");
    assert_ended(&mut client, "unread chunks");
}

#[test]
fn a_response_that_has_begun_is_reset_when_the_request_goes_over_the_limit() {
    let site = Site::start(limited());
    let mut client = site.client();
    client.send(chunked("/mirror") + &chunk(600)).unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    client.send(chunk(600)).unwrap();
    assert_eq!(client.ending().unwrap().1, Ending::Cut);
}

#[test]
fn a_client_that_sends_all_its_body_first_gets_the_413_all_the_same() {
    let site = Site::start(limited());
    let mut client = site.client();
    let len = 8 << 20;
    client.send(post("/echo", len)).unwrap();
    client.send(vec![b'x'; len]).unwrap();
    assert_eq!(client.response().unwrap().status(), 413);
    assert_ended(&mut client, "8 MiB in flight");
}

#[test]
fn a_client_that_sends_all_its_body_first_gets_the_answer_of_a_handler_that_does_not_read() {
    let site = Site::start(options());
    let mut client = site.client();
    let len = 8 << 20;
    client.send(post("/ignore", len)).unwrap();
    client.send(vec![b'x'; len]).unwrap();
    assert_eq!(client.response().unwrap().text(), "ignored");
    assert_ended(&mut client, "8 MiB in flight");
}

#[test]
fn a_client_that_sends_much_behind_a_bad_request_gets_the_400() {
    let site = Site::start(options());
    let mut client = site.client();
    client.send("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n").unwrap();
    client.send(vec![b'x'; 8 << 20]).unwrap();
    assert_eq!(client.response().unwrap().status(), 400);
    assert_ended(&mut client, "8 MiB behind");
}

#[test]
fn a_body_that_was_not_read_is_not_read_as_another_request() {
    let site = Site::start(options());
    let inner = "GET /inner HTTP/1.1\r\nHost: test\r\n\r\n";
    let many = inner.repeat(10_000);
    let mut client = site.client();
    client.send(post("/ignore", many.len()) + &many + inner).unwrap();
    assert_eq!(client.response().unwrap().text(), "ignored");
    assert_ended(&mut client, "unread body");
    assert_eq!(site.probe.begun(), 1);
}

#[test]
fn a_small_body_that_was_not_read_keeps_the_connection() {
    let site = Site::start(options());
    let mut client = site.client();
    client.send(post("/ignore", 5) + "hello").unwrap();
    assert_eq!(client.response().unwrap().text(), "ignored");
    assert_eq!(client.get("/").unwrap().text(), "hello");
}

/// Sends a head that expects 100, and gives the client back.
fn expecting(site: &Site, path: &str, expect: &str) -> Client {
    let mut client = site.client();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nExpect: {expect}\r\nContent-Length: 5\r\n\r\n"
    );
    client.send(head).unwrap();
    client
}

#[test]
fn continue_is_said_when_the_handler_reads() {
    let site = Site::start(options());
    for expect in ["100-continue", "100-Continue"] {
        let mut client = expecting(&site, "/echo", expect);
        assert_eq!(client.response().unwrap().status(), 100);
        client.send("hello").unwrap();
        let response = client.response().unwrap();
        assert_eq!((response.status(), response.text()), (200, "hello".into()));
        assert_eq!(client.get("/").unwrap().status(), 200);
    }
}

#[test]
fn continue_is_not_said_while_the_handler_does_not_read() {
    let site = Site::start(options());
    let mut client = expecting(&site, "/wait", "100-continue");
    site.probe.await_begun(1);
    assert!(client.is_quiet_for(QUIET).unwrap(), "100 before anybody reads");
    site.probe.release();
    let response = client.response().unwrap();
    assert_eq!((response.status(), response.text()), (200, "waited".into()));
    // Whether the five bytes still come cannot be known: the connection cannot go on.
    assert_ended(&mut client, "no body sent");
}

#[test]
fn continue_is_not_said_to_a_body_over_the_limit() {
    let mut options = limited();
    options.limits.body = Some(4);
    let site = Site::start(options);
    let mut client = expecting(&site, "/echo", "100-continue");
    assert_eq!(client.response().unwrap().status(), 413);
    assert_ended(&mut client, "413 instead of 100");
}

#[test]
fn a_large_body_is_echoed_byte_by_byte() {
    let site = Site::start(options());
    let seed = ripstop_testkit::Seed::from_env_or_clock();
    let body = seed.random().bytes(3 << 20);
    let mut client = site.client();
    client.send(post("/echo", body.len())).unwrap();
    client.send(&body).unwrap();
    assert!(client.response().unwrap().body == body, "the echo differs");
    client.send(chunked("/echo")).unwrap();
    for piece in body.chunks(70_001) {
        client.send(format!("{:x}\r\n", piece.len())).unwrap();
        client.send(piece).unwrap();
        client.send("\r\n").unwrap();
    }
    client.send("0\r\n\r\n").unwrap();
    assert!(client.response().unwrap().body == body, "the echo of chunks differs");
}
