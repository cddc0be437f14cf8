//! Connections that are idle: they leave their task, cost nothing, and are served again as if
//! nothing had been.

use axum::{Router, routing::post};
use ripstop::{CertifiedFiles, Limits, Options, Running, TlsOptions};
use ripstop_testkit::{Certificates, Client, Ending, Seed, until};
use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    levers::Levers,
    setup::{SOON, connect, listen, options, path, start, tcp},
};

/// So many workers; idle connections are parked soon.
fn soon(workers: usize) -> Options {
    parked_after(workers, Duration::from_millis(20))
}

fn parked_after(workers: usize, park: Duration) -> Options {
    let mut options = options(workers, 1);
    options.timeouts.park = Some(park);
    options
}

#[track_caller]
fn await_parked(running: &Running, count: usize) {
    let parked = || running.handle().parked();
    assert!(until(SOON, || parked() == count), "{} of {count} are parked", parked());
}

/// Gets an answer on a connection that was parked.
#[track_caller]
fn wakes(client: &mut Client, running: &Running) {
    assert_eq!(client.get("/").unwrap().text(), "hello");
    assert!(until(SOON, || running.handle().connections().open >= 1));
}

#[test]
fn an_idle_connection_is_parked_and_served_again() {
    let (_levers, app) = Levers::new();
    let running = start(app, &soon(2));
    let mut client = connect(&running);
    for _ in 0..5 {
        wakes(&mut client, &running);
        await_parked(&running, 1);
        let counts = running.handle().connections();
        assert_eq!((counts.open, counts.accepted), (1, 1), "it keeps its place");
    }
    drop(client);
    await_parked(&running, 0);
    assert!(until(SOON, || running.handle().connections().open == 0));
}

#[test]
fn a_crowd_is_parked_sooner_than_a_few() {
    let (_levers, app) = Levers::new();
    let running = start(app, &parked_after(1, Duration::from_secs(60)));
    let idle = |count| (0..count).map(|_| connect(&running)).collect::<Vec<_>>();
    let answered = |clients: &mut [Client]| {
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").unwrap().text(), "hello"));
    };
    let mut few = idle(400);
    answered(&mut few);
    let mut crowd = idle(600);
    answered(&mut crowd);
    // Those that came first, and as many of the others as are no crowd, stay.
    let parked = || running.handle().parked();
    assert!(until(SOON, || parked() > 400), "{}", parked());
    assert!(parked() <= 600, "{}", parked());
    answered(&mut crowd);
    answered(&mut few);
}

#[test]
fn a_connection_in_use_is_not_parked() {
    let (levers, app) = Levers::new();
    let running = start(app, &soon(1));
    let (mut waits, mut halves, mut idles) =
        (connect(&running), connect(&running), connect(&running));
    wakes(&mut idles, &running);
    waits.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    wakes(&mut halves, &running);
    halves.send("GET / HTTP/1.1\r\nHo").unwrap();
    levers.await_begun(1);
    await_parked(&running, 1);
    levers.free();
    assert_eq!(waits.response().unwrap().text(), "waited");
    halves.send("st: test\r\n\r\n").unwrap();
    assert_eq!(halves.response().unwrap().text(), "hello");
    await_parked(&running, 3);
}

#[test]
fn a_request_that_comes_in_two_pieces_to_a_parked_connection_is_served_whole() {
    let app = Router::new().route("/", post(|body: String| async move { body }));
    let running = start(app, &soon(2));
    let request = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody";
    let mut clients: Vec<_> = (1..request.len()).map(|_| connect(&running)).collect();
    for client in &mut clients {
        client.send(request).unwrap();
        assert_eq!(client.response().unwrap().text(), "body");
    }
    await_parked(&running, clients.len());
    for (cut, client) in (1..).zip(&mut clients) {
        client.send(&request[..cut]).unwrap();
    }
    await_parked(&running, 0);
    for (cut, client) in (1..).zip(&mut clients) {
        client.send(&request[cut..]).unwrap();
        let response = client.response().unwrap_or_else(|err| panic!("cut at {cut}: {err}"));
        assert_eq!(response.text(), "body", "cut at {cut}");
    }
    await_parked(&running, clients.len());
}

