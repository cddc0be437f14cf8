//! What a server does when descriptors run out, and what it keeps after a crowd has left.

use ripstop_testkit::{Client, Ending, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{process::Command, thread};

use super::{
    program::{Program, command, kinds, tear},
    setup::SOON,
};

/// How many connections a listener lets wait on any machine.
const CAN_WAIT: usize = 125;

#[test]
fn out_of_descriptors_the_newest_get_503_and_all_others_go_on() {
    let tear = command("tear");
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 64; exec \"$@\"", "sh"]).arg(tear.get_program());
    shell.env("RUST_LOG", "info").args(["--listen", "127.0.0.1:0", "--workers", "2"]);
    let tear = Program::start(&mut shell);
    let mut served: Vec<_> = (0..5).map(|_| tear.connect()).collect();
    for client in &mut served {
        assert_eq!(client.get("/").unwrap().status(), 200);
    }
    let mut newest: Vec<_> = (0..64).map(|_| send(&tear)).collect();
    let answers = newest.iter_mut().map(|client| client.response().unwrap().head);
    let answers: Vec<_> =
        answers.map(|head| (head.status, head.header("retry-after").is_some())).collect();
    let first_refused = answers.iter().position(|answer| *answer != (200, false)).unwrap();
    let (taken, refused) = answers.split_at(first_refused);
    assert!(taken.len() > 20, "{answers:?}");
    assert!(refused.iter().all(|answer| *answer == (503, true)), "{answers:?}");
    for client in &mut newest.split_off(first_refused) {
        assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
    }
    for client in served.iter_mut().chain(&mut newest) {
        assert_eq!(client.get("/").unwrap().status(), 200);
    }
    drop(newest);
    let answered = || tear.connect().get("/").is_ok_and(|response| response.status() == 200);
    assert!(until(SOON, answered), "it does not recover");
    for client in &mut served {
        assert_eq!(client.get("/").unwrap().status(), 200);
    }
    tear.logged("out of descriptors");
    tear.terminate();
}

#[test]
fn after_five_thousand_connections_at_once_everything_is_back() {
    let crowd = raise_limit(5_000);
    // None of them is parked: how many were would depend on the machine.
    let tear = tear(&["--workers", "2", "--park", "3600000"]);
    let proc = tear.process.proc();
    let mut client = tear.connect();
    assert_eq!(client.get("/").unwrap().status(), 200);
    let (threads, fds) = (tear.threads(), proc.fds().unwrap());
    let mut at_most = Vec::new();
    for _ in 0..3 {
        let mut at_once = Vec::new();
        while at_once.len() < crowd {
            // Not more than can wait at a listener.
            at_once.extend((0..CAN_WAIT).map(|_| send(&tear)));
            let accepted = || proc.fds().unwrap() >= fds + at_once.len();
            assert!(until(SOON, accepted), "{} of {}", proc.fds().unwrap() - fds, at_once.len());
        }
        at_most.push(proc.rss_bytes().unwrap());
        drop(at_once);
        assert!(until(SOON, || proc.fds().unwrap() == fds), "{:?}, {fds} before", proc.fds());
        assert_eq!(client.get("/").unwrap().status(), 200);
    }
    let same = until(SOON, || kinds(&tear.threads()) == kinds(&threads));
    assert!(same, "{:?}, {threads:?} before", tear.threads());
    // The next crowd finds the memory of the one before.
    assert!(at_most[2] <= at_most[0] + at_most[0] / 2, "{at_most:?}");
    tear.terminate();
}

#[test]
fn ten_thousand_connects_at_once_are_answered_or_refused_and_leave_nothing() {
    let crowd = raise_limit(10_000);
    let mut shell = Command::new("sh");
    // A fifth of them finds no place: nine tenths of the descriptors are for connections.
    let (limit, tear) = (crowd / 10 * 9, command("tear"));
    shell.arg("-c").arg(format!("ulimit -n {limit}; exec \"$@\"")).arg("sh");
    shell.arg(tear.get_program()).args(["--listen", "127.0.0.1:0", "--workers", "2"]);
    shell.env("RUST_LOG", "info").env("MIMALLOC_PURGE_DELAY", "0");
    let tear = Program::start(&mut shell);
    let proc = tear.process.proc();
    // The first crowd makes what lasts.
    let mut at_rest = Vec::new();
    for _ in 0..2 {
        let refused = at_once(&tear, crowd);
        assert!((crowd / 10..crowd / 4).contains(&refused), "{refused} of {crowd}");
        let back = || counts(&tear, "open") == 1 && counts(&tear, "parked") == 0;
        assert!(until(SOON, back), "{} are open", counts(&tear, "open"));
        assert!(until(SOON, || proc.is_at_rest().unwrap()));
        at_rest.push((proc.fds().unwrap(), proc.rss_bytes().unwrap()));
    }
    let [(fds, rss), (fds_after, rss_after)] = at_rest[..] else { unreachable!() };
    assert_eq!(fds_after, fds, "{:?}", proc.open_files());
    assert!(rss_after <= rss + rss / 2, "{rss_after} bytes, {rss} before");
    tear.terminate();
}

/// Connects that often without waiting for anything in between, sends a request each, and then
/// reads the answers. Returns how many were refused.
fn at_once(tear: &Program, crowd: usize) -> usize {
    let connect = |_| (0..crowd / CLIENTS).map(|_| send_if_it_can(tear)).collect::<Vec<_>>();
    let mut clients: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS).map(|at| scope.spawn(move || connect(at))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let status = |client: &mut Client| client.response().unwrap().status();
    let statuses: Vec<_> = clients.iter_mut().map(status).collect();
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    statuses.iter().filter(|status| **status == 503).count()
}

/// Threads that connect.
const CLIENTS: usize = 8;

/// Sends a request on a new connection, unless it is refused before.
fn send_if_it_can(program: &Program) -> Client {
    let mut client = program.connect();
    let _ = client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    client
}

/// What the server has counted by this name.
fn counts(tear: &Program, name: &str) -> u64 {
    let text = tear.connect().get("/counts").unwrap().text();
    let number = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    number.trim().parse().unwrap()
}

/// Sends a request on a new connection. (One that stays silent waits in the kernel.)
fn send(program: &Program) -> Client {
    let mut client = program.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    client
}

/// Lets this process and its children open more files; how many of `wanted` connections that is
/// enough for.
fn raise_limit(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let maximum = limit.maximum.map_or(usize::MAX, |maximum| maximum as usize);
    // What else the tests of this process have open.
    wanted.min(maximum.saturating_sub(500))
}
