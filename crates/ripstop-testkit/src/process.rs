//! A program under test, as a child that is never left behind.
//!
//! Owns the child, what it printed, and its end. What `/proc` says about it is in `proc.rs`.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, kill_process, pidfd_open};

pub use rustix::process::Signal;

use crate::Proc;

/// Lines kept of one child; what it prints beyond is read and forgotten.
const LINES_MAX: usize = 100_000;

/// The variable that says whether a server is one process or several.
pub(crate) const WALL: &str = "RIPSTOP_WALL";

/// A started program. It is killed and reaped when dropped.
pub struct Process {
    child: Child,
    log: Arc<Log>,
}

impl Process {
    /// Starts `command` with nothing to read, and collects the lines it prints. A server is one
    /// process, without a master, unless the command says something else about `RIPSTOP_WALL`:
    /// [`Family`](crate::Family) starts one with all its processes.
    ///
    /// # Errors
    ///
    /// It cannot be started; the error names the program.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        if command.get_envs().all(|(name, _)| name != WALL) {
            command.env(WALL, "off");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned = command.spawn().map_err(|err| {
            let program = command.get_program().display();
            io::Error::new(err.kind(), format!("cannot start {program}: {err}"))
        });
        let mut child = spawned?;
        let log = Arc::new(Log::default());
        // The child exists from here on: it must be reaped, whatever comes.
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let process = Self { child, log };
        if let Some(stdout) = stdout {
            process.log.collect(stdout)?;
        }
        if let Some(stderr) = stderr {
            process.log.collect(stderr)?;
        }
        Ok(process)
    }

    /// Waits for a line in which `find` finds something, at most for `deadline`, and returns what
    /// it found. Lines printed before the call count.
    ///
    /// # Errors
    ///
    /// The deadline passed, or the program closed its output. The error holds all it printed.
    pub fn announced<T>(
        &self,
        deadline: Duration,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> io::Result<T> {
        let (mut found, mut seen) = (None, 0);
        let log = self.log.wait(deadline, |lines| {
            found = lines[seen..].iter().find_map(|line| find(line));
            seen = lines.len();
            found.is_some()
        });
        found.ok_or_else(|| {
            let text =
                format!("announced nothing within {deadline:?}; it printed:\n{}", log.text());
            io::Error::new(ErrorKind::TimedOut, text)
        })
    }

    /// All that it printed until now, on both streams, a line each.
    pub fn log(&self) -> String {
        self.log.lock().text()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its threads, descriptors, memory and CPU time.
    pub fn proc(&self) -> Proc {
        Proc::new(self.id())
    }

    /// Sends it a signal: `Signal::TERM`, `HUP`, `STOP`, `CONT`, `KILL`.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        // A process that was reaped gives its id to others.
        if let Some(status) = self.child.try_wait()? {
            return Err(io::Error::new(ErrorKind::NotFound, format!("it has ended: {status}")));
        }
        Ok(kill_process(self.pid(), signal)?)
    }

    /// Waits for its end, at most for `deadline`.
    ///
    /// # Errors
    ///
    /// The deadline passed. The error holds all it printed.
    pub fn exit(&mut self, deadline: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        let pidfd = pidfd_open(self.pid(), PidfdFlags::empty())?;
        let timeout = Timespec::try_from(deadline).map_err(io::Error::other)?;
        if poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout))? == 0 {
            let text = format!("runs on after {deadline:?}; it printed:\n{}", self.log());
            return Err(io::Error::new(ErrorKind::TimedOut, text));
        }
        self.child.wait()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where the child has ended and was reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds `addr=ADDRESS` in a line, the key-value with which servers announce a listener.
pub fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("addr=")?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c)));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// Where cargo puts the example `name` of the package whose integration test is running.
///
/// # Errors
///
/// The test's own program cannot be found.
pub fn example(name: &str) -> io::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile = test.parent().and_then(|deps| deps.parent());
    let profile =
        profile.ok_or_else(|| io::Error::other("the test lies in no folder of cargo's"))?;
    Ok(profile.join("examples").join(name))
}

/// The lines that a child prints, collected by one thread for each stream.
#[derive(Default)]
struct Log {
    printed: Mutex<Printed>,
    changed: Condvar,
}

#[derive(Default)]
struct Printed {
    lines: Vec<String>,
    /// How many streams the child has open.
    streams: usize,
}

impl Printed {
    fn text(&self) -> String {
        self.lines.join("\n")
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(self: &Arc<Self>, stream: impl Read + Send + 'static) -> io::Result<()> {
        self.lock().streams += 1;
        let log = Arc::clone(self);
        let thread = thread::Builder::new().name("rip-test-log".into());
        thread.spawn(move || log.read(stream)).map(drop)
    }

    fn read(&self, stream: impl Read) {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let mut printed = self.lock();
            if printed.lines.len() < LINES_MAX {
                printed.lines.push(String::from_utf8_lossy(&line).into_owned());
            }
            self.changed.notify_all();
        }
        self.lock().streams -= 1;
        self.changed.notify_all();
    }

    /// Waits until `enough` says so of the lines, the streams end, or the deadline passes.
    fn wait(
        &self,
        deadline: Duration,
        mut enough: impl FnMut(&[String]) -> bool,
    ) -> MutexGuard<'_, Printed> {
        let waiting = |printed: &mut Printed| !enough(&printed.lines) && printed.streams > 0;
        let waited = self.changed.wait_timeout_while(self.lock(), deadline, waiting);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_a_line() {
        for (line, expected) in [
            ("listening name=a addr=127.0.0.1:4711", Some("127.0.0.1:4711")),
            ("[INFO] listening addr=[::1]:80 tls=true", Some("[::1]:80")),
            (r#"{"addr=127.0.0.1:80"}"#, Some("127.0.0.1:80")),
            ("addr=unix:/run/x", None),
            ("listening on 127.0.0.1:80", None),
        ] {
            assert_eq!(address(line), expected.map(|text| text.parse().unwrap()), "{line}");
        }
    }
}
