//! Reloads: all of a new configuration, or nothing of it.

use std::fs;

use ripstop_testkit::{Certificates, Client, Signal, until};

use crate::program::{DEADLINE, Home, LISTEN, Server};

const DONE: &str = "configuration reloaded";
const REFUSED: &str = "configuration not reloaded";

/// A configuration that answers with `body` everywhere.
fn saying(body: &str) -> String {
    format!("{LISTEN}[[route]]\npath = \"/*\"\nrespond.body = \"{body}\"\n")
}

fn reload(home: &Home, server: &mut Server, config: &str) {
    home.write("ripstop.toml", config);
    server.signal(Signal::HUP);
}

#[test]
fn new_requests_see_the_new_routes_on_old_connections_and_listeners() {
    let home = Home::new();
    let mut server = home.serve(&saying("old"));
    let mut client = server.connect();
    assert_eq!(client.get("/").unwrap().text(), "old");
    reload(&home, &mut server, &saying("new"));
    server.logged(DONE, 1);
    assert_eq!(client.get("/").unwrap().text(), "new");
    assert_eq!(server.connect().get("/").unwrap().text(), "new");
}

#[test]
fn the_command_checks_first_and_then_reloads() {
    let home = Home::new();
    let server = home.serve(&saying("old"));
    let mut client = server.connect();
    home.write("ripstop.toml", &saying("new").replace("respond", "respnod"));
    let ended = home.run(&["reload"]);
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.stderr.contains("did you mean \"respond\"?"), "{ended:?}");
    home.write("ripstop.toml", &saying("new"));
    let ended = home.run(&["reload"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    server.logged(DONE, 1);
    assert_eq!(client.get("/").unwrap().text(), "new");
    assert!(!server.process.log().contains(REFUSED), "the bad one was not even tried");
}

#[test]
fn a_bad_configuration_of_any_kind_changes_nothing_and_says_why() {
    let home = Home::new();
    let mut server = home.serve(&saying("old"));
    let web = server.address("web");
    let mut client = server.connect();
    let other = Home::new();
    let occupant = other.serve(LISTEN);
    let taken = occupant.address("web");
    let certificates = Certificates::new().unwrap();
    let chain = certificates.server("a", &["a"]).unwrap().chain;
    let key = certificates.server("b", &["b"]).unwrap().key;
    let cases = [
        ("[server\n".to_owned(), "ripstop.toml:9:"),
        ("nonsense = 1\n".to_owned(), "unknown key \"nonsense\""),
        ("[timeouts]\nidle = 5\n".to_owned(), "timeouts.idle must be"),
        ("[[route]]\npath = \"/*\"\nrespond = {}\n".to_owned(), "is already there (line 6)"),
        ("[[route]]\npath = \"/b\"\nfiles.root = \"none\"\n".to_owned(), "cannot open none"),
        (
            format!(
                "[[listen]]\naddress = \"127.0.0.1:0\"\n\
                 tls.certificates = [{{ chain = {chain:?}, key = {key:?} }}]\n"
            ),
            "does not belong",
        ),
        (format!("[[listen]]\naddress = \"{taken}\"\n"), "is in use"),
        ("[log]\nto = \"no/such/folder/log\"\n".to_owned(), "log.to cannot be opened"),
    ];
    let mut told = 0;
    for (bad, why) in cases {
        reload(&home, &mut server, &(saying("new") + &bad));
        let line = server.process.announced(DEADLINE, next_refusal(&mut told));
        let line = line.unwrap_or_else(|err| panic!("{why}: {err}"));
        assert!(line.contains(why), "{why}: {line}");
        assert_eq!(client.get("/").unwrap().text(), "old", "{why}");
        assert_eq!(Client::tcp(web).unwrap().get("/").unwrap().text(), "old", "{why}");
    }
}

/// Finds the first line of the next refused reload.
fn next_refusal(told: &mut usize) -> impl FnMut(&str) -> Option<String> {
    *told += 1;
    let wanted = *told;
    let mut seen = 0;
    move |line| {
        seen += usize::from(line.contains(REFUSED));
        (seen == wanted).then(|| line.to_owned())
    }
}

#[test]
fn listeners_come_and_go() {
    let home = Home::new();
    let mut server = home.serve(&saying("one"));
    let web = server.address("web");
    let second = "[[listen]]\nname = \"second\"\naddress = \"unix:second.sock\"\n";
    reload(&home, &mut server, &format!("{}{second}", saying("two")));
    server.logged(DONE, 1);
    let socket = home.path().join("second.sock");
    assert_eq!(Client::unix(&socket).unwrap().get("/").unwrap().text(), "two");
    assert_eq!(Client::tcp(web).unwrap().get("/").unwrap().text(), "two");
    reload(&home, &mut server, &saying("three"));
    server.logged(DONE, 2);
    assert!(until(DEADLINE, || Client::unix(&socket).is_err()));
    assert_eq!(Client::tcp(web).unwrap().get("/").unwrap().text(), "three");
}

#[test]
fn what_takes_a_restart_is_said() {
    let home = Home::new();
    let mut server = home.serve(&saying("a"));
    server.address("admin");
    let config = saying("a").replace("[admin]", "[server]\nspares = 1\n[admin]");
    reload(&home, &mut server, &config);
    server.logged("takes a restart", 1);
    assert!(server.process.log().contains("server.spares"));
}

#[test]
fn flags_and_variables_still_go_before_the_file() {
    let home = Home::new();
    home.write("ripstop.toml", &saying("old").replace("127.0.0.1:0", "127.0.0.1:1"));
    let mut command = home.command(&["--listen", "127.0.0.1:0"]);
    command.env("RIPSTOP_ADMIN_LISTEN", "127.0.0.1:0");
    let process = ripstop_testkit::Process::start(&mut command).unwrap();
    let mut server = Server { process };
    let web = server.address("127.0.0.1:0");
    reload(&home, &mut server, &saying("new").replace("127.0.0.1:0", "127.0.0.1:1"));
    server.logged(DONE, 1);
    assert_eq!(Client::tcp(web).unwrap().get("/").unwrap().text(), "new");
}

#[test]
fn the_pid_file_says_who_to_reload() {
    let home = Home::new();
    let server = home.serve(LISTEN);
    server.address("admin");
    let text = fs::read_to_string(home.path().join("ripstop.pid")).unwrap();
    assert_eq!(text.lines().next(), Some(server.process.id().to_string().as_str()));
    let config = fs::canonicalize(home.path().join("ripstop.toml")).unwrap();
    assert_eq!(text.lines().nth(2), Some(format!("config {}", config.display()).as_str()));
}
