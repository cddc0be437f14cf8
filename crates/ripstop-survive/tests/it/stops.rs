//! An end that is meant leaves nothing behind, and tells how it came.

use crate::beacon::{Beacon, SOON};
use ripstop_testkit::{Family, Process, Signal, example, send};
use std::{fs, process::Command};

#[test]
fn a_stop_by_a_signal_ends_the_whole_family() {
    let signals = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];
    for signal in signals.into_iter().filter(|signal| !is_ignored(*signal)) {
        let mut beacon = Beacon::start();
        let _idle = beacon.idle();
        beacon.family.master().signal(signal).unwrap();
        // The example leaves signals as they are, so it is killed by it.
        let status = beacon.family.master().exit(SOON);
        let status = status.unwrap_or_else(|err| panic!("{signal:?}: {err}"));
        assert_eq!(status.code(), Some(128 + signal.as_raw()));
        assert!(beacon.family.ends(), "{signal:?}");
    }
}

/// Whether this process, and so what it starts, ignores a signal: as under nohup, or in the background
/// of a shell without job control.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 << (signal.as_raw() - 1) != 0
}

#[test]
fn the_exit_code_of_a_planned_end_is_the_masters_too() {
    let mut beacon = Beacon::start();
    assert!(beacon.connect().get("/stop").is_err());
    assert_eq!(beacon.family.master().exit(SOON).unwrap().code(), Some(5));
    assert!(beacon.family.ends());
}

#[test]
fn a_server_that_fails_before_it_has_served_is_not_started_again() {
    let mut command = Command::new(example("beacon").unwrap());
    let mut family = Family::start(command.arg("nowhere")).unwrap();
    assert_eq!(family.master().exit(SOON).unwrap().code(), Some(1));
    assert!(family.ends());
    // Its output is read to the end, by threads of its own.
    let _ = family.announced(SOON, |_| None::<()>);
    assert_eq!(family.log().lines().count(), 1, "{}", family.log());
}

#[test]
fn the_wall_is_off_where_the_environment_says_so() {
    let mut command = Command::new(example("beacon").unwrap());
    let process = Process::start(command.arg("127.0.0.1:0")).unwrap();
    let said = process.announced(SOON, |line| line.contains("generation=0").then_some(())).is_ok();
    assert!(said, "{}", process.log());
    assert!(process.log().contains(&format!("pid={} ", process.id())));
}

#[test]
fn a_stop_while_a_dead_server_is_being_replaced_is_a_stop() {
    for _ in 0..5 {
        let mut beacon = Beacon::start();
        send(beacon.family.server(), Signal::KILL).unwrap();
        beacon.family.master().signal(Signal::TERM).unwrap();
        beacon.family.master().exit(SOON).unwrap();
        assert!(beacon.family.ends());
    }
}
