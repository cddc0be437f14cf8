//! The errors that leave this crate.
//!
//! [`OpenError`] is for the operator whose options cannot work, [`BodyError`] for the connection
//! that has begun a response it cannot finish. What a client gets is `failure.rs`.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a directory cannot be served.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The root cannot be opened as a directory.
    Root {
        /// The root as it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The prefix does not begin with a slash, or ends in one.
    Prefix(String),
    /// The name of an index file is empty, hidden, or has a slash in it.
    Index(String),
    /// A file that is named as an error page or as the fallback is not a path that is served.
    PagePath(String),
    /// A file that is named as an error page or as the fallback cannot be read.
    Page {
        /// The path below the root, as it was given.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// An error page is given for a status that would never be answered with it.
    PageStatus(http::StatusCode),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root { path, .. } => write!(f, "cannot open {} as a directory", path.display()),
            Self::Prefix(prefix) => {
                write!(f, "prefix {prefix:?} must begin with a slash and not end in one")
            }
            Self::Index(name) => {
                write!(f, "index {name:?} must be the name of a file, without a slash")
            }
            Self::PagePath(path) => {
                write!(f, "page {path:?} must be a path below the root, without . or ..")
            }
            Self::Page { path, .. } => write!(f, "cannot read the page {path:?} below the root"),
            Self::PageStatus(status) => {
                write!(
                    f,
                    "error page for {} must be for 400, 403, 404, 405, 406 or 500",
                    status.as_u16()
                )
            }
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Root { source, .. } | Self::Page { source, .. } => Some(source),
            Self::Prefix(_) | Self::Index(_) | Self::PagePath(_) | Self::PageStatus(_) => None,
        }
    }
}

/// Why the body of a response ends before its end. The connection must be reset, so that nobody
/// takes what was sent for the whole.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The file has become shorter than it was when the response began.
    Truncated,
    /// The file cannot be read any further.
    Read(io::Error),
    /// The compressor failed.
    Compress(io::Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "file was truncated while it was sent",
            Self::Read(_) => "cannot read on in the file",
            Self::Compress(_) => "cannot compress the file",
        })
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Truncated => None,
            Self::Read(source) | Self::Compress(source) => Some(source),
        }
    }
}