#[test]
fn several_requests_at_once_wake_a_parked_connection_and_are_answered_in_order() {
    let (_levers, app) = Levers::new();
    let running = start(app, &soon(1));
    let mut client = connect(&running);
    wakes(&mut client, &running);
    await_parked(&running, 1);
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(40)).unwrap();
    for _ in 0..40 {
        assert_eq!(client.response().unwrap().text(), "hello");
    }
    await_parked(&running, 1);
    assert!(client.is_quiet_for(Duration::ZERO).unwrap());
}

#[test]
fn an_empty_line_behind_a_request_does_not_keep_its_connection_from_being_parked() {
    let (_levers, app) = Levers::new();
    let running = start(app, &soon(1));
    let mut client = connect(&running);
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n\r\n").unwrap();
        assert_eq!(client.response().unwrap().text(), "hello");
        await_parked(&running, 1);
    }
}

#[test]
fn a_parked_connection_is_closed_when_its_idle_time_is_over_and_not_before() {
    let (_levers, app) = Levers::new();
    let mut options = soon(1);
    options.timeouts.idle = Some(Duration::from_millis(600));
    let running = start(app, &options);
    let mut client = connect(&running);
    wakes(&mut client, &running);
    let begin = Instant::now();
    await_parked(&running, 1);
    assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
    assert!(begin.elapsed() >= Duration::from_millis(590), "{:?}", begin.elapsed());
    await_parked(&running, 0);
    assert!(until(SOON, || running.handle().connections().open == 0));
}

#[test]
fn a_stop_closes_parked_connections() {
    let (_levers, app) = Levers::new();
    let running = start(app, &soon(2));
    let mut clients: Vec<_> = (0..20).map(|_| connect(&running)).collect();
    clients.iter_mut().for_each(|client| wakes(client, &running));
    await_parked(&running, clients.len());
    running.stop();
    for client in &mut clients {
        assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
    }
    assert_eq!(running.wait(), ripstop::Outcome::Drained);
}

#[test]
fn a_connection_under_tls_is_parked_with_its_session() {
    let certificates = Certificates::new().unwrap();
    let identity = certificates.server("site", &["site.test"]).unwrap();
    let files = CertifiedFiles { chain: identity.chain.clone(), key: identity.key.clone() };
    let mut options = soon(2);
    options.listen[0].tls = Some(TlsOptions { certificates: vec![files], ..TlsOptions::default() });
    let (_levers, app) = Levers::new();
    let running = start(app, &options);
    let config = certificates.client_config(None, &["http/1.1"]).unwrap();
    let mut client = Client::tls(tcp(&running, "main"), "site.test", &config).unwrap();
    for _ in 0..5 {
        wakes(&mut client, &running);
        await_parked(&running, 1);
    }
    running.stop();
    assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed), "it is told");
}

#[test]
fn a_unix_peer_is_parked() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = soon(1);
    let at = dir.path().join("socket");
    options.listen = vec![listen("main", &format!("unix:{}", at.display()))];
    let (_levers, app) = Levers::new();
    let running = start(app, &options);
    let mut client = Client::unix(&path(&running, "main")).unwrap();
    for _ in 0..3 {
        wakes(&mut client, &running);
        await_parked(&running, 1);
    }
}

#[test]
fn what_is_known_of_a_connection_is_known_after_it_was_parked() {
    let mut options = soon(1);
    options.limits = Limits { requests: Some(3), ..Limits::default() };
    options.connections_per_client = Some(1);
    let (_levers, app) = Levers::new();
    let running = start(app, &options);
    let mut client = connect(&running);
    let before = client.get("/facts").unwrap().text();
    await_parked(&running, 1);
    assert_eq!(client.get("/facts").unwrap().text(), before);
    await_parked(&running, 1);
    let refused = connect(&running).response().unwrap();
    assert_eq!(refused.status(), 503, "it is counted among those of its client");
    let last = client.get("/facts").unwrap();
    assert_eq!(last.header("connection"), Some("close"), "it was its third request");
    assert!(until(SOON, || running.handle().connections().open == 0));
    wakes(&mut connect(&running), &running);
}

