//! Limits of connections: what those above them are told, that all others go on, and that the
//! places of those who have gone are free.

use axum::{Router, extract::ws::WebSocketUpgrade, response::Response, routing::get};
use ripstop::{
    CertifiedFiles, ConnectionCounts, Limits, Options, RefusedCounts, Running, TlsOptions,
};
use ripstop_testkit::{Certificates, Client, Ending, Random, Seed, until};
use std::{path::Path, thread};

use super::{
    frames::{GOAWAY, Http2},
    levers::Levers,
    setup::{SOON, connect, listen, options, path, start, tcp},
};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

fn at_most(connections: usize) -> Options {
    Options { connections: Some(connections), ..options(2, 1) }
}

fn each_client(connections: usize) -> Options {
    Options { connections_per_client: Some(connections), ..options(2, 1) }
}

fn with_requests(requests: u32) -> Options {
    let limits = Limits { requests: Some(requests), ..Limits::default() };
    Options { limits, ..options(1, 4) }
}

fn counts(running: &Running) -> ConnectionCounts {
    running.handle().connections()
}

/// Connects, and gets an answer.
#[track_caller]
fn served(running: &Running) -> Client {
    let mut client = connect(running);
    assert_eq!(client.get("/").unwrap().text(), "hello");
    client
}

/// Connects, and is answered, whenever there is a place.
#[track_caller]
fn served_soon(running: &Running) -> Client {
    let mut served = None;
    let is_served = || {
        let mut client = connect(running);
        let answered = client.get("/").is_ok_and(|response| response.status() == 200);
        served = answered.then_some(client);
        served.is_some()
    };
    assert!(until(SOON, is_served), "{:?}", counts(running));
    served.unwrap()
}

/// Expects that there is no place for a client that says nothing.
#[track_caller]
fn assert_refused(mut client: Client) {
    assert_told(&mut client);
    assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
}

#[track_caller]
fn assert_told(client: &mut Client) {
    let response = client.response().unwrap();
    let head = |name| response.header(name);
    assert_eq!(response.status(), 503);
    assert_eq!((head("connection"), head("retry-after")), (Some("close"), Some("1")));
}

/// Waits until so many connections are open.
#[track_caller]
fn await_open(running: &Running, open: usize) {
    assert!(until(SOON, || counts(running).open == open), "{:?}", counts(running));
}

#[test]
fn one_connection_too_many_gets_503_and_all_others_go_on() {
    let (levers, app) = Levers::new();
    let running = start(app, &at_most(3));
    let mut open: Vec<_> = (0..3).map(|_| served(&running)).collect();
    for _ in 0..5 {
        assert_refused(connect(&running));
    }
    let seen = counts(&running);
    assert_eq!((seen.open, seen.limit, seen.accepted), (3, 3, 8));
    assert_eq!(seen.refused, RefusedCounts { total: 5, ..RefusedCounts::default() });
    for client in &mut open {
        assert_eq!(client.get("/").unwrap().text(), "hello");
    }
    assert_eq!(levers.begun(), 6);
    open.pop();
    open.push(served_soon(&running));
    assert_refused(connect(&running));
    drop(open);
    await_open(&running, 0);
    served(&running);
}

#[test]
fn one_who_has_sent_a_request_already_gets_503_too() {
    let (levers, app) = Levers::new();
    let running = start(app, &at_most(1));
    let _open = served(&running);
    let mut client = connect(&running);
    client.send(REQUEST).unwrap();
    assert_told(&mut client);
    assert_eq!(levers.begun(), 1);
}

#[test]
fn a_full_listener_refuses_and_others_do_not() {
    let (_levers, app) = Levers::new();
    let dir = tempfile::tempdir().unwrap();
    let mut both = with_file(options(2, 1), dir.path());
    both.listen[0].connections = Some(2);
    let running = start(app, &both);
    let open = [served(&running), served(&running)];
    assert_refused(connect(&running));
    let mut others = [(); 4].map(|()| Client::unix(&path(&running, "file")).unwrap());
    for other in &mut others {
        assert_eq!(other.get("/").unwrap().text(), "hello");
    }
    let seen = counts(&running);
    assert_eq!((seen.open, seen.refused.listener), (6, 1));
    let listeners: Vec<_> =
        seen.listeners.iter().map(|it| (&*it.name, it.open, it.limit, it.accepted)).collect();
    assert_eq!(listeners, [("main", 2, Some(2), 3), ("file", 4, None, 4)]);
    drop(open);
    served_soon(&running);
}

fn with_file(mut options: Options, dir: &Path) -> Options {
    options.listen.push(listen("file", &format!("unix:{}/web.sock", dir.display())));
    options
}

