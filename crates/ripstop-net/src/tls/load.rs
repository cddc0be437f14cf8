//! Loading: from files to what handshakes use, with every fault on the way.
//!
//! Owns reading and checking the files and putting the configuration together. Noticing that they
//! changed is left to `files.rs`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::certificate::{Identity, TlsWarning};
use super::choose::{Choice, Choices};
use super::{CertifiedFiles, ClientAuth, TlsOptions, TlsVersion};
use crate::error::TlsError;

/// What came out of the files.
pub(super) struct Loaded {
    /// What new handshakes use.
    pub(super) config: Arc<ServerConfig>,
    identities: Vec<Identity>,
    /// The certificate authorities for clients, to see whether they changed.
    authorities: Option<Vec<CertificateDer<'static>>>,
}

impl Loaded {
    /// What hurts about the certificates at `now`.
    pub(super) fn warnings(&self, now: SystemTime) -> Vec<TlsWarning> {
        self.identities.iter().filter_map(|identity| identity.warning(now)).collect()
    }
}

/// Reads and checks every file. Tickets of `before` stay valid, if clients prove who they are in
/// the same way.
pub(super) fn load(options: &TlsOptions, before: Option<&Loaded>) -> Result<Loaded, Vec<TlsError>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut faults = Vec::new();
    if options.certificates.is_empty() {
        faults.push(TlsError::NoCertificate);
    }
    let pairs = options.certificates.iter().map(|files| read_pair(files, &provider));
    let pairs: Vec<_> = pairs.filter_map(|pair| pair.map_err(|f| faults.extend(f)).ok()).collect();
    let authorities = options.client_auth.path().map(|path| read_certificates(path)).transpose();
    let authorities = authorities.map_err(|fault| faults.push(fault)).unwrap_or_default();
    let verifier = verifier(&options.client_auth, authorities.as_deref(), &provider);
    let verifier = verifier.map_err(|fault| faults.push(fault)).unwrap_or_default();
    if !faults.is_empty() {
        return Err(faults);
    }
    let tickets = match before.filter(|before| before.authorities == authorities) {
        Some(before) => Ok(before.config.ticketer.clone()),
        None => aws_lc_rs::Ticketer::new(),
    };
    let identities = pairs.iter().map(|(identity, _)| identity.clone()).collect();
    let config = tickets.and_then(|tickets| config(options, provider, pairs, verifier, tickets));
    let config = Arc::new(config.map_err(|err| vec![TlsError::Refused(err)])?);
    Ok(Loaded { config, identities, authorities })
}

fn config(
    options: &TlsOptions,
    provider: Arc<CryptoProvider>,
    pairs: Vec<(Identity, Arc<CertifiedKey>)>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(options.min_version))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let choices = pairs.into_iter().map(|(identity, key)| Choice { names: identity.names, key });
    let mut config = builder.with_cert_resolver(Arc::new(Choices::new(choices.collect())));
    config.alpn_protocols.clone_from(&options.alpn);
    config.ticketer = tickets;
    // Tickets hold the session; a cache of them here would be one more thing that workers share.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_half_rtt_data = false;
    config.max_early_data_size = 0;
    Ok(config)
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match min {
        TlsVersion::V1_2 => &BOTH,
        TlsVersion::V1_3 => &BOTH[..1],
    }
}

fn read_pair(
    files: &CertifiedFiles,
    provider: &CryptoProvider,
) -> Result<(Identity, Arc<CertifiedKey>), Vec<TlsError>> {
    let (chain, key) = match (read_certificates(&files.chain), read_key(&files.key)) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
    };
    certify(files, chain, key, provider).map_err(|fault| vec![fault])
}

fn certify(
    files: &CertifiedFiles,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<(Identity, Arc<CertifiedKey>), TlsError> {
    let identity = Identity::read(&files.chain, &chain[0])?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|source| TlsError::BadKey { path: files.key.clone(), source })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok((identity, Arc::new(certified))),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::KeyMismatch { chain: files.chain.clone(), key: files.key.clone() })
        }
        Err(source) => Err(TlsError::Refused(source)),
    }
}

/// Reads all certificates of a file, which are one at least.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|err| bad_pem(path, "a certificate", err))?;
    if certificates.is_empty() {
        return Err(bad_pem(path, "a certificate", pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(path)?;
    // Both the PKCS #8 and the older form say it in their first lines.
    if bytes.windows(9).any(|word| word == b"ENCRYPTED") {
        return Err(TlsError::EncryptedKey(path.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|err| bad_pem(path, "a private key", err))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
}

fn bad_pem(path: &Path, wanted: &'static str, source: pem::Error) -> TlsError {
    let path = path.to_owned();
    match source {
        pem::Error::NoItemsFound => TlsError::NothingInside { path, wanted },
        source => TlsError::BadPem { path, source },
    }
}

/// What checks the certificates of clients, if they are asked for any.
fn verifier(
    client_auth: &ClientAuth,
    authorities: Option<&[CertificateDer<'static>]>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let (Some(path), Some(authorities)) = (client_auth.path(), authorities) else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|err| bad_authority(path, err))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let builder = match client_auth {
        ClientAuth::Optional(_) => builder.allow_unauthenticated(),
        ClientAuth::Required(_) | ClientAuth::None => builder,
    };
    builder.build().map(Some).map_err(|err| bad_authority(path, err))
}

fn bad_authority(
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> TlsError {
    TlsError::BadAuthority { path: path.to_owned(), source: source.into() }
}
