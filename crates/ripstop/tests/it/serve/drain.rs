//! The end of a server: what runs is finished, what is idle is closed, and what takes too long is
//! cut.

use ripstop::{Address, Options, Outcome, Running};
use ripstop_testkit::{Client, Ending, until};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use super::{
    frames::{GOAWAY, Http2},
    levers::Levers,
    load::{Habit, Load},
    placement::worker,
    setup::{SOON, connect, options, start, tcp},
};

/// Long enough that no test waits for it.
const NEVER: Duration = Duration::from_secs(3600);

/// A server with a drain time, and the client of a request that waits.
fn busy(drain: Duration) -> (Running, Levers, Client) {
    let (levers, app) = Levers::new();
    let running = start(app, &Options { drain, ..options(2, 1) });
    let mut client = connect(&running);
    client.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    levers.await_begun(1);
    (running, levers, client)
}

/// Waits for the end, on a thread of its own, so that a server that never ends fails the test.
#[track_caller]
fn outcome(running: Running) -> Outcome {
    let addresses = running.addresses();
    let (told, outcome) = std::sync::mpsc::channel();
    thread::Builder::new().spawn(move || told.send(running.wait())).unwrap();
    outcome.recv_timeout(SOON).unwrap_or_else(|_| panic!("{addresses:?} does not end"))
}

#[test]
fn a_stop_under_load_answers_all_that_was_begun() {
    for habit in [Habit::KeepAlive, Habit::Restless, Habit::Fresh] {
        let (levers, app) = Levers::new();
        let running = start(app, &Options { drain: NEVER, ..options(2, 1) });
        let load = Load::new(tcp(&running, "main"));
        thread::scope(|scope| {
            load.run(scope, 8, habit);
            let busy = until(SOON, || load.seen().answers >= 100);
            load.server_ends();
            running.stop();
            assert!(busy, "{:?}", load.seen());
        });
        assert_eq!(outcome(running), Outcome::Drained, "{habit:?}");
        let seen = load.seen();
        assert_eq!(seen.failures, [""; 0], "{habit:?}");
        assert_eq!(levers.begun(), seen.answers, "{habit:?}");
    }
}

#[test]
fn a_running_request_is_finished_and_says_that_it_is_the_last() {
    let (running, levers, mut client) = busy(NEVER);
    running.stop();
    // Only a server that waits for it lets the test go on to here.
    assert!(refuses(tcp(&running, "main")));
    levers.free();
    let response = client.response().unwrap();
    assert_eq!((response.text(), response.header("connection")), ("waited".into(), Some("close")));
    assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
    assert_eq!(outcome(running), Outcome::Drained);
}

/// Whether the listener goes.
fn refuses(addr: SocketAddr) -> bool {
    until(SOON, || Client::tcp(addr).is_err())
}

#[test]
fn idle_connections_are_closed_at_once() {
    let (running, levers, mut busy) = busy(NEVER);
    let mut idle: Vec<_> = (0..8).map(|_| connect(&running)).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").unwrap().status(), 200);
    }
    let stopped = Instant::now();
    running.stop();
    for client in &mut idle {
        assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
    }
    // Their idle timeout is 75 s.
    assert!(stopped.elapsed() < Duration::from_secs(5), "{:?}", stopped.elapsed());
    levers.free();
    assert_eq!(busy.response().unwrap().text(), "waited");
    assert_eq!(outcome(running), Outcome::Drained);
}

#[test]
fn http_2_is_told_to_go_and_its_streams_finish() {
    let (levers, app) = Levers::new();
    let running = start(app, &Options { drain: NEVER, ..options(1, 0) });
    let mut http = Http2::new(connect(&running)).unwrap();
    let stream = http.send_get("/wait").unwrap();
    levers.await_begun(1);
    running.stop();
    http.frame_of(GOAWAY).unwrap();
    levers.free();
    assert_eq!(http.body(stream).unwrap(), b"waited");
    assert_eq!(outcome(running), Outcome::Drained);
    let (_, ending) = http.into_client().ending().unwrap();
    assert_eq!(ending, Ending::Closed);
}

