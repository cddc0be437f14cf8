//! Limits of connections by the configuration, and the limit of descriptors.

use std::{fs, process::Command};

use ripstop_testkit::{Client, Ending, Process, Signal, until};

use crate::program::{DEADLINE, Home, LISTEN, Server};

/// A server on which silent clients are accepted at once, with these keys of the listener and of
/// `[limits]`.
fn limited(listen: &str, limits: &str) -> String {
    format!(
        "[[listen]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\ndefer_accept = \"off\"\n{listen}\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[limits]\n{limits}\n\
         [[route]]\npath = \"/\"\nrespond.body = \"hello\"\n"
    )
}

/// Connects, and is answered, whenever there is a place.
fn served(server: &Server) -> Client {
    let mut served = None;
    let is_served = || {
        let mut client = server.connect();
        served = client.get("/").is_ok_and(|response| response.status() == 200).then_some(client);
        served.is_some()
    };
    assert!(until(DEADLINE, is_served), "nobody is served");
    served.unwrap()
}

#[test]
fn limits_of_connections_hold_are_reloaded_and_refusals_are_told() {
    let home = Home::new();
    let mut server = home.serve(&limited("", "connections = 1"));
    let cases = [
        ("", "connections_per_client = 1"),
        ("connections = 1", ""),
        ("", "connections = 1\nrequests = 1"),
    ];
    for (reloads, (listen, limits)) in cases.into_iter().enumerate() {
        let open = served(&server);
        assert_eq!(server.connect().response().unwrap().status(), 503);
        drop(open);
        home.write("ripstop.toml", &limited(listen, limits));
        server.signal(Signal::HUP);
        server.logged("configuration reloaded", reloads + 1);
    }
    // Its only request is answered by now.
    assert_eq!(served(&server).ending().unwrap(), (Vec::new(), Ending::Closed));
    server.logged("connections were refused", 1);
}

#[test]
fn the_limit_of_descriptors_is_raised_to_what_is_allowed() {
    let home = Home::new();
    home.write("ripstop.toml", LISTEN);
    let ripstop = home.command(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -S -n 100; ulimit -H -n 1000; exec \"$@\" serve", "sh"]);
    command.arg(ripstop.get_program()).current_dir(home.path());
    command.env_clear().env("XDG_RUNTIME_DIR", home.path());
    let server = Server { process: Process::start(&mut command).unwrap() };
    server.address("web");
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.process.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("1000"), "{line}");
}
