//! Accepts that fail, as strace makes the kernel's answer: the loop goes on, and costs nothing.

use ripstop_testkit::{Client, Process, Signal, until};
use std::{process::Command, time::Duration};

use super::{
    program::{Program, tear},
    setup::SOON,
};

/// For how long accepts fail.
const WHILE: Duration = Duration::from_secs(2);

/// A hundredth of that time; what strace adds to it, and a build without optimization, allowed for.
const CPU_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 20 });

/// strace, which makes all accepts of a program fail until it is dropped.
struct Failing(Process);

impl Failing {
    #[track_caller]
    fn with(errno: &str, program: &Program) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-e", "trace=accept4", "-e", &format!("inject=accept4:error={errno}")]);
        strace.args(["-p", &program.process.id().to_string()]);
        let strace = Process::start(&mut strace).unwrap_or_else(|err| panic!("{err}"));
        let attached = strace.announced(SOON, |line| line.contains("attached").then_some(()));
        attached.unwrap_or_else(|err| panic!("{err}"));
        Self(strace)
    }

    /// Lets accepts succeed again.
    #[track_caller]
    fn stop(mut self) {
        self.0.signal(Signal::TERM).unwrap();
        self.0.exit(SOON).unwrap();
    }
}

#[test]
fn accepts_that_fail_are_tried_again_and_cost_next_to_nothing() {
    let tear = tear(&["--workers", "1"]);
    let proc = tear.process.proc();
    let mut kept = tear.connect();
    assert_eq!(kept.get("/").unwrap().status(), 200);
    let fds = proc.fds().unwrap();
    for errno in ["ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "EPROTO", "EPERM"] {
        let failing = Failing::with(errno, &tear);
        let mut waiting: Vec<_> = (0..5).map(|_| ask(&tear)).collect();
        let before = proc.cpu_time().unwrap();
        assert!(!until(WHILE, || !waiting[0].is_quiet_for(Duration::ZERO).unwrap()), "{errno}");
        let took = proc.cpu_time().unwrap() - before;
        println!("{errno}: {took:?} in {WHILE:?}");
        assert!(took < CPU_MAX, "{errno}: {took:?}");
        assert_eq!(kept.get("/").unwrap().status(), 200, "{errno}");
        failing.stop();
        for client in &mut waiting {
            let status = client.response().unwrap().status();
            // Out of descriptors, the newest one may be told so.
            assert!(status == 200 || (errno.starts_with("EN") && status == 503), "{errno}");
        }
        drop(waiting);
        assert!(until(SOON, || proc.fds().unwrap() == fds), "{errno}: {:?} {fds}", proc.fds());
    }
    tear.terminate();
}

fn ask(tear: &Program) -> Client {
    let mut client = tear.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    client
}
