//! Kinds of connections and listeners: what goes on, and what cannot.

use super::family::{TOOK_OVER, Walled, all_answered, comes_to_rest};
use crate::serve::{program::command, setup::SOON};
use ripstop_testkit::{Certificates, Client, Ending, Family, Signal, send};
use rustix::io::{FdFlags, fcntl_setfd};
use std::{net::TcpListener, os::fd::AsRawFd, process::Command};

#[test]
fn a_unix_listener_and_its_connections_live_on_and_its_file_goes_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let mut command = command("tear");
    command.args(["--workers", "1", "--listen", &format!("unix:{}", path.display())]);
    let mut family = Family::start(&mut command).unwrap();
    family.announced(SOON, |line| line.contains("listening").then_some(())).unwrap();
    let mut idle: Vec<_> = (0..5).map(|_| Client::unix(&path).unwrap()).collect();
    all_answered(&mut idle);
    assert!(comes_to_rest(family.server()));
    send(family.server(), Signal::KILL).unwrap();
    family.announced(SOON, |line| line.contains(TOOK_OVER).then_some(())).unwrap();
    all_answered(&mut idle);
    let mut fresh = [Client::unix(&path).unwrap()];
    all_answered(&mut fresh);
    family.master().signal(Signal::TERM).unwrap();
    assert_eq!(family.master().exit(SOON).unwrap().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn several_listeners_live_on_each_with_its_connections() {
    let walled = Walled::start(&["--workers", "2", "--listen", "127.0.0.1:0"]);
    let second = || {
        let mut seen = 0;
        walled.announced(SOON, |line| {
            let address = line.split_once(" address=")?.1.trim().parse().ok()?;
            seen += 1;
            (seen == 2).then_some(address)
        })
    };
    let second = second().unwrap();
    let mut idle = walled.idle(5);
    let mut others: Vec<_> = (0..5).map(|_| Client::tcp(second).unwrap()).collect();
    all_answered(&mut others);
    walled.settle();
    walled.kill_server();
    let line = walled.took_over(2);
    assert!(line.contains("kept=10"), "{line}");
    all_answered(&mut idle);
    all_answered(&mut others);
    all_answered(&mut [Client::tcp(second).unwrap()]);
}

#[test]
fn a_connection_of_http_2_is_closed_and_another_one_is_served() {
    let walled = Walled::start(&["--workers", "1"]);
    let mut h2 = walled.connect();
    h2.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").unwrap();
    let settings = h2.read_exact(9).unwrap();
    assert_eq!(settings[3], 4, "the server's settings");
    walled.kill_server();
    let line = walled.took_over(2);
    assert!(line.contains("answered_503=0 reset=1"), "{line}");
    let (rest, _) = h2.ending().unwrap();
    assert!(!rest.windows(4).any(|bytes| bytes == b"HTTP"), "nothing of HTTP/1 is said there");
    let _fresh = walled.idle(1);
}

#[test]
fn a_socket_of_a_service_manager_is_every_servers_and_tls_is_cut_not_talked_into() {
    let certificates = Certificates::new().unwrap();
    let identity = certificates.server("site", &["site.test"]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    fcntl_setfd(&listener, FdFlags::empty()).unwrap();
    // What systemd does; only the process itself knows the id it will have. The example takes the
    // socket before it enters the wall.
    let script = format!("exec 3<&{}; LISTEN_PID=$$ exec \"$@\"", listener.as_raw_fd());
    let mut manager = Command::new("bash");
    manager.args(["-c", &script, "bash"]).arg(command("tls").get_program());
    manager.env("RUST_LOG", "info").envs([("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "web")]);
    manager.args(["--listen", "fd:web", "--certificate"]).arg(identity.chain).arg(identity.key);
    let family = Family::start(&mut manager).unwrap();
    family.announced(SOON, |line| line.contains("listening").then_some(())).unwrap();
    drop(listener);
    let config = certificates.client_config(None, &["http/1.1"]).unwrap();
    let connect = || Client::tls(address, "site.test", &config).unwrap();
    for deaths in 1..4 {
        let mut client = connect();
        assert_eq!(client.get("/").unwrap().status(), 200);
        send(family.server(), Signal::KILL).unwrap();
        let servers = format!("servers={}", deaths + 1);
        let line = family.announced(SOON, |line| {
            (line.contains(TOOK_OVER) && line.contains(&servers)).then(|| line.to_owned())
        });
        assert!(line.unwrap().contains("kept=0 answered_503=0 reset=1"));
        assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Cut));
    }
    assert_eq!(connect().get("/").unwrap().status(), 200);
}
