//! Started programs: what they print, how they end, that none is left.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use ripstop_testkit::{Proc, Process, Signal, address, until};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn an_announced_address_is_found_on_either_stream() {
    for stream in ["1", "2"] {
        let script = format!("echo first; echo listening addr=127.0.0.1:4711 >&{stream}; read x");
        let process = start(&script);
        let found = process.announced(SOON, address).unwrap();
        assert_eq!(found.to_string(), "127.0.0.1:4711");
    }
}

#[test]
fn a_program_that_ends_without_announcing_is_an_error_with_its_output() {
    let err = start("echo broken >&2; exit 3").announced(SOON, address).unwrap_err();
    assert!(err.to_string().ends_with("it printed:\nbroken"), "{err}");
}

#[test]
fn exit_codes_and_signals_are_told() {
    assert_eq!(start("exit 78").exit(SOON).unwrap().code(), Some(78));
    let mut endless = endless();
    assert_eq!(endless.exit(Duration::ZERO).unwrap_err().kind(), ErrorKind::TimedOut);
    endless.signal(Signal::TERM).unwrap();
    assert_eq!(endless.exit(SOON).unwrap().signal(), Some(15));
    assert_eq!(endless.signal(Signal::TERM).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_stopped_program_is_killed_and_reaped_when_dropped() {
    let mut process = endless();
    let proc = process.proc();
    assert!(proc.fds().unwrap() >= 3);
    assert_eq!(proc.threads().unwrap(), ["tail"]);
    process.signal(Signal::STOP).unwrap();
    drop(process);
    assert!(proc.fds().is_err());
    assert!(proc.threads().is_err());
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let err = Process::start(&mut Command::new("/no/such/program")).err().unwrap();
    assert!(err.to_string().starts_with("cannot start /no/such/program: "), "{err}");
}

#[test]
fn the_threads_that_read_the_output_end_with_the_program() {
    let readers = || {
        let names = Proc::own().threads().unwrap();
        names.iter().filter(|name| *name == "rip-test-log").count()
    };
    drop(start("echo done"));
    // Other tests start programs, too, and end within their deadlines.
    assert!(until(SOON * 2, || readers() == 0));
}

/// Runs a shell's script.
fn start(script: &str) -> Process {
    Process::start(Command::new("sh").args(["-c", script])).unwrap()
}

/// A program that does nothing and does not end.
fn endless() -> Process {
    let process = start("echo ready; exec tail -f /dev/null");
    process.announced(SOON, |line| (line == "ready").then_some(())).unwrap();
    let proc = process.proc();
    assert!(until(SOON, || proc.threads().unwrap() == ["tail"]));
    process
}
