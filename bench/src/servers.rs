//! The servers of a comparison: a list in JSON, each started for a run and ended after it.
//!
//! ```json
//! [{ "name": "axum", "command": ["{bin}/peer-axum", "--listen", "127.0.0.1:{port}", "--workers", "{cores}"] }]
//! ```
//!
//! `{bin}` is the folder of the comparing program, `{port}` a free port, `{cores}` how many
//! processors the server shall use.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::Timespec;
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io};

/// How long a server has until it can be connected to, and until it has stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server of the list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name in the table.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
}

/// Reads a list.
///
/// # Errors
/// When the file cannot be read, or is no such list.
pub fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let text = fs::read_to_string(path)?;
    serde_json::from_str(&text).map_err(|err| named(&path.display().to_string(), &err))
}

impl Entry {
    /// Starts the server and waits until it can be connected to.
    ///
    /// # Errors
    /// When it cannot be started, ends, or takes too long.
    pub fn start(&self, cores: usize) -> io::Result<Server> {
        let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let own = env::current_exe()?;
        let bin = own.parent().unwrap_or(Path::new("."));
        let fill = |word: &String| {
            word.replace("{bin}", &bin.to_string_lossy())
                .replace("{port}", &addr.port().to_string())
                .replace("{cores}", &cores.to_string())
        };
        let words: Vec<_> = self.command.iter().map(fill).collect();
        let Some((program, args)) = words.split_first() else {
            return Err(named(&self.name, &"has no command"));
        };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).env("RUST_LOG", "warn");
        let child = command.spawn().map_err(|err| named(program, &err))?;
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        let server = Server { child, pidfd, addr };
        server.wait_until_up().map_err(|err| named(&self.name, &err))?;
        Ok(server)
    }
}

fn named(what: &str, err: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{what}: {err}"))
}

/// A server that runs; dropping it ends it and waits for its end.
pub struct Server {
    child: Child,
    pidfd: OwnedFd,
    addr: SocketAddr,
}

impl Server {
    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn wait_until_up(&self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.addr).is_err() {
            if self.has_ended_within(Duration::from_millis(10))? {
                return Err(io::Error::other("has ended"));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("does not listen on {}", self.addr)));
            }
        }
        Ok(())
    }

    fn has_ended_within(&self, patience: Duration) -> io::Result<bool> {
        let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        Ok(poll(&mut fds, Some(&timeout))? > 0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let asked = pidfd_send_signal(&self.pidfd, Signal::TERM);
        if asked.is_err() || !self.has_ended_within(PATIENCE).unwrap_or(false) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
