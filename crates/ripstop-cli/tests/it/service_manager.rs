//! The program under a service manager: what that is told, by the protocol of systemd. The manager
//! here is a socket and no more, since systemd does not run everywhere.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::{Duration, Instant},
};

use ripstop_testkit::{Client, Family, Signal, send, until};

use crate::program::{DEADLINE, Home, LISTEN};

/// What was said in one message, a line each.
type Said = Vec<String>;

struct Manager(UnixDatagram);

impl Manager {
    /// One that listens in the folder.
    fn new(home: &Home) -> Self {
        Self::at(UnixDatagram::bind(home.path().join("notify")).unwrap())
    }

    fn at(socket: UnixDatagram) -> Self {
        Self(socket)
    }

    /// The next message; `None` if there is none for so long.
    fn hears(&self, patience: Duration) -> Option<Said> {
        let mut bytes = [0; 4096];
        self.0.set_read_timeout(Some(patience.max(Duration::from_millis(1)))).unwrap();
        match self.0.recv(&mut bytes) {
            Ok(length) => {
                let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
                Some(text.lines().map(ToOwned::to_owned).collect())
            }
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => None,
            Err(err) => panic!("{err}"),
        }
    }

    /// Waits for a message with this line, and gives it and those before it.
    #[track_caller]
    fn awaits(&self, line: &str) -> Vec<Said> {
        let (end, mut all) = (Instant::now() + DEADLINE, Vec::new());
        while let Some(said) = self.hears(end.saturating_duration_since(Instant::now())) {
            let is_it = said.iter().any(|said| said.starts_with(line));
            all.push(said);
            if is_it {
                return all;
            }
        }
        panic!("{line} was not said, but {all:?}")
    }
}

/// Starts the program, as the manager does.
fn serve(home: &Home, variables: &[(&str, &str)], arguments: &[&str]) -> Family {
    home.write("ripstop.toml", &format!("{LISTEN}[server]\ndrain = \"5s\"\n"));
    let mut command = home.command(&[&["serve"], arguments].concat());
    let path = home.path().join("notify");
    command.env("NOTIFY_SOCKET", path).envs(variables.iter().copied());
    Family::start(&mut command).unwrap()
}

/// Its life, with or without a master: ready, reloads, a stop that takes its time.
#[track_caller]
fn lives(arguments: &[&str]) {
    let home = Home::new();
    let manager = Manager::new(&home);
    let mut family = serve(&home, &[], arguments);
    let first = manager.awaits("READY=1");
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].iter().any(|line| line.starts_with("STATUS=serving")), "{first:?}");
    let listening = |line: &str| line.split_once("listener=web address=")?.1.trim().parse().ok();
    let address = family.announced(DEADLINE, listening).unwrap();
    for config in [LISTEN, "nonsense"] {
        home.write("ripstop.toml", config);
        family.master().signal(Signal::HUP).unwrap();
        let said = manager.awaits("RELOADING=1");
        let since = said.concat().iter().any(|line| line.starts_with("MONOTONIC_USEC="));
        assert!(since, "{said:?}");
        // It is ready again, whether the configuration was good or not.
        manager.awaits("READY=1");
    }
    // A request that has begun keeps it from its end.
    let mut slow = Client::tcp(address).unwrap();
    slow.send("GET / HTTP/1.1\r\nHost: ").unwrap();
    // Whoever connects after it is answered when it has been read.
    assert_eq!(Client::tcp(address).unwrap().get("/").unwrap().status(), 200);
    family.master().signal(Signal::TERM).unwrap();
    manager.awaits("STOPPING=1");
    manager.awaits("EXTEND_TIMEOUT_USEC=");
    slow.send("test\r\n\r\n").unwrap();
    assert_eq!(slow.response().unwrap().status(), 200);
    assert_eq!(family.master().exit(DEADLINE).unwrap().code(), Some(0));
    assert!(family.ends());
}

#[test]
fn a_manager_is_told_by_the_master_what_the_server_does() {
    lives(&[]);
}

#[test]
fn without_a_master_the_server_tells_it_itself() {
    lives(&["--no-master"]);
}

#[test]
fn the_next_server_and_an_upgrade_are_told() {
    let home = Home::new();
    let manager = Manager::new(&home);
    let family = serve(&home, &[], &[]);
    manager.awaits("READY=1");
    send(family.server(), Signal::KILL).unwrap();
    let said = manager.awaits("READY=1").concat();
    assert!(said.contains(&"STATUS=serving, server number 2".to_owned()), "{said:?}");
    assert_eq!(home.run(&["upgrade"]).code, 0);
    let said = manager.awaits("READY=1").concat();
    assert!(said.contains(&"STATUS=serving, server number 3".to_owned()), "{said:?}");
}

#[test]
fn a_sign_of_life_is_given_as_long_as_the_server_lives() {
    let home = Home::new();
    let manager = Manager::new(&home);
    // Wanted each second.
    let mut family = serve(&home, &[("WATCHDOG_USEC", "2000000")], &[]);
    for _ in 0..3 {
        manager.awaits("WATCHDOG=1");
    }
    let server = family.server();
    send(server, Signal::STOP).unwrap();
    // What its heart did just before may still be told.
    let quiet = until(DEADLINE, || manager.hears(Duration::from_millis(2500)).is_none());
    send(server, Signal::CONT).unwrap();
    assert!(quiet, "it is said to live");
    manager.awaits("WATCHDOG=1");
    family.master().signal(Signal::TERM).unwrap();
    assert_eq!(family.master().exit(DEADLINE).unwrap().code(), Some(0));
}

#[test]
fn a_manager_without_a_file_is_told_too_and_one_that_is_gone_is_no_fault() {
    let home = Home::new();
    let name = format!("ripstop-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::at(UnixDatagram::bind_addr(&address).unwrap());
    let mut family = serve(&home, &[("NOTIFY_SOCKET", &format!("@{name}"))], &[]);
    manager.awaits("READY=1");
    drop(manager);
    family.master().signal(Signal::TERM).unwrap();
    assert_eq!(family.master().exit(DEADLINE).unwrap().code(), Some(0));
}
