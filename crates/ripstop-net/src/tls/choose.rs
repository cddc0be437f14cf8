//! Which certificate a client gets: by the server it names, then by what it can verify.
//!
//! Owns the table of names. Reading certificates is left to `certificate.rs`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A certificate that can be chosen.
pub(super) struct Choice {
    /// The DNS names it is for, in lower case.
    pub(super) names: Vec<String>,
    /// What is sent and signed with.
    pub(super) key: Arc<CertifiedKey>,
}

/// All certificates of a configuration.
pub(super) struct Choices {
    /// By name, `*.example.org` included; in the order of the configuration.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For a client that names no server, or one that is not here: the first certificate, and
    /// those that share a name with it (the same server with another kind of key).
    default: Vec<Arc<CertifiedKey>>,
}

impl Choices {
    pub(super) fn new(choices: Vec<Choice>) -> Self {
        let first = choices.first().map(|choice| choice.names.clone()).unwrap_or_default();
        let mut this = Self { by_name: HashMap::new(), default: Vec::new() };
        for (index, Choice { names, key }) in choices.into_iter().enumerate() {
            if index == 0 || names.iter().any(|name| first.contains(name)) {
                this.default.push(key.clone());
            }
            for name in names {
                this.by_name.entry(name).or_default().push(key.clone());
            }
        }
        this
    }

    /// The certificates for a server name: those that have it, else those with a wildcard for its
    /// first label (RFC 6125 section 6.4.3), else the default ones.
    fn for_name(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let named = name.and_then(|name| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let parent = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
            self.by_name.get(&name).or_else(|| self.by_name.get(&parent?))
        });
        named.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Choices {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.for_name(hello.server_name());
        // With none that fits, the first one makes rustls send the alert that says so.
        keys.iter().find(|key| fits(key, &hello)).or(keys.first()).cloned()
    }
}

impl fmt::Debug for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Choices").field(&self.by_name.keys()).finish()
    }
}

/// Whether the client can verify what this key signs. rustls has taken the schemes out that go with
/// none of the client's cipher suites (those of TLS 1.2 are bound to one kind of key, RFC 8422).
fn fits(key: &CertifiedKey, hello: &ClientHello<'_>) -> bool {
    key.key.choose_scheme(hello.signature_schemes()).is_some()
}
