//! The directory that is served, and the only place where files are opened.
//!
//! Owns the fence that holds even for paths nobody thought of: every name is resolved by the
//! kernel below one directory descriptor (`openat2` with `RESOLVE_BENEATH`), or by `walk.rs`
//! where the kernel cannot. Nothing is opened for reading before it is known to be a regular
//! file, since opening a device or a FIFO already has effects.

mod walk;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2, stat};
use rustix::io::Errno;

use crate::stamp::Stamp;

/// How often a name is resolved anew when a rename elsewhere made the kernel unsure of it.
const RESOLVE_ATTEMPTS_MAX: usize = 8;

/// What becomes of symbolic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// Followed where they are relative and stay below the root.
    Beneath,
    /// Never followed.
    Refused,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File(Stamp),
    Directory,
    /// A device, a FIFO or a socket.
    Other,
}

impl Kind {
    pub(crate) fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Self::File(Stamp::new(stat)),
            FileType::Directory => Self::Directory,
            _ => Self::Other,
        }
    }
}

/// The root by its name: which directory that is may change while it is served.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    links: Links,
    directory: ArcSwap<Directory>,
}

impl Root {
    /// # Errors
    /// Where the path is not a directory that can be opened.
    pub(crate) fn open(path: &Path, links: Links) -> io::Result<Self> {
        let directory = ArcSwap::from_pointee(Directory::open(path, links)?);
        Ok(Self { path: path.to_owned(), links, directory })
    }

    /// The directory that the name stands for now. Sites are often deployed by pointing a
    /// link at another directory. If the name is gone, the last directory stays.
    pub(crate) fn current(&self) -> Arc<Directory> {
        let known = self.directory.load_full();
        let same = stat(&self.path).map_or(true, |now| (now.st_dev, now.st_ino) == known.id);
        if same {
            return known;
        }
        if let Ok(opened) = Directory::open(&self.path, self.links) {
            self.directory.store(Arc::new(opened));
        }
        self.directory.load_full()
    }
}

/// An opened root.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    /// Device and inode.
    id: (u64, u64),
    links: Links,
    resolver: Resolver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolver {
    Kernel,
    Walk,
}

impl Directory {
    fn open(path: &Path, links: Links) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(path, flags, Mode::empty())?;
        let stat = fstat(&fd)?;
        let resolver = match resolve_in_kernel(&fd, ".", OFlags::PATH, links) {
            // Some container runtimes refuse calls they do not know with `PERM`.
            Err(Errno::NOSYS | Errno::PERM) => Resolver::Walk,
            // It is there, but nothing inside of it can be reached.
            Err(err @ Errno::ACCESS) => return Err(err.into()),
            _ => Resolver::Kernel,
        };
        Ok(Self { fd, id: (stat.st_dev, stat.st_ino), links, resolver })
    }

    /// What a path below the root stands for; empty is the root itself. Has no effect on what
    /// it finds.
    pub(crate) fn probe(&self, relative: &str) -> Result<Kind, Errno> {
        let fd = self.resolve(relative, OFlags::PATH)?;
        Ok(Kind::of(&fstat(fd)?))
    }

    /// Opens what `probe` found to be a regular file.
    ///
    /// # Errors
    /// `NOENT` where it has become something else since.
    pub(crate) fn open_file(&self, relative: &str) -> Result<(File, Stamp), Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.resolve(relative, flags)?;
        match Kind::of(&fstat(&fd)?) {
            Kind::File(stamp) => Ok((File::from(fd), stamp)),
            Kind::Directory | Kind::Other => Err(Errno::NOENT),
        }
    }

    /// Opens a directory to list it.
    pub(crate) fn open_directory(&self, relative: &str) -> Result<OwnedFd, Errno> {
        self.resolve(relative, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    fn resolve(&self, relative: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let relative = if relative.is_empty() { "." } else { relative };
        match self.resolver {
            Resolver::Kernel => resolve_in_kernel(&self.fd, relative, flags, self.links),
            Resolver::Walk => walk::resolve(&self.fd, relative, flags, self.links),
        }
    }
}

fn resolve_in_kernel(
    root: &OwnedFd,
    relative: &str,
    flags: OFlags,
    links: Links,
) -> Result<OwnedFd, Errno> {
    let mut how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refused {
        how |= ResolveFlags::NO_SYMLINKS;
    }
    let mut result = Err(Errno::AGAIN);
    for _ in 0..RESOLVE_ATTEMPTS_MAX {
        result = openat2(root, relative, flags | OFlags::CLOEXEC, Mode::empty(), how);
        if !matches!(result, Err(Errno::AGAIN)) {
            break;
        }
    }
    result
}

#[cfg(test)]
mod tests;
