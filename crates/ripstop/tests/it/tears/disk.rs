//! A disk that does not answer: who opens a file on it waits in the kernel.

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::{
    ffi::CString,
    fs::File,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    thread,
};
use tempfile::TempDir;

/// Where it is, until it is dropped: then all who wait go on.
pub(crate) struct Disk {
    dir: TempDir,
    kind: Kind,
}

enum Kind {
    /// A FUSE mount whose server never says a word: who waits is in state D, which no signal ends.
    Fuse { server: Option<File> },
    /// Where nothing may be mounted: a FIFO that nobody writes to, which a signal may end.
    Fifo,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let kind = Self::fuse(dir.path()).unwrap_or_else(|err| {
            println!("a FIFO in place of FUSE: {err}");
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("file"), mode).unwrap();
            Kind::Fifo
        });
        Self { dir, kind }
    }

    fn fuse(dir: &Path) -> std::io::Result<Kind> {
        let server = File::options().read(true).write(true).open("/dev/fuse")?;
        let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
        let options = format!(
            "fd={},rootmode=40000,user_id={},group_id={}",
            server.as_raw_fd(),
            user.as_raw(),
            group.as_raw()
        );
        let options = CString::new(options).expect("made of numbers");
        let flags = MountFlags::NODEV | MountFlags::NOSUID;
        mount("ripstop-test", dir, "fuse", flags, options.as_c_str())?;
        Ok(Kind::Fuse { server: Some(server) })
    }

    /// A file on it.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("file")
    }

    /// Whether who waits for it can be asked for nothing.
    pub(crate) fn is_deaf(&self) -> bool {
        matches!(self.kind, Kind::Fuse { .. })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        match &mut self.kind {
            Kind::Fuse { server } => {
                // Without its server every request on it fails.
                drop(server.take());
                let _ = unmount(self.dir.path(), UnmountFlags::DETACH);
            }
            Kind::Fifo => {
                // As a reader, it opens at once for writing; beside it, nobody has to wait.
                let both = File::options().read(true).write(true).open(self.file());
                if !thread::panicking() {
                    both.unwrap();
                }
            }
        }
    }
}
