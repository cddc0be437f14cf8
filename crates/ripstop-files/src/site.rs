//! One directory that is served: its options, checked, and what is known of it.
//!
//! Owns the checks at the start. After them, nobody looks at the options again.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use tokio::sync::Semaphore;

use crate::cache::FileCache;
use crate::error::OpenError;
use crate::failure::Failure;
use crate::gate::Gates;
use crate::index::Index;
use crate::options::FilesOptions;
use crate::path::{Key, served};
use crate::root::{Kind, Links, Root};

/// How many responses may be compressed while they are sent; a compressor holds some MiB for as
/// long as its client takes. Beyond that, the plain file is sent.
const COMPRESSIONS_MAX: usize = 64;

/// How many files may be looked for at once, each on a thread that it blocks. It bounds the
/// memory of those that are read whole, and the threads that a disk can hang which does not answer.
const LOADS_MAX: usize = 64;

/// What all clones of one `Files` share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) root: Root,
    pub(crate) prefix: String,
    pub(crate) index_names: Vec<String>,
    pub(crate) listing: bool,
    pub(crate) dotfiles: bool,
    pub(crate) precompressed: bool,
    pub(crate) compress: bool,
    pub(crate) cache_control: Option<HeaderValue>,
    pub(crate) fallback: Option<Key>,
    pub(crate) error_pages: Vec<(StatusCode, Key)>,
    pub(crate) cache: Arc<FileCache>,
    pub(crate) index: Arc<Index>,
    pub(crate) gates: Gates,
    pub(crate) loads: Arc<Semaphore>,
    pub(crate) compressions: Arc<Semaphore>,
}

impl Site {
    /// # Errors
    /// Where an option cannot work.
    pub(crate) fn open(options: FilesOptions) -> Result<Self, OpenError> {
        check_prefix(&options.strip_prefix)?;
        check_index(&options.index, options.dotfiles)?;
        let links = if options.follow_links { Links::Beneath } else { Links::Refused };
        let root = Root::open(&options.root, links)
            .map_err(|source| OpenError::Root { path: options.root, source })?;
        let page = |path: &str| check_page(&root, path, options.dotfiles);
        let fallback = options.spa_fallback.as_deref().map(page).transpose()?;
        let mut error_pages = Vec::new();
        for (status, path) in &options.error_pages {
            if !Failure::STATUSES.contains(status) {
                return Err(OpenError::PageStatus(*status));
            }
            error_pages.push((*status, page(path)?));
        }
        Ok(Self {
            root,
            prefix: options.strip_prefix,
            index_names: options.index,
            listing: options.listing,
            dotfiles: options.dotfiles,
            precompressed: options.precompressed,
            compress: options.compress,
            cache_control: options.cache_control,
            fallback,
            error_pages,
            cache: options.cache,
            index: Arc::new(Index::new()),
            gates: Gates::default(),
            loads: Arc::new(Semaphore::new(LOADS_MAX)),
            compressions: Arc::new(Semaphore::new(COMPRESSIONS_MAX)),
        })
    }

    pub(crate) fn error_page(&self, status: StatusCode) -> Option<&Key> {
        self.error_pages.iter().find(|(of, _)| *of == status).map(|(_, key)| key)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.cache.forget_all(&self.index);
    }
}

fn check_prefix(prefix: &str) -> Result<(), OpenError> {
    let fits = prefix.is_empty() || (prefix.starts_with('/') && !prefix.ends_with('/'));
    if fits { Ok(()) } else { Err(OpenError::Prefix(prefix.to_owned())) }
}

fn check_index(names: &[String], dotfiles: bool) -> Result<(), OpenError> {
    match names.iter().find(|name| !served(1, name, dotfiles)) {
        None => Ok(()),
        Some(name) => Err(OpenError::Index(name.clone())),
    }
}

/// A page obeys the rules of every other path: it is kept in memory by its path, where a request
/// for it by name would find it.
fn check_page(root: &Root, path: &str, dotfiles: bool) -> Result<Key, OpenError> {
    let key = Key::from_option(path, dotfiles).ok().filter(|key| !key.is_directory());
    let key = key.ok_or_else(|| OpenError::PagePath(path.to_owned()))?;
    let unreadable =
        |errno: rustix::io::Errno| OpenError::Page { path: path.to_owned(), source: errno.into() };
    match root.current().probe(key.relative()).map_err(unreadable)? {
        Kind::File(_) => Ok(key),
        Kind::Directory | Kind::Other => Err(unreadable(rustix::io::Errno::ISDIR)),
    }
}
