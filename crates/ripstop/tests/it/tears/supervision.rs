//! Supervision: workers that drown, that are replaced, and a server that asks for another process.

use ripstop::{Kind, Lane, Options, Outcome, Surrender};
use ripstop_testkit::{Client, until};
use std::time::{Duration, Instant};

use super::site::{self, Site, alone, get, outcome};
use crate::serve::setup::SOON;

/// Handlers run on their workers whatever they do to them.
fn options(workers: usize, spares: usize) -> Options {
    Options { lane: Lane::Inline, ..site::options(workers, spares) }
}

/// The worker that serves a connection.
#[track_caller]
fn worker(client: &mut Client) -> usize {
    let thread = client.get("/name").unwrap_or_else(|err| panic!("{err}")).text();
    let number = thread.strip_prefix("rip-w").unwrap().split('-').next().unwrap();
    number.parse().unwrap()
}

/// Connections, by their worker, of which each has so many at least.
fn on_each_worker(site: &Site, least: usize) -> [Vec<Client>; 2] {
    let mut on = [Vec::new(), Vec::new()];
    let enough = until(SOON, || {
        let mut client = site.client();
        on[worker(&mut client)].push(client);
        on.iter().all(|on| on.len() >= least)
    });
    assert!(enough, "{:?}", on.map(|on| on.len()));
    on
}

/// Sends `path` on each of these, and waits until that many more handlers have begun.
fn send(site: &Site, clients: &mut [Client], path: &str) {
    let begun = site.lever.begun();
    for (nth, client) in clients.iter_mut().enumerate() {
        client.send(get(path)).unwrap();
        site.lever.await_begun(begun + nth + 1);
    }
}

#[test]
fn a_drowned_worker_is_reported_gets_no_connections_and_comes_back() {
    let _alone = alone();
    let site = Site::start(&options(2, 1));
    let [mut drowning, mut others] = on_each_worker(&site, 3);
    send(&site, &mut drowning[..2], "/wedge");
    let tear = &site.reported(Kind::Drowned, 1)[0];
    assert_eq!(tear.worker, Some(0), "{tear}");
    for _ in 0..30 {
        assert_eq!(worker(&mut site.client()), 1);
        assert_eq!(worker(&mut others[0]), 1);
    }
    // Its idle connection goes on with the other one, and what comes by it is done once.
    assert_eq!(worker(&mut drowning[2]), 1);
    assert!(drowning[2].is_quiet_for(Duration::ZERO).unwrap());
    site.lever.release();
    for client in &mut drowning[..2] {
        assert!(client.response().unwrap().text().starts_with("rip-w0"));
        assert!(client.is_quiet_for(Duration::ZERO).unwrap());
    }
    let mut kept = Vec::new();
    assert!(until(SOON, || {
        kept.push(site.client());
        worker(kept.last_mut().unwrap()) == 0
    }));
    assert_eq!(site.handle().tears().count(Kind::Restart), 0);
    drop((drowning, others, kept));
    site.ends_whole(&[Kind::Stall, Kind::Drowned]);
}

#[test]
fn when_all_workers_have_drowned_a_fresh_one_takes_the_place_of_one() {
    let _alone = alone();
    let site = Site::start(&options(2, 1));
    let mut on = on_each_worker(&site, 2);
    let drowned = Instant::now();
    for on in &mut on {
        send(&site, &mut on[..2], "/wedge");
    }
    assert_eq!(site.client().get("/").unwrap().text(), "hello");
    println!("answered after {:?}", drowned.elapsed());
    let reported = site.reported(Kind::Drowned, 2);
    assert!((0..2).all(|index| reported.iter().any(|tear| tear.worker == Some(index))));
    let restart = &site.reported(Kind::Restart, 1)[0];
    assert!(restart.message.contains("a fresh one takes its place"), "{restart}");
    for _ in 0..30 {
        assert_eq!(site.client().get("/").unwrap().text(), "hello");
    }
    // Those that hold the threads are answered when they come back; their connections go on with the
    // worker that took the place of theirs.
    site.lever.release();
    for (nth, client) in on.iter_mut().flat_map(|on| &mut on[..2]).enumerate() {
        let response = client.response().unwrap_or_else(|err| {
            panic!("{nth}: {err} {:#?}", site.handle().tears().recent().len())
        });
        assert!(response.text().starts_with("rip-w"), "{response:?}");
        assert_eq!(response.header("connection"), None);
        assert_eq!(client.get("/").unwrap().text(), "hello", "{nth}");
        assert!(client.is_quiet_for(Duration::ZERO).unwrap(), "{nth}");
    }
    drop(on);
    site.ends_whole(&[Kind::Stall, Kind::Drowned, Kind::Restart]);
}

