//! Memory near its ceiling: what connections do then, and that they are back when it is over,
//! whatever the allocator keeps.

use ripstop_testkit::{Client, Ending, until};
use std::{collections::HashMap, time::Duration};

use super::{
    frames::{GOAWAY, Http2},
    program::{Program, command},
    setup::SOON,
};

const MIB: u64 = 1 << 20;

/// More than may be busy in any case.
const CROWD: usize = 160;

/// `tear` with a ceiling of 128 MiB that reports no stalls, which would take memory, too, and these arguments. `keeps`: its allocator never gives memory
/// back.
#[track_caller]
fn tear(arguments: &[&str], keeps: bool) -> Program {
    let mut command = command("tear");
    command
        .args(["--listen", "127.0.0.1:0", "--workers", "2", "--memory", "128"])
        .args(["--stall", "60000"])
        .args(arguments);
    Program::start(command.env("MIMALLOC_PURGE_DELAY", if keeps { "-1" } else { "0" }))
}

/// What the server has counted, as it says on this connection.
#[track_caller]
fn counts(client: &mut Client) -> HashMap<String, u64> {
    let mut text = String::new();
    // Just after the start there is nothing yet.
    let is_told = || {
        text = client.get("/counts").unwrap().text();
        !text.is_empty()
    };
    assert!(until(SOON, is_told), "nothing is counted");
    let pairs = text.lines().map(|line| line.split_once(' ').unwrap());
    pairs.map(|(name, number)| (name.to_owned(), number.parse().unwrap())).collect()
}

/// Waits until the server has counted so.
#[track_caller]
fn await_counts(client: &mut Client, holds: impl Fn(&HashMap<String, u64>) -> bool) {
    let mut seen = HashMap::new();
    let held = until(SOON, || {
        seen = counts(client);
        holds(&seen)
    });
    assert!(held, "{seen:?}");
}

/// Has the server take memory for ever, until it has so many mebibytes.
#[track_caller]
fn fill(tear: &Program, client: &mut Client, mb: u64) {
    let proc = tear.process.proc();
    while proc.anonymous_bytes().unwrap() < mb * MIB {
        assert_eq!(client.get("/keep?mb=1").unwrap().text(), format!("{MIB} bytes"));
    }
}

/// Connections that each have a request under way, with a field of so many bytes.
fn busy(tear: &Program, count: usize, field: usize) -> Vec<Client> {
    let field = "a".repeat(field);
    let send = || {
        let mut client = tear.connect();
        let request =
            format!("GET /slow?ms=600000 HTTP/1.1\r\nHost: test\r\nX-Field: {field}\r\n\r\n");
        // Who is refused may be told before all was sent.
        let _ = client.send(request);
        client
    };
    (0..count).map(|_| send()).collect()
}

/// Connections that have been answered.
#[track_caller]
fn answered(tear: &Program, count: usize) -> Vec<Client> {
    let answered = || {
        let mut client = tear.connect();
        let response = client.get("/").unwrap();
        assert_eq!((response.status(), response.text()), (200, "Hello, World!".to_owned()));
        client
    };
    (0..count).map(|_| answered()).collect()
}

/// The status of the answer to one more.
fn one_more(tear: &Program) -> u16 {
    let mut client = tear.connect();
    let _ = client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    client.response().map_or(0, |response| response.status())
}

#[test]
fn near_the_ceiling_idle_connections_are_parked_at_once() {
    let tear = tear(&["--park", "60000"], false);
    let mut client = tear.connect();
    let idle = answered(&tear, CROWD);
    assert_eq!(counts(&mut client)["parked"], 0);
    fill(&tear, &mut client, 116);
    // The one that asks is not idle.
    await_counts(&mut client, |counts| counts["step"] == 1 && counts["parked"] == CROWD as u64);
    tear.logged("memory is near its ceiling step=park");
    for mut client in idle {
        assert_eq!(client.get("/").unwrap().text(), "Hello, World!");
    }
    tear.terminate();
}

