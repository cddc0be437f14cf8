//! New options for a server that runs.

use ripstop::{CertifiedFiles, Error, Limits, Options, TlsOptions};
use ripstop_testkit::{Client, until};
use std::{net::TcpListener, path::Path, thread};

use super::{
    levers::Levers,
    load::{Habit, Load},
    setup::{SOON, connect, listen, options, path, refused, start, tcp},
};

/// A request with so many fields, `Host` included.
fn request(fields: usize) -> String {
    let more: String = (1..fields).map(|n| format!("x-{n}: y\r\n")).collect();
    format!("GET / HTTP/1.1\r\nHost: test\r\n{more}\r\n")
}

fn fields_limit(fields: usize) -> Limits {
    Limits { fields, ..Limits::default() }
}

/// `main`, and a Unix listener of this name.
fn with_file(options: &Options, dir: &Path, name: &str) -> Options {
    let mut options = options.clone();
    options.listen.push(listen(name, &format!("unix:{}/{name}.sock", dir.display())));
    options
}

#[test]
fn two_hundred_changes_under_load_fail_no_request() {
    let (levers, app) = Levers::new();
    let dir = tempfile::tempdir().unwrap();
    let base = options(2, 1);
    let mut sets = [with_file(&base, dir.path(), "one"), with_file(&base, dir.path(), "two")];
    sets[1].limits = fields_limit(50);
    let running = start(app, &sets[0]);
    let mut kept = Client::unix(&path(&running, "one")).unwrap();
    let load = Load::new(tcp(&running, "main"));
    thread::scope(|scope| {
        let _stop = load.guard();
        load.run(scope, 4, Habit::KeepAlive);
        load.run(scope, 2, Habit::Fresh);
        for change in 1..=200 {
            let set = change % 2;
            let applied = running.handle().apply(sets[set].clone());
            applied.unwrap_or_else(|err| panic!("change {change}: {err}"));
            let mut client = Client::unix(&path(&running, ["one", "two"][set])).unwrap();
            assert_eq!(client.get("/").unwrap().text(), "hello", "change {change}");
            assert_eq!(kept.get("/").unwrap().text(), "hello", "change {change}");
        }
    });
    let seen = load.seen();
    assert_eq!(seen.failures, [""; 0]);
    assert_eq!(levers.begun(), seen.answers + 400);
    assert_eq!(dir.path().read_dir().unwrap().count(), 1);
}

