//! Upgrades: a new program takes the server's place, or nothing changes.

use super::family::{Walled, all_answered, comes_to_rest};
use crate::serve::setup::SOON;
use ripstop::wall::{Outside, Role, Upgraded};
use ripstop_testkit::{Busy, Client, Proc, Signal, example, send, until};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// How long a new program has, where it is to have enough.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks for an upgrade.
#[track_caller]
fn ask(walled: &mut Walled, program: Option<&Path>, patience: Duration) -> Outside {
    let outside = Outside::of(walled.family.id().cast_signed()).unwrap();
    assert!(outside.ask(program.map(Path::as_os_str), patience), "another one is under way");
    walled.family.master().signal(Signal::USR2).unwrap();
    outside
}

/// Waits for the end of an upgrade.
#[track_caller]
fn outcome(outside: &Outside, walled: &Walled) -> Upgraded {
    let over = until(SOON, || outside.upgraded() != Upgraded::NotYet);
    assert!(over, "the upgrade is never over:\n{}", walled.log());
    outside.upgraded()
}

/// Has the program take its own place.
#[track_caller]
pub(super) fn upgrade(walled: &mut Walled) {
    let outside = ask(walled, None, PATIENCE);
    assert_eq!(outcome(&outside, walled), Upgraded::Done, "{}", walled.log());
}

/// The servers that are seen from outside, by what they are there for.
#[track_caller]
fn roles(walled: &Walled) -> Vec<Role> {
    let outside = Outside::of(walled.family.id().cast_signed()).unwrap();
    outside.servers().unwrap().iter().map(|seen| seen.role).collect()
}

/// Waits until one server is left, and nothing else of the upgrades.
#[track_caller]
pub(super) fn is_one(walled: &Walled) -> Proc {
    let one = until(SOON, || walled.members().len() == 3 && roles(walled) == [Role::Serves]);
    assert!(one, "{:?}, {:?}:\n{}", walled.members(), roles(walled), walled.log());
    walled.server()
}

