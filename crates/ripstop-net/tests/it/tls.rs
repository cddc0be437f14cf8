//! Handshakes over real sockets: what is chosen, what is refused, what goes on over a swap.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ripstop_net::{
    Alpn, CertifiedFiles, ClientAuth, HandshakeError, Refreshed, Stream, Tls, TlsError, TlsOptions,
    TlsStream, TlsVersion, TlsWarning,
};
use ripstop_testkit::{Certificates, Identity};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::{TlsConnector, client};

use crate::support::{accept, bind, deadline, options as at, pair, port_of};

type Server = Result<TlsStream, HandshakeError>;
type Client = std::io::Result<client::TlsStream<tokio::net::TcpStream>>;

fn files(identity: &Identity) -> CertifiedFiles {
    CertifiedFiles { chain: identity.chain.clone(), key: identity.key.clone() }
}

fn options(identities: &[&Identity]) -> TlsOptions {
    let certificates = identities.iter().map(|identity| files(identity)).collect();
    TlsOptions { certificates, ..TlsOptions::default() }
}

/// Both sides of one handshake, in which the client names `server`.
async fn shake(tls: &Tls, config: &Arc<ClientConfig>, server: &str) -> (Server, Client) {
    let listener = bind(&at("127.0.0.1:0"));
    let tcp = TcpStream::connect(port_of(&listener)).unwrap();
    tcp.set_nonblocking(true).unwrap();
    let tcp = tokio::net::TcpStream::from_std(tcp).unwrap();
    let name = ServerName::try_from(server.to_owned()).unwrap();
    let connector = TlsConnector::from(config.clone());
    tokio::join!(tls.accept(accept(&listener), deadline()), connector.connect(name, tcp))
}

/// A handshake that both sides accept; by the end the client has its session tickets.
async fn meet(tls: &Tls, config: &Arc<ClientConfig>, server: &str) -> (Stream, Connected) {
    let (server, client) = shake(tls, config, server).await;
    let (mut server, mut client) = (Stream::from(server.unwrap()), client.unwrap());
    exchange(&mut server, &mut client).await;
    (server, client)
}

type Connected = client::TlsStream<tokio::net::TcpStream>;

/// One byte in each direction.
async fn exchange(server: &mut Stream, client: &mut Connected) {
    server.write_all(b"s").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b's');
    client.write_all(b"c").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'c');
}

/// The certificate that the client was shown.
fn shown(client: &Connected) -> CertificateDer<'static> {
    client.get_ref().1.peer_certificates().unwrap()[0].clone()
}

fn certificate(identity: &Identity) -> CertificateDer<'static> {
    identity.read().unwrap().0.remove(0)
}

/// A client that trusts the authority and speaks only what `provider` and `versions` have.
fn narrow_client(
    certificates: &Certificates,
    provider: CryptoProvider,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificates.authority()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider.into());
    let builder = builder.with_protocol_versions(versions).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth().into()
}

#[tokio::test]
async fn the_certificate_is_the_one_for_the_name() {
    let made = Certificates::new().unwrap();
    let first = made.server("first", &["first.example", "www.first.example"]).unwrap();
    let wild = made.server("wild", &["*.wild.example"]).unwrap();
    let exact = made.server("exact", &["exact.wild.example"]).unwrap();
    let tls = Tls::load(&options(&[&first, &wild, &exact])).unwrap();
    let client = made.client_config(None, &[]).unwrap();
    let cases = [
        ("www.first.example", &first),
        ("any.wild.example", &wild),
        ("ANY.Wild.Example", &wild),
        ("exact.wild.example", &exact),
    ];
    for (name, identity) in cases {
        let (server, client) = meet(&tls, &client, name).await;
        assert_eq!(shown(&client), certificate(identity), "{name}");
        let facts = server.tls_facts().unwrap();
        assert_eq!(facts.server_name.as_deref(), Some(&*name.to_ascii_lowercase()));
    }
    // The first one is for all others, and the client refuses it for a name that it has not.
    for name in ["other.example", "a.b.wild.example", "wild.example", "127.0.0.1"] {
        let (_, client) = shake(&tls, &client, name).await;
        let err = client.unwrap_err().to_string();
        assert!(err.contains("first.example"), "{name}: {err}");
    }
}

