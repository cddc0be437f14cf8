//! Listeners: every kind, several at once, what is told of a peer, and what cannot be bound.

use ripstop::{Error, Server};
use ripstop_testkit::{Certificates, Client, Ending};
use rustix::io::{FdFlags, fcntl_setfd};
use std::{
    net::{SocketAddr, TcpListener},
    os::fd::AsRawFd,
    process::Command,
};

use super::{
    levers::Levers,
    program::{Program, command},
    setup::{connect, listen, options, path, refused, start, tcp},
};

#[test]
fn tcp_and_unix_listeners_serve_at_once_under_their_names() {
    let (_levers, app) = Levers::new();
    let dir = tempfile::tempdir().unwrap();
    let file = format!("unix:{}/it.sock", dir.path().display());
    let mut options = options(2, 1);
    for (name, address) in [("six", "[::1]:0"), ("all", ":0"), ("file", &*file)] {
        options.listen.push(listen(name, address));
    }
    let running = start(app, &options);
    let all = SocketAddr::from(([127, 0, 0, 1], tcp(&running, "all").port()));
    for (name, addr) in
        [("main", tcp(&running, "main")), ("six", tcp(&running, "six")), ("all", all)]
    {
        let mut client = Client::tcp(addr).unwrap();
        let expected = format!("{name} {} -", client.local_addr().unwrap());
        assert_eq!(client.get("/facts").unwrap().text(), expected);
    }
    let mut client = Client::unix(&path(&running, "file")).unwrap();
    assert_eq!(client.get("/facts").unwrap().text(), "file nobody -");
}

#[test]
fn the_file_of_a_unix_listener_goes_with_it() {
    let (_levers, app) = Levers::new();
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(1, 0);
    options.listen = vec![listen("file", &format!("unix:{}/it.sock", dir.path().display()))];
    let running = start(app, &options);
    let file = path(&running, "file");
    assert!(file.exists());
    running.stop();
    running.wait();
    assert!(!file.exists());
}

#[test]
fn an_inherited_listener_is_served_by_its_name() {
    let certificates = Certificates::new().unwrap();
    let identity = certificates.server("site", &["site.test"]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    fcntl_setfd(&listener, FdFlags::empty()).unwrap();
    // What systemd does; only the process itself knows the id it will have.
    let script = format!("exec 3<&{}; LISTEN_PID=$$ exec \"$@\"", listener.as_raw_fd());
    let tls = command("tls");
    let mut manager = Command::new("bash");
    manager.args(["-c", &script, "bash"]).arg(tls.get_program());
    manager.env("RUST_LOG", "info").envs([("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "web")]);
    manager.args(["--listen", "fd:web", "--certificate"]).arg(identity.chain).arg(identity.key);
    let tls = Program::start(&mut manager);
    drop(listener);
    assert_eq!(tls.address, addr);
    let config = certificates.client_config(None, &["http/1.1"]).unwrap();
    let mut client = Client::tls(addr, "site.test", &config).unwrap();
    assert_eq!(client.get("/").unwrap().status(), 200);
    tls.terminate();
}

#[test]
fn addresses_in_use_are_all_named_and_nothing_is_bound() {
    let (_levers, app) = Levers::new();
    let taken = [TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0")];
    let taken = taken.map(|listener| listener.unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(1, 0);
    options.listen.push(listen("file", &format!("unix:{}/it.sock", dir.path().display())));
    for listener in &taken {
        options.listen.push(listen("taken", &listener.local_addr().unwrap().to_string()));
    }
    let told = refused(Server::with_options(app, options).start());
    let expected = taken.iter().map(|listener| {
        let addr = listener.local_addr().unwrap();
        format!(
            "{addr} is in use: another process listens there; stop it or choose another address"
        )
    });
    assert_eq!(told, expected.collect::<Vec<_>>());
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[test]
fn an_admin_address_in_use_keeps_the_server_from_starting() {
    let (_levers, app) = Levers::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let taken = TcpListener::bind(taken).unwrap();
    let mut options = options(1, 0);
    let addr = taken.local_addr().unwrap().to_string();
    options.admin = Some(addr.parse().unwrap());
    let told = refused(Server::with_options(app, options).start());
    assert!(matches!(&*told, [fault] if fault.starts_with(&addr)), "{told:?}");
}

#[test]
fn an_address_that_makes_no_sense_is_reported_by_the_start() {
    let (_levers, app) = Levers::new();
    let told = refused(Server::new(app.clone()).listen("8080").listen("nowhere").start());
    assert!(told[0].starts_with("address \"8080\": "), "{told:?}");
    assert!(told[1].starts_with("address \"nowhere\": "), "{told:?}");
    assert!(matches!(Server::new(app).start(), Err(Error::NothingToListenOn)));
}

#[test]
fn a_proxy_header_names_the_client() {
    let (_levers, app) = Levers::new();
    let mut options = options(1, 0);
    options.listen[0].listener.proxy_protocol = true;
    let running = start(app, &options);
    let first = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n".to_vec();
    let mut second = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
    second.extend("2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    second.extend("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    second.extend([4711u16.to_be_bytes(), 443u16.to_be_bytes()].concat());
    for (header, peer) in [(first, "192.0.2.7:4711"), (second, "[2001:db8::7]:4711")] {
        let mut client = connect(&running);
        client.send(header).unwrap();
        assert_eq!(client.get("/facts").unwrap().text(), format!("main {peer} -"));
    }
}

#[test]
fn a_connection_without_the_proxy_header_is_closed_unanswered() {
    let (_levers, app) = Levers::new();
    let mut options = options(1, 0);
    options.listen[0].listener.proxy_protocol = true;
    let running = start(app, &options);
    let mut client = connect(&running);
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert_eq!(client.ending().unwrap().0, b"");
}

#[test]
fn a_proxy_header_on_a_listener_without_it_is_a_bad_request() {
    let (levers, app) = Levers::new();
    let running = start(app, &options(1, 0));
    let mut client = connect(&running);
    client.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n\r\n").unwrap();
    let (answer, ending) = client.ending().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", answer.escape_ascii());
    assert_eq!((ending, levers.begun()), (Ending::Closed, 0), "{}", answer.escape_ascii());
}
