//! What the program serves, and over what.

use std::{fs, net::SocketAddr};

use ripstop_testkit::{Certificates, Client};

use crate::program::{DEADLINE, Home, LISTEN, Server};

/// The address in the greeting of a server without a configuration.
fn greeted(server: &Server) -> SocketAddr {
    let address = |line: &str| line.rsplit_once(" on http://")?.1.trim().parse().ok();
    server.process.announced(DEADLINE, address).unwrap()
}

/// Starts the program without a configuration file, on free ports.
fn start(home: &Home, arguments: &[&str]) -> Server {
    let mut command = home.command(arguments);
    command.args(["--listen", "127.0.0.1:0"]).env("RIPSTOP_ADMIN_LISTEN", "127.0.0.1:0");
    Server { process: ripstop_testkit::Process::start(&mut command).unwrap() }
}

#[test]
fn without_a_configuration_two_lines_say_where_the_welcome_page_is() {
    let home = Home::new();
    for arguments in [&[][..], &["serve"]] {
        let mut server = start(&home, arguments);
        let address = greeted(&server);
        let page = Client::tcp(address).unwrap().get("/").unwrap();
        assert_eq!(page.status(), 200);
        assert!(page.text().contains(&format!("http://{address}")), "{}", page.text());
        server.signal(ripstop_testkit::Signal::TERM);
        assert_eq!(server.exit_code(), 0);
        let log = server.process.log();
        assert_eq!(log.lines().count(), 2, "{log}");
        let health = log.lines().find(|line| line.contains("/health/ready")).unwrap();
        assert!(health.contains("http://127.0.0.1:"), "{log}");
        assert!(!home.path().join("ripstop.pid").exists());
    }
}

#[test]
fn health_is_told_where_the_greeting_says() {
    let home = Home::new();
    let server = start(&home, &[]);
    let find = |line: &str| {
        let (url, _) = line.split_once("/health/ready")?;
        url.split_once("http://")?.1.parse::<SocketAddr>().ok()
    };
    let admin = server.process.announced(DEADLINE, find).unwrap();
    let mut client = Client::tcp(admin).unwrap();
    assert_eq!(client.get("/health/live").unwrap().status(), 200);
    assert_eq!(client.get("/health/ready").unwrap().status(), 200);
}

#[test]
fn a_folder_is_served_without_a_configuration() {
    let home = Home::new();
    home.write("public/a.txt", "hello");
    let server = start(&home, &["serve", "public"]);
    let mut client = Client::tcp(greeted(&server)).unwrap();
    assert_eq!(client.get("/a.txt").unwrap().text(), "hello");
    assert_eq!(client.get("/b.txt").unwrap().status(), 404);
}

#[test]
fn routes_answer_by_host_and_path() {
    let home = Home::new();
    home.write("public/a.txt", "from a file");
    home.write("public/deep/index.html", "index");
    let server = home.serve(&format!(
        "{LISTEN}\
         [[route]]\npath = \"/static/*\"\nfiles.root = \"public\"\n\
         [[route]]\npath = \"/tea\"\nrespond = {{ status = 418, body = \"short\" }}\n\
         [[route]]\nhost = \"a.org\"\npath = \"/tea\"\nrespond.body = \"for a\"\n\
         [[route]]\npath = \"/old/*\"\nredirect.to = \"/static/{{rest}}\"\n",
    ));
    let mut client = server.connect();
    assert_eq!(client.get("/static/a.txt").unwrap().text(), "from a file");
    assert_eq!(client.get("/static/deep/").unwrap().text(), "index");
    assert_eq!(client.get("/static/deep").unwrap().header("location"), Some("./deep/"));
    assert_eq!(client.get("/static").unwrap().header("location"), Some("./static/"));
    assert_eq!(client.get("/static/../ripstop.toml").unwrap().status(), 404);
    assert_eq!(client.get("/tea").unwrap().status(), 418);
    assert_eq!(client.get("/old/a.txt").unwrap().header("location"), Some("/static/a.txt"));
    assert_eq!(client.get("/other").unwrap().status(), 404);
    client.send("GET /tea HTTP/1.1\r\nhost: A.org:8080\r\n\r\n").unwrap();
    assert_eq!(client.response().unwrap().text(), "for a");
}

#[test]
fn limits_of_the_file_hold() {
    let home = Home::new();
    let server = home.serve(&format!(
        "{LISTEN}[limits]\nuri = \"64 B\"\nfields = 2\nbody = \"3 B\"\n\
         [[route]]\npath = \"/*\"\nrespond = {{}}\n"
    ));
    let cases = [
        (format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(63)), 200),
        (format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(64)), 414),
        ("GET / HTTP/1.1\r\nhost: a\r\na: b\r\nc: d\r\n\r\n".to_owned(), 431),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nabcd".to_owned(), 413),
    ];
    for (request, status) in cases {
        let mut client = server.connect();
        client.send(&request).unwrap();
        assert_eq!(client.response().unwrap().status(), status, "{request:?}");
    }
}

#[test]
fn ipv6_unix_sockets_and_tls_are_listened_on() {
    let home = Home::new();
    let certificates = Certificates::new().unwrap();
    let identity = certificates.server("web", &["web.test"]).unwrap();
    let (chain, key) = (&identity.chain, &identity.key);
    let server = home.serve(&format!(
        "{LISTEN}[[listen]]\nname = \"six\"\naddress = \"[::1]:0\"\n\
         [[listen]]\nname = \"unix\"\naddress = \"unix:web.sock\"\nmode = \"0600\"\n\
         [[listen]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n\
         tls.certificates = [{{ chain = {chain:?}, key = {key:?} }}]\n\
         [[route]]\npath = \"/\"\nrespond.body = \"hello\"\n",
    ));
    server.address("admin");
    let config = certificates.client_config(None, &["http/1.1"]).unwrap();
    let clients = [
        Client::tcp(server.address("six")),
        Client::unix(&home.path().join("web.sock")),
        Client::tls(server.address("tls"), "web.test", &config),
    ];
    for client in clients {
        assert_eq!(client.unwrap().get("/").unwrap().text(), "hello");
    }
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(home.path().join("web.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn ports_in_use_are_faults_of_the_configuration() {
    let home = Home::new();
    let first = home.serve(LISTEN);
    let (web, admin) = (first.address("web"), first.address("admin"));
    let other = Home::new();
    other.write(
        "ripstop.toml",
        &format!(
            "[[listen]]\naddress = \"{web}\"\n[[listen]]\naddress = \"{admin}\"\n\
             [admin]\nenabled = false\n"
        ),
    );
    let ended = other.run(&["serve"]);
    assert_eq!(ended.code, 78, "{ended:?}");
    let in_use = "is in use: another process listens there; stop it or choose another address";
    assert_eq!(
        ended.stderr.lines().collect::<Vec<_>>(),
        [
            format!("ripstop.toml:2:11: {web} {in_use}"),
            format!("ripstop.toml:4:11: {admin} {in_use}"),
        ]
    );
    let ended = other.run(&["serve", "--listen", &web.to_string()]);
    assert_eq!((ended.code, ended.stderr), (64, format!("--listen: {web} {in_use}\n")));
}
