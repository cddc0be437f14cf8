//! Allow and deny lists: whose connections are closed, when, and what they are told.

use ripstop::{CertifiedFiles, NetworkRules, Networks, Options, Running, TlsOptions};
use ripstop_testkit::{Certificates, Client, Ending};

use super::{
    levers::Levers,
    setup::{connect, listen, options, path, start, tcp},
};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

fn networks(texts: &[&str]) -> Networks {
    texts.iter().map(|text| text.parse::<ripstop::Network>().unwrap()).collect()
}

fn rules(allow: &[&str], deny: &[&str]) -> NetworkRules {
    NetworkRules { allow: networks(allow), deny: networks(deny) }
}

fn with(rules: NetworkRules) -> Options {
    Options { networks: rules, ..options(2, 1) }
}

fn denied(running: &Running) -> u64 {
    running.handle().connections().denied
}

/// Expects 403 and a close.
#[track_caller]
fn assert_forbidden(mut client: Client) {
    let response = client.response().unwrap();
    assert_eq!((response.status(), response.header("connection")), (403, Some("close")));
    assert_eq!(client.ending().unwrap(), (Vec::new(), Ending::Closed));
}

#[test]
fn whoever_may_not_come_gets_403_at_once_and_nothing_is_handled() {
    let (levers, app) = Levers::new();
    let running = start(app, &with(rules(&[], &["127.0.0.0/8"])));
    assert_forbidden(connect(&running));
    let mut client = connect(&running);
    client.send(REQUEST).unwrap();
    assert_forbidden(client);
    assert_eq!((levers.begun(), denied(&running)), (0, 2));
    let counts = running.handle().connections();
    assert_eq!((counts.open, counts.accepted, counts.refused.sum()), (0, 2, 0));
}

#[test]
fn an_allow_list_is_for_those_alone_whom_it_has_and_the_smallest_network_decides() {
    let (_levers, app) = Levers::new();
    let cases = [
        (rules(&["127.0.0.1"], &[]), true),
        (rules(&["192.0.2.0/24", "::1"], &[]), false),
        (rules(&["127.0.0.1"], &["127.0.0.0/8"]), true),
        (rules(&["127.0.0.0/8"], &["127.0.0.1"]), false),
        (rules(&[], &["192.0.2.0/24"]), true),
    ];
    let running = start(app, &options(2, 1));
    for (rules, admitted) in cases {
        let said = format!("{rules:?}");
        running.handle().apply(with(rules)).unwrap();
        let status = connect(&running).get("/").map(|response| response.status()).unwrap_or(403);
        assert_eq!(status, if admitted { 200 } else { 403 }, "{said}");
    }
}

#[test]
fn a_listener_has_lists_of_its_own_and_unix_peers_are_in_none() {
    let (_levers, app) = Levers::new();
    let dir = tempfile::tempdir().unwrap();
    let mut options = with(rules(&["127.0.0.0/8"], &[]));
    options.listen.push(listen("closed", "127.0.0.1:0"));
    options.listen[1].networks = rules(&["192.0.2.0/24"], &[]);
    options.listen.push(listen("file", &format!("unix:{}/web.sock", dir.path().display())));
    options.listen[2].networks = rules(&["192.0.2.0/24"], &[]);
    let running = start(app, &options);
    assert_eq!(connect(&running).get("/").unwrap().status(), 200);
    assert_forbidden(Client::tcp(tcp(&running, "closed")).unwrap());
    assert_eq!(Client::unix(&path(&running, "file")).unwrap().get("/").unwrap().status(), 200);
    // What the server does not take, no listener does.
    let mut narrower = options.clone();
    narrower.networks = rules(&[], &["127.0.0.0/8"]);
    narrower.listen[1].networks = rules(&["127.0.0.1"], &[]);
    running.handle().apply(narrower).unwrap();
    assert_forbidden(connect(&running));
    assert_forbidden(Client::tcp(tcp(&running, "closed")).unwrap());
}

#[test]
fn new_lists_hold_for_new_connections_and_open_ones_go_on() {
    let (_levers, app) = Levers::new();
    let mut options = options(2, 1);
    let running = start(app, &options);
    let mut open = connect(&running);
    assert_eq!(open.get("/").unwrap().status(), 200);
    options.networks = rules(&[], &["127.0.0.0/8"]);
    running.handle().apply(options.clone()).unwrap();
    assert_forbidden(connect(&running));
    assert_eq!(open.get("/").unwrap().status(), 200);
    options.networks = NetworkRules::default();
    options.listen[0].networks = rules(&[], &["127.0.0.0/8"]);
    running.handle().apply(options.clone()).unwrap();
    assert_forbidden(connect(&running));
    assert_eq!(open.get("/").unwrap().status(), 200);
}

#[test]
fn behind_a_load_balancer_the_client_in_the_proxy_header_is_judged() {
    let (levers, app) = Levers::new();
    let mut options = with(rules(&["127.0.0.0/8", "192.0.2.0/24"], &["192.0.2.7"]));
    options.listen[0].listener.proxy_protocol = true;
    let running = start(app, &options);
    let from = |client: &str| {
        let mut connection = connect(&running);
        connection.send(format!("PROXY {client}\r\n{REQUEST}")).unwrap();
        connection
    };
    let mut admitted = from("TCP4 192.0.2.1 192.0.2.9 1 80");
    assert_eq!(admitted.response().unwrap().status(), 200);
    assert_forbidden(from("TCP4 192.0.2.7 192.0.2.9 1 80"));
    assert_forbidden(from("TCP4 198.51.100.1 192.0.2.9 1 80"));
    assert_forbidden(from("TCP6 2001:db8::1 2001:db8::2 1 80"));
    // Nobody is named: then it is the load balancer itself.
    assert_eq!(from("UNKNOWN").response().unwrap().status(), 200);
    assert_eq!((levers.begun(), denied(&running)), (2, 3));
}

#[test]
fn with_tls_it_is_closed_before_the_handshake() {
    let (_levers, app) = Levers::new();
    let certificates = Certificates::new().unwrap();
    let identity = certificates.server("site", &["site.test"]).unwrap();
    let config = certificates.client_config(None, &[]).unwrap();
    let files = CertifiedFiles { chain: identity.chain.clone(), key: identity.key.clone() };
    let mut options = with(rules(&[], &["127.0.0.0/8"]));
    options.listen[0].tls = Some(TlsOptions { certificates: vec![files], ..TlsOptions::default() });
    let running = start(app, &options);
    assert_eq!(connect(&running).ending().unwrap(), (Vec::new(), Ending::Closed));
    assert!(Client::tls(tcp(&running, "main"), "site.test", &config).is_err());
    assert_eq!(denied(&running), 2);
}

#[test]
fn health_is_told_to_everybody() {
    let (_levers, app) = Levers::new();
    let admin = Some("127.0.0.1:0".parse().unwrap());
    let running = start(app, &Options { admin, ..with(rules(&[], &["127.0.0.0/8"])) });
    let mut health = Client::tcp(tcp(&running, "admin")).unwrap();
    assert_eq!(health.get("/health/live").unwrap().status(), 200);
    assert_forbidden(connect(&running));
}
