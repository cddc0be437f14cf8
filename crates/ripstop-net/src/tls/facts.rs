//! What a handshake found out, for logs and for applications.
//!
//! Owns the words for it. The handshake itself is rustls's.

use std::sync::Arc;

use rustls::{CipherSuite, HandshakeKind, ProtocolVersion, ServerConnection};

use super::certificate::subject;

/// What a TLS handshake found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite's name in the registry of IANA, as `TLS_AES_128_GCM_SHA256`.
    pub cipher: &'static str,
    /// The server that the client named (SNI, RFC 6066), in lower case.
    pub server_name: Option<Arc<str>>,
    /// The protocol that was agreed on (ALPN, RFC 7301).
    pub alpn: Alpn,
    /// Whether the session is the continuation of an earlier one, by a ticket.
    pub resumed: bool,
    /// The subject of the client's certificate as RFC 4514 writes it, as `CN=ada,O=Example`.
    /// There only if the certificate was verified, now or in the session that is continued.
    pub client_subject: Option<Arc<str>>,
    /// The client's certificate itself, in DER, on the same terms.
    pub client_certificate: Option<Arc<[u8]>>,
}

/// The protocol that client and server agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// The client offered none.
    None,
    /// `http/1.1`.
    Http1,
    /// `h2`.
    H2,
    /// Another one that the options offer.
    Other(Arc<[u8]>),
}

impl TlsFacts {
    /// Asks a connection whose handshake is complete.
    pub(super) fn of(conn: &ServerConnection) -> Self {
        let certificate = conn.peer_certificates().and_then(<[_]>::first);
        Self {
            version: version(conn.protocol_version()),
            cipher: conn.negotiated_cipher_suite().map_or("", |suite| cipher(suite.suite())),
            server_name: conn.server_name().map(Into::into),
            alpn: alpn(conn.alpn_protocol()),
            resumed: conn.handshake_kind() == Some(HandshakeKind::Resumed),
            client_subject: certificate.and_then(|der| subject(der)),
            client_certificate: certificate.map(|der| Arc::from(der.as_ref())),
        }
    }
}

fn version(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "",
    }
}

/// rustls calls the suites of TLS 1.3 by names of its own.
fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or_default(),
    }
}

fn alpn(protocol: Option<&[u8]>) -> Alpn {
    match protocol {
        None => Alpn::None,
        Some(b"http/1.1") => Alpn::Http1,
        Some(b"h2") => Alpn::H2,
        Some(other) => Alpn::Other(other.into()),
    }
}
