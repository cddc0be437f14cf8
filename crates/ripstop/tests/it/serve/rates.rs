//! Rate limits and the clients that they count: what is answered to those who come too often, and
//! who is believed when it says who the client is.
//!
//! Windows are an hour long, so that nothing is given back while a test runs, and what is told of
//! the time until then is exact but for the seconds that the test takes.

use axum::{
    Extension, Router,
    routing::{get, post},
};
use ripstop::{
    Facts, ForwardedField, Options, Rate, RateKey, RateLayer, RateLimit, Running, TrustedProxies,
};
use ripstop_testkit::{Client, Ending, Response, until};
use std::{num::NonZeroU32, time::Duration};

use super::{
    frames::{HEADERS, Http2},
    levers::Levers,
    setup::{SOON, connect, listen, options, path, start},
};

const HOUR: Duration = Duration::from_secs(3600);

/// So many requests at once, and as many in each hour.
fn an_hour(requests: u32, by: RateKey) -> RateLimit {
    let requests = NonZeroU32::new(requests).unwrap();
    let rate = Rate { requests, window: HOUR, burst: requests };
    RateLimit { name: "hourly".into(), rate, by, ..RateLimit::default() }
}

fn limited(limits: &[RateLimit]) -> Options {
    Options { rate_limits: limits.to_vec(), ..options(2, 1) }
}

/// Trusts the peers of this machine.
fn behind_proxies(field: ForwardedField) -> TrustedProxies {
    let networks = ["127.0.0.0/8", "10.0.0.0/8"].iter().map(|text| text.parse().unwrap());
    TrustedProxies { networks: networks.collect(), unix: true, field }
}

/// Sends a request with these lines of its head.
#[track_caller]
fn get_with(client: &mut Client, path: &str, lines: &str) -> Response {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{lines}\r\n")).unwrap();
    client.response().unwrap()
}

/// Expects 429 with its fields, the next request being due within the seconds before `due`.
#[track_caller]
fn assert_too_many(response: &Response, quota: u32, due: u64) {
    assert_eq!(response.status(), 429, "{response:?}");
    let field = |name| response.header(name).unwrap_or_else(|| panic!("{name}: {response:?}"));
    let seconds: u64 = field("retry-after").parse().unwrap();
    assert!((due - 60..=due).contains(&seconds), "{seconds} of {due}");
    assert_eq!(field("ratelimit"), format!("\"hourly\";r=0;t={seconds}"));
    assert_eq!(field("ratelimit-policy"), format!("\"hourly\";q={quota};w=3600"));
}

#[track_caller]
fn assert_refused(running: &Running, refused: u64) {
    let counts = running.handle().rate_limits();
    assert_eq!(counts.iter().map(|counts| counts.refused).sum::<u64>(), refused, "{counts:?}");
}

#[test]
fn who_comes_too_often_gets_429_before_the_handler_and_the_connection_goes_on() {
    let (levers, app) = Levers::new();
    let running = start(app, &limited(&[an_hour(3, RateKey::Client)]));
    let mut client = connect(&running);
    for _ in 0..3 {
        assert_eq!(client.get("/").unwrap().text(), "hello");
    }
    for _ in 0..3 {
        let response = client.get("/").unwrap();
        assert_too_many(&response, 3, 1200);
        assert_eq!(response.text(), "too many requests\n");
        assert_eq!(response.header("connection"), None);
        assert!(response.header("x-request-id").is_some());
    }
    // It counts for the client, not for its connection.
    assert_eq!(connect(&running).get("/").unwrap().status(), 429);
    assert_eq!(levers.begun(), 3);
    assert_refused(&running, 4);
}

#[test]
fn a_request_whose_head_is_refused_does_not_count() {
    let (_levers, app) = Levers::new();
    let running = start(app, &limited(&[an_hour(1, RateKey::Client)]));
    let mut client = connect(&running);
    client.send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n").unwrap();
    assert_eq!(client.response().unwrap().status(), 400);
    assert_eq!(connect(&running).get("/").unwrap().status(), 200);
    assert_eq!(connect(&running).get("/").unwrap().status(), 429);
}

