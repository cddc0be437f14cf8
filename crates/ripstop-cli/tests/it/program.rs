//! The built program, started in a folder of its own with nothing in its environment.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use ripstop_testkit::{Client, Process, Signal, until};
use tempfile::TempDir;

/// A folder to run the program in.
pub(crate) struct Home(TempDir);

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, and gives its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The program with these arguments, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ripstop"));
        command.args(arguments).current_dir(self.path()).env_clear();
        command.env("XDG_RUNTIME_DIR", self.path());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments).output().expect("the program was built"))
    }
}

/// What a program that has ended left.
pub(crate) fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().expect("it ended by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Nothing here takes longer than this, on whatever machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A configuration that listens on a free port, named `web`, and has a free admin port.
pub(crate) const LISTEN: &str = "[[listen]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
                                 [admin]\nlisten = \"127.0.0.1:0\"\n";

/// A server that runs.
pub(crate) struct Server {
    pub(crate) process: Process,
}

impl Home {
    /// Starts a server by `ripstop.toml` with this text.
    pub(crate) fn serve(&self, config: &str) -> Server {
        self.write("ripstop.toml", config);
        self.start(&["serve"])
    }

    /// Starts the program without waiting for anything.
    pub(crate) fn start(&self, arguments: &[&str]) -> Server {
        let process = Process::start(&mut self.command(arguments));
        Server { process: process.expect("the program was built") }
    }
}

impl Server {
    /// Waits until a line with `text` was logged for the `times`th time.
    #[track_caller]
    pub(crate) fn logged(&self, text: &str, times: usize) {
        let mut seen = 0;
        let found = self.process.announced(DEADLINE, |line| {
            seen += usize::from(line.contains(text));
            (seen == times).then_some(())
        });
        found.unwrap_or_else(|err| panic!("{text:?} was not logged: {err}"));
    }

    /// Where the listener of this name listens.
    #[track_caller]
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        let start = format!("listener={listener} address=");
        let address = |line: &str| line.split_once(&start)?.1.trim().parse().ok();
        self.process.announced(DEADLINE, address).unwrap_or_else(|err| panic!("{listener}: {err}"))
    }

    /// A new connection to the listener `web`.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        Client::tcp(self.address("web")).expect("the server accepts connections")
    }

    /// Sends a signal, once the server has taken it over, which is a moment after it listens.
    #[track_caller]
    pub(crate) fn signal(&mut self, signal: Signal) {
        let status = format!("/proc/{}/status", self.process.id());
        let caught = || caught(&fs::read_to_string(&status).unwrap_or_default(), signal);
        assert!(until(DEADLINE, caught), "the server does not take over {signal:?}");
        self.process.signal(signal).expect("the server runs");
    }

    /// Waits for its end, and gives its exit code.
    #[track_caller]
    pub(crate) fn exit_code(&mut self) -> i32 {
        let status = self.process.exit(DEADLINE).unwrap_or_else(|err| panic!("{err}"));
        status.code().expect("it ended by itself")
    }
}

/// Whether a process with this `/proc/PID/status` has a handler for a signal.
fn caught(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    let mask = u64::from_str_radix(mask.trim(), 16).unwrap_or_default();
    mask >> (signal.as_raw() - 1) & 1 == 1
}