#[test]
fn at_the_ceiling_one_more_gets_503_until_others_have_gone_though_memory_has_not() {
    let tear = tear(&["--drain", "0"], false);
    let mut client = tear.connect();
    let mut crowd = busy(&tear, CROWD, 1);
    await_counts(&mut client, |counts| counts["open"] == CROWD as u64 + 1);
    // So far that nobody is let in to see whether it grows.
    fill(&tear, &mut client, 139);
    await_counts(&mut client, |counts| counts["step"] == 3);
    // On the way some more may have been let in.
    let is_full = || {
        crowd.extend(busy(&tear, 1, 1));
        counts(&mut client)["short"] > 0
    };
    assert!(until(SOON, is_full), "{:?}", counts(&mut client));
    let mut refused = crowd.pop().unwrap();
    let response = refused.response().unwrap();
    assert_eq!((response.status(), response.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.ending().unwrap(), (Vec::new(), Ending::Closed));
    tear.logged("connections were refused");
    crowd.truncate(CROWD / 2);
    assert!(until(SOON, || one_more(&tear) == 200), "{:?}", counts(&mut client));
    drop(crowd);
    await_counts(&mut client, |counts| counts["open"] == 1);
    let again = answered(&tear, CROWD - 1);
    assert!(counts(&mut client)["step"] >= 2);
    drop(again);
    tear.terminate();
}

#[test]
fn when_memory_grows_above_the_ceiling_parked_connections_are_closed() {
    idle_are_closed("20");
}

#[test]
fn when_memory_grows_above_the_ceiling_idle_connections_that_are_never_parked_are_closed() {
    // Longer than they may be idle.
    idle_are_closed("100000");
}

/// Connections that are parked when they have been idle for so many milliseconds.
#[track_caller]
fn idle_are_closed(park: &str) {
    let tear = tear(&["--park", park], false);
    let mut client = tear.connect();
    // So few that one more is never refused.
    let mut idle = answered(&tear, CROWD / 4);
    let mut http2 = Http2::new(tear.connect()).unwrap();
    assert_eq!(http2.get("/").unwrap(), b"Hello, World!");
    fill(&tear, &mut client, 140);
    await_counts(&mut client, |counts| counts["step"] == 3);
    // The idle time is halved each time that it grows.
    let mut mb = 140;
    let grows = || {
        mb += 3;
        // The one before may have been closed, too.
        let mut client = tear.connect();
        fill(&tear, &mut client, mb);
        counts(&mut client)["closed"] > CROWD as u64 / 4
    };
    assert!(until(SOON, grows), "{}", tear.process.log());
    for client in &mut idle {
        assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
    }
    http2.frame_of(GOAWAY).unwrap();
    // When it does not grow any more, nobody else is closed.
    let stays = || answered(&tear, 1)[0].is_quiet_for(Duration::from_secs(1)).unwrap();
    assert!(until(SOON, stays), "{}", tear.process.log());
    tear.terminate();
}

#[test]
fn after_a_spike_connections_are_served_again_whatever_the_allocator_keeps() {
    let tear = tear(&["--drain", "0", "--park", "60000"], true);
    let proc = tear.process.proc();
    let mut crowd = Vec::new();
    let reaches = || {
        crowd.extend(busy(&tear, 50, 50_000));
        tear.process.log().contains("near its ceiling step=close")
    };
    assert!(until(SOON, reaches), "{}", tear.process.log());
    drop(crowd);
    assert!(until(SOON, || one_more(&tear) == 200), "{}", tear.process.log());
    let mut client = tear.connect();
    await_counts(&mut client, |counts| counts["open"] == 1);
    let kept = proc.anonymous_bytes().unwrap();
    assert!(kept >= 120 * MIB, "{kept} bytes are kept, so that this shows nothing");
    let room = usize::try_from(counts(&mut client)["room"]).unwrap();
    assert!(room > CROWD / 2, "there is room for {room}");
    // Others than connections may take some memory now.
    let again = answered(&tear, room / 2);
    assert_eq!(counts(&mut client)["open"], again.len() as u64 + 1);
    tear.terminate();
}

#[test]
fn where_clients_take_too_little_of_their_responses_those_that_take_nothing_are_reset_soon() {
    // They would have half a minute, and their own responses would be whole.
    let tear = tear(&["--buffered", "4"], false);
    let mut client = tear.connect();
    let send = |path: &str| {
        let mut client = tear.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).unwrap();
        client
    };
    // As much as would be held by a few.
    let few: Vec<_> = (0..5).map(|_| send("/pour?kb=65536")).collect();
    await_counts(&mut client, |counts| counts["buffered"] >= 5 * (32 << 10));
    assert_eq!(counts(&mut client)["cut"], 0);
    let mut crowd: Vec<_> = (0..CROWD).map(|_| send("/pour?kb=65536")).collect();
    await_counts(&mut client, |counts| counts["cut"] >= CROWD as u64 / 2);
    await_counts(&mut client, |counts| counts["buffered"] < 4 * MIB);
    tear.logged("clients do not take their responses");
    tear.logged("clients have taken their responses");
    assert_eq!(crowd[0].ending().unwrap().1, Ending::Cut);
    assert_eq!(client.get("/").unwrap().text(), "Hello, World!");
    drop((few, crowd));
    await_counts(&mut client, |counts| counts["buffered"] == 0);
    tear.terminate();
}
