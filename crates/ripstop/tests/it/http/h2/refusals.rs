//! Requests that are refused: each on its stream, while the connection goes on.

use super::{
    client::{Answer, H2, answer, get, request},
    frames::{DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM},
};
use crate::http::site::{QUIET, Site, options};
use bytes::Bytes;
use http::{Method, Request, Uri};
use std::future::poll_fn;
use tokio::time::timeout;

/// Sends all of `requests` on one connection, and expects each to be refused with its status.
#[track_caller]
fn all_refused(requests: Vec<(u16, Request<()>)>) {
    let site = Site::start(options());
    let h2 = H2::connect(&site);
    for (status, request) in requests {
        let shown = format!("{request:?}").chars().take(200).collect::<String>();
        assert_refused(&h2.ask(request, b"").unwrap(), status, &shown);
        assert_eq!(site.probe.begun(), 0, "{shown}");
    }
    assert_eq!(h2.get("/").text(), "hello");
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, case: &str) {
    assert_eq!(answer.status, status, "{case}");
    assert_eq!(answer.headers.get("connection"), None, "{case}");
    assert!(answer.headers.contains_key("x-request-id"), "{case}");
}

fn with(request: Request<()>, name: &'static str, value: &str) -> Request<()> {
    let mut request = request;
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

/// A request whose target has a path that no URI has.
fn to_path(method: Method, path: &str) -> Request<()> {
    let uri = Uri::builder().scheme("http").authority("test").path_and_query(path);
    Request::builder().method(method).uri(uri.build().unwrap()).body(()).unwrap()
}

fn to(uri: &str) -> Request<()> {
    Request::builder().uri(uri).body(()).unwrap()
}

#[test]
fn a_bad_authority_or_host_is_answered_400() {
    all_refused(vec![
        (400, with(get("/"), "host", "other")),
        (400, with(with(get("/"), "host", "test"), "host", "test")),
        (400, with(get("/"), "host", "")),
        (400, to("http://user@test/")),
        (400, to("http://one,two/")),
        (400, to_path(Method::GET, "*")),
    ]);
    let site = Site::start(options());
    let h2 = H2::connect(&site);
    for request in [
        with(get("/"), "host", "test"),
        to("http://TEST:80/"),
        to_path(Method::OPTIONS, "*"),
        with(to("http://test:80/"), "host", "test"),
    ] {
        assert_eq!(h2.ask(request, b"").unwrap().status, 200);
    }
}

#[test]
fn unknown_methods_connect_and_expectations_are_refused() {
    let connect = Request::builder().method("CONNECT").uri("test:443").body(()).unwrap();
    all_refused(vec![
        (501, request("FOO", "/")),
        (501, request("get", "/")),
        (405, connect),
        (417, with(get("/"), "expect", "miracles")),
    ]);
}

#[test]
fn a_refused_connect_says_what_is_allowed() {
    let site = Site::start(options());
    let h2 = H2::connect(&site);
    let connect = Request::builder().method("CONNECT").uri("test:443").body(()).unwrap();
    assert!(h2.ask(connect, b"").unwrap().headers.contains_key("allow"));
}

#[test]
fn a_long_target_is_answered_414_and_many_fields_431() {
    let many = |count: usize| (0..count).fold(get("/"), |request, _| with(request, "x", "y"));
    all_refused(vec![(414, get(&format!("/{}", "x".repeat(8192)))), (431, many(101))]);
    let site = Site::start(options());
    let h2 = H2::connect(&site);
    assert_eq!(h2.get(&format!("/{}", "x".repeat(8191))).status, 200);
    assert_eq!(h2.ask(many(100), b"").unwrap().status, 200);
}

#[test]
fn a_header_list_over_the_limit_is_answered_431() {
    let site = Site::start(options());
    let h2 = H2::connect(&site);
    // In fields that each fit into a frame.
    let long = |count: usize| {
        (0..count).fold(get("/"), |request, _| with(request, "x", &"y".repeat(10_000)))
    };
    assert_eq!(h2.ask(long(7), b"").unwrap().status, 431);
    assert_eq!(site.probe.begun(), 0);
    assert_eq!(h2.ask(long(6), b"").unwrap().status, 200);
}

#[test]
fn a_body_over_the_limit_is_answered_413() {
    let mut options = options();
    options.limits.body = Some(1000);
    let site = Site::start(options);
    let h2 = H2::connect(&site);
    // By its length, before any of it.
    let (response, _body) =
        h2.open(with(request("POST", "/echo"), "content-length", "1001"), false);
    assert_eq!(h2.wait(response).unwrap().status(), 413);
    assert_eq!(site.probe.begun(), 0);
    // While it comes.
    let (response, mut body) = h2.open(request("POST", "/echo"), false);
    body.send_data(Bytes::from(vec![0; 600]), false).unwrap();
    site.probe.await_begun(1);
    body.send_data(Bytes::from(vec![0; 600]), false).unwrap();
    assert_eq!(h2.wait(response).unwrap().status(), 413);
    // At the limit.
    assert_eq!(h2.ask(request("POST", "/echo"), &[0; 1000]).unwrap().status, 200);
}

#[test]
fn a_client_that_sends_all_its_body_gets_the_413_all_the_same() {
    let mut options = options();
    options.limits.body = Some(1000);
    let site = Site::start(options);
    let h2 = H2::connect(&site);
    let post = with(request("POST", "/echo"), "content-length", &(8 << 20).to_string());
    assert_eq!(h2.ask(post, &vec![0; 8 << 20]).unwrap().status, 413);
    assert_eq!(h2.get("/").text(), "hello");
}

/// RFC 9110 section 10.1.1 wants a 100 here, and hyper has no way to send one in HTTP/2. Clients
/// do not wait for it for ever, so all they lose is time.
#[test]
fn continue_is_not_said_in_http_2_as_hyper_cannot_and_the_body_is_read_all_the_same() {
    let site = Site::start(options());
    let h2 = H2::connect(&site);
    let post = with(request("POST", "/echo"), "expect", "100-continue");
    let (mut response, mut body) = h2.open(post, false);
    site.probe.await_begun(1);
    let early =
        h2.wait(async { timeout(QUIET, poll_fn(|cx| response.poll_informational(cx))).await });
    assert!(early.is_err(), "hyper has learnt it: {early:?}");
    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    assert_eq!(h2.wait(answer(response)).unwrap().text(), "hello");
}

#[test]
fn an_authority_or_a_host_is_needed() {
    let site = Site::start(options());
    let mut frames = Frames::open(&site, &[]);
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    frames.request(1, &fields);
    // `:status` 400 and 200 by their index in the static table of RFC 7541.
    assert_eq!(frames.response(1)[0], 0x8c);
    frames.request(3, &[&fields[..], &[("host", "test")]].concat());
    assert_eq!(frames.response(3)[0], 0x88);
    assert_eq!(site.probe.begun(), 1);
}

#[test]
fn a_malformed_request_is_an_error_and_reaches_no_handler() {
    let site = Site::start(options());
    let get = super::frames::get("/");
    let malformed = [
        vec![(":method", "GET"), (":scheme", "http"), (":authority", "test")],
        [&get[..], &[("Upper", "x")]].concat(),
        [&get[..], &[("connection", "close")]].concat(),
        [&get[..], &[("transfer-encoding", "chunked")]].concat(),
        [&[("first", "x")][..], &get].concat(),
        [&get[..], &[(":method", "GET")]].concat(),
        [&get[..], &[(":unknown", "x")]].concat(),
    ];
    for fields in &malformed {
        let mut frames = Frames::open(&site, &[]);
        frames.request(1, fields);
        // Of the stream, or of the connection where the fields cannot be decoded.
        let error = loop {
            let frame = frames.next().unwrap_or_else(|err| panic!("{fields:?}: {err}"));
            match frame.kind {
                RST_STREAM | GOAWAY => break frame.error(),
                kind => assert_ne!(kind, HEADERS, "{fields:?} was answered"),
            }
        };
        assert_ne!(error, 0, "{fields:?}");
    }
    assert_eq!(site.probe.begun(), 0);
}

#[test]
fn a_body_that_is_not_as_long_as_announced_resets_its_stream() {
    let site = Site::start(options());
    for data in [&b"hello"[..], b"hi"] {
        let mut frames = Frames::open(&site, &[]);
        let post =
            [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/echo")];
        let block = super::frames::block(&[&post[..], &[("content-length", "3")]].concat());
        frames.send(HEADERS, END_HEADERS, 1, &block);
        frames.send(DATA, END_STREAM, 1, data);
        assert_eq!(frames.next_of(RST_STREAM).error(), 1, "{data:?}");
    }
    assert_eq!(site.probe.finished(), 0);
}

#[test]
fn what_is_no_preface_is_no_connection() {
    let site = Site::start(options());
    let mut client = site.client();
    client.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let (_, ending) = client.ending().unwrap();
    assert_eq!(ending, ripstop_testkit::Ending::Closed);
    // And the other way round: it comes first or not at all.
    let mut client = site.client();
    assert_eq!(client.get("/").unwrap().text(), "hello");
    client.send(super::frames::PREFACE).unwrap();
    assert_eq!(client.response().unwrap().status(), 400);
    assert_eq!(site.probe.begun(), 1);
}

#[test]
fn a_preface_may_come_byte_by_byte() {
    let site = Site::start(options());
    let mut client = site.client();
    for byte in super::frames::PREFACE {
        client.send([*byte]).unwrap();
        let _ = client.is_quiet_for(QUIET / 50).unwrap();
    }
    // The server's own settings.
    let mut frames = Frames { client };
    frames.send(super::frames::SETTINGS, 0, 0, &[]);
    frames.next_of(super::frames::SETTINGS);
    frames.request(1, &super::frames::get("/"));
    assert_eq!(frames.response(1)[0], 0x88);
}
