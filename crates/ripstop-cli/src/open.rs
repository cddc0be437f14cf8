//! From a configuration to what serves: folders opened, certificates tried.
//!
//! The step that start, `check` and reload share, so that what passes one of them
//! passes the others. Owns the places of faults that only show when something is
//! opened. Binds nothing; `serve.rs` does.

use std::{path::Path, sync::Arc};

use ripstop::files::FileCache;
use ripstop::net::{Tls, TlsError};

use crate::{
    config::{self, Config, Faults, Listen, Sources},
    error::chain,
    site::Site,
};

/// A configuration without a fault, with everything open that it names.
pub(crate) struct Opened {
    /// What was said.
    pub(crate) config: Config,
    /// The places of what was said, to tell faults of binding.
    pub(crate) faults: Faults,
    /// What is answered.
    pub(crate) site: Site,
}

/// Reads, checks and opens a configuration.
///
/// # Errors
///
/// Every fault there is.
pub(crate) fn open(sources: &Sources) -> Result<Opened, Faults> {
    let (config, faults) = config::load(sources)?;
    opened(config, faults)
}

/// Opens a configuration that was read, with these faults.
///
/// # Errors
///
/// Every fault there is.
pub(crate) fn opened(config: Config, mut faults: Faults) -> Result<Opened, Faults> {
    let cache = Arc::new(FileCache::new(config.limits.file_cache));
    let site = Site::open(&config, &cache, &mut faults);
    config.listen.iter().for_each(|listen| check_tls(listen, &mut faults));
    match faults.is_empty() {
        true => Ok(Opened { config, faults, site }),
        false => Err(faults),
    }
}

/// Loads a listener's certificates to see whether it can be done; the server does it again.
fn check_tls(listen: &Listen, faults: &mut Faults) {
    // That there is none was told already: it is a key that must be there.
    let some = |tls: &&config::Tls| !tls.options.certificates.is_empty();
    let Some(said) = listen.tls.as_ref().filter(some) else { return };
    for err in Tls::load(&said.options).err().into_iter().flatten() {
        let file = path(&err).and_then(|path| said.files.iter().find(|file| file.0 == path));
        let place = file.map_or(said.place, |(_, place)| *place);
        faults.add(place, format!("listen.tls: {}", chain(&err)));
    }
}

/// The file that an error is about.
fn path(err: &TlsError) -> Option<&Path> {
    match err {
        TlsError::Unreadable { path, .. }
        | TlsError::NothingInside { path, .. }
        | TlsError::BadPem { path, .. }
        | TlsError::BadCertificate { path, .. }
        | TlsError::EncryptedKey(path)
        | TlsError::BadKey { path, .. }
        | TlsError::KeyMismatch { key: path, .. }
        | TlsError::BadAuthority { path, .. } => Some(path),
        TlsError::NoCertificate | TlsError::Refused(_) => None,
    }
}
