//! Resolving a path below a directory where the kernel has no `openat2` (before Linux 5.6).
//!
//! Goes one name at a time, never through a link: each link is read and its target put in its
//! place, and `..` leads back along the directories that were entered, never to the parent that
//! the file system names. So no name can lead out, whoever renames what meanwhile.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno;

use super::Links;

/// As many links as the kernel follows in one path.
const LINKS_MAX: usize = 40;

/// Opens `relative` below `root`.
///
/// # Errors
/// `XDEV` where the path would leave the root, `LOOP` for too many links or one that must not be
/// followed, else what the kernel says.
pub(super) fn resolve(
    root: &OwnedFd,
    relative: &str,
    flags: OFlags,
    links: Links,
) -> Result<OwnedFd, Errno> {
    let mut walk = Walk { root: root.as_fd(), entered: Vec::new(), ahead: Vec::new() };
    walk.push(relative.as_bytes())?;
    let mut links_left = if links == Links::Beneath { LINKS_MAX } else { 0 };
    while let Some(name) = walk.ahead.pop() {
        let Some(target) = walk.enter(name)? else { continue };
        links_left = links_left.checked_sub(1).ok_or(Errno::LOOP)?;
        walk.push(&target)?;
    }
    walk.open(flags)
}

struct Walk<'a> {
    root: BorrowedFd<'a>,
    /// What lies between the root and where the walk is, with the name each was found by.
    entered: Vec<(OwnedFd, Vec<u8>)>,
    /// The names that are still to be gone through, the next one last.
    ahead: Vec<Vec<u8>>,
}

impl Walk<'_> {
    /// Goes through `path` next. One from the root of the file system leads out, wherever it
    /// leads in the end.
    fn push(&mut self, path: &[u8]) -> Result<(), Errno> {
        if path.starts_with(b"/") {
            return Err(Errno::XDEV);
        }
        self.ahead.extend(path.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
        Ok(())
    }

    /// Goes one step; a link is not entered, but its target returned.
    fn enter(&mut self, name: Vec<u8>) -> Result<Option<Vec<u8>>, Errno> {
        match name.as_slice() {
            b"" | b"." => return Ok(None),
            b".." => return self.entered.pop().map(|_| None).ok_or(Errno::XDEV),
            _ => {}
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(self.here(), name.as_slice(), flags, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) == FileType::Symlink {
            return Ok(Some(readlinkat(&fd, "", Vec::new())?.into_bytes()));
        }
        self.entered.push((fd, name));
        Ok(None)
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.entered.last().map_or(self.root, |(fd, _)| fd.as_fd())
    }

    /// Opens what was reached, by its name in the directory before it.
    fn open(mut self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match self.entered.pop() {
            None => openat(self.root, ".", flags, Mode::empty()),
            Some((fd, _)) if flags.contains(OFlags::PATH) => Ok(fd),
            Some((_, name)) => openat(self.here(), name.as_slice(), flags, Mode::empty()),
        }
    }
}
