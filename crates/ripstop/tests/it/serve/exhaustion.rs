//! What a server does when descriptors run out, and what it keeps after a crowd has left.

use ripstop_testkit::{Client, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{process::Command, time::Duration};

use super::{
    program::{Program, command, tear},
    setup::SOON,
};

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
    let mut newest: Vec<_> = (0..64).map(|_| tear.connect()).collect();
    let spoken_to = |client: &mut Client| !client.is_quiet_for(Duration::ZERO).unwrap();
    assert!(until(SOON, || newest.last_mut().is_some_and(spoken_to)));
    let mut refused: Vec<_> = newest.extract_if(.., spoken_to).collect();
    for client in &mut refused {
        let response = client.response().unwrap();
        assert_eq!((response.status(), response.header("retry-after")), (503, Some("1")));
        assert_eq!(client.read_to_end().unwrap(), b"");
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
    let tear = tear(&["--workers", "2"]);
    let proc = tear.process.proc();
    let mut client = tear.connect();
    assert_eq!(client.get("/").unwrap().status(), 200);
    let (fds, threads) = (proc.fds().unwrap(), proc.threads().unwrap());
    let mut rss = Vec::new();
    for _ in 0..3 {
        let at_once: Vec<_> = (0..crowd).map(|_| tear.connect()).collect();
        assert!(until(SOON, || proc.fds().unwrap() >= fds + crowd), "not all were accepted");
        drop(at_once);
        assert!(until(SOON, || proc.fds().unwrap() == fds), "{:?}, {fds} before", proc.fds());
        assert_eq!(client.get("/").unwrap().status(), 200);
        rss.push(proc.rss_bytes().unwrap());
    }
    println!("resident: {rss:?}");
    assert_eq!(proc.threads().unwrap(), threads);
    assert!(rss[2] <= rss[0] + rss[0] / 2, "{rss:?}");
    tear.terminate();
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
