//! Clients by the configuration: how often they may come, from where, and who they are.

use std::fs;

use ripstop_testkit::{Client, Ending, Response, Signal, until};

use crate::program::{DEADLINE, Home, LISTEN};

/// The route `/` and a limited one, in one configuration with `more`.
fn limited(burst: u32, more: &str) -> String {
    format!(
        "{LISTEN}[[route]]\npath = \"/\"\nrespond.body = \"hello\"\n\
         [[route]]\npath = \"/login\"\nrespond.body = \"in\"\n\
         [[route.rate]]\nname = \"login\"\nrequests = 60\nwindow = \"1h\"\nburst = {burst}\n{more}"
    )
}

fn status(client: &mut Client, path: &str) -> u16 {
    client.get(path).unwrap().status()
}

/// Sends a request that a proxy passes on for `client`.
fn forwarded(proxy: &mut Client, client: &str) -> Response {
    let field = format!("X-Forwarded-For: {client}\r\n");
    proxy.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{field}\r\n")).unwrap();
    proxy.response().unwrap()
}

#[test]
fn a_route_has_its_own_rate_which_a_reload_goes_on_counting() {
    let home = Home::new();
    let mut server = home.serve(&limited(2, ""));
    let mut client = server.connect();
    let admitted = client.get("/login").unwrap();
    assert_eq!(admitted.header("ratelimit"), Some("\"login\";r=1;t=60"));
    assert_eq!(admitted.header("ratelimit-policy"), Some("\"login\";q=60;w=3600"));
    assert_eq!([admitted.status(), status(&mut client, "/login")], [200, 200]);
    let refused = client.get("/login").unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!(refused.header("ratelimit"), Some("\"login\";r=0;t=60"));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"login\";q=60;w=3600"));
    assert_eq!(status(&mut client, "/"), 200);
    // Another route, and the same limit.
    home.write("ripstop.toml", &limited(2, "[[route]]\npath = \"/new\"\nrespond = {}\n"));
    server.signal(Signal::HUP);
    server.logged("configuration reloaded", 1);
    assert_eq!([status(&mut client, "/new"), status(&mut client, "/login")], [200, 429]);
    // Another limit.
    home.write("ripstop.toml", &limited(3, ""));
    server.signal(Signal::HUP);
    server.logged("configuration reloaded", 2);
    assert_eq!(status(&mut client, "/login"), 200);
}

#[test]
fn a_rate_for_all_counts_the_clients_that_trusted_proxies_name_and_the_log_has_them() {
    let home = Home::new();
    let config = format!(
        "{LISTEN}[clients]\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
         [[rate]]\nrequests = 1\nwindow = \"1h\"\n\
         [log.access]\nformat = \"json\"\nto = \"access.log\"\n\
         [[route]]\npath = \"/*\"\nrespond.body = \"hello\"\n"
    );
    let mut server = home.serve(&config);
    let mut proxy = server.connect();
    assert_eq!(forwarded(&mut proxy, "192.0.2.1").status(), 200);
    assert_eq!(forwarded(&mut proxy, "1.1.1.1, 192.0.2.1").status(), 429);
    assert_eq!(forwarded(&mut proxy, "2001:db8::7").status(), 200);
    let log = home.path().join("access.log");
    let lines = || fs::read_to_string(&log).unwrap_or_default();
    assert!(until(DEADLINE, || lines().lines().count() == 3), "{}", lines());
    let logged: Vec<_> = lines()
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
            format!("{} {}", line["client"].as_str().unwrap(), line["status"])
        })
        .collect();
    assert_eq!(logged, ["192.0.2.1 200", "192.0.2.1 429", "2001:db8::7 200"]);
    // The proxy is trusted no more: then it is the client itself.
    home.write("ripstop.toml", &config.replace("127.0.0.0/8", "192.0.2.0/24"));
    server.signal(Signal::HUP);
    server.logged("configuration reloaded", 1);
    assert_eq!(forwarded(&mut proxy, "192.0.2.3").status(), 200);
    assert_eq!(forwarded(&mut proxy, "192.0.2.4").status(), 429);
}

#[test]
fn networks_that_may_not_come_are_kept_out_from_a_reload_on() {
    let home = Home::new();
    let mut server = home.serve(&limited(9, "[clients]\nallow = [\"127.0.0.1\"]\n"));
    assert_eq!(status(&mut server.connect(), "/"), 200);
    home.write("ripstop.toml", &limited(9, "[clients]\nallow = [\"127.0.0.2\"]\n"));
    server.signal(Signal::HUP);
    server.logged("configuration reloaded", 1);
    let mut refused = server.connect();
    refused.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert_eq!(refused.response().unwrap().status(), 403);
    assert_eq!(refused.ending().unwrap(), (Vec::new(), Ending::Closed));
    let listener = LISTEN.replace("[admin]", "deny = [\"127.0.0.0/8\"]\n[admin]");
    home.write("ripstop.toml", &limited(9, "").replace(LISTEN, &listener));
    server.signal(Signal::HUP);
    server.logged("configuration reloaded", 2);
    let mut refused = server.connect();
    refused.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert_eq!(refused.response().unwrap().status(), 403);
}

#[test]
fn check_tells_bad_networks_and_rates_with_their_places() {
    let home = Home::new();
    home.write("ripstop.toml", "[clients]\ndeny = [\"10.0.0.1/8\"]\n[[rate]]\nby = \"me\"\n");
    let ended = home.run(&["check"]);
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.stderr.contains("ripstop.toml:2:9: clients.deny: \"10.0.0.1/8\""), "{ended:?}");
    assert!(ended.stderr.contains("ripstop.toml:4:6: rate.by: \"me\""), "{ended:?}");
}