#[test]
fn a_listener_that_stays_keeps_those_who_wait_for_it() {
    let (levers, app) = Levers::new();
    let dir = tempfile::tempdir().unwrap();
    // The only thread is blocked: nobody accepts.
    let base = options(1, 0);
    let running = start(app, &base);
    let mut wedged = connect(&running);
    wedged.send("GET /wedge HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    levers.await_begun(1);
    let mut waiting = connect(&running);
    waiting.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut changed = with_file(&base, dir.path(), "more");
    changed.limits = fields_limit(50);
    running.handle().apply(changed).unwrap();
    levers.unwedge();
    assert_eq!(waiting.response().unwrap().text(), "hello");
    assert_eq!(wedged.response().unwrap().text(), "unwedged");
    let mut new = Client::unix(&path(&running, "more")).unwrap();
    assert_eq!(new.get("/").unwrap().text(), "hello");
}

#[test]
fn a_listener_that_goes_takes_those_who_wait_for_it() {
    let (levers, app) = Levers::new();
    let dir = tempfile::tempdir().unwrap();
    let base = options(1, 0);
    let running = start(app, &with_file(&base, dir.path(), "gone"));
    let gone = path(&running, "gone");
    let mut wedged = connect(&running);
    wedged.send("GET /wedge HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    levers.await_begun(1);
    let mut waiting: Vec<_> = (0..40).map(|_| Client::unix(&gone).unwrap()).collect();
    running.handle().apply(base).unwrap();
    levers.unwedge();
    for client in &mut waiting {
        assert_eq!(client.get("/").unwrap().text(), "hello");
    }
    assert!(until(SOON, || Client::unix(&gone).is_err()));
}

#[test]
fn new_limits_hold_for_new_connections() {
    let (_levers, app) = Levers::new();
    let base = options(2, 1);
    let running = start(app, &base);
    let mut old = connect(&running);
    assert_eq!(old.get("/").unwrap().status(), 200);
    running.handle().apply(Options { limits: fields_limit(10), ..base }).unwrap();
    let mut new = connect(&running);
    for (client, status) in [(&mut old, 200), (&mut new, 431)] {
        client.send(request(11)).unwrap();
        assert_eq!(client.response().unwrap().status(), status);
    }
}

#[test]
fn a_closed_listener_can_be_bound_by_others_at_once() {
    let (_levers, app) = Levers::new();
    let mut both = options(2, 1);
    both.listen.push(listen("other", "127.0.0.1:0"));
    let running = start(app, &both);
    for _ in 0..20 {
        let other = tcp(&running, "other");
        let mut kept = Client::tcp(other).unwrap();
        assert_eq!(kept.get("/").unwrap().status(), 200);
        both.listen.truncate(1);
        running.handle().apply(both.clone()).unwrap();
        assert!(Client::tcp(other).is_err());
        both.listen.push(listen("other", &other.to_string()));
        running.handle().apply(both.clone()).unwrap();
        assert_eq!(kept.get("/").unwrap().status(), 200);
    }
}

#[test]
fn a_listener_whose_options_change_keeps_its_socket_and_loses_nobody() {
    let (levers, app) = Levers::new();
    let dir = tempfile::tempdir().unwrap();
    let mut options = with_file(&options(2, 1), dir.path(), "file");
    let running = start(app, &options);
    let (addr, file) = (tcp(&running, "main"), path(&running, "file"));
    let load = Load::new(addr);
    thread::scope(|scope| {
        let _stop = load.guard();
        load.run(scope, 2, Habit::KeepAlive);
        load.run(scope, 2, Habit::Fresh);
        for change in 1..=50 {
            for listen in &mut options.listen {
                listen.listener.backlog = 1000 + change;
            }
            running.handle().apply(options.clone()).unwrap();
            assert_eq!(tcp(&running, "main"), addr, "change {change}");
            let mut client = Client::unix(&file).unwrap();
            assert_eq!(client.get("/").unwrap().text(), "hello", "change {change}");
        }
    });
    let seen = load.seen();
    assert_eq!(seen.failures, [""; 0]);
    assert_eq!(levers.begun(), seen.answers + 50);
}

#[test]
fn bad_options_change_nothing_and_every_fault_is_told() {
    let (_levers, app) = Levers::new();
    let dir = tempfile::tempdir().unwrap();
    let base = options(2, 1);
    let running = start(app, &base);
    let before = running.addresses();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|addr| (taken, addr.to_string())).unwrap();
    let mut bad = with_file(&base, dir.path(), "more");
    bad.limits = fields_limit(10);
    bad.listen[0].listener.name = "renamed".into();
    bad.listen.push(listen("taken", &taken.1));
    bad.listen.push(listen("tls", "127.0.0.1:0"));
    let none = dir.path().join("none.pem");
    let files = CertifiedFiles { chain: none.clone(), key: none.clone() };
    bad.listen[3].tls = Some(TlsOptions { certificates: vec![files], ..TlsOptions::default() });

    let told = refused(running.handle().apply(bad));

    let in_use = format!("{} is in use: ", taken.1);
    let missing = format!("listener tls: cannot read {}: ", none.display());
    for fault in [in_use, missing] {
        let found = told.iter().any(|told| told.starts_with(&fault));
        assert!(found, "no {fault:?} in {told:?}");
    }
    assert_eq!(running.addresses(), before);
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    let mut client = connect(&running);
    client.send(request(11)).unwrap();
    assert_eq!(client.response().unwrap().status(), 200);
}

#[test]
fn options_without_a_listener_are_refused() {
    let (_levers, app) = Levers::new();
    let base = options(1, 0);
    let running = start(app, &base);
    let applied = running.handle().apply(Options { listen: Vec::new(), ..base });
    assert!(matches!(applied, Err(Error::NothingToListenOn)));
    assert_eq!(connect(&running).get("/").unwrap().status(), 200);
}

#[test]
fn a_server_that_ends_takes_no_options() {
    let (levers, app) = Levers::new();
    let base = options(1, 0);
    let running = start(app, &base);
    let mut client = connect(&running);
    client.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    levers.await_begun(1);
    running.stop();
    let mut refused = None;
    let ending = || {
        refused = running.handle().apply(base.clone()).err();
        refused.is_some()
    };
    assert!(until(SOON, ending));
    let source = std::error::Error::source(refused.as_ref().unwrap()).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("the server is ending"));
}
