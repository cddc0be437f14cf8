//! What is written in a certificate: whom it names, and when it is valid.
//!
//! Owns reading X.509 (RFC 5280). Whether a certificate is to be trusted is left to rustls.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::error::TlsError;

/// What a server's certificate says about itself.
#[derive(Clone)]
pub(super) struct Identity {
    /// The file it came from.
    path: PathBuf,
    /// The DNS names it is for, in lower case, wildcards as they are written.
    pub(super) names: Vec<String>,
    valid_from: SystemTime,
    valid_until: SystemTime,
}

/// A certificate that loads, but that clients refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsWarning {
    /// It was valid until then.
    Expired {
        /// The file.
        chain: PathBuf,
        /// The end of its validity.
        since: SystemTime,
    },
    /// It is valid only from then on.
    NotYetValid {
        /// The file.
        chain: PathBuf,
        /// The beginning of its validity.
        until: SystemTime,
    },
}

impl fmt::Display for TlsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { chain, .. } => {
                write!(f, "the certificate in {} has expired: renew it", chain.display())
            }
            Self::NotYetValid { chain, .. } => write!(
                f,
                "the certificate in {} is not valid yet: check this machine's clock",
                chain.display()
            ),
        }
    }
}

impl Identity {
    /// Reads the certificate that came from `path`.
    pub(super) fn read(path: &Path, der: &[u8]) -> Result<Self, TlsError> {
        let bad = |source| TlsError::BadCertificate { path: path.to_owned(), source };
        let certificate = Certificate::from_der(der).map_err(bad)?;
        let validity = certificate.tbs_certificate().validity();
        Ok(Self {
            path: path.to_owned(),
            names: dns_names(&certificate).map_err(bad)?,
            valid_from: validity.not_before.to_system_time(),
            valid_until: validity.not_after.to_system_time(),
        })
    }

    /// What clients will not like about it at `now`.
    pub(super) fn warning(&self, now: SystemTime) -> Option<TlsWarning> {
        let chain = self.path.clone();
        if now > self.valid_until {
            Some(TlsWarning::Expired { chain, since: self.valid_until })
        } else if now < self.valid_from {
            Some(TlsWarning::NotYetValid { chain, until: self.valid_from })
        } else {
            None
        }
    }
}

/// The subject of a certificate as RFC 4514 writes it; `None` if it can't be read.
pub(super) fn subject(der: &[u8]) -> Option<Arc<str>> {
    let certificate = Certificate::from_der(der).ok()?;
    Some(certificate.tbs_certificate().subject().to_string().into())
}

fn dns_names(certificate: &Certificate) -> Result<Vec<String>, x509_cert::der::Error> {
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>()?;
    let names = names.map(|(_critical, names)| names.0).unwrap_or_default();
    let dns_name = |name: &GeneralName| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    };
    Ok(names.iter().filter_map(dns_name).collect())
}