#[test]
fn one_client_has_no_more_than_its_share_and_unix_peers_are_no_clients() {
    let (_levers, app) = Levers::new();
    let dir = tempfile::tempdir().unwrap();
    let running = start(app, &with_file(each_client(2), dir.path()));
    let open = [served(&running), served(&running)];
    assert_refused(connect(&running));
    let mut local = [(); 4].map(|()| Client::unix(&path(&running, "file")).unwrap());
    for client in &mut local {
        assert_eq!(client.get("/").unwrap().text(), "hello");
    }
    assert_eq!((counts(&running).clients, counts(&running).refused.client), (1, 1));
    drop(open);
    drop(served_soon(&running));
    await_open(&running, 4);
    assert_eq!(counts(&running).clients, 0);
}

#[test]
fn behind_a_load_balancer_the_client_is_whom_the_proxy_header_names() {
    let (_levers, app) = Levers::new();
    let mut options = each_client(2);
    options.listen[0].listener.proxy_protocol = true;
    let running = start(app, &options);
    let from = |client: &str| {
        let mut connection = connect(&running);
        connection.send(format!("PROXY {client}\r\n{REQUEST}")).unwrap();
        let response = connection.response().unwrap();
        (response.status(), connection)
    };
    let clients = [
        "TCP4 192.0.2.1 192.0.2.9 1 80",
        "TCP6 2001:db8::1 2001:db8::9 1 80",
        "TCP4 192.0.2.2 192.0.2.9 1 80",
    ];
    let mut open = Vec::new();
    for client in clients {
        for status in [200, 200, 503] {
            let (answered, connection) = from(client);
            assert_eq!(answered, status, "{client}");
            open.push(connection);
        }
    }
    assert_eq!(from("TCP6 2001:db8::ffff:1 2001:db8::9 1 80").0, 503);
    assert_eq!(from("TCP6 2001:db8:0:1::1 2001:db8::9 1 80").0, 200);
    for _ in 0..5 {
        let (answered, connection) = from("UNKNOWN");
        assert_eq!(answered, 200);
        open.push(connection);
    }
    assert_eq!(counts(&running).refused.client, 4);
    drop(open);
    await_open(&running, 0);
    assert_eq!(counts(&running).clients, 0);
}

#[test]
fn with_tls_one_too_many_is_closed_without_a_word() {
    let (_levers, app) = Levers::new();
    let certificates = Certificates::new().unwrap();
    let identity = certificates.server("site", &["site.test"]).unwrap();
    let config = certificates.client_config(None, &[]).unwrap();
    let files = CertifiedFiles { chain: identity.chain.clone(), key: identity.key.clone() };
    let mut options = at_most(1);
    options.listen[0].tls = Some(TlsOptions { certificates: vec![files], ..TlsOptions::default() });
    let running = start(app, &options);
    let mut open = Client::tls(tcp(&running, "main"), "site.test", &config).unwrap();
    assert_eq!(connect(&running).ending().unwrap(), (Vec::new(), Ending::Closed));
    assert!(Client::tls(tcp(&running, "main"), "site.test", &config).is_err());
    assert_eq!(open.get("/").unwrap().text(), "hello");
    drop(open);
    let again = || Client::tls(tcp(&running, "main"), "site.test", &config).is_ok();
    assert!(until(SOON, again), "{:?}", counts(&running));
}

#[test]
fn new_limits_hold_for_those_who_come_and_nobody_is_sent_away() {
    let (_levers, app) = Levers::new();
    let running = start(app, &at_most(3));
    let mut open: Vec<_> = (0..3).map(|_| served(&running)).collect();
    assert_refused(connect(&running));
    running.handle().apply(at_most(4)).unwrap();
    open.push(served(&running));
    running.handle().apply(at_most(1)).unwrap();
    assert_refused(connect(&running));
    for client in &mut open {
        assert_eq!(client.get("/").unwrap().text(), "hello");
    }
    assert_eq!((counts(&running).open, counts(&running).limit), (4, 1));
    open.truncate(1);
    await_open(&running, 1);
    assert_refused(connect(&running));
    running.handle().apply(Options { connections: None, ..at_most(0) }).unwrap();
    assert!(counts(&running).limit >= 64);
    served(&running);
}

