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

// Each connection asks once: those that go on asking may move to a worker with less to do.

#[test]
fn lasting_connections_are_spread_by_every_policy() {
    for placement in Placement::ALL {
        let (_levers, app) = Levers::new();
        let running = start(app, &Options { placement, ..options(2, 1) });
        let (mut clients, mut on) = (Vec::new(), [0_usize; 2]);
        for count in 1..=20 {
            let mut client = connect(&running);
            on[worker(&mut client)] += 1;
            clients.push(client);
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
        let mut on = [0_usize; 2];
        for client in &mut clients {
            on[worker(client)] += 1;
        }
        assert!(on[0].abs_diff(on[1]) <= APART, "{placement}: {on:?}");
    }
}

/// The worker that serves a connection.
pub(super) fn worker(client: &mut Client) -> usize {
    client.get("/thread").unwrap().text().parse().expect("workers have numbers")
}
