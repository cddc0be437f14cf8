//! What an operator can decide about one directory of files.
//!
//! Owns the fields and their defaults; `site.rs` checks them when the directory is opened.

use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use crate::cache::FileCache;

/// Options of one [`Files`](crate::Files).
#[derive(Clone, Debug)]
pub struct FilesOptions {
    /// The directory that is served. Default: `.`. It is looked up by name again whenever a file
    /// is, so a root that is a symbolic link may be swapped under a running server.
    pub root: PathBuf,
    /// A path that the request's path must begin with and that is taken off before the file is
    /// looked up: with `/static`, `/static/a.css` is `a.css` in the root. Default: empty. Not
    /// needed where a router has taken it off already; redirects are right in both cases.
    pub strip_prefix: String,
    /// Names that are tried, in order, for a path that ends in a slash. Default: `index.html`.
    pub index: Vec<String>,
    /// Whether a directory without an index is answered with a page that lists it. Default: no.
    pub listing: bool,
    /// Whether names that begin with a dot are served and listed. Default: no. `/.well-known/`
    /// is served in any case.
    pub dotfiles: bool,
    /// Whether symbolic links are followed, where they are relative and stay inside the root.
    /// Default: yes.
    pub follow_links: bool,
    /// Whether `NAME.br`, `NAME.zst` and `NAME.gz` beside a file are sent in its place to clients
    /// that accept them. Default: yes. They need the plain file beside them.
    pub precompressed: bool,
    /// Whether text above 1 KiB is compressed on the way. Default: yes.
    pub compress: bool,
    /// `Cache-Control` of every file that is sent, and of `304`. Default: none.
    pub cache_control: Option<HeaderValue>,
    /// A file below the root that answers, with `200`, a page that is not there. Default: none.
    /// It does not stand in for what has an extension in its name, such as a missing script,
    /// unless the client says that it accepts `text/html`.
    pub spa_fallback: Option<String>,
    /// Files below the root that are the bodies of errors, by status: `400`, `403`, `404`, `405`,
    /// `406` or `500`; other errors keep their line of text. Default: none.
    pub error_pages: Vec<(StatusCode, String)>,
    /// Where small files are kept. Default: a cache of this instance's own, of
    /// [`FileCache::DEFAULT_MAX_BYTES`]. Several instances may share one.
    pub cache: Arc<FileCache>,
}

impl Default for FilesOptions {
    fn default() -> Self {
        Self {
            root: PathBuf::from("."),
            strip_prefix: String::new(),
            index: vec!["index.html".to_owned()],
            listing: false,
            dotfiles: false,
            follow_links: true,
            precompressed: true,
            compress: true,
            cache_control: None,
            spa_fallback: None,
            error_pages: Vec::new(),
            cache: Arc::new(FileCache::new(FileCache::DEFAULT_MAX_BYTES)),
        }
    }
}