#[test]
fn a_listener_that_is_changed_knows_the_connections_it_has() {
    let (_levers, app) = Levers::new();
    let mut options = options(2, 1);
    let running = start(app, &options);
    let mut open = [served(&running), served(&running)];
    options.listen[0].connections = Some(2);
    options.listen[0].listener.backlog = 100;
    running.handle().apply(options).unwrap();
    assert_refused(connect(&running));
    for client in &mut open {
        assert_eq!(client.get("/").unwrap().text(), "hello");
    }
    drop(open);
    served_soon(&running);
    await_open(&running, 0);
    assert_eq!(counts(&running).listeners.len(), 1);
}

#[test]
fn health_is_told_when_there_is_no_place_for_anybody() {
    let (_levers, app) = Levers::new();
    let admin = Some("127.0.0.1:0".parse().unwrap());
    let running = start(app, &Options { admin, ..at_most(0) });
    assert_refused(connect(&running));
    let mut health = Client::tcp(tcp(&running, "admin")).unwrap();
    assert_eq!(health.get("/health/live").unwrap().status(), 200);
    assert_eq!(counts(&running).open, 0);
}

#[test]
fn a_tunnel_has_its_place_until_it_is_closed() {
    let running = start(Router::new().route("/ws", get(echo)), &at_most(1));
    let mut tunnel = connect(&running);
    tunnel
        .send(
            "GET /ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    assert_eq!(tunnel.head().unwrap().status, 101);
    // The pong of a ping: it is a tunnel now.
    tunnel.send([0x89, 0x80, 0, 0, 0, 0]).unwrap();
    assert_eq!(tunnel.read_exact(2).unwrap(), [0x8a, 0]);
    assert_refused(connect(&running));
    drop(tunnel);
    await_open(&running, 0);
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| while let Some(Ok(_)) = socket.recv().await {})
}

#[test]
fn a_connection_ends_politely_after_its_last_request() {
    let (levers, app) = Levers::new();
    let running = start(app, &with_requests(3));
    let mut client = connect(&running);
    for connection in [None, None, Some("close")] {
        let response = client.get("/").unwrap();
        assert_eq!((response.status(), response.header("connection")), (200, connection));
    }
    assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
    let mut client = connect(&running);
    client.send(REQUEST.repeat(5)).unwrap();
    for _ in 0..3 {
        assert_eq!(client.response().unwrap().text(), "hello");
    }
    assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
    assert_eq!(levers.begun(), 6);
    await_open(&running, 0);
}

#[test]
fn a_last_request_that_fails_is_the_last_one_all_the_same() {
    async fn fails() {
        panic!("on purpose");
    }
    let running = start(Router::new().route("/", get(fails)), &with_requests(2));
    let mut client = connect(&running);
    for connection in [None, Some("close")] {
        let response = client.get("/").unwrap();
        assert_eq!((response.status(), response.header("connection")), (500, connection));
    }
    assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
}

#[test]
fn http_2_is_told_to_go_after_its_last_request_and_its_streams_finish() {
    let (levers, app) = Levers::new();
    let running = start(app, &with_requests(2));
    let mut http = Http2::new(connect(&running)).unwrap();
    assert_eq!(http.get("/").unwrap(), b"hello");
    let stream = http.send_get("/wait").unwrap();
    http.frame_of(GOAWAY).unwrap();
    levers.free();
    assert_eq!(http.body(stream).unwrap(), b"waited");
    let (_, ending) = http.into_client().ending().unwrap();
    assert_eq!(ending, Ending::Closed);
    await_open(&running, 0);
}

#[test]
fn a_crowd_that_comes_and_goes_leaves_no_trace() {
    let (_levers, app) = Levers::new();
    let mut options = Options { connections_per_client: Some(4), ..at_most(6) };
    options.listen[0].connections = Some(5);
    let running = start(app, &options);
    let seed = Seed::from_env_or_clock();
    thread::scope(|scope| {
        for client in 0..4 {
            let running = &running;
            scope.spawn(move || crowd(running, &mut Seed(seed.0 ^ client).random()));
        }
    });
    // Some may have gone before they were accepted.
    assert!(until(SOON, || counts(&running).accepted == 800), "{:?}", counts(&running));
    await_open(&running, 0);
    let seen = counts(&running);
    assert_eq!(seen.clients, 0);
    assert!(seen.refused.client > 0, "{seen:?}");
    served(&running);
}

/// Two hundred connections of one thread: at most five at once, ended in all ways.
fn crowd(running: &Running, random: &mut Random) {
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut client = connect(running);
        // Who is refused may be told by a reset while it still sends.
        if random.chance(70)
            && let Ok(response) = client.get("/")
        {
            assert!([200, 503].contains(&response.status()));
        }
        open.push(client);
        if open.len() == 5 {
            let client = open.swap_remove(random.below(5));
            if random.chance(50) {
                client.reset().unwrap();
            }
        }
    }
}
