//! Static files over HTTP, as a [`tower_service::Service`].
//!
//! [`Files`] answers `GET` and `HEAD` from one directory: conditional requests, ranges,
//! precompressed siblings, compression on the fly, directory listings, error pages and a
//! fallback for single-page applications. Small files come from memory ([`FileCache`]), large
//! ones are streamed. Nothing outside of the directory is ever opened, whatever the path says.
//!
//! ```no_run
//! use ripstop_files::{Files, FilesOptions};
//!
//! # fn main() -> Result<(), ripstop_files::OpenError> {
//! let files = Files::open(FilesOptions { root: "public".into(), ..FilesOptions::default() })?;
//! # let _ = files;
//! # Ok(())
//! # }
//! ```
//!
//! # What is refused
//!
//! - A path with a bad escape, NUL or bytes that are not UTF-8: `400`.
//! - A path with `.`, `..`, an empty segment, a backslash or an encoded slash: `404`, even where
//!   it would stay inside the root.
//! - A name that begins with a dot: `404`, unless [`FilesOptions::dotfiles`] asks for it.
//!   `/.well-known/` is always served (RFC 8615).
//! - Devices, FIFOs, sockets and links that leave the root, absolute links among them: `404`.
//! - A file this process may not read: `403`; any other trouble with the disk: `500`.

mod answer;
mod body;
mod cache;
mod coding;
mod compress;
mod conditions;
mod entry;
mod error;
mod failure;
mod gate;
mod index;
mod listing;
mod load;
mod media;
mod options;
mod path;
mod range;
mod reader;
mod replica;
mod representation;
mod respond;
mod root;
mod service;
mod site;
mod stamp;

pub use body::FileBody;
pub use cache::FileCache;
pub use error::{BodyError, OpenError};
pub use options::FilesOptions;
pub use service::{Files, FilesFuture};
