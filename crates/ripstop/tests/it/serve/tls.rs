//! TLS on the server: protocols, client certificates, and files that change while it runs.

use ripstop::{CertifiedFiles, ClientAuth, Running, Server, TlsOptions};
use ripstop_testkit::{Certificates, Client, Identity, until};
use std::{fs, net::SocketAddr};

use super::{
    frames::Http2,
    levers::Levers,
    program::{Program, command},
    setup::{SOON, listen, options, refused, start, tcp},
};

/// A server for `site.test`, its levers, and the authority of its certificate.
fn serve(client_auth: impl FnOnce(&Certificates) -> ClientAuth) -> (Running, Levers, Certificates) {
    let certificates = Certificates::new().unwrap();
    let identity = certificates.server("site", &["site.test"]).unwrap();
    let (levers, app) = Levers::new();
    let mut options = options(2, 1);
    let client_auth = client_auth(&certificates);
    options.listen[0].tls = Some(TlsOptions { client_auth, ..tls_options(&identity) });
    (start(app, &options), levers, certificates)
}

fn tls_options(identity: &Identity) -> TlsOptions {
    let files = CertifiedFiles { chain: identity.chain.clone(), key: identity.key.clone() };
    TlsOptions { certificates: vec![files], ..TlsOptions::default() }
}

/// A new connection.
fn connect(addr: SocketAddr, certificates: &Certificates, alpn: &[&str]) -> Client {
    let config = certificates.client_config(None, alpn).unwrap();
    Client::tls(addr, "site.test", &config).unwrap()
}

/// The server's certificate on this connection.
fn certificate(client: &Client) -> Vec<u8> {
    let session = client.tls_session().expect("it speaks TLS");
    session.peer_certificates().expect("the server has one")[0].to_vec()
}

#[test]
fn alpn_chooses_between_http_1_and_2() {
    let (running, _levers, certificates) = serve(|_| ClientAuth::None);
    let addr = tcp(&running, "main");
    for alpn in [&["http/1.1"][..], &[]] {
        let mut client = connect(addr, &certificates, alpn);
        assert_eq!(client.get("/").unwrap().text(), "hello");
    }
    let client = connect(addr, &certificates, &["http/1.1", "h2"]);
    assert_eq!(client.alpn(), Some(&b"h2"[..]));
    assert_eq!(Http2::new(client).unwrap().get("/").unwrap(), b"hello");
}

#[test]
fn the_subject_of_a_client_certificate_is_told() {
    let (running, _levers, certificates) =
        serve(|certificates| ClientAuth::Required(certificates.authority()));
    let ada = certificates.client("ada").unwrap();
    let config = certificates.client_config(Some(&ada), &[]).unwrap();
    let mut client = Client::tls(tcp(&running, "main"), "site.test", &config).unwrap();
    let told = client.get("/facts").unwrap().text();
    assert!(told.ends_with(" CN=ada"), "{told}");
}

#[test]
fn a_client_without_the_certificate_that_is_required_is_refused() {
    let (running, levers, certificates) =
        serve(|certificates| ClientAuth::Required(certificates.authority()));
    let config = certificates.client_config(None, &[]).unwrap();
    // Under TLS 1.3 the refusal comes after the client has finished its handshake.
    let refused = Client::tls(tcp(&running, "main"), "site.test", &config)
        .and_then(|mut client| client.get("/"));
    assert!(refused.is_err());
    assert_eq!(levers.begun(), 0);
}

#[test]
fn new_files_are_for_new_connections_and_old_ones_live_on() {
    let (running, _levers, certificates) = serve(|_| ClientAuth::None);
    let addr = tcp(&running, "main");
    let mut old = connect(addr, &certificates, &[]);
    let before = certificate(&old);
    assert_eq!(old.get("/").unwrap().text(), "hello");
    certificates.server("site", &["site.test"]).unwrap();
    let swapped = || certificate(&connect(addr, &certificates, &[])) != before;
    assert!(until(SOON, swapped), "the server did not notice");
    assert_eq!(old.get("/").unwrap().text(), "hello");
}

#[test]
fn a_broken_new_file_is_refused_with_a_log_line_and_the_old_one_stays() {
    let certificates = Certificates::new().unwrap();
    let identity = certificates.server("site", &["site.test"]).unwrap();
    let tls = Program::start(
        command("tls")
            .args(["--listen", "127.0.0.1:0", "--certificate"])
            .args([&identity.chain, &identity.key]),
    );
    let before = certificate(&connect(tls.address, &certificates, &[]));
    fs::write(&identity.chain, "nonsense").unwrap();
    tls.logged("new certificate refused, the old one stays");
    assert_eq!(certificate(&connect(tls.address, &certificates, &[])), before);
    certificates.server("site", &["site.test"]).unwrap();
    tls.logged("certificates swapped");
    assert_ne!(certificate(&connect(tls.address, &certificates, &[])), before);
    tls.terminate();
}

#[test]
fn every_fault_of_the_files_is_named_and_nothing_is_bound() {
    let certificates = Certificates::new().unwrap();
    let mut identity = certificates.server("site", &["site.test"]).unwrap();
    identity.key = certificates.dir().join("none.key");
    fs::write(&identity.chain, "nonsense").unwrap();
    let (_levers, app) = Levers::new();
    let mut options = options(1, 0);
    let file = certificates.dir().join("it.sock");
    options.listen.push(listen("file", &format!("unix:{}", file.display())));
    options.listen[0].tls = Some(tls_options(&identity));
    let told = refused(Server::with_options(app, options).start());
    let [chain, key] = &*told else { panic!("{told:?}") };
    assert!(
        chain.starts_with("listener main: ") && chain.contains("site.pem must hold"),
        "{chain}"
    );
    assert!(key.starts_with("listener main: cannot read ") && key.contains("none.key"), "{key}");
    assert!(!file.exists());
}
