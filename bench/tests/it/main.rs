//! The generators against servers whose behaviour is known: that nothing is left out of the figures.

mod server;

use ripstop_bench::figures::Figures;
use ripstop_bench::{closed, open};
use server::Server;
use std::time::Duration;

const STALL: Duration = Duration::from_millis(500);

/// Half a second of load, without a warm-up.
fn load(connections: usize) -> open::Load {
    open::Load {
        rate: 1000.0,
        connections,
        warm_up: Duration::ZERO,
        length: Duration::from_millis(500),
        seed: 1,
        pid: None,
    }
}

#[track_caller]
fn all(server: &Server, load: &open::Load) -> Figures {
    let report = open::run(server.addr(), load).expect("the server is there");
    report.figures.last().expect("all are the last").clone()
}

#[test]
fn a_stall_delays_all_who_came_meanwhile() {
    for connections in [1, 8] {
        // From the first request to the end of the load nothing is answered.
        let server =
            Server::start(|number| if number == 0 { STALL } else { Duration::ZERO }, b"200 OK");
        let all = all(&server, &load(connections));
        assert_eq!(all.errors, 0);
        assert!(all.max_ms >= 490.0, "{all:?}");
        // Requests are due evenly over the stall: half of them waited for more than half of it.
        assert!(all.p50_ms >= 200.0, "{connections} connections: {all:?}");
    }
}

#[test]
fn the_load_does_not_depend_on_the_server() {
    let slow = Server::start(|_| Duration::from_millis(2), b"200 OK");
    let fast = Server::start(|_| Duration::ZERO, b"200 OK");
    let (fast, slow) = (all(&fast, &load(2)), all(&slow, &load(2)));
    assert_eq!(fast.count, slow.count);
    // The request in the middle, due after 250 ms, is the 250th of at most 500 a second.
    assert!(slow.p50_ms > 200.0, "{slow:?}");
}

#[test]
fn a_response_other_than_200_is_an_error() {
    let server = Server::start(|_| Duration::ZERO, b"503 Service Unavailable");
    let all = all(&server, &load(2));
    assert_eq!((all.errors, all.late), (all.count, 1.0));
}

#[test]
fn a_connection_closed_under_a_request_is_an_error_and_is_replaced() {
    let server = Server::start_closing_after(10);
    let all = all(&server, &load(2));
    assert!((1..all.count).contains(&all.errors), "{all:?}");
    assert!(server.requests() >= all.count - all.errors);
}

#[test]
fn a_closed_loop_counts_what_was_answered() {
    let server = Server::start(|_| Duration::ZERO, b"200 OK");
    let load = closed::Load {
        path: "/".into(),
        connections: 2,
        warm_up: Duration::ZERO,
        length: Duration::from_millis(200),
        pid: std::process::id(),
    };
    let report = closed::run(server.addr(), &load).expect("the server is there");
    assert_eq!(report.errors, 0);
    let most = server.requests() as f64 / load.length.as_secs_f64();
    assert!(report.rate > 0.0 && report.rate <= most, "{report:?}, at most {most}");
}