#[tokio::test]
async fn the_kind_of_key_is_one_that_the_client_can_use() {
    let made = Certificates::new().unwrap();
    let ecdsa = made.server("ecdsa", &["a.example"]).unwrap();
    let rsa = made.server_rsa("rsa", &["a.example"]).unwrap();
    let tls = Tls::load(&options(&[&ecdsa, &rsa])).unwrap();
    let any = made.client_config(None, &[]).unwrap();
    assert_eq!(shown(&meet(&tls, &any, "a.example").await.1), certificate(&ecdsa));
    // TLS 1.2 binds the suite to the kind of key, whatever signatures are offered beside it.
    for (kind, identity) in [("ECDHE_RSA", &rsa), ("ECDHE_ECDSA", &ecdsa)] {
        let mut provider = aws_lc_rs::default_provider();
        let of_kind = |suite: &rustls::SupportedCipherSuite| {
            suite.suite().as_str().is_some_and(|name| name.contains(kind))
        };
        provider.cipher_suites.retain(of_kind);
        let client = narrow_client(&made, provider, &[&version::TLS12]);
        let (server, client) = meet(&tls, &client, "a.example").await;
        assert_eq!(shown(&client), certificate(identity), "{kind}");
        let facts = server.tls_facts().unwrap();
        assert_eq!(facts.version, "TLSv1.2");
        assert!(facts.cipher.starts_with(&format!("TLS_{kind}_WITH_")), "{}", facts.cipher);
    }
}

#[tokio::test]
async fn the_protocol_is_agreed_on_or_the_handshake_fails() {
    let made = Certificates::new().unwrap();
    let tls = Tls::load(&options(&[&made.server("a", &["a.example"]).unwrap()])).unwrap();
    let cases: [(&[&str], Alpn); 4] = [
        (&["http/1.1", "h2"], Alpn::H2),
        (&["http/1.1"], Alpn::Http1),
        (&["spdy/3", "http/1.1"], Alpn::Http1),
        (&[], Alpn::None),
    ];
    for (offered, agreed) in cases {
        let client = made.client_config(None, offered).unwrap();
        let (server, _client) = meet(&tls, &client, "a.example").await;
        let facts = server.tls_facts().unwrap();
        assert_eq!(facts.alpn, agreed, "{offered:?}");
        assert_eq!(facts.version, "TLSv1.3");
        assert!(["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"].contains(&facts.cipher));
    }
    let client = made.client_config(None, &["spdy/3"]).unwrap();
    let (server, _client) = shake(&tls, &client, "a.example").await;
    let err = server.unwrap_err();
    assert!(matches!(err, HandshakeError::Tls(rustls::Error::NoApplicationProtocol)), "{err:?}");
}

#[tokio::test]
async fn the_lowest_version_is_kept_to() {
    let made = Certificates::new().unwrap();
    let identity = made.server("a", &["a.example"]).unwrap();
    let min_version = TlsVersion::V1_3;
    let tls = Tls::load(&TlsOptions { min_version, ..options(&[&identity]) }).unwrap();
    let old = narrow_client(&made, aws_lc_rs::default_provider(), &[&version::TLS12]);
    let (server, _client) = shake(&tls, &old, "a.example").await;
    assert!(matches!(server.unwrap_err(), HandshakeError::Tls(_)));
    meet(&tls, &made.client_config(None, &[]).unwrap(), "a.example").await;
}

#[tokio::test]
async fn client_certificates_are_required_optional_or_not_asked_for() {
    let made = Certificates::new().unwrap();
    let server = made.server("a", &["a.example"]).unwrap();
    let ada = made.client("ada").unwrap();
    let with = made.client_config(Some(&ada), &[]).unwrap();
    let without = made.client_config(None, &[]).unwrap();
    let strangers = Certificates::new().unwrap();
    let stranger = made.client_config(Some(&strangers.client("eve").unwrap()), &[]).unwrap();
    let (optional, required) = (ClientAuth::Optional, ClientAuth::Required);
    let authority = || made.authority();
    let ada_is_known = Some("CN=ada");
    // For each client: the subject that is told, or `None` for a handshake that fails.
    let cases = [
        (ClientAuth::None, [Some(None), Some(None), Some(None)]),
        (optional(authority()), [Some(ada_is_known), Some(None), None]),
        (required(authority()), [Some(ada_is_known), None, None]),
    ];
    for (client_auth, expected) in cases {
        let tls = Tls::load(&TlsOptions { client_auth, ..options(&[&server]) }).unwrap();
        for (client, expected) in [&with, &without, &stranger].into_iter().zip(expected) {
            let (server, _client) = shake(&tls, client, "a.example").await;
            let Some(subject) = expected else {
                assert!(matches!(server.unwrap_err(), HandshakeError::Tls(_)));
                continue;
            };
            let server = server.unwrap();
            let facts = server.facts();
            assert_eq!(facts.client_subject.as_deref(), subject);
            let der = facts.client_certificate.as_deref();
            assert_eq!(der, subject.map(|_| certificate(&ada)).as_deref());
        }
    }
}

/// Whether the session of `client` goes on with `tls`.
async fn resumes(tls: &Tls, client: &Arc<ClientConfig>) -> bool {
    let (server, _client) = meet(tls, client, "a.example").await;
    server.tls_facts().unwrap().resumed
}

