//! What is logged, in which form, and where it goes.

use std::fs;

use ripstop_testkit::{Process, Signal, until};

use crate::program::{DEADLINE, Home, LISTEN, Server};

const HELLO: &str = "[[route]]\npath = \"/\"\nrespond.body = \"hello\"\n";

#[test]
fn json_lines_are_json() {
    let home = Home::new();
    let config = format!("{LISTEN}[log]\nformat = \"json\"\nto = \"ripstop.log\"\n{HELLO}");
    let mut server = home.serve(&config);
    let log = home.path().join("ripstop.log");
    let text = || fs::read_to_string(&log).unwrap_or_default();
    assert!(until(DEADLINE, || text().matches("\"listening\"").count() == 2), "{}", text());
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), 0);
    let lines: Vec<serde_json::Value> =
        text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let listening = lines.iter().find(|line| line["message"] == "listening").unwrap();
    assert_eq!((&listening["level"], &listening["listener"]), (&"INFO".into(), &"web".into()));
    assert!(listening["time"].as_str().unwrap().ends_with('Z'), "{listening}");
    assert_eq!(server.process.log(), "", "nothing goes elsewhere");
}

#[test]
fn rust_log_goes_before_the_configuration() {
    let home = Home::new();
    home.write("ripstop.toml", &format!("{LISTEN}[log]\nfilter = \"off\"\n"));
    let mut command = home.command(&[]);
    let process = Process::start(command.env("RUST_LOG", "info")).unwrap();
    Server { process }.address("web");
}

#[test]
fn requests_are_logged_to_a_file_that_may_be_moved() {
    let home = Home::new();
    let access = "[log.access]\nformat = \"json\"\nto = \"access.log\"\n";
    let mut server = home.serve(&format!("{LISTEN}{access}{HELLO}"));
    let mut client = server.connect();
    client.get("/?first").unwrap();
    let (log, old) = (home.path().join("access.log"), home.path().join("access.old"));
    let has = |text: &str| fs::read_to_string(&log).is_ok_and(|log| log.contains(text));
    assert!(until(DEADLINE, || has("/?first")));
    fs::rename(&log, &old).unwrap();
    server.signal(Signal::HUP);
    server.logged("configuration reloaded", 1);
    client.get("/?second").unwrap();
    assert!(until(DEADLINE, || has("/?second")));
    assert!(!has("/?first"));
    let line = fs::read_to_string(&old).unwrap();
    let line: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    assert_eq!((&line["method"], &line["status"]), (&"GET".into(), &200.into()));
    assert_eq!((&line["completed"], &line["bytes"]), (&true.into(), &5.into()));
}

#[test]
fn a_reload_can_turn_the_access_log_on() {
    let home = Home::new();
    let mut server = home.serve(&format!("{LISTEN}{HELLO}"));
    server.connect().get("/?before").unwrap();
    let access = "[log.access]\nformat = \"combined\"\nto = \"access.log\"\n";
    home.write("ripstop.toml", &format!("{LISTEN}{access}{HELLO}"));
    server.signal(Signal::HUP);
    server.logged("configuration reloaded", 1);
    server.connect().get("/?after").unwrap();
    let log = || fs::read_to_string(home.path().join("access.log")).unwrap_or_default();
    assert!(until(DEADLINE, || log().contains("\"GET /?after HTTP/1.1\" 200 5")), "{}", log());
    assert!(!log().contains("before"));
    server.signal(Signal::HUP);
    server.logged("configuration reloaded", 2);
    server.connect().get("/?still").unwrap();
    assert!(until(DEADLINE, || log().contains("/?still")), "a further reload keeps it");
}

#[test]
fn a_log_that_cannot_be_opened_is_a_fault() {
    let home = Home::new();
    home.write("ripstop.toml", &format!("{LISTEN}[log]\nto = \"none/log\"\n"));
    let ended = home.run(&["serve"]);
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.stderr.starts_with("ripstop.toml:7:6: log.to cannot be opened"), "{ended:?}");
}

#[test]
fn a_variable_that_is_almost_ours_is_warned_of() {
    let home = Home::new();
    home.write("ripstop.toml", LISTEN);
    let mut command = home.command(&[]);
    command.env("RIPSTOP_WORKRES", "1").env("RIPSTOP_SERVICE_HOST", "10.0.0.1");
    let server = Server { process: Process::start(&mut command).unwrap() };
    server.address("admin");
    let log = server.process.log();
    assert!(log.contains("RIPSTOP_WORKERS"), "{log}");
    assert!(!log.contains("RIPSTOP_SERVICE_HOST"), "{log}");
}
