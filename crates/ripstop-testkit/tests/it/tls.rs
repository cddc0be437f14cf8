//! Certificates of every kind, and the client over TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use ripstop_testkit::{Certificates, Client, Ending, Identity};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::server::serve;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";

#[test]
fn ecdsa_and_rsa_certificates_are_trusted_for_their_hosts() {
    let certs = Certificates::new().unwrap();
    let ecdsa = certs.server("ecdsa", &["a.test", "*.b.test", "127.0.0.1"]).unwrap();
    let rsa = certs.server_rsa("rsa", &["a.test"]).unwrap();
    for (identity, host) in
        [(&ecdsa, "a.test"), (&ecdsa, "x.b.test"), (&ecdsa, "127.0.0.1"), (&rsa, "a.test")]
    {
        let addr = answer(server_config(&certs, identity, false), End::Orderly);
        let config = certs.client_config(None, &["http/1.1"]).unwrap();
        let mut client = Client::tls(addr, host, &config).unwrap();
        assert_eq!(client.get("/").unwrap().text(), "x", "{host}");
        assert_eq!(client.alpn(), Some(&b"http/1.1"[..]));
        assert_eq!(client.ending().unwrap().1, Ending::Closed);
    }
}

#[test]
fn other_hosts_and_expired_certificates_are_refused() {
    let certs = Certificates::new().unwrap();
    let good = certs.server("good", &["a.test"]).unwrap();
    let expired = certs.server_expired("old", &["a.test"]).unwrap();
    for (identity, host, reason) in
        [(&good, "other.test", "NotValidForName"), (&expired, "a.test", "xpired")]
    {
        let addr = answer(server_config(&certs, identity, false), End::Orderly);
        let config = certs.client_config(None, &[]).unwrap();
        let err = Client::tls(addr, host, &config).err().unwrap();
        assert!(format!("{err:?}").contains(reason), "{err:?}");
    }
}

#[test]
fn a_client_shows_its_certificate() {
    let certs = Certificates::new().unwrap();
    let identity = certs.server("server", &["a.test"]).unwrap();
    let client = certs.client("somebody").unwrap();
    let get = |shown: Option<&Identity>| {
        let addr = answer(server_config(&certs, &identity, true), End::Orderly);
        let config = certs.client_config(shown, &[]).unwrap();
        Client::tls(addr, "a.test", &config)?.get("/")
    };
    assert_eq!(get(Some(&client)).unwrap().text(), "x");
    assert!(get(None).is_err());
}

#[test]
fn an_end_without_close_notify_is_a_cut() {
    let certs = Certificates::new().unwrap();
    let identity = certs.server("server", &["a.test"]).unwrap();
    let addr = answer(server_config(&certs, &identity, false), End::Rude);
    let config = certs.client_config(None, &[]).unwrap();
    let mut client = Client::tls(addr, "a.test", &config).unwrap();
    assert_eq!(client.get("/").unwrap().text(), "x");
    assert_eq!(client.ending().unwrap().1, Ending::Cut);
}

enum End {
    Orderly,
    Rude,
}

/// Answers one request over TLS.
fn answer(config: Arc<ServerConfig>, end: End) -> SocketAddr {
    let script = move |socket: TcpStream| {
        let session = ServerConnection::new(config).unwrap();
        let mut stream = StreamOwned::new(session, socket);
        // A client that refuses the certificate ends it here.
        if stream.read(&mut [0; 1024]).is_ok() {
            stream.write_all(ANSWER).unwrap();
            if matches!(end, End::Orderly) {
                stream.conn.send_close_notify();
            }
            stream.flush().unwrap();
        }
    };
    serve(script).0
}

fn server_config(certs: &Certificates, identity: &Identity, ask: bool) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = if ask {
        let mut roots = RootCertStore::empty();
        let authority = Identity { chain: certs.authority(), ..identity.clone() };
        roots.add(authority.read().unwrap().0.remove(0)).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let (chain, key) = identity.read().unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".into()];
    Arc::new(config)
}

#[test]
fn a_host_that_is_none_is_refused() {
    let certs = Certificates::new().unwrap();
    let err = certs.server("bad", &["näme"]).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::InvalidInput);
}
