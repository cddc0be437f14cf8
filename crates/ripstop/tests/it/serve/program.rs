//! Started examples: what they log, and how they end.

use ripstop_testkit::{Client, Process, Signal, example, until};
use std::{net::SocketAddr, path::Path, process::Command};

use super::setup::SOON;

/// An example that runs and listens.
pub(crate) struct Program {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// The example `name`, not yet started. It logs what its life is made of, and each spare that is
/// freed. Whatever the tests are asked for, it prints no backtraces: to resolve one takes longer than
/// some of their deadlines.
pub(crate) fn command(name: &str) -> Command {
    command_at(&example(name).expect("cargo put it there"))
}

/// The same, of an example that is elsewhere.
pub(crate) fn command_at(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env("RUST_LOG", "info,ripstop_work=debug").env("RUST_BACKTRACE", "0");
    command
}

/// `tear` with these arguments, on a port that the kernel chooses.
#[track_caller]
pub(crate) fn tear(arguments: &[&str]) -> Program {
    Program::start(command("tear").args(["--listen", "127.0.0.1:0"]).args(arguments))
}

impl Program {
    /// Starts `command`, and waits until it listens.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let process = Process::start(command).unwrap_or_else(|err| panic!("{err}"));
        let address = process.announced(SOON, |line| listening(line)?.parse().ok());
        let address = address.unwrap_or_else(|err| panic!("{err}"));
        Self { process, address }
    }

    /// A new connection.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        Client::tcp(self.address).unwrap_or_else(|err| panic!("{err}: {}", self.process.log()))
    }

    /// The names of its threads, once all of them have started: the server answers before.
    #[track_caller]
    pub(crate) fn threads(&self) -> Vec<String> {
        let mut threads = Vec::new();
        let complete = until(SOON, || {
            threads = self.process.proc().threads().unwrap();
            // The main thread, that which waits for signals, and that of the server, which has
            // its parent's name at first.
            let count = |name: &str| threads.iter().filter(|thread| *thread == name).count();
            count("tear") == 2 && count("rip-main") == 1
        });
        assert!(complete, "{threads:?}");
        threads
    }

    /// Waits until it logs a line with `text`.
    #[track_caller]
    pub(crate) fn logged(&self, text: &str) {
        let found = self.process.announced(SOON, |line| line.contains(text).then_some(()));
        found.unwrap_or_else(|err| panic!("{text:?} was not logged: {err}"));
    }

    /// Whether it takes anybody for stuck: it charges a route, or reports more than that a thread
    /// had to wait for a processor for a moment, as threads do on a busy machine.
    pub(crate) fn blames(&self) -> bool {
        let waited = |line: &str| {
            let asleep_or_spinning = line.contains(", asleep") || line.contains(", spinning");
            line.contains(" stall of ") && line.contains(" ms") && !asleep_or_spinning
        };
        self.process.log().lines().any(|line| {
            line.contains("a route stalls its thread") || line.contains(" ERROR ") && !waited(line)
        })
    }

    #[track_caller]
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.process.signal(signal).expect("the program runs");
    }

    /// Waits for its end; `None` if a signal ended it.
    #[track_caller]
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.process.exit(SOON).unwrap_or_else(|err| panic!("{err}")).code()
    }

    /// Ends it as a service manager does.
    #[track_caller]
    pub(crate) fn terminate(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.exit_code(), Some(0), "{}", self.process.log());
    }
}

/// Where a line says that the listener `main` listens.
pub(crate) fn listening(line: &str) -> Option<&str> {
    Some(line.split_once("listening listener=main address=")?.1.trim())
}

/// Stops the whole program, and waits until all its threads have stopped.
#[track_caller]
pub(crate) fn freeze(program: &mut Program) {
    program.signal(Signal::STOP);
    let proc = program.process.proc();
    assert!(until(SOON, || proc.has_stopped().unwrap()));
}

/// Threads by their names; which executors are left of many does not matter, nor whether somebody
/// reports.
pub(crate) fn kinds(threads: &[String]) -> Vec<String> {
    let lasting = threads.iter().filter(|name| *name != "rip-tears");
    let kind = |name: &String| match name.starts_with("rip-e") {
        true => "rip-e".to_owned(),
        false => name.clone(),
    };
    lasting.map(kind).collect()
}
