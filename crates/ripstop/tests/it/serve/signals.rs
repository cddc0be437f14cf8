//! The end of a process by signals.

use ripstop_testkit::{Process, Seed, Signal, until};
use std::{
    fs,
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use super::{
    program::{Program, command, tear},
    setup::SOON,
};

#[test]
fn both_signals_end_an_idle_process_with_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut tear = tear(&[]);
        let mut idle = tear.connect();
        assert_eq!(idle.get("/").unwrap().status(), 200);
        tear.signal(signal);
        assert_eq!(tear.exit_code(), Some(0));
        assert_eq!(idle.read_to_end().unwrap(), b"");
        tear.logged("server ended outcome=Drained");
    }
}

#[test]
fn a_connection_accepted_just_before_the_signal_gets_its_answer() {
    let mut tear = tear(&["--workers", "1"]);
    let mut idle = tear.connect();
    assert_eq!(idle.get("/").unwrap().status(), 200);
    let before = sockets(&tear);
    let mut fresh = tear.connect();
    assert!(until(SOON, || sockets(&tear) > before), "it was not accepted");
    tear.signal(Signal::TERM);
    tear.logged("draining");
    let response = fresh.get("/").unwrap();
    assert_eq!((response.status(), response.header("connection")), (200, Some("close")));
    assert_eq!(tear.exit_code(), Some(0));
}

/// Its sockets. (Of other files a thread may have one open for a moment.)
fn sockets(program: &Program) -> usize {
    let fds = fs::read_dir(format!("/proc/{}/fd", program.process.id())).unwrap();
    let links = fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn a_second_signal_ends_a_process_at_once() {
    for path in ["/slow?ms=600000", "/deadlock", "/wedge?ms=600000"] {
        let mut tear = tear(&["--workers", "1"]);
        let mut client = tear.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).unwrap();
        // The next one is answered when the first one is being handled, by a spare if need be.
        assert_eq!(tear.connect().get("/").unwrap().status(), 200);
        tear.signal(Signal::TERM);
        tear.logged("draining");
        let second = Instant::now();
        tear.signal(Signal::TERM);
        assert_eq!(tear.exit_code(), Some(0), "{path}");
        assert!(second.elapsed() < Duration::from_secs(5), "{path}: {:?}", second.elapsed());
        tear.logged("server ended outcome=Cut(");
    }
}

#[test]
fn a_signal_as_soon_as_it_listens_drains() {
    for _ in 0..20 {
        tear(&["--workers", "1", "--spares", "0"]).terminate();
    }
}

#[test]
fn a_signal_during_the_start_ends_the_process() {
    let mut random = Seed::from_env_or_clock().random();
    for _ in 0..20 {
        let mut command = command("tear");
        let tear = Process::start(command.args(["--listen", "127.0.0.1:0", "--workers", "1"]));
        let mut tear = tear.unwrap();
        // Up to about the time that a start takes, none of which can be waited for.
        let pause = Duration::from_micros(random.below(20_000) as u64);
        let _ = until(pause, || false);
        tear.signal(Signal::TERM).unwrap();
        let status = tear.exit(SOON).unwrap();
        // Before the server has taken the signal over, it is the kernel that ends the process.
        let killed = status.signal() == Some(15);
        // Its output is read to the end, by threads of its own.
        let _ = tear.announced(SOON, |_| None::<()>);
        let listened = tear.log().contains("listening");
        assert!(status.code() == Some(0) || (killed && !listened), "{status}: {}", tear.log());
    }
}

#[test]
fn a_port_in_use_ends_the_process_with_an_error_that_names_it() {
    let first = tear(&[]);
    let addr = first.address.to_string();
    let mut second = Process::start(command("tear").args(["--listen", &addr])).unwrap();
    assert_eq!(second.exit(SOON).unwrap().code(), Some(1));
    assert!(until(SOON, || second.log().contains(&addr)), "{}", second.log());
    first.terminate();
}

#[test]
fn hup_without_a_reload_is_left_as_it_is() {
    let mut hello = Program::start(command("hello").arg("127.0.0.1:0"));
    hello.signal(Signal::HUP);
    if ignores_hup() {
        // As under nohup: a program started by us ignores it too, and goes on.
        assert_eq!(hello.connect().get("/").unwrap().status(), 200);
        return hello.terminate();
    }
    assert_eq!(hello.exit_code(), None);
}

/// Whether this process, and so what it starts, ignores HUP.
fn ignores_hup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 1
}
