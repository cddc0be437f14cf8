//! Certificates made on the spot, as files, since that is how a server is given them.
//!
//! Owns a directory with an authority of its own and all that it signed, removed when dropped.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io::ErrorKind};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

/// A certificate with its chain, and its private key, as PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate, followed by nothing: the authority signs directly.
    pub chain: PathBuf,
    /// The private key, PKCS#8.
    pub key: PathBuf,
}

/// An authority, and the directory in which its files lie.
pub struct Certificates {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    /// Makes an authority. Its certificate is at [`Certificates::authority`].
    ///
    /// # Errors
    ///
    /// No directory can be made, or no key.
    pub fn new() -> io::Result<Self> {
        let dir = TempDir::new()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Ripstop test authority");
        let key = KeyPair::generate().map_err(refused)?;
        let authority = CertifiedIssuer::self_signed(params, key).map_err(refused)?;
        fs::write(dir.path().join("authority.pem"), authority.pem())?;
        Ok(Self { dir, authority })
    }

    /// The directory of all the files, for others that a test wants beside them.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The authority's certificate, PEM: what clients trust, and servers that ask for clients'.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("authority.pem")
    }

    /// A server's certificate for `hosts` (names, with or without a wildcard, or IP addresses) with
    /// an ECDSA key. The files are called after `name`; the same name again replaces them.
    ///
    /// # Errors
    ///
    /// A host is neither a name nor an address, or a file cannot be written.
    pub fn server(&self, name: &str, hosts: &[&str]) -> io::Result<Identity> {
        let key = KeyPair::generate().map_err(refused)?;
        self.sign(name, &server_params(name, hosts)?, &key)
    }

    /// As [`Certificates::server`], with an RSA key, which takes a fraction of a second to make.
    ///
    /// # Errors
    ///
    /// As [`Certificates::server`].
    pub fn server_rsa(&self, name: &str, hosts: &[&str]) -> io::Result<Identity> {
        let key =
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(refused)?;
        self.sign(name, &server_params(name, hosts)?, &key)
    }

    /// As [`Certificates::server`], with a certificate whose time has passed.
    ///
    /// # Errors
    ///
    /// As [`Certificates::server`].
    pub fn server_expired(&self, name: &str, hosts: &[&str]) -> io::Result<Identity> {
        let mut params = server_params(name, hosts)?;
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 2, 1);
        self.sign(name, &params, &KeyPair::generate().map_err(refused)?)
    }

    /// A client's certificate with this common name.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn client(&self, name: &str) -> io::Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(name, &params, &KeyPair::generate().map_err(refused)?)
    }

    /// A client that trusts this authority, and shows the certificate of `identity` when a server
    /// asks for one. It offers the protocols of `alpn` in this order.
    ///
    /// # Errors
    ///
    /// The files of `identity` cannot be read or do not belong together.
    pub fn client_config(
        &self,
        identity: Option<&Identity>,
        alpn: &[&str],
    ) -> io::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).map_err(refused)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(identity) => {
                let (chain, key) = identity.read()?;
                builder.with_client_auth_cert(chain, key).map_err(refused)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().into()).collect();
        Ok(Arc::new(config))
    }

    fn sign(&self, name: &str, params: &CertificateParams, key: &KeyPair) -> io::Result<Identity> {
        let certificate = params.signed_by(key, &self.authority).map_err(refused)?;
        let file = |suffix| self.dir.path().join(format!("{name}.{suffix}"));
        let identity = Identity { chain: file("pem"), key: file("key") };
        fs::write(&identity.chain, certificate.pem())?;
        fs::write(&identity.key, key.serialize_pem())?;
        Ok(identity)
    }
}

impl Identity {
    /// The chain and the key, as rustls takes them.
    ///
    /// # Errors
    ///
    /// A file cannot be read or is no PEM.
    pub fn read(&self) -> io::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let chain = CertificateDer::pem_file_iter(&self.chain).map_err(refused)?;
        let chain = chain.collect::<Result<_, _>>().map_err(refused)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(refused)?;
        Ok((chain, key))
    }
}

fn server_params(name: &str, hosts: &[&str]) -> io::Result<CertificateParams> {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.into()).collect();
    let mut params = CertificateParams::new(hosts).map_err(refused)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn refused(err: impl Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, err.to_string())
}