#[test]
fn the_age_of_a_connection_counts_while_it_is_parked() {
    let mut options = soon(1);
    options.timeouts.connection_age = Some(Duration::from_millis(300));
    let (_levers, app) = Levers::new();
    let running = start(app, &options);
    let mut client = connect(&running);
    let begin = Instant::now();
    let mut closed = false;
    while !closed {
        let response = client.get("/").unwrap();
        closed = response.header("connection") == Some("close")
            || client.ending().is_ok_and(|(_, ending)| ending == Ending::Closed);
        assert!(begin.elapsed() < SOON, "it never grew old");
        if !closed {
            await_parked(&running, 1);
        }
    }
}

#[test]
fn a_parked_connection_outlives_its_listener() {
    let (_levers, app) = Levers::new();
    let mut options = soon(1);
    options.listen.push(listen("other", "127.0.0.1:0"));
    let running = start(app, &options);
    let mut client = Client::tcp(tcp(&running, "other")).unwrap();
    wakes(&mut client, &running);
    await_parked(&running, 1);
    options.listen.pop();
    running.handle().apply(options).unwrap();
    wakes(&mut client, &running);
    await_parked(&running, 1);
    drop(client);
    await_parked(&running, 0);
}

/// Row 13: the lot of a drowned worker is watched by another.
#[test]
fn the_parked_connections_of_a_drowned_worker_are_served_by_another() {
    let (levers, app) = Levers::new();
    let running = start(app, &soon(2));
    let thread = |client: &mut Client| client.get("/thread").unwrap().text();
    let clients =
        (0..16).map(|_| connect(&running)).map(|mut client| (thread(&mut client), client));
    let (drowning, _others): (Vec<_>, Vec<_>) = clients.partition(|(thread, _)| thread == "0");
    assert!(drowning.len() >= 4);
    await_parked(&running, 16);
    let mut drowning: Vec<_> = drowning.into_iter().map(|(_, client)| client).collect();
    let mut held = drowning.split_off(drowning.len() - 2);
    for (begun, client) in held.iter_mut().enumerate() {
        client.send("GET /wedge HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        levers.await_begun(begun + 1);
    }
    for client in &mut drowning {
        assert_eq!(thread(client), "1");
    }
    levers.unwedge();
    for client in &mut held {
        assert_eq!(client.response().unwrap().text(), "unwedged");
    }
    await_parked(&running, 16);
    // The worker that came back has its own connections, and no other's.
    for client in &mut drowning {
        assert_eq!(thread(client), "1");
    }
}

/// Row 16: requests that come while their connection is parked, woken or closed.
#[test]
fn each_request_that_meets_its_connection_on_the_way_is_executed_once() {
    let mut seeds = Seed::from_env_or_clock().random();
    let (_levers, app) = Levers::new();
    let running = start(app, &parked_after(2, Duration::from_millis(5)));
    let address = tcp(&running, "main");
    thread::scope(|scope| {
        for _ in 0..8 {
            let mut random = Seed(seeds.number()).random();
            scope.spawn(move || {
                let mut client = Client::tcp(address).unwrap();
                for _ in 0..150 {
                    let count = 1 + random.below(3);
                    let asked = "GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(count);
                    let cut = random.below(asked.len());
                    client.send(&asked[..cut]).unwrap();
                    client.send(&asked[cut..]).unwrap();
                    for _ in 0..count {
                        assert_eq!(client.response().unwrap().text(), "hello");
                    }
                    // About as long as it takes to be parked.
                    let pause = Duration::from_micros(4_000 + random.below(10_000) as u64);
                    assert!(client.is_quiet_for(pause).unwrap(), "an answer too many");
                }
            });
        }
    });
    await_parked(&running, 0);
    assert!(until(SOON, || running.handle().connections().open == 0));
}
