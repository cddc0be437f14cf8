//! The file of a Unix listener: makes way for it, and takes it away when the listener goes.
//!
//! Owns the decision whether a socket file is stale. Binding is left to `listener.rs`.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ripstop_survive::{Wall, wall};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, fstat, open};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::address::Address;
use crate::error::BindError;

/// A socket file that this process made. Dropping it removes the file, unless another one has
/// taken its place since.
#[derive(Debug)]
pub(crate) struct UnixFile {
    path: PathBuf,
    /// Device and inode, by which the file is known again.
    identity: (u64, u64),
}

impl UnixFile {
    /// Takes charge of the file at `path`, which was just bound, and gives it `mode`.
    pub(crate) fn adopt(path: &Path, mode: Option<u32>) -> io::Result<Self> {
        let file = Self { path: path.to_owned(), identity: identity(path)? };
        file.set_mode(mode)?;
        Ok(file)
    }

    /// Gives the file `mode`, if any.
    pub(crate) fn set_mode(&self, mode: Option<u32>) -> io::Result<()> {
        let Some(mode) = mode else { return Ok(()) };
        let file = self.open()?;
        // The only way to a file that cannot be opened for more, and that is not a name.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        match fs::set_permissions(path, fs::Permissions::from_mode(mode)) {
            // There is no /proc.
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))
            }
            set => set,
        }
    }

    /// Gives the file to a user and a group.
    pub(crate) fn give_to(&self, user: u32, group: u32) -> io::Result<()> {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        Ok(chownat(&self.open()?, "", Some(user), Some(group), AtFlags::EMPTY_PATH)?)
    }

    /// The file and no other, whoever else may write to its folder.
    fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = open(&self.path, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        match is_socket && (stat.st_dev, stat.st_ino) == self.identity {
            true => Ok(file),
            false => Err(io::Error::other("another file has taken the place of the socket")),
        }
    }
}

impl Drop for UnixFile {
    fn drop(&mut self) {
        // Whoever took the place of this process listens on.
        if wall().is_some_and(Wall::leaves) {
            return;
        }
        if identity(&self.path).is_ok_and(|now| now == self.identity)
            && let Err(err) = fs::remove_file(&self.path)
        {
            log::warn!(path:% = self.path.display(), err:%; "cannot remove socket file");
        }
    }
}

/// Removes a socket file on which nobody listens, so that its path can be bound again.
pub(crate) fn make_way(path: &Path) -> Result<(), BindError> {
    let address = Address::Unix(path.to_owned());
    match fs::symlink_metadata(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(BindError::new(&address, err)),
        Ok(file) if !file.file_type().is_socket() => return Err(BindError::NotASocket(address)),
        Ok(_) => {}
    }
    match connect(path) {
        Err(Errno::CONNREFUSED) => {
            fs::remove_file(path).map_err(|err| BindError::new(&address, err))
        }
        // A full backlog (EAGAIN) and a connection that was taken both mean a live listener.
        Ok(()) | Err(Errno::AGAIN) => Err(BindError::InUse(address)),
        Err(err) => Err(BindError::new(&address, err)),
    }
}

/// Connects without ever waiting for a place in the backlog.
fn connect(path: &Path) -> rustix::io::Result<()> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    net::connect(&socket, &SocketAddrUnix::new(path)?)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}
