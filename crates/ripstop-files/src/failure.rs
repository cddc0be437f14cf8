//! Why a request is answered with an error, and with which.
//!
//! Owns the mapping from what the disk said to a status. The body of the error is `site.rs`'s.

use std::io;

use http::StatusCode;
use rustix::io::Errno;

/// Why there is no file to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The path is not one that any file could have.
    BadPath,
    /// The path is one that is never served.
    Hidden,
    /// There is nothing of that name, or nothing that may be served.
    NotFound,
    /// This process may not read it.
    Forbidden,
    /// Every coding that is at hand is refused by the client.
    NotAcceptable,
    /// The method is neither `GET` nor `HEAD`.
    Method,
    /// The disk did not answer as it should.
    Disk(Errno),
}

impl Failure {
    /// Every status that `status` gives.
    pub(crate) const STATUSES: [StatusCode; 6] = [
        StatusCode::BAD_REQUEST,
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED,
        StatusCode::NOT_ACCEPTABLE,
        StatusCode::INTERNAL_SERVER_ERROR,
    ];

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BadPath => StatusCode::BAD_REQUEST,
            Self::Hidden | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Disk(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Errno> for Failure {
    /// `XDEV` is the kernel's word for a path that would leave the root, `LOOP` for too many
    /// links, or for one where none is followed.
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP | Errno::XDEV => {
                Self::NotFound
            }
            Errno::ACCESS | Errno::PERM => Self::Forbidden,
            other => Self::Disk(other),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::from(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}
