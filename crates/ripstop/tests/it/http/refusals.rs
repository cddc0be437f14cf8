//! Requests that are refused for their head, and where the line runs: what must not be refused.

use super::site::{Site, options};
use ripstop_testkit::{Client, Ending, Response};

/// Sends `request` with another one behind it, and expects this status, the end of the connection
/// and nothing else.
#[track_caller]
pub(crate) fn refused(site: &Site, request: impl AsRef<[u8]>, status: u16) -> Response {
    let request = request.as_ref();
    let shown = request[..request.len().min(100)].escape_ascii().to_string();
    let mut client = site.client();
    client.send([request, b"GET /second HTTP/1.1\r\nHost: test\r\n\r\n"].concat()).unwrap();
    let response = client.response().unwrap_or_else(|err| panic!("{shown}: {err}"));
    assert_eq!(response.status(), status, "{shown}");
    // hyper adds a `keep-alive` behind it in HTTP/1.0, where `close` wins (RFC 9112, 9.6).
    let connection = response.header("connection").unwrap_or_default();
    assert!(connection.starts_with("close"), "{shown}: {connection:?}");
    assert_ended(&mut client, &shown);
    response
}

/// That the server sends nothing more and closes in order.
#[track_caller]
pub(crate) fn assert_ended(client: &mut Client, case: &str) {
    let (rest, ending) = client.ending().unwrap_or_else(|err| panic!("{case}: {err}"));
    assert!(rest.is_empty(), "{case}: sent {:?} behind the answer", rest.escape_ascii());
    assert_eq!(ending, Ending::Closed, "{case}");
}

/// Expects each request to be refused with `status`, and none to reach the handler.
#[track_caller]
fn all_refused(status: u16, requests: &[&str]) {
    let site = Site::start(options());
    for request in requests {
        refused(&site, request, status);
        assert_eq!(site.probe.begun(), 0, "{request:?} or what followed it was handled");
    }
    site.assert_serves();
}

/// Expects each request to be handled, and the connection to go on.
#[track_caller]
fn all_handled(requests: &[&str]) {
    let site = Site::start(options());
    for request in requests {
        let mut client = site.client();
        client.send(request).unwrap();
        assert_eq!(client.response().unwrap().status(), 200, "{request:?}");
        assert_eq!(client.get("/").unwrap().status(), 200, "after {request:?}");
    }
}

/// A request with this `Host` line and nothing else.
fn with_host(host: &str) -> String {
    format!("GET / HTTP/1.1\r\n{host}\r\n")
}

