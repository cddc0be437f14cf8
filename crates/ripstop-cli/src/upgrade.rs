//! The commands that speak to the master: `upgrade` and `status`.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf, absolute},
    process::Command,
    time::{Duration, Instant},
};

use ripstop::wall::{Outside, Role, ServerSeen, Upgraded};
use rustix::process::Signal;

use crate::{
    control::{signal, wait},
    error::Error,
    pid_file::{self, Server},
};

/// How often it is looked what has become of an upgrade.
const LOOK: Duration = Duration::from_millis(20);

/// How long the master has, beyond the time of the new program, to say what became of it.
const ANSWER: Duration = Duration::from_secs(2);

/// What the kernel says of a program whose file was replaced.
const DELETED: &[u8] = b" (deleted)";

/// Has the program at `binary`, or the one that is now where the server was started from, take the
/// server's place: if it finds no fault in the present configuration, and serves within `timeout`.
///
/// # Errors
///
/// The server that was there goes on: the new program finds faults, is no program, ends, or takes
/// too long; another upgrade is under way; or no server runs, or none with a master.
pub(crate) fn upgrade(
    pid_file: &Path,
    binary: Option<&Path>,
    timeout: Duration,
) -> Result<String, Error> {
    let server = pid_file::find(pid_file)?;
    let pid = server.pid.as_raw_pid();
    let outside = outside(&server)?;
    let cannot = |err| Error::io("cannot find the new program", err);
    let binary = match binary {
        Some(binary) => absolute(binary).map_err(cannot)?,
        None => program(pid).map_err(cannot)?,
    };
    check(&binary, server.config.as_deref())?;
    if !outside.ask(Some(binary.as_os_str()), timeout) {
        let reason = "another upgrade is under way".to_owned();
        return Err(Error::NotUpgraded { reason });
    }
    signal(&server, Signal::USR2)?;
    let end = Instant::now() + timeout + ANSWER;
    loop {
        match outside.upgraded() {
            Upgraded::Done => return Ok(format!("{} serves\n", binary.display())),
            Upgraded::Failed(reason) => return Err(Error::NotUpgraded { reason }),
            Upgraded::NotYet if Instant::now() < end => {}
            Upgraded::NotYet => return Err(silent()),
        }
        if wait(&server, LOOK)? {
            return Err(Error::Ended(pid_file.to_owned()));
        }
    }
}

/// Tells which processes serve.
///
/// # Errors
///
/// No server runs, or none with a master.
pub(crate) fn status(pid_file: &Path) -> Result<String, Error> {
    let server = pid_file::find(pid_file)?;
    let master = server.pid.as_raw_pid();
    let what = || format!("cannot see the servers of pid {master}");
    let servers = outside(&server)?.servers().map_err(|err| Error::io(what(), err))?;
    let mut text = format!("master   pid {master}\n");
    for server in &servers {
        text.push_str(&line(server));
    }
    Ok(text)
}

fn line(seen: &ServerSeen) -> String {
    let role = match seen.role {
        Role::Serves => "serves",
        Role::Starts => "starts",
        Role::Leaves => "leaves",
    };
    let mut text = format!("{role:8} pid {}, keeper pid {}, ", seen.server, seen.keeper);
    // Into a string, so it cannot fail.
    let _ = write!(text, "server number {}", seen.generation);
    if let Some(connections) = seen.connections {
        let (idle, parked, busy) = (connections.idle, connections.parked, connections.busy);
        let _ = write!(text, ", connections: {busy} busy, {idle} idle, {parked} parked");
    }
    text + "\n"
}

fn outside(server: &Server) -> Result<Outside, Error> {
    let pid = server.pid.as_raw_pid();
    Outside::of(pid).map_err(|source| Error::NoMaster { pid, source })
}

/// Where a process was started from, whatever is there now.
fn program(pid: i32) -> std::io::Result<PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/exe"))?;
    let bytes = path.as_os_str().as_bytes();
    let bytes = bytes.strip_suffix(DELETED).unwrap_or(bytes);
    Ok(OsString::from_vec(bytes.to_vec()).into())
}

/// Has the new program look at the configuration of the present one.
fn check(binary: &Path, config: Option<&Path>) -> Result<(), Error> {
    let Some(config) = config else { return Ok(()) };
    let output = Command::new(binary).arg("check").arg("--config").arg(config).output();
    let output = output.map_err(|err| Error::NotUpgraded {
        reason: format!("{} cannot be executed: {err}", binary.display()),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let (binary, status) = (binary.display(), output.status);
    Err(Error::NotUpgraded { reason: format!("{binary} check: {status}\n{}", said.trim_end()) })
}

fn silent() -> Error {
    Error::NotUpgraded {
        reason: "the master does not answer; `ripstop status` may tell why".into(),
    }
}
