//! A server dies once more: at each step of taking over from a dead one, and of an upgrade. The places
//! are the product's own (`ripstop_survive::failpoint`), and there in builds with debug assertions.

use super::{
    family::{Walled, all_answered, comes_to_rest},
    upgrades::{is_one, upgrade},
};
use crate::serve::{program::command, setup::SOON};
use ripstop_testkit::{Client, Ending, Signal, send, until};
use std::time::Duration;

/// Idle connections.
const IDLE: usize = 20;

/// A server of which one dies at this place.
fn start(place: &str) -> Walled {
    let mut command = command("tear");
    command.env("RIPSTOP_FAIL_AT", place).args(["--workers", "2", "--park", "100"]);
    Walled::start_as(&mut command)
}

/// That each of them has its connection to itself, and is answered once.
#[track_caller]
fn have_one_owner(clients: &mut [Client], place: &str) {
    println!("{place}");
    for _ in 0..2 {
        all_answered(clients);
    }
    for client in clients {
        assert!(client.is_quiet_for(Duration::ZERO).unwrap(), "{place}: an answer too many");
    }
}

#[test]
fn a_death_at_any_step_of_taking_over_costs_nothing_more() {
    if !cfg!(debug_assertions) {
        return;
    }
    for place in ["settle", "kept", "telling", "told", "cut", "taking-in", "unready", "ready"] {
        let walled = start(place);
        let mut idle = walled.idle(IDLE);
        assert!(comes_to_rest(walled.server()));
        let mut busy = walled.connect();
        busy.send("GET /slow?ms=600000 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let mut begun = walled.connect();
        begun.send("GET /stream?kb=100000 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        assert!(until(SOON, || !begun.is_quiet_for(Duration::ZERO).unwrap()));
        // Those that were there first are at rest when later ones are answered.
        drop(walled.idle(1));
        send(walled.server(), Signal::KILL).unwrap();
        walled.took_over(3);
        have_one_owner(&mut idle, place);
        // It may have been told, or cut by the death while it was told; the other one is cut.
        let (said, ending) = busy.ending().unwrap();
        let told = said.starts_with(b"HTTP/1.1 503 ");
        assert!(told || (said.is_empty() && ending == Ending::Cut), "{place}: {said:?} {ending:?}");
        assert_eq!(begun.ending().unwrap().1, Ending::Cut, "{place}");
        assert_eq!(walled.connect().get("/").unwrap().status(), 200, "{place}");
        assert_eq!(walled.members().len(), 3, "{place}");
    }
}

/// Row 39.
#[test]
fn a_death_at_any_step_of_an_upgrade_costs_no_idle_connection() {
    if !cfg!(debug_assertions) {
        return;
    }
    let of_the_old = ["leaves", "handing", "sent", "unplanned"];
    let of_the_new = ["ready", "peeked", "adopted", "taken", "taking-in"];
    for place in of_the_old.into_iter().chain(of_the_new) {
        let mut walled = start(place);
        if place == "ready" {
            // The first server has died there, which nobody has noticed.
            walled.took_over(2);
        }
        let mut idle = walled.idle(IDLE);
        assert!(comes_to_rest(walled.server()));
        let first = walled.server();
        upgrade(&mut walled);
        let second = is_one(&walled);
        assert_ne!(first.id(), second.id(), "{place}");
        have_one_owner(&mut idle, place);
        let served = idle[0].get("/pid").unwrap().text();
        assert_eq!(served, format!("pid {}", second.id()), "{place}");
        // One of three servers has died, and said nothing, or the one after it has said so.
        let log = walled.log();
        let three = log.matches("listening listener=main").count() == 3;
        assert!(three || log.contains("servers="), "{place} was not come by: {log}");
    }
}