#[test]
fn the_idle_connections_of_a_worker_that_was_replaced_go_on_at_once() {
    let _alone = alone();
    let site = Site::start(&options(1, 0));
    let (mut pipelined, mut drowning) = (site.client(), site.client());
    assert_eq!(worker(&mut pipelined), 0);
    send(&site, std::slice::from_mut(&mut drowning), "/wedge");
    site.reported(Kind::Restart, 1);
    pipelined.send(get("/name").repeat(5)).unwrap();
    assert_eq!(site.client().get("/").unwrap().text(), "hello");
    for _ in 0..5 {
        assert!(pipelined.response().unwrap().text().starts_with("rip-w0"));
    }
    site.lever.release();
    assert_eq!(drowning.response().unwrap().status(), 200);
    // The worker that comes back has nothing of it any more.
    assert_eq!(worker(&mut pipelined), 0);
    assert!(pipelined.is_quiet_for(Duration::ZERO).unwrap());
    assert_eq!(site.lever.begun(), 1);
    drop((pipelined, drowning));
    site.ends_whole(&[Kind::Stall, Kind::Drowned, Kind::Restart]);
}

#[test]
fn a_server_whose_workers_drown_again_and_again_asks_for_another_process() {
    let _alone = alone();
    let site = Site::start(&options(1, 0));
    let mut held = Vec::new();
    let surrendered = |site: &Site| {
        let restarts = site.reports(Kind::Restart);
        restarts.iter().any(|tear| tear.message.contains("asks to be replaced"))
    };
    while !surrendered(&site) && held.len() < 100 {
        held.push(site.send("/wedge"));
        let (begun, restarts) = (held.len(), site.reports(Kind::Restart).len());
        let torn = until(SOON, || {
            surrendered(&site) || site.reports(Kind::Restart).len() > restarts.max(begun - 1)
        });
        assert!(torn, "{:#?}", site.reports(Kind::Restart));
    }
    // On a busy machine, a worker without spares may drown once more than it was made to.
    let rebuilt = site.reports(Kind::Restart).len() - 1;
    assert_eq!(rebuilt, 5);
    assert_eq!(outcome(site.running), Outcome::Surrendered(Surrender::Rebuilds));
}

/// A handler that never ends holds up the end by no more than the time that it has.
#[track_caller]
fn check_stop(lane: Lane, path: &str) {
    let _alone = alone();
    let drain = Duration::from_millis(500);
    let site = Site::start(&Options { lane, drain, ..options(1, 1) });
    let mut client = site.send(path);
    site.lever.await_begun(1);
    let begin = Instant::now();
    site.running.stop();
    assert!(matches!(outcome(site.running), Outcome::Cut(1..)), "{lane} {path}");
    assert!(begin.elapsed() >= drain);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    // Nothing that could be taken for an answer.
    if lane == Lane::Queued {
        assert_eq!(client.ending().unwrap().0, b"");
    }
}

#[test]
fn a_handler_that_never_ends_is_cut_at_a_stop_wherever_it_runs() {
    for path in ["/wedge", "/wait", "/spin"] {
        check_stop(Lane::Inline, path);
        check_stop(Lane::Queued, path);
    }
}
