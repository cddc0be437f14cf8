//! Every example runs, answers over what it serves, and ends when it is asked to.

use ripstop_testkit::{Certificates, Client};

use super::{
    frames::Http2,
    program::{Program, command, tear},
};

#[test]
fn hello_answers_over_http_1_and_2() {
    let hello = Program::start(command("hello").arg("127.0.0.1:0"));
    assert_eq!(hello.connect().get("/").unwrap().text(), "Hello, World!");
    assert_eq!(Http2::new(hello.connect()).unwrap().get("/").unwrap(), b"Hello, World!");
    hello.terminate();
}

#[test]
fn tower_service_answers_and_tells_the_facts_of_a_request() {
    let service = Program::start(command("tower_service").arg("127.0.0.1:0"));
    let mut client = service.connect();
    assert_eq!(client.get("/").unwrap().text(), "Hello, World!");
    let peer = client.local_addr().unwrap();
    client.send("GET /facts HTTP/1.1\r\nHost: test\r\nX-Request-Id: mine\r\n\r\n").unwrap();
    let told = client.response().unwrap().text();
    assert_eq!(told, format!("mine from Some({peer}) by main\n"));
    service.terminate();
}

#[test]
fn tls_chooses_the_certificate_and_tells_the_clients_subject() {
    let certificates = Certificates::new().unwrap();
    let ecdsa = certificates.server("one", &["one.test"]).unwrap();
    let rsa = certificates.server_rsa("two", &["two.test"]).unwrap();
    let ada = certificates.client("ada").unwrap();
    let mut tls = command("tls");
    tls.args(["--listen", "127.0.0.1:0"]);
    for identity in [&ecdsa, &rsa] {
        tls.arg("--certificate").arg(&identity.chain).arg(&identity.key);
    }
    let tls = Program::start(tls.arg("--clients").arg(certificates.authority()));
    for (host, known, expected) in [
        ("one.test", None, "a client without a certificate to one.test by TLSv1.3 "),
        ("two.test", Some(&ada), "CN=ada to two.test by TLSv1.3 "),
    ] {
        let config = certificates.client_config(known, &["http/1.1"]).unwrap();
        let mut client = Client::tls(tls.address, host, &config).unwrap();
        let told = client.get("/").unwrap().text();
        assert!(told.starts_with(expected), "{told}");
    }
    tls.terminate();
}

#[test]
fn tear_answers_on_every_route_that_does_not_end_it() {
    let tear = tear(&["--workers", "1", "--spares", "1"]);
    let mut client = tear.connect();
    let pid = format!("pid {}", tear.process.id());
    for (path, status, text) in [
        ("/", 200, "Hello, World!"),
        ("/pid", 200, &*pid),
        ("/panic", 500, "the server failed to handle the request\n"),
        ("/wedge?ms=1", 200, "unwedged"),
        ("/spin?ms=1", 200, "spun"),
        ("/cpu?ms=1", 200, "done"),
        ("/slow?ms=1", 200, "slow"),
        ("/alloc?mb=1", 200, "1048576 bytes"),
        ("/stream?kb=2", 200, &"r".repeat(2048)),
    ] {
        let response = client.get(path).unwrap();
        assert_eq!((response.status(), &*response.text()), (status, text), "{path}");
    }
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nback").unwrap();
    assert_eq!(client.response().unwrap().text(), "back");
    tear.terminate();
}

#[test]
fn tear_cuts_a_body_that_panics() {
    let tear = tear(&[]);
    let mut client = tear.connect();
    client.send("GET /panic-body HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let (sent, _) = client.ending().unwrap();
    assert!(!sent.ends_with(b"0\r\n\r\n"), "a broken body ends cleanly");
    tear.terminate();
}

#[test]
fn tear_dies_where_its_route_says_so() {
    for path in ["/abort", "/segv", "/recurse"] {
        let mut tear = tear(&["--workers", "1"]);
        let mut client = tear.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).unwrap();
        assert_eq!(tear.exit_code(), None, "{path}");
    }
}
