//! The pid file: how `ripstop reload` and `ripstop stop` find the server.
//!
//! Holds the process id, the time at which that process started (in ticks since
//! boot, from `/proc/PID/stat`), so that an id which the kernel gave to another
//! process is not mistaken for ours, and the configuration file. Owns writing,
//! believing and removing the file; what is done to the process is in
//! `control.rs`.

use std::{
    env, fs,
    io::{self, Write as _},
    os::fd::OwnedFd,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use ripstop::wall::{self, Wall};
use rustix::process::{Pid, PidfdFlags, geteuid, getpid, pidfd_open};

use crate::error::Error;

/// Where that of root is.
const OF_ROOT: &str = "/run/ripstop.pid";

/// The pid file of a server; removed when it is dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    /// What was written.
    text: String,
}

/// A server that a pid file led to.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its process id.
    pub(crate) pid: Pid,
    /// The process itself: it can't be mistaken for a later one of the same id.
    pub(crate) process: OwnedFd,
    /// Its configuration file, if it has one.
    pub(crate) config: Option<PathBuf>,
}

/// Where the pid file is if nobody says otherwise: the same for every process of a user.
pub(crate) fn default_path() -> PathBuf {
    if let Some(folder) = env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()) {
        return Path::new(&folder).join("ripstop.pid");
    }
    match geteuid() {
        uid if uid.is_root() => PathBuf::from(OF_ROOT),
        uid => env::temp_dir().join(format!("ripstop-{}.pid", uid.as_raw())),
    }
}

/// The same, for the process that is to be signalled: where the server of root before this one, which
/// has given root up since, has said so, it is that place.
pub(crate) fn default_path_of(process: Pid) -> PathBuf {
    let of_root = PathBuf::from(OF_ROOT);
    let is_told = find(&of_root).is_ok_and(|server| server.pid == process);
    if env::var_os("XDG_RUNTIME_DIR").is_none() && is_told { of_root } else { default_path() }
}

impl PidFile {
    /// Writes the file, for this process: the one that is to be signalled. A server that died may
    /// have left one for the same.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyRunning`] if it is that of another process that runs;
    /// [`Error::Io`] if it can't be written.
    pub(crate) fn write(path: &Path, process: Pid, config: Option<&Path>) -> Result<Self, Error> {
        if let Ok(server) = find(path)
            && (server.pid != process || process == getpid())
        {
            let pid = server.pid.as_raw_pid();
            return Err(Error::AlreadyRunning { path: path.to_owned(), pid });
        }
        let text = text(process, config);
        // One that has given root up may not write it again.
        if fs::read_to_string(path).is_ok_and(|there| there == text) {
            return Ok(Self { path: path.to_owned(), text });
        }
        replace(path, &text).map_err(|err| {
            Error::io(format!("cannot write the pid file {}", path.display()), err)
        })?;
        Ok(Self { path: path.to_owned(), text })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Whoever took the place of this process has written the same, and so has whoever has it when
        // this one was to take it.
        if wall::entered().is_some_and(is_of_others) {
            return;
        }
        // It may be another's by now, if somebody removed ours.
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether another server of the same master needs the file.
fn is_of_others(wall: &Wall) -> bool {
    wall.leaves() || wall.generation() > 1 && !wall.is_planned()
}

/// Finds the server that wrote a pid file.
///
/// # Errors
///
/// There is none, it has ended, or the file belongs to another user than us and root.
pub(crate) fn find(path: &Path) -> Result<Server, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NoServer(path.to_owned()));
        }
        Err(err) => return Err(Error::io(format!("cannot read {}", path.display()), err)),
    };
    let owner = fs::metadata(path).map(|metadata| metadata.uid());
    if !owner.is_ok_and(|owner| owner == 0 || owner == geteuid().as_raw()) {
        return Err(Error::Untrusted(path.to_owned()));
    }
    let ended = || Error::Ended(path.to_owned());
    let (pid, start, config) = parse(&text).ok_or_else(ended)?;
    // Opened before it is looked at, so that what is looked at is what is signalled.
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| ended())?;
    match is_start(pid, start) {
        true => Ok(Server { pid, process, config }),
        false => Err(ended()),
    }
}

/// The whole file: the id alone in the first line, as other programs expect it.
fn text(pid: Pid, config: Option<&Path>) -> String {
    let start = start_time(pid).unwrap_or_default();
    let config = config.and_then(|path| fs::canonicalize(path).ok());
    let config = config.map_or_else(String::new, |path| format!("config {}\n", path.display()));
    format!("{}\nstart {start}\n{config}", pid.as_raw_pid())
}

fn parse(text: &str) -> Option<(Pid, u64, Option<PathBuf>)> {
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok().filter(|pid| *pid > 0)?;
    let pid = Pid::from_raw(pid)?;
    let start = lines.next()?.strip_prefix("start ")?.parse().ok()?;
    let config = lines.next().and_then(|line| line.strip_prefix("config ")).map(PathBuf::from);
    Some((pid, start, config))
}

fn is_start(pid: Pid, start: u64) -> bool {
    start_time(pid) == Some(start)
}

/// Ticks from boot to the start of a process: field 22 of `/proc/PID/stat`.
fn start_time(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // The second field is the program's name in parentheses, and may hold anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// Puts a whole new file in place of the old one, and follows no link in doing so.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", getpid().as_raw_pid()));
    let new = Path::new(&name);
    let written =
        fs::OpenOptions::new().write(true).create_new(true).open(new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            // Whatever the umask: the servers after this one read it, which may be somebody else.
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
            fs::rename(new, path)
        });
    if written.is_err() {
        let _ = fs::remove_file(new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_leads_to_its_process_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pid");
        let config = folder.path().join("c.toml");
        fs::write(&config, "").unwrap();
        let file = PidFile::write(&path, getpid(), Some(&config)).unwrap();
        let server = find(&path).unwrap();
        assert_eq!(server.pid, getpid());
        assert_eq!(server.config, Some(fs::canonicalize(config).unwrap()));
        let second = PidFile::write(&path, getpid(), None).unwrap_err();
        assert!(matches!(second, Error::AlreadyRunning { .. }), "{second}");
        drop(file);
        assert!(matches!(find(&path), Err(Error::NoServer(_))));
    }

    #[test]
    fn another_process_with_the_same_id_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pid");
        let pid = getpid();
        let start = start_time(pid).unwrap();
        let earlier = format!("{}\nstart {}\n", pid.as_raw_pid(), start - 1);
        for text in [earlier.as_str(), "", "x", "-1\nstart 1\n", "0\nstart 1\n", "1234567890"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(find(&path), Err(Error::Ended(_))), "{text:?}");
        }
    }

    #[test]
    fn a_file_that_another_process_took_over_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pid");
        let file = PidFile::write(&path, getpid(), None).unwrap();
        fs::write(&path, "1\nstart 1\n").unwrap();
        drop(file);
        assert!(path.exists());
    }
}