#[test]
fn a_host_that_is_not_exactly_one_valid_host_is_answered_400() {
    let hosts = [
        "",
        "Host:\r\n",
        "Host: \t \r\n",
        "Host: test\r\nHost: test\r\n",
        "Host: test\r\nhOST: other\r\n",
        "Host: test\r\nHost:\r\n",
        "Host: user@test\r\n",
        "Host: user:pass@test\r\n",
        "Host: test/path\r\n",
        "Host: test?query\r\n",
        "Host: test#x\r\n",
        "Host: one,two\r\n",
        "Host: one two\r\n",
        "Host: test\\x\r\n",
        "Host: :80\r\n",
        "Host: test:x\r\n",
        "Host: test:80:80\r\n",
        "Host: test:123456\r\n",
        "Host: [::1\r\n",
        "Host: [::1]x\r\n",
        "Host: [test]\r\n",
        "Host: http://test\r\n",
        "Host: t\u{e9}st\r\n",
    ];
    let requests: Vec<_> = hosts.iter().map(|host| with_host(host)).collect();
    all_refused(400, &requests.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_bad_host_is_refused_in_http_1_0_too_but_none_is_needed() {
    all_refused(
        400,
        &[
            "GET / HTTP/1.0\r\nHost: a,b\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        ],
    );
    all_handled(&["GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"]);
}

#[test]
fn a_valid_host_of_any_kind_is_taken() {
    let hosts = ["test", "TEST.example", "test:8080", "127.0.0.1", "[::1]:80", "a_b", "x%20y"];
    let requests: Vec<_> = hosts.map(|host| with_host(&format!("Host: {host}\r\n"))).into();
    all_handled(&requests.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn an_authority_that_disagrees_with_host_is_answered_400() {
    all_refused(
        400,
        &[
            "GET http://one/ HTTP/1.1\r\nHost: two\r\n\r\n",
            "GET http://one:81/ HTTP/1.1\r\nHost: one\r\n\r\n",
            "GET https://one:80/ HTTP/1.1\r\nHost: one\r\n\r\n",
            "GET http://one/ HTTP/1.1\r\n\r\n",
            "GET http://user@one/ HTTP/1.1\r\nHost: one\r\n\r\n",
        ],
    );
    all_handled(&[
        "GET http://one/ HTTP/1.1\r\nHost: one\r\n\r\n",
        "GET http://ONE/ HTTP/1.1\r\nHost: one\r\n\r\n",
        "GET http://one:80/ HTTP/1.1\r\nHost: one\r\n\r\n",
        "GET http://one HTTP/1.1\r\nHost: one\r\n\r\n",
    ]);
}

#[test]
fn a_request_target_that_is_not_valid_is_answered_400() {
    all_refused(
        400,
        &[
            "GET * HTTP/1.1\r\nHost: test\r\n\r\n",
            "POST * HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n",
            "GET test HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n",
            "GET test/path HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET ?x HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET ftp://test/ HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET http:///x HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET / x HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET /x\t HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET /x\0y HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET /x#fragment HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET http://test/#fragment HTTP/1.1\r\nHost: test\r\n\r\n",
        ],
    );
    all_handled(&[
        "OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET //x HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /%00?a=b&c=http://x HTTP/1.1\r\nHost: test\r\n\r\n",
    ]);
}

#[test]
fn a_request_line_that_is_not_valid_is_answered_400() {
    all_refused(
        400,
        &[
            "GET /\r\nHost: test\r\n\r\n",
            "GET\r\nHost: test\r\n\r\n",
            "GET / \r\nHost: test\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: test\r\n\r\n",
            "GET / http/1.1\r\nHost: test\r\n\r\n",
            "GET / HTTP/1.2\r\nHost: test\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: test\r\n\r\n",
            "GET / HTTP/11\r\nHost: test\r\n\r\n",
            " GET / HTTP/1.1\r\nHost: test\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: test\r\n\r\n",
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n",
        ],
    );
}

#[test]
fn connect_without_a_handler_for_it_is_answered_405() {
    let site = Site::start(options());
    for host in ["test:443", "test:1"] {
        let connect = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let response = refused(&site, connect, 405);
        assert!(response.header("allow").is_some_and(|allow| allow.contains("GET")));
    }
    assert_eq!(site.probe.begun(), 0);
}

#[test]
fn an_unknown_method_is_answered_501() {
    all_refused(
        501,
        &[
            "FOO / HTTP/1.1\r\nHost: test\r\n\r\n",
            "get / HTTP/1.1\r\nHost: test\r\n\r\n",
            "GETT / HTTP/1.1\r\nHost: test\r\n\r\n",
            "FOO / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
        ],
    );
    all_handled(&["PROPFIND / HTTP/1.1\r\nHost: test\r\n\r\n"]);
}

#[test]
fn an_expectation_other_than_100_continue_is_answered_417() {
    all_refused(
        417,
        &[
            "GET / HTTP/1.1\r\nHost: test\r\nExpect: miracles\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue, x\r\nContent-Length: 1\r\n\r\nx",
        ],
    );
}

#[test]
fn a_target_longer_than_the_limit_is_answered_414() {
    let site = Site::start(options());
    let get = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(len - 1));
    refused(&site, get(8193), 414);
    refused(&site, get(60_000), 414);
    assert_eq!(site.probe.begun(), 0);
    let mut client = site.client();
    client.send(get(8192)).unwrap();
    assert_eq!(client.response().unwrap().status(), 200);
}

#[test]
fn a_target_that_never_ends_is_answered_414_before_it_does() {
    let site = Site::start(options());
    let mut client = site.client();
    client.send(format!("GET /{}", "x".repeat(9000))).unwrap();
    assert_eq!(client.response().unwrap().status(), 414);
    assert_ended(&mut client, "endless target");
}

#[test]
fn a_head_over_the_limit_is_answered_431() {
    let site = Site::start(options());
    let fields = |count: usize| -> String {
        let more: String = (1..count).map(|i| format!("x{i}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: test\r\n{more}\r\n")
    };
    // Request line, Host, the name and the line ends around the value are 38 bytes.
    let bytes = |len: usize| {
        format!("GET / HTTP/1.1\r\nHost: test\r\nlong: {}\r\n\r\n", "x".repeat(len - 38))
    };
    let many = format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", "x: y\r\n".repeat(20_000));
    for large in [fields(101), fields(500), bytes((64 << 10) + 1), bytes(1 << 20), many] {
        refused(&site, large, 431);
    }
    assert_eq!(site.probe.begun(), 0);
    for fits in [fields(100), bytes(64 << 10)] {
        let mut client = site.client();
        client.send(&fits).unwrap();
        assert_eq!(client.response().unwrap().status(), 200, "{} bytes", fits.len());
    }
}

#[test]
fn a_head_that_never_ends_is_answered_431_before_it_does() {
    let site = Site::start(options());
    let long_field = format!("long: {}", "x".repeat(65 << 10));
    let many_fields = "x: y\r\n".repeat(101);
    for endless in [long_field, many_fields] {
        let mut client = site.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{endless}")).unwrap();
        assert_eq!(client.response().unwrap().status(), 431);
        assert_ended(&mut client, "endless head");
    }
}

#[test]
fn limits_are_those_of_the_options() {
    let mut options = options();
    options.limits.uri = 20;
    options.limits.fields = 200;
    options.limits.head = 4 << 10;
    let site = Site::start(options);
    refused(&site, "GET /12345678901234567890 HTTP/1.1\r\nHost: test\r\n\r\n", 414);
    let fields = |count: usize| "x: y\r\n".repeat(count - 1);
    refused(&site, with_host(&format!("Host: test\r\n{}", fields(201))), 431);
    refused(&site, with_host(&format!("Host: test\r\nx: {}\r\n", "x".repeat(5000))), 431);
    let mut client = site.client();
    client.send(with_host(&format!("Host: test\r\n{}", fields(200)))).unwrap();
    assert_eq!(client.response().unwrap().status(), 200);
}
