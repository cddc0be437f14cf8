//! Requests one behind the other: pipelines, pieces, keep-alive, HTTP/1.0, `HEAD`.

use super::{
    refusals::assert_ended,
    site::{QUIET, Site, options},
};
use std::time::Duration;

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

fn echo(text: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

fn echo_chunked(text: &str) -> String {
    let head = "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}{:x}\r\n{text}\r\n0\r\n\r\n", text.len())
}

#[test]
fn sixteen_requests_in_one_write_are_answered_in_order() {
    let site = Site::start(options());
    let mut client = site.client();
    let number = |i: usize| format!("number {i}");
    let one =
        |i: usize| if i.is_multiple_of(2) { echo(&number(i)) } else { echo_chunked(&number(i)) };
    client.send((0..16).map(one).collect::<String>()).unwrap();
    for i in 0..16 {
        assert_eq!(client.response().unwrap().text(), number(i));
    }
    assert_eq!(client.get("/").unwrap().text(), "hello");
}

#[test]
fn a_thousand_requests_in_one_write_are_answered() {
    let site = Site::start(options());
    let mut client = site.client();
    client.send(GET.repeat(1000)).unwrap();
    for _ in 0..1000 {
        assert_eq!(client.response().unwrap().text(), "hello");
    }
    assert_eq!(site.probe.begun(), 1000);
}

#[test]
fn good_requests_before_a_bad_one_are_answered_first() {
    let site = Site::start(options());
    for bad in [
        "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
        "GET / HTTP/1.1\n\n",
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "G(T / HTTP/1.1\r\nHost: test\r\n\r\n",
    ] {
        let mut client = site.client();
        client.send(echo("one") + &echo_chunked("two") + &echo("three") + bad + GET).unwrap();
        for text in ["one", "two", "three"] {
            assert_eq!(client.response().unwrap().text(), text, "before {bad:?}");
        }
        let refusal = client.response().unwrap();
        assert_eq!(refusal.status(), 400, "{bad:?}");
        assert_eq!(refusal.header("connection"), Some("close"), "{bad:?}");
        assert_ended(&mut client, bad);
    }
    assert_eq!(site.probe.begun(), 12);
}

#[test]
fn a_bad_request_waits_for_the_slow_answer_before_it() {
    let site = Site::start(options());
    let mut client = site.client();
    client.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\nGET / HTTP/1.1\n\n").unwrap();
    site.probe.await_begun(1);
    assert!(client.is_quiet_for(QUIET).unwrap());
    site.probe.release();
    assert_eq!(client.response().unwrap().text(), "waited");
    assert_eq!(client.response().unwrap().status(), 400);
    assert_ended(&mut client, "bad behind slow");
}

#[test]
fn a_request_behind_a_slow_one_waits_for_its_turn() {
    let site = Site::start(options());
    let mut client = site.client();
    client.send(format!("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n{GET}")).unwrap();
    site.probe.await_begun(1);
    assert!(client.is_quiet_for(QUIET).unwrap());
    assert_eq!(site.probe.begun(), 1, "two handlers of one connection at once");
    site.probe.release();
    assert_eq!(client.response().unwrap().text(), "waited");
    assert_eq!(client.response().unwrap().text(), "hello");
}

#[test]
fn a_message_may_be_cut_anywhere() {
    let site = Site::start(options());
    let messages = echo("one") + &echo_chunked("two") + GET;
    for at in 1..messages.len() {
        let mut client = site.client();
        client.send(&messages[..at]).unwrap();
        // The server gets a chance to read this alone; what comes is the same in any case.
        let _ = client.is_quiet_for(Duration::from_millis(1)).unwrap();
        client.send(&messages[at..]).unwrap();
        for text in ["one", "two", "hello"] {
            assert_eq!(client.response().unwrap().text(), text, "cut at {at}");
        }
    }
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let site = Site::start(options());
    let mut client = site.client();
    let messages = echo_chunked("two") + &echo("one");
    let last = messages.len() - 1;
    for byte in messages[..last].bytes() {
        client.send([byte]).unwrap();
        let _ = client.is_quiet_for(Duration::from_millis(1)).unwrap();
    }
    assert_eq!(client.response().unwrap().text(), "two");
    assert!(client.is_quiet_for(QUIET).unwrap(), "answered before its end");
    client.send(&messages[last..]).unwrap();
    assert_eq!(client.response().unwrap().text(), "one");
}

#[test]
fn long_fields_that_come_in_pieces_behind_other_requests_are_read() {
    let site = Site::start(options());
    let long = format!("GET / HTTP/1.1\r\nHost: test\r\nlong: {}\r\n\r\n", "x".repeat(30_000));
    for cut in [100, 5000, 9000, 29_000] {
        for (last, status) in [(GET, 200), ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400)] {
            let mut client = site.client();
            client.send(&long[..cut]).unwrap();
            let _ = client.is_quiet_for(Duration::from_millis(2)).unwrap();
            client.send(format!("{}{long}{last}", &long[cut..])).unwrap();
            assert_eq!(client.response().unwrap().status(), 200, "first, cut at {cut}");
            assert_eq!(client.response().unwrap().status(), 200, "second, cut at {cut}");
            assert_eq!(client.response().unwrap().status(), status, "last, cut at {cut}");
        }
    }
}

#[test]
fn empty_lines_before_a_request_are_passed_over() {
    let site = Site::start(options());
    let mut client = site.client();
    client.send(format!("\r\n{GET}\r\n\r\n{GET}")).unwrap();
    assert_eq!(client.response().unwrap().text(), "hello");
    assert_eq!(client.response().unwrap().text(), "hello");
}

#[test]
fn a_connection_is_kept_until_a_request_says_close() {
    let site = Site::start(options());
    let mut client = site.client();
    for _ in 0..100 {
        let response = client.get("/").unwrap();
        assert_eq!((response.status(), response.header("connection")), (200, None));
    }
    client.send(format!("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n{GET}")).unwrap();
    let response = client.response().unwrap();
    assert_eq!((response.status(), response.header("connection")), (200, Some("close")));
    assert_ended(&mut client, "asked to close");
    assert_eq!(site.probe.begun(), 101);
}

#[test]
fn http_1_0_closes_unless_keep_alive_is_asked_for() {
    let site = Site::start(options());
    let mut client = site.client();
    client.send("GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(client.response().unwrap().text(), "hello");
    assert_ended(&mut client, "HTTP/1.0");

    let mut client = site.client();
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
        let response = client.response().unwrap();
        assert_eq!(response.header("connection"), Some("keep-alive"));
        assert_eq!(response.text(), "hello");
    }
}

#[test]
fn http_1_0_gets_a_streamed_body_without_chunks_that_ends_with_the_connection() {
    let site = Site::start(options());
    let mut client = site.client();
    let head = "POST /mirror HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n";
    client.send(format!("{head}hello")).unwrap();
    let response = client.response().unwrap();
    assert_eq!((response.header("transfer-encoding"), response.text()), (None, "hello".into()));
}

#[test]
fn head_is_answered_like_get_without_the_body() {
    let site = Site::start(options());
    let mut client = site.client();
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let head = client.head().unwrap();
        assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
    }
    assert_eq!(client.get("/").unwrap().text(), "hello");
}

#[test]
fn a_refused_head_request_gets_no_body() {
    let site = Site::start(options());
    let mut client = site.client();
    client.send("HEAD / HTTP/1.1\r\nHost: a,b\r\n\r\n").unwrap();
    assert_eq!(client.head().unwrap().status, 400);
    assert_ended(&mut client, "HEAD");
}