#[test]
fn a_body_of_a_request_that_came_too_soon_is_never_read_as_another_one() {
    let (levers, app) = Levers::new();
    let running = start(app, &limited(&[an_hour(1, RateKey::Client)]));
    let mut client = connect(&running);
    assert_eq!(client.get("/").unwrap().status(), 200);
    let smuggled = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length:";
    client.send(format!("{head} {}\r\n\r\n{smuggled}", smuggled.len())).unwrap();
    assert_eq!(client.response().unwrap().status(), 429);
    assert_eq!(client.get("/").unwrap().status(), 429);
    client.send(format!("{head} 100\r\nConnection: close\r\n\r\n{smuggled}")).unwrap();
    assert_eq!(client.response().unwrap().status(), 429);
    assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
    assert_eq!(levers.begun(), 1);
}

#[test]
fn a_request_that_came_too_soon_is_not_asked_for_its_body() {
    let (_levers, app) = Levers::new();
    let running = start(app, &limited(&[an_hour(1, RateKey::Client)]));
    let mut client = connect(&running);
    assert_eq!(client.get("/").unwrap().status(), 200);
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    client.send(head).unwrap();
    assert_eq!(client.response().unwrap().status(), 429);
}

#[test]
fn http_2_streams_get_429_and_their_connection_goes_on() {
    let (levers, app) = Levers::new();
    let running = start(app, &limited(&[an_hour(2, RateKey::Client)]));
    let mut http = Http2::new(connect(&running)).unwrap();
    for _ in 0..2 {
        assert_eq!(http.get("/").unwrap(), b"hello");
    }
    // A literal with the name of `:status`, whose value is Huffman-coded; then from the table, where
    // it is among the last.
    let literal = |head: &[u8]| head.starts_with(&[0x48, 0x83, 0x68, 0x4f, 0xff]);
    let indexed = |head: &[u8]| (0xbe..0xc4).contains(&head[0]);
    for is_429 in [&literal as &dyn Fn(&[u8]) -> bool, &indexed] {
        let stream = http.send_get("/").unwrap();
        let frame = http.frame_of(HEADERS).unwrap();
        assert_eq!((frame.stream, is_429(&frame.payload)), (stream, true), "{frame:?}");
    }
    assert_eq!(levers.begun(), 2);
    assert_refused(&running, 2);
}

#[test]
fn values_of_a_header_field_are_counted_whoever_sends_them() {
    let (_levers, app) = Levers::new();
    let by = RateKey::Header("x-api-key".parse().unwrap());
    let running = start(app, &limited(&[an_hour(1, by)]));
    let status = |lines| get_with(&mut connect(&running), "/", lines).status();
    assert_eq!(status("X-Api-Key: one\r\n"), 200);
    assert_eq!(status("X-Api-Key: two\r\n"), 200);
    assert_eq!(status("X-API-KEY: one\r\n"), 429);
    assert_eq!(status(""), 200);
    assert_eq!(status(""), 429);
}

#[test]
fn the_first_limit_that_is_exceeded_answers_and_each_counts_for_itself() {
    let (_levers, app) = Levers::new();
    let narrow = RateLimit { name: "narrow".into(), ..an_hour(2, RateKey::Everyone) };
    let running = start(app, &limited(&[an_hour(3, RateKey::Client), narrow]));
    let mut client = connect(&running);
    let mut told = || {
        let response = client.get("/").unwrap();
        (response.status(), response.header("ratelimit-policy").unwrap().to_owned())
    };
    let (hourly, narrow) = ("\"hourly\";q=3;w=3600", "\"narrow\";q=2;w=3600");
    // Of those that are admitted the one that has the least left is told.
    let expected = [(200, narrow), (200, narrow), (429, narrow), (429, hourly)];
    assert_eq!(expected.map(|_| told()), expected.map(|(status, it)| (status, it.to_owned())));
}