#[test]
fn an_idle_http_2_connection_is_told_to_go_and_closed() {
    let (_levers, app) = Levers::new();
    let running = start(app, &Options { drain: NEVER, ..options(1, 0) });
    let mut http = Http2::new(connect(&running)).unwrap();
    assert_eq!(http.get("/").unwrap(), b"hello");
    running.stop();
    http.frame_of(GOAWAY).unwrap();
    let (_, ending) = http.into_client().ending().unwrap();
    assert_eq!(ending, Ending::Closed);
    assert_eq!(outcome(running), Outcome::Drained);
}

#[test]
fn what_does_not_finish_in_the_drain_time_is_cut_and_counted() {
    let (running, _levers, mut client) = busy(Duration::from_millis(200));
    let stopped = Instant::now();
    running.stop();
    assert_eq!(outcome(running), Outcome::Cut(1));
    assert!(stopped.elapsed() >= Duration::from_millis(200));
    assert_eq!(client.ending().unwrap().0, b"");
}

#[test]
fn a_cut_ends_a_drain_at_once() {
    let (running, _levers, mut client) = busy(NEVER);
    running.stop();
    assert!(refuses(tcp(&running, "main")));
    running.handle().cut();
    // A connection that has just found out that the listener goes may be cut with it.
    assert!(matches!(outcome(running), Outcome::Cut(1..)));
    assert_eq!(client.ending().unwrap().0, b"");
}

#[test]
fn dropping_a_server_ends_it_at_once() {
    let (running, _levers, mut client) = busy(NEVER);
    drop(running);
    assert_eq!(client.ending().unwrap().0, b"");
}

#[test]
fn a_thread_that_is_stuck_for_ever_does_not_keep_the_server_from_ending() {
    let (levers, app) = Levers::new();
    let drain = Duration::from_secs(1);
    let running = start(app, &Options { drain, ..options(2, 0) });
    // Eight are spread over both workers.
    let clients = (0..8).map(|_| connect(&running));
    let mut stuck: BTreeMap<_, _> =
        clients.map(|mut client| (worker(&mut client), client)).collect();
    for (begun, client) in stuck.values_mut().enumerate() {
        client.send("GET /wedge HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        levers.await_begun(begun + 1);
    }
    let stopped = Instant::now();
    running.stop();
    assert!(matches!(outcome(running), Outcome::Cut(2..)));
    assert!(stopped.elapsed() < SOON, "{:?}", stopped.elapsed());
}

#[test]
fn health_is_ready_then_draining_until_the_end() {
    let (levers, app) = Levers::new();
    let admin = Some(Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))));
    let running = start(app, &Options { drain: NEVER, admin, ..options(2, 1) });
    let admin = tcp(&running, "admin");
    let mut busy = connect(&running);
    busy.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    levers.await_begun(1);
    let health = |path: &str| {
        let response = Client::tcp(admin).unwrap().get(path).unwrap();
        (response.status(), response.text())
    };
    assert!(until(SOON, || health("/health/ready") == (200, "ready\n".into())));
    running.stop();
    assert!(until(SOON, || health("/health/ready") == (503, "draining\n".into())));
    assert_eq!(health("/health/live"), (200, "live\n".into()));
    levers.free();
    assert_eq!(busy.response().unwrap().text(), "waited");
    assert_eq!(outcome(running), Outcome::Drained);
    assert!(refuses(admin));
}

#[test]
fn run_until_serves_until_its_future_is_ready() {
    let (_levers, app) = Levers::new();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("it.sock");
    let address = format!("unix:{}", file.display());
    thread::scope(|scope| {
        let server = ripstop::Server::new(app).listen(&address);
        let serving = scope.spawn(|| server.run_until(async { drop(stopped.await) }));
        assert!(until(SOON, || Client::unix(&file).is_ok()));
        assert_eq!(Client::unix(&file).unwrap().get("/").unwrap().text(), "hello");
        stop.send(()).unwrap();
        assert_eq!(serving.join().unwrap().unwrap(), Outcome::Drained);
    });
}