#[tokio::test]
async fn sessions_go_on_with_a_clone_and_after_a_swap() {
    let made = Certificates::new().unwrap();
    let tls = Tls::load(&options(&[&made.server("a", &["a.example"]).unwrap()])).unwrap();
    for versions in [&[&version::TLS13], &[&version::TLS12]] {
        let client = narrow_client(&made, aws_lc_rs::default_provider(), versions);
        assert!(!resumes(&tls, &client).await);
        assert!(resumes(&tls.clone(), &client).await);
        made.server("a", &["a.example"]).unwrap();
        assert!(matches!(tls.refresh(), Refreshed::Swapped));
        assert!(resumes(&tls, &client).await);
    }
}

#[tokio::test]
async fn who_proved_himself_to_another_authority_starts_anew() {
    let made = Certificates::new().unwrap();
    let other = Certificates::new().unwrap();
    let trusted = made.dir().join("trusted.pem");
    fs::copy(made.authority(), &trusted).unwrap();
    let client_auth = ClientAuth::Required(trusted.clone());
    let server = made.server("a", &["a.example"]).unwrap();
    let tls = Tls::load(&TlsOptions { client_auth, ..options(&[&server]) }).unwrap();
    let ada = made.client_config(Some(&made.client("ada").unwrap()), &[]).unwrap();
    meet(&tls, &ada, "a.example").await;
    let (server, _client) = meet(&tls, &ada, "a.example").await;
    let facts = server.tls_facts().unwrap();
    assert!(facts.resumed);
    assert_eq!(facts.client_subject.as_deref(), Some("CN=ada"), "the ticket holds who it is");
    fs::copy(other.authority(), &trusted).unwrap();
    assert!(matches!(tls.refresh(), Refreshed::Swapped));
    let (server, _client) = shake(&tls, &ada, "a.example").await;
    assert!(matches!(server.unwrap_err(), HandshakeError::Tls(_)), "the ticket is void");
}

#[tokio::test]
async fn a_swap_is_for_new_connections_and_old_ones_live_on() {
    let made = Certificates::new().unwrap();
    let old = made.server("a", &["a.example"]).unwrap();
    let tls = Tls::load(&options(&[&old])).unwrap();
    let config = || made.client_config(None, &[]).unwrap();
    let (mut server, mut client) = meet(&tls, &config(), "a.example").await;
    assert_eq!(shown(&client), certificate(&old));
    assert!(matches!(tls.refresh(), Refreshed::Unchanged));
    let new = made.server("a", &["a.example"]).unwrap();
    assert!(matches!(tls.refresh(), Refreshed::Swapped));
    assert!(matches!(tls.refresh(), Refreshed::Unchanged));
    exchange(&mut server, &mut client).await;
    let (_server, client) = meet(&tls, &config(), "a.example").await;
    assert_eq!(shown(&client), certificate(&new));
}

#[tokio::test]
async fn a_broken_file_is_refused_once_for_each_change_and_the_old_one_stays() {
    let made = Certificates::new().unwrap();
    let identity = made.server("a", &["a.example"]).unwrap();
    let tls = Tls::load(&options(&[&identity])).unwrap();
    let [good, key] = [&identity.chain, &identity.key].map(|path| fs::read(path).unwrap());
    let config = made.client_config(None, &[]).unwrap();
    let broken = |tls: &Tls| match tls.refresh() {
        Refreshed::Refused(faults) => faults,
        other => panic!("{other:?}"),
    };
    fs::write(&identity.chain, "nonsense").unwrap();
    assert!(matches!(broken(&tls)[..], [TlsError::NothingInside { .. }]));
    assert!(matches!(tls.refresh(), Refreshed::Unchanged));
    fs::remove_file(&identity.chain).unwrap();
    assert!(matches!(broken(&tls)[..], [TlsError::Unreadable { .. }]));
    assert!(matches!(tls.refresh(), Refreshed::Unchanged));
    meet(&tls, &config, "a.example").await;
    // A certificate that was written before its key does not go with the old one.
    let half = made.server("a", &["a.example"]).unwrap();
    fs::write(&half.key, key).unwrap();
    assert!(matches!(broken(&tls)[..], [TlsError::KeyMismatch { .. }]));
    fs::write(&identity.chain, good).unwrap();
    assert!(matches!(tls.refresh(), Refreshed::Swapped));
}