#[test]
fn each_answer_tells_how_many_requests_are_left() {
    let (_levers, app) = Levers::new();
    let layer = RateLayer::new(RateLimit { name: "part".into(), ..an_hour(2, RateKey::Everyone) });
    let app = app.route("/part", get(|| async { "part" }).route_layer(layer));
    let running = start(app, &limited(&[an_hour(6, RateKey::Client)]));
    let mut client = connect(&running);
    // What is left, and the policy, of each limit.
    let mut told = |path| {
        let response = client.get(path).unwrap();
        let of = |field: &str| {
            let fields = response.head.headers.iter().filter(|(name, _)| name == field);
            fields.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        let left = of("ratelimit").into_iter().map(|value| {
            let (left, time) = value.split_once(";t=").unwrap();
            assert!((500..=3600).contains(&time.parse::<u64>().unwrap()), "{value}");
            left.to_owned()
        });
        (response.status(), left.collect::<Vec<_>>().join(", "), of("ratelimit-policy").join(", "))
    };
    let policy = "\"hourly\";q=6;w=3600";
    let hourly = |status, left| (status, format!("\"hourly\";r={left}"), policy.to_owned());
    assert_eq!(told("/"), hourly(200, 5));
    assert_eq!(told("/"), hourly(200, 4));
    assert_eq!(told("/nothing"), hourly(404, 3));
    let both =
        (200, "\"part\";r=1, \"hourly\";r=2".to_owned(), format!("\"part\";q=2;w=3600, {policy}"));
    assert_eq!(told("/part"), both);
}

#[test]
fn new_limits_hold_for_the_next_request_of_open_connections_and_old_ones_keep_their_counts() {
    let (_levers, app) = Levers::new();
    let mut options = limited(&[]);
    let running = start(app, &options);
    let mut client = connect(&running);
    let mut apply = |limits: &[RateLimit]| {
        options.rate_limits = limits.to_vec();
        running.handle().apply(options.clone()).unwrap();
        client.get("/").unwrap().status()
    };
    let one = an_hour(1, RateKey::Client);
    assert_eq!(apply(&[]), 200);
    assert_eq!(apply(std::slice::from_ref(&one)), 200);
    assert_eq!(apply(std::slice::from_ref(&one)), 429);
    let other = RateLimit { name: "other".into(), ..an_hour(9, RateKey::Everyone) };
    assert_eq!(apply(&[other.clone(), one.clone()]), 429);
    assert_eq!(apply(&[other]), 200);
    assert_eq!(apply(&[one]), 200, "it was gone, and begins anew");
    assert_eq!(apply(&[]), 200);
}

#[test]
fn a_connection_that_was_parked_is_limited_as_before() {
    let (_levers, app) = Levers::new();
    let mut options = limited(&[an_hour(1, RateKey::Client)]);
    options.trusted_proxies = behind_proxies(ForwardedField::XForwardedFor);
    options.timeouts.park = Some(Duration::from_millis(20));
    let running = start(app, &options);
    let mut client = connect(&running);
    for (named, status) in [("192.0.2.1", 200), ("192.0.2.1", 429), ("192.0.2.2", 200)] {
        let response = get_with(&mut client, "/", &format!("X-Forwarded-For: {named}\r\n"));
        assert_eq!(response.status(), status, "{named}");
        assert!(until(SOON, || running.handle().parked() == 1));
    }
}

#[test]
fn a_layer_limits_its_part_of_the_application() {
    let layer = RateLayer::new(an_hour(2, RateKey::Client));
    let app = Router::new()
        .route("/login", post(async || "in").route_layer(layer.clone()))
        .route("/", get(async || "hello"));
    let running = start(app, &options(1, 1));
    let mut client = connect(&running);
    let login = "POST /login HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
    for _ in 0..2 {
        client.send(login).unwrap();
        assert_eq!(client.response().unwrap().text(), "in");
    }
    client.send(login).unwrap();
    assert_too_many(&client.response().unwrap(), 2, 1800);
    assert_eq!(client.get("/").unwrap().text(), "hello");
    assert_eq!((layer.counts().refused, layer.counts().keys), (1, 1));
}

/// Peer and client of each request.
async fn who(Extension(facts): Extension<Facts>) -> String {
    let peer = facts.connection.peer.map_or("unix".to_owned(), |peer| peer.ip().to_string());
    let client = facts.client().map_or("nobody".to_owned(), |client| client.to_string());
    format!("{peer} {client}")
}

fn whos(proxies: TrustedProxies) -> Running {
    let options = Options { trusted_proxies: proxies, ..options(1, 1) };
    start(Router::new().route("/", get(who)), &options)
}

#[test]
fn nobody_is_believed_by_default() {
    let running = whos(TrustedProxies::default());
    let lines = "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n";
    let response = get_with(&mut connect(&running), "/", lines);
    assert_eq!(response.text(), "127.0.0.1 127.0.0.1");
}

#[test]
fn trusted_proxies_name_the_client_of_each_request_and_others_do_not() {
    let running = whos(behind_proxies(ForwardedField::XForwardedFor));
    let mut client = connect(&running);
    let cases = [
        ("", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 1.1.1.1, 192.0.2.7\r\nX-Forwarded-For: 10.0.0.1\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 1.1.1.1, 2001:db8::7, 10.0.0.1\r\n", "2001:db8::7"),
        ("X-Forwarded-For: 1.1.1.1, nonsense, 10.0.0.1\r\n", "10.0.0.1"),
        ("Forwarded: for=192.0.2.7\r\n", "127.0.0.1"),
    ];
    for (lines, named) in cases {
        assert_eq!(get_with(&mut client, "/", lines).text(), format!("127.0.0.1 {named}"));
    }
    let running = whos(behind_proxies(ForwardedField::Forwarded));
    let lines = "Forwarded: for=1.1.1.1\r\nForwarded: for=\"[2001:db8::7]:80\";proto=https\r\n";
    let response = get_with(&mut connect(&running), "/", lines);
    assert_eq!(response.text(), "127.0.0.1 2001:db8::7");
    let mut elsewhere = behind_proxies(ForwardedField::XForwardedFor);
    elsewhere.networks = ["192.0.2.0/24"].iter().map(|text| text.parse().unwrap()).collect();
    let running = whos(elsewhere);
    let response = get_with(&mut connect(&running), "/", "X-Forwarded-For: 192.0.2.7\r\n");
    assert_eq!(response.text(), "127.0.0.1 127.0.0.1");
}

#[test]
fn behind_the_proxy_protocol_the_client_in_its_header_is_the_peer_to_be_trusted() {
    let mut options =
        Options { trusted_proxies: behind_proxies(ForwardedField::XForwardedFor), ..options(1, 1) };
    options.listen[0].listener.proxy_protocol = true;
    let running = start(Router::new().route("/", get(who)), &options);
    for (source, named) in [("10.1.1.1", "192.0.2.7"), ("198.51.100.1", "198.51.100.1")] {
        let mut client = connect(&running);
        client.send(format!("PROXY TCP4 {source} 192.0.2.9 1 80\r\n")).unwrap();
        let response = get_with(&mut client, "/", "X-Forwarded-For: 192.0.2.7\r\n");
        assert_eq!(response.text(), format!("{source} {named}"));
    }
}

#[test]
fn peers_of_unix_sockets_are_counted_where_they_name_clients() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = limited(&[an_hour(1, RateKey::Client)]);
    options.trusted_proxies = behind_proxies(ForwardedField::XForwardedFor);
    options.listen.push(listen("file", &format!("unix:{}/web.sock", dir.path().display())));
    let running = start(Router::new().route("/", get(who)), &options);
    let mut client = Client::unix(&path(&running, "file")).unwrap();
    for _ in 0..3 {
        assert_eq!(client.get("/").unwrap().text(), "unix nobody");
    }
    let named = "X-Forwarded-For: 192.0.2.7\r\n";
    assert_eq!(get_with(&mut client, "/", named).text(), "unix 192.0.2.7");
    assert_eq!(get_with(&mut client, "/", named).status(), 429);
}

#[test]
fn clients_behind_a_proxy_are_counted_each_for_itself() {
    let (_levers, app) = Levers::new();
    let mut options = limited(&[an_hour(1, RateKey::Client)]);
    options.trusted_proxies = behind_proxies(ForwardedField::XForwardedFor);
    let running = start(app, &options);
    let mut proxy = connect(&running);
    let mut status = |client: &str| {
        get_with(&mut proxy, "/", &format!("X-Forwarded-For: {client}\r\n")).status()
    };
    assert_eq!([status("192.0.2.1"), status("192.0.2.1"), status("192.0.2.2")], [200, 429, 200]);
    // What a client puts in front of its own address changes nothing.
    assert_eq!(status("192.0.2.3, 192.0.2.1"), 429);
    assert_eq!([status("2001:db8::1"), status("2001:db8::2")], [200, 429]);
    assert_eq!(status("2001:db8:0:1::1"), 200);
}
