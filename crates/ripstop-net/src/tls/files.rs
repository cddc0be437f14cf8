//! Notices that files changed, by what the file system says of them.
//!
//! Owns the stamps. Reading the files is left to `load.rs`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{ClientAuth, TlsOptions};

/// All files of some options as they were at one look; `None` for one that can't be looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<Stamp>>);

/// Differs when a file was written or replaced. Symbolic links are followed, so that a link that
/// is turned to another file counts as a change.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamps {
    /// Looks at every file that the options name.
    pub(super) fn look(options: &TlsOptions) -> Self {
        let pairs = options.certificates.iter().flat_map(|files| [&files.chain, &files.key]);
        Self(pairs.chain(options.client_auth.path()).map(|path| Stamp::look(path)).collect())
    }
}

impl Stamp {
    fn look(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            file: (file.dev(), file.ino()),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

impl ClientAuth {
    /// The file with the certificate authorities.
    pub(super) fn path(&self) -> Option<&std::path::PathBuf> {
        match self {
            Self::None => None,
            Self::Optional(path) | Self::Required(path) => Some(path),
        }
    }
}