#[test]
fn every_fault_is_named_at_once() {
    let made = Certificates::new().unwrap();
    let [a, b] = ["a", "b"].map(|name| made.server(name, &["a.example"]).unwrap());
    let path = |name: &str| made.dir().join(name);
    let write = |name: &str, text: &str| {
        fs::write(path(name), text).unwrap();
        path(name)
    };
    let pem = |label: &str, body: &str| {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    let pair = |chain: &Path, key: &Path| CertifiedFiles { chain: chain.into(), key: key.into() };
    let certificates = vec![
        pair(&path("gone.pem"), &path("gone.key")),
        pair(&a.key, &a.chain),
        pair(&a.chain, &b.key),
        pair(&a.chain, &write("locked.key", &pem("ENCRYPTED PRIVATE KEY", "MAA="))),
        pair(&a.chain, &write("empty.key", &pem("PRIVATE KEY", "MAA="))),
        pair(&write("empty.pem", &pem("CERTIFICATE", "MAA=")), &a.key),
        pair(&write("cut.pem", "-----BEGIN CERTIFICATE-----\nMAA="), &a.key),
    ];
    let client_auth = ClientAuth::Optional(path("no-authority.pem"));
    let options = TlsOptions { certificates, client_auth, ..TlsOptions::default() };
    let faults: Vec<_> = Tls::load(&options).unwrap_err().iter().map(ToString::to_string).collect();
    let dir = made.dir().display();
    let key_kinds = "RSA from 2048 bits, ECDSA on P-256, P-384 or P-521, and Ed25519 can";
    assert_eq!(
        faults,
        [
            format!("cannot read {dir}/gone.pem"),
            format!("cannot read {dir}/gone.key"),
            format!("{dir}/a.key must hold a certificate in PEM, and has none"),
            format!("{dir}/a.pem must hold a private key in PEM, and has none"),
            format!(
                "the private key in {dir}/b.key does not belong to the first certificate in {dir}/a.pem"
            ),
            format!(
                "the private key in {dir}/locked.key is encrypted: decrypt it, as with `openssl pkey`"
            ),
            format!("the private key in {dir}/empty.key can't be used: {key_kinds}"),
            format!("{dir}/empty.pem holds a certificate that can't be understood"),
            format!("{dir}/cut.pem holds damaged PEM"),
            format!("cannot read {dir}/no-authority.pem"),
        ]
    );
    let nothing = Tls::load(&TlsOptions::default()).unwrap_err();
    assert!(matches!(nothing[..], [TlsError::NoCertificate]));
}

#[test]
fn an_expired_certificate_is_a_warning() {
    let made = Certificates::new().unwrap();
    let good = made.server("good", &["a.example"]).unwrap();
    let expired = made.server_expired("expired", &["b.example"]).unwrap();
    let tls = Tls::load(&options(&[&good, &expired])).unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    // The first of February 2001.
    let since = UNIX_EPOCH + Duration::from_secs(980_985_600);
    let chain = expired.chain.clone();
    assert_eq!(tls.warnings(SystemTime::now()), [TlsWarning::Expired { chain, since }]);
    assert_eq!(tls.warnings(since), []);
    let chain = expired.chain;
    let until = since - 31 * day;
    assert_eq!(tls.warnings(until - day)[..], [TlsWarning::NotYetValid { chain, until }]);
}

#[tokio::test]
async fn a_silent_client_is_given_up_at_the_deadline_and_frees_its_place() {
    let made = Certificates::new().unwrap();
    let identity = made.server("a", &["a.example"]).unwrap();
    let tls = Tls::load(&TlsOptions { handshakes_max: 1, ..options(&[&identity]) }).unwrap();
    let (_first, socket) = pair();
    let (_second, other) = pair();
    // The first one has the place when the second one asks, and keeps it for a while.
    let soon = Instant::now() + Duration::from_millis(30);
    let (first, second) = tokio::join!(tls.accept(socket, soon), tls.accept(other, Instant::now()));
    assert!(matches!(first.unwrap_err(), HandshakeError::Deadline));
    assert!(matches!(second.unwrap_err(), HandshakeError::Crowded));
    assert_eq!(tls.handshakes(), 0);
    meet(&tls, &made.client_config(None, &[]).unwrap(), "a.example").await;
}

#[tokio::test]
async fn what_is_no_tls_and_what_ends_early_is_told_apart() {
    let made = Certificates::new().unwrap();
    let tls = Tls::load(&options(&[&made.server("a", &["a.example"]).unwrap()])).unwrap();
    let (client, socket) = pair();
    drop(client);
    let err = tls.accept(socket, deadline()).await.unwrap_err();
    assert!(matches!(err, HandshakeError::Closed), "{err:?}");
    let (mut client, socket) = pair();
    std::io::Write::write_all(&mut client, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let err = tls.accept(socket, deadline()).await.unwrap_err();
    assert!(matches!(err, HandshakeError::Tls(rustls::Error::InvalidMessage(_))), "{err:?}");
}
