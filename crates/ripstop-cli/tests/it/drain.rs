//! The end of a server: what runs is finished, within bounds.

use std::fs::File;

use ripstop_testkit::{Client, Signal, until};

use crate::program::{DEADLINE, Home, LISTEN, Server};

/// Larger than what the kernel holds between server and client.
const LARGE: u64 = 64 << 20;

/// A server with a large file, and a client that has read only the head of its response.
fn downloading(home: &Home, drain: &str) -> (Server, Client) {
    home.write("public/small", "small");
    File::create(home.path().join("public/large")).unwrap().set_len(LARGE).unwrap();
    let server = home.serve(&format!(
        "{LISTEN}[server]\ndrain = \"{drain}\"\n[[route]]\npath = \"/*\"\nfiles.root = \"public\"\n"
    ));
    let mut client = server.connect();
    client.send("GET /large HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    (server, client)
}

#[test]
fn what_runs_is_finished_and_nothing_new_is_taken() {
    let home = Home::new();
    let (mut server, mut client) = downloading(&home, "1m");
    let web = server.address("web");
    let mut idle = server.connect();
    assert_eq!(idle.get("/small").unwrap().text(), "small");
    server.signal(Signal::TERM);
    assert!(until(DEADLINE, || Client::tcp(web).is_err()), "new connections are refused");
    assert_eq!(idle.read_to_end().unwrap(), b"", "idle connections are closed");
    assert_eq!(client.read_exact(LARGE as usize).unwrap().len(), LARGE as usize);
    assert_eq!(server.exit_code(), 0);
    assert!(!server.process.log().contains("cut off"), "{}", server.process.log());
    assert!(!home.path().join("ripstop.pid").exists());
}

#[test]
fn health_is_told_until_the_drain_ends() {
    let home = Home::new();
    let (mut server, mut client) = downloading(&home, "1m");
    let ready = |server: &Server| {
        Client::tcp(server.address("admin")).unwrap().get("/health/ready").unwrap().status()
    };
    assert_eq!(ready(&server), 200);
    server.signal(Signal::TERM);
    assert!(until(DEADLINE, || ready(&server) == 503));
    client.read_exact(LARGE as usize).unwrap();
    assert_eq!(server.exit_code(), 0);
}

#[test]
fn the_stop_command_waits_for_the_end() {
    let home = Home::new();
    let mut server = home.serve(LISTEN);
    server.address("admin");
    let ended = home.run(&["stop"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(server.exit_code(), 0);
    assert_eq!(home.run(&["stop"]).code, 69);
}

#[test]
fn the_stop_command_does_not_wait_for_ever() {
    let home = Home::new();
    let (mut server, _client) = downloading(&home, "1h");
    let ended = home.run(&["stop", "--timeout", "1ms"]);
    assert_eq!(ended.code, 75, "{ended:?}");
    let ended = home.run(&["stop"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(server.exit_code(), 0);
}

#[test]
fn what_does_not_finish_in_time_is_cut_and_said() {
    let home = Home::new();
    let (mut server, mut client) = downloading(&home, "50ms");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), 0);
    server.logged("cut off", 1);
    let (body, _) = client.ending().unwrap();
    assert!((body.len() as u64) < LARGE, "what was cut is not complete");
}

#[test]
fn a_second_signal_ends_at_once() {
    let home = Home::new();
    let (mut server, _client) = downloading(&home, "1h");
    server.signal(Signal::INT);
    server.logged("draining", 1);
    server.signal(Signal::INT);
    assert_eq!(server.exit_code(), 0);
    server.logged("cut off", 1);
}