#[test]
fn upgrades_under_load_fail_no_request_and_break_no_idle_connection() {
    let mut walled = Walled::start(&["--workers", "2", "--park", "200"]);
    let mut idle = walled.idle(100);
    let mut fresh: Vec<_> = (0..20).map(|_| walled.connect()).collect();
    let busy = Busy::default();
    thread::scope(|scope| {
        let _guard = busy.guard();
        busy.run(scope, walled.address, 8);
        for _ in 0..2 {
            let first = walled.server();
            // They are in all states: parked, idle, and just answered.
            all_answered(&mut idle[..50]);
            let mut slow = walled.connect();
            slow.send("GET /slow?ms=1000 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
            let some = busy.answered.load(Relaxed) + 100;
            assert!(until(SOON, || busy.answered.load(Relaxed) > some), "{busy:?}");
            upgrade(&mut walled);
            all_answered(&mut idle);
            assert_eq!(slow.response().unwrap().text(), "slow");
            let second = is_one(&walled);
            assert_ne!(first.id(), second.id());
            // The request was answered by the old program, its connection goes on with the new one.
            let pid = format!("pid {}", second.id());
            assert_eq!(slow.get("/pid").unwrap().text(), pid);
            assert_eq!(idle[0].get("/pid").unwrap().text(), pid);
            all_answered(&mut idle);
        }
        all_answered(&mut fresh);
    });
    let failed = [&busy.told, &busy.cut, &busy.refused, &busy.wrong];
    assert!(failed.iter().all(|count| count.load(Relaxed) == 0), "{busy:?}\n{}", walled.log());
    assert!(busy.answered.load(Relaxed) > 0);
}

/// A program that the shell executes.
fn script(home: &TempDir, name: &str, lines: &str) -> PathBuf {
    let path = home.path().join(name);
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Row 38.
#[test]
fn a_program_that_does_not_come_to_serve_changes_nothing() {
    let home = TempDir::new().unwrap();
    let mut walled = Walled::start(&["--workers", "1"]);
    let mut idle = walled.idle(10);
    let before = walled.server();
    let text = home.path().join("text");
    fs::write(&text, "no program").unwrap();
    let foreign = "printf 'ripstop\\377' | dd of=/proc/self/fd/${RIPSTOP_WALL#server:} bs=8 \
                   conv=notrunc 2>/dev/null; exec \"$TEAR\"";
    let foreign = foreign.replace("$TEAR", &example("tear").unwrap().to_string_lossy());
    let second = Duration::from_secs(1);
    let programs = [
        (home.path().join("nothing"), PATIENCE, "cannot be executed: No such file"),
        (text, PATIENCE, "cannot be executed: Permission denied"),
        (script(&home, "ends", "exit 3"), PATIENCE, "exit code 3 before"),
        (script(&home, "dies", "kill -9 $$"), PATIENCE, "signal 9 before"),
        (script(&home, "hangs", "exec sleep 600"), second, "did not serve in time"),
        (script(&home, "foreign", &foreign), PATIENCE, "exit code 70 before"),
    ];
    let busy = Busy::default();
    thread::scope(|scope| {
        let _guard = busy.guard();
        busy.run(scope, walled.address, 2);
        for (program, patience, expected) in programs {
            let outside = ask(&mut walled, Some(&program), patience);
            let Upgraded::Failed(reason) = outcome(&outside, &walled) else {
                panic!("{} serves", program.display());
            };
            assert!(reason.contains(expected), "{}: {reason}", program.display());
            assert_eq!(is_one(&walled).id(), before.id());
            all_answered(&mut idle);
        }
        // And then one that does.
        upgrade(&mut walled);
        all_answered(&mut idle);
        assert_ne!(is_one(&walled).id(), before.id());
    });
    let failed = [&busy.told, &busy.cut, &busy.refused, &busy.wrong];
    assert!(failed.iter().all(|count| count.load(Relaxed) == 0), "{busy:?}\n{}", walled.log());
}

#[test]
fn an_upgrade_that_is_under_way_is_the_only_one() {
    let home = TempDir::new().unwrap();
    let mut walled = Walled::start(&["--workers", "1"]);
    let hangs = script(&home, "hangs", "exec sleep 600");
    let outside = ask(&mut walled, Some(&hangs), PATIENCE);
    assert!(!outside.ask(None, PATIENCE));
    // A stop does not wait for it.
    assert!(until(SOON, || roles(&walled) == [Role::Serves, Role::Starts]));
    walled.family.master().signal(Signal::TERM).unwrap();
    assert_eq!(walled.family.master().exit(SOON).unwrap().code(), Some(0));
    assert!(walled.ends(), "{:?}", walled.members());
}

#[test]
fn a_stop_ends_the_server_that_leaves_too() {
    let mut walled = Walled::start(&["--workers", "1"]);
    let mut slow = walled.connect();
    slow.send("GET /slow?ms=1500 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    drop(walled.idle(1));
    upgrade(&mut walled);
    walled.family.master().signal(Signal::TERM).unwrap();
    assert_eq!(slow.response().unwrap().text(), "slow");
    assert_eq!(walled.family.master().exit(SOON).unwrap().code(), Some(0));
    assert!(walled.ends(), "{:?}", walled.members());
}

#[test]
fn a_unix_socket_is_there_through_upgrades_and_gone_after_the_end() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("tear.sock");
    let mut walled =
        Walled::start(&["--workers", "1", "--listen", &format!("unix:{}", path.display())]);
    let mut idle = Client::unix(&path).unwrap();
    assert_eq!(idle.get("/").unwrap().text(), "Hello, World!");
    for _ in 0..2 {
        upgrade(&mut walled);
        is_one(&walled);
        assert_eq!(idle.get("/").unwrap().text(), "Hello, World!");
        assert_eq!(Client::unix(&path).unwrap().get("/").unwrap().text(), "Hello, World!");
    }
    walled.family.master().signal(Signal::TERM).unwrap();
    assert_eq!(walled.family.master().exit(SOON).unwrap().code(), Some(0));
    assert!(!path.exists());
}

/// Row 39: whoever is killed, and whenever, no idle connection is lost or has two owners, and
/// somebody accepts.
#[test]
fn whoever_is_killed_in_an_upgrade_costs_no_idle_connection() {
    let home = TempDir::new().unwrap();
    let mut walled = Walled::start(&["--workers", "1", "--park", "100"]);
    let mut idle = walled.idle(50);
    let hangs = script(&home, "hangs", "exec sleep 600");
    assert!(comes_to_rest(walled.server()));

    // The present server, while the new one starts: its keeper takes over, the upgrade goes on.
    let outside = ask(&mut walled, Some(&hangs), PATIENCE);
    assert!(until(SOON, || roles(&walled) == [Role::Serves, Role::Starts]));
    let servers = outside.servers().unwrap();
    send(Proc::new(servers[0].server.cast_unsigned()), Signal::KILL).unwrap();
    walled.took_over(2);
    all_answered(&mut idle);
    // Then the new one.
    let starting = outside.servers().unwrap().into_iter().find(|seen| seen.role == Role::Starts);
    send(Proc::new(starting.unwrap().server.cast_unsigned()), Signal::KILL).unwrap();
    assert!(matches!(outcome(&outside, &walled), Upgraded::Failed(_)));
    is_one(&walled);
    all_answered(&mut idle);

    // Either of them just after the change of place.
    for role in [Role::Serves, Role::Leaves] {
        assert!(comes_to_rest(walled.server()));
        let outside = ask(&mut walled, None, PATIENCE);
        let mut killed = None;
        let there = until(SOON, || {
            let seen = outside.servers().unwrap_or_default();
            let leaves = seen.iter().any(|seen| seen.role == Role::Leaves);
            let one = seen.into_iter().find(|seen| seen.role == role && leaves);
            killed = one.map(|seen| send(Proc::new(seen.server.cast_unsigned()), Signal::KILL));
            killed.is_some() || outside.upgraded() == Upgraded::Done
        });
        assert!(there, "{}", walled.log());
        println!("{role:?} was killed: {killed:?}");
        assert_eq!(outcome(&outside, &walled), Upgraded::Done);
        is_one(&walled);
        all_answered(&mut idle);
    }
    assert_eq!(walled.connect().get("/").unwrap().text(), "Hello, World!");
}
