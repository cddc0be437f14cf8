//! Which worker serves a connection.

use ripstop::{Options, Placement};
use ripstop_testkit::Client;

use super::{
    levers::Levers,
    setup::{connect, options, start},
};

/// How far the numbers of lasting connections on two workers may be apart: what an accepting
/// worker may keep beyond the other, and the one it has just accepted.
const APART: usize = 3;

#[test]
fn lasting_connections_are_spread_by_every_policy() {
    for placement in Placement::ALL {
        let (_levers, app) = Levers::new();
        let running = start(app, &Options { placement, ..options(2, 1) });
        let mut clients = Vec::new();
        for count in 1..=20 {
            clients.push(connect(&running));
            let on = on_each_worker(&mut clients);
            assert!(on[0].abs_diff(on[1]) <= APART, "{placement}: {on:?} of {count}");
            assert!(count < 4 || on.iter().all(|&on| on > 0), "{placement}: {on:?} of {count}");
        }
    }
}

#[test]
fn connections_that_come_at_once_are_spread_too() {
    for placement in Placement::ALL {
        let (_levers, app) = Levers::new();
        let running = start(app, &Options { placement, ..options(2, 1) });
        let mut clients: Vec<_> = (0..40).map(|_| connect(&running)).collect();
        let on = on_each_worker(&mut clients);
        assert!(on[0].abs_diff(on[1]) <= APART, "{placement}: {on:?}");
    }
}

#[test]
fn the_worker_of_a_connection_does_not_change() {
    let (_levers, app) = Levers::new();
    let running = start(app, &options(2, 1));
    for _ in 0..4 {
        let mut client = connect(&running);
        let first = worker(&mut client);
        assert!((0..10).all(|_| worker(&mut client) == first));
    }
}

/// How many of the connections each of two workers serves.
fn on_each_worker(clients: &mut [Client]) -> [usize; 2] {
    let mut on = [0; 2];
    for client in clients {
        on[worker(client)] += 1;
    }
    on
}

/// The worker that serves a connection.
pub(super) fn worker(client: &mut Client) -> usize {
    client.get("/thread").unwrap().text().parse().expect("workers have numbers")
}
