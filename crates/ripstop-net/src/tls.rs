//! TLS: certificates from files, the choice among them, handshakes, and swaps while running.
//!
//! Owns the configuration that handshakes see, the session tickets and the number of handshakes
//! in progress. Reading files is left to `load.rs`, the choice of a certificate to `choose.rs`,
//! what a handshake found out to `facts.rs`. Who calls [`Tls::refresh`], and how often, is left to
//! the crates above.

mod certificate;
mod choose;
mod facts;
mod files;
mod load;
mod stream;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;

use crate::error::{HandshakeError, TlsError};
use crate::socket::Socket;
pub use certificate::TlsWarning;
pub use facts::{Alpn, TlsFacts};
use files::Stamps;
use load::Loaded;
pub use stream::TlsStream;

/// What a [`Tls`] is made from.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// The certificates with their keys, at least one. The first one is for clients that name no
    /// server, or one that no certificate is for. Default: none.
    pub certificates: Vec<CertifiedFiles>,
    /// Whether clients show certificates. Default: none.
    pub client_auth: ClientAuth,
    /// The protocols offered by ALPN (RFC 7301), the preferred one first; with none, ALPN is not
    /// used. Default: `h2`, `http/1.1`.
    pub alpn: Vec<Vec<u8>>,
    /// The lowest version that is spoken. Default: TLS 1.2.
    pub min_version: TlsVersion,
    /// How many handshakes may be in progress, from 1; others wait within their deadline.
    /// A handshake holds up to some 40 KiB. Default: 1024.
    pub handshakes_max: usize,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            client_auth: ClientAuth::None,
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            min_version: TlsVersion::V1_2,
            handshakes_max: 1024,
        }
    }
}

/// A certificate and its private key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedFiles {
    /// The certificate, then the intermediate ones up to a root.
    pub chain: PathBuf,
    /// The private key: RSA, ECDSA or Ed25519, in PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// Whether clients show certificates (mutual TLS). The path is a PEM file with the certificate
/// authorities that are trusted to sign them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// They are asked, and may have none. One that is not signed as it must be is refused.
    Optional(PathBuf),
    /// They are refused without one.
    Required(PathBuf),
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// A TLS acceptor. Clones share everything, so that all workers use the same tickets and see the
/// same certificates.
///
/// Early data (0-RTT) is not taken, since it can be replayed. Sessions resume by stateless
/// tickets, which stay valid when certificates are swapped, but not when the certificate
/// authorities for clients are.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    options: TlsOptions,
    loaded: ArcSwap<Loaded>,
    /// The files as `refresh` last saw them, also when they were refused.
    seen: Mutex<Stamps>,
    handshakes: Semaphore,
}

/// What became of [`Tls::refresh`].
#[derive(Debug)]
pub enum Refreshed {
    /// No file changed since the last look.
    Unchanged,
    /// New handshakes use the new files.
    Swapped,
    /// The new files have faults; the old ones stay in use. Said once for each change.
    Refused(Vec<TlsError>),
}

impl Tls {
    /// Reads and checks all files. Blocks on file I/O.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(options: &TlsOptions) -> Result<Self, Vec<TlsError>> {
        // Looked at before reading, so that a change in between is noticed later.
        let seen = Mutex::new(Stamps::look(options));
        let loaded = ArcSwap::from_pointee(load::load(options, None)?);
        let handshakes = Semaphore::new(options.handshakes_max.clamp(1, Semaphore::MAX_PERMITS));
        let options = options.clone();
        Ok(Self { shared: Arc::new(Shared { options, loaded, seen, handshakes }) })
    }

    /// Looks whether a file changed, and if so, reads and checks all of them and swaps them in for
    /// new handshakes. Connections are not touched. Blocks on file I/O: not for a worker.
    pub fn refresh(&self) -> Refreshed {
        let shared = &*self.shared;
        // A panic while it is held leaves a valid value behind.
        let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Stamps::look(&shared.options);
        if *seen == now {
            return Refreshed::Unchanged;
        }
        *seen = now;
        match load::load(&shared.options, Some(&shared.loaded.load())) {
            Ok(loaded) => {
                shared.loaded.store(Arc::new(loaded));
                Refreshed::Swapped
            }
            Err(faults) => Refreshed::Refused(faults),
        }
    }

    /// What is not wrong, but will hurt: certificates that clients do not accept at `now`.
    pub fn warnings(&self, now: SystemTime) -> Vec<TlsWarning> {
        self.shared.loaded.load().warnings(now)
    }

    /// How many handshakes are in progress.
    pub fn handshakes(&self) -> usize {
        let max = self.shared.options.handshakes_max.clamp(1, Semaphore::MAX_PERMITS);
        max - self.shared.handshakes.available_permits()
    }

    /// Does the handshake of a connection.
    ///
    /// # Errors
    /// If it fails, or is not complete before `deadline`, which includes waiting for a place. The
    /// connection is closed then.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection and frees its place.
    pub async fn accept(
        &self,
        socket: Socket,
        deadline: Instant,
    ) -> Result<TlsStream, HandshakeError> {
        let place = timeout_at(deadline, self.shared.handshakes.acquire()).await;
        // The semaphore is never closed, so only the deadline leaves us without a place.
        let _place = place.ok().and_then(Result::ok).ok_or(HandshakeError::Crowded)?;
        let config = self.shared.loaded.load().config.clone();
        match timeout_at(deadline, TlsAcceptor::from(config).accept(socket)).await {
            Ok(shaken) => Ok(TlsStream::new(shaken?)),
            Err(_) => Err(HandshakeError::Deadline),
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("options", &self.shared.options).finish_non_exhaustive()
    }
}
