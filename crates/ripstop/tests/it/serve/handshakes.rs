//! TLS handshakes: which certificate is shown, sessions that go on, clients that say nothing.

use ripstop::{CertifiedFiles, Options, Running, TlsOptions};
use ripstop_testkit::{Certificates, Client, Identity};
use std::{process::Command, time::Duration};

use super::{
    levers::Levers,
    setup::{options, start, tcp},
};

/// A server with these certificates, the first one being the default.
fn serve(identities: &[&Identity]) -> (Running, Levers) {
    let (levers, app) = Levers::new();
    (start(app, &with_tls(identities)), levers)
}

fn with_tls(identities: &[&Identity]) -> Options {
    let files = |identity: &&Identity| CertifiedFiles {
        chain: identity.chain.clone(),
        key: identity.key.clone(),
    };
    let certificates = identities.iter().map(files).collect();
    let mut options = options(2, 1);
    options.listen[0].tls = Some(TlsOptions { certificates, ..TlsOptions::default() });
    options
}

#[test]
fn the_certificate_is_chosen_by_the_name_that_the_client_gives() {
    let certificates = Certificates::new().unwrap();
    let one = certificates.server("one", &["one.test"]).unwrap();
    let wild = certificates.server("wild", &["*.wild.test"]).unwrap();
    let (running, _levers) = serve(&[&one, &wild]);
    let config = certificates.client_config(None, &[]).unwrap();
    // The client verifies that the certificate is one for the name.
    for name in ["one.test", "any.wild.test"] {
        let mut client = Client::tls(tcp(&running, "main"), name, &config).unwrap();
        assert_eq!(client.get("/").unwrap().text(), "hello", "{name}");
    }
    assert!(Client::tls(tcp(&running, "main"), "other.test", &config).is_err());
}

#[test]
fn the_kind_of_key_is_chosen_by_what_the_client_can_verify() {
    let certificates = Certificates::new().unwrap();
    let ecdsa = certificates.server("ecdsa", &["site.test"]).unwrap();
    let rsa = certificates.server_rsa("rsa", &["site.test"]).unwrap();
    let (running, _levers) = serve(&[&ecdsa, &rsa]);
    let addr = tcp(&running, "main").to_string();
    for (algorithm, kind) in
        [("ecdsa_secp256r1_sha256", "ECDSA"), ("rsa_pss_rsae_sha256", "RSA-PSS")]
    {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", &addr, "-servername", "site.test"]);
        let output = client.args(["-sigalgs", algorithm]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!("Peer signature type: {kind}")), "{algorithm}: {text}");
    }
}

#[test]
fn a_session_goes_on_by_its_ticket_on_any_worker() {
    let certificates = Certificates::new().unwrap();
    let identity = certificates.server("site", &["site.test"]).unwrap();
    let (running, _levers) = serve(&[&identity]);
    let config = certificates.client_config(None, &[]).unwrap();
    let mut kept = Vec::new();
    for nth in 0..8 {
        let mut client = Client::tls(tcp(&running, "main"), "site.test", &config).unwrap();
        // The ticket comes with the first answer at the latest.
        assert_eq!(client.get("/").unwrap().text(), "hello");
        let resumed = client.tls_session().unwrap().handshake_kind();
        let resumed = resumed == Some(rustls::HandshakeKind::Resumed);
        assert_eq!(resumed, nth > 0, "connection {nth}");
        // Those that stay make the next one go to the other worker.
        kept.push(client);
    }
}

#[test]
fn a_client_that_says_nothing_is_closed_at_the_deadline_of_the_handshake() {
    let certificates = Certificates::new().unwrap();
    let identity = certificates.server("site", &["site.test"]).unwrap();
    let (_levers, app) = Levers::new();
    let handshake_timeout = Duration::from_millis(200);
    let running = start(app, &Options { handshake_timeout, ..with_tls(&[&identity]) });
    let begin = std::time::Instant::now();
    let mut silent = Client::tcp(tcp(&running, "main")).unwrap();
    assert_eq!(silent.read_to_end().unwrap(), b"");
    assert!(begin.elapsed() >= handshake_timeout, "{:?}", begin.elapsed());
}
