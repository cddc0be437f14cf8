//! Tables of fields, and the client that they name.

use super::*;
use http::HeaderValue;

/// The proxies of these tests.
const PROXIES: [&str; 2] = ["10.0.0.0/8", "2001:db8::/32"];

fn trusted(field: ForwardedField) -> TrustedProxies {
    let networks = PROXIES.iter().map(|text| text.parse().unwrap()).collect();
    TrustedProxies { networks, unix: false, field }
}

fn fields(name: &HeaderName, lines: &[&str]) -> HeaderMap {
    let lines = lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap()));
    lines.collect()
}

#[track_caller]
fn check(peer: &str, lines: &[&str], client: &str) {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let headers = fields(&X_FORWARDED_FOR, lines);
    let found = trusted(ForwardedField::XForwardedFor).client(Some(ip(peer)), &headers);
    assert_eq!(found, Some(ip(client)), "{lines:?} of {peer}");
    // The other field, which a client may send, is not looked at.
    let found = trusted(ForwardedField::Forwarded).client(Some(ip(peer)), &headers);
    assert_eq!(found, Some(ip(peer)), "{lines:?} of {peer}");
}

/// The client by `Forwarded`, which the proxy at 10.0.0.1 has sent.
#[track_caller]
fn check_forwarded(lines: &[&str], client: &str) {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let headers = fields(&header::FORWARDED, lines);
    let found = trusted(ForwardedField::Forwarded).client(Some(ip("10.0.0.1")), &headers);
    assert_eq!(found, Some(ip(client)), "{lines:?}");
    let found = trusted(ForwardedField::XForwardedFor).client(Some(ip("10.0.0.1")), &headers);
    assert_eq!(found, Some(ip("10.0.0.1")), "{lines:?}");
}

#[test]
fn nobody_is_believed_but_trusted_proxies() {
    check("192.0.2.1", &["198.51.100.7"], "192.0.2.1");
    check("192.0.2.1", &["10.0.0.9"], "192.0.2.1");
    check("10.0.0.1", &["198.51.100.7"], "198.51.100.7");
    check("2001:db8::1", &["198.51.100.7"], "198.51.100.7");
    check("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7");
}

#[test]
fn the_first_from_the_right_that_is_not_trusted_is_the_client() {
    check("10.0.0.1", &["1.1.1.1, 198.51.100.7"], "198.51.100.7");
    check("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"], "198.51.100.7");
    check("10.0.0.1", &["1.1.1.1, 10.0.0.3, 198.51.100.7, 10.0.0.2,10.0.0.4"], "198.51.100.7");
    check("10.0.0.1", &["1.1.1.1", "198.51.100.7", "10.0.0.2"], "198.51.100.7");
    check("10.0.0.1", &["1.1.1.1, 198.51.100.7", "10.0.0.3, 10.0.0.2"], "198.51.100.7");
}

#[test]
fn where_all_are_trusted_the_leftmost_is_the_client() {
    check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    check("10.0.0.1", &[], "10.0.0.1");
}

#[test]
fn at_what_cannot_be_understood_the_last_trusted_hop_is_the_client() {
    for bad in ["", "unknown", "_hidden", "198.51.100", "198.51.100.7:x", "198.51.100.7:", "a\"b"] {
        check("10.0.0.1", &[bad], "10.0.0.1");
        check("10.0.0.1", &[&format!("1.1.1.1, {bad}, 10.0.0.2")], "10.0.0.2");
        check("10.0.0.1", &[&format!("{bad}, 198.51.100.7, 10.0.0.2")], "198.51.100.7");
    }
    for bad in ["[2001:db9::1", "2001:db9::1]", "[2001:db9::1]x", "[2001:db9::1]:", "[1.1.1.1]"] {
        check("10.0.0.1", &[bad], "10.0.0.1");
    }
}

#[test]
fn addresses_are_read_in_every_form() {
    check("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7");
    check("10.0.0.1", &["2001:db9::7"], "2001:db9::7");
    check("10.0.0.1", &["[2001:db9::7]"], "2001:db9::7");
    check("10.0.0.1", &["[2001:db9::7]:4711"], "2001:db9::7");
    check("10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7");
    check("10.0.0.1", &[" \t198.51.100.7\t "], "198.51.100.7");
}

#[test]
fn the_elements_of_forwarded_are_read_too() {
    check_forwarded(&["for=198.51.100.7"], "198.51.100.7");
    check_forwarded(&["For=\"[2001:db9::7]:4711\";proto=https"], "2001:db9::7");
    check_forwarded(&["proto=http;by=10.0.0.1; for=198.51.100.7:_p"], "198.51.100.7");
    check_forwarded(&["for=1.1.1.1, for=198.51.100.7;host=\"a,b;for=2.2.2.2\""], "198.51.100.7");
    check_forwarded(&["for=1.1.1.1", "for=198.51.100.7, for=10.0.0.2"], "198.51.100.7");
}

#[test]
fn an_element_without_one_address_ends_the_way() {
    for bad in [
        "",
        "for",
        "for=",
        "by=1.1.1.1",
        "for=unknown",
        "for=_hidden",
        "for=\"1.1.1.1",
        "for=1.1.1.1\"",
        "for=1.1.1.1;for=1.1.1.1",
        "for=\"1.1.1.\\1\"",
        "xfor=1.1.1.1",
    ] {
        check_forwarded(&[&format!("for=2.2.2.2, {bad}, for=10.0.0.2")], "10.0.0.2");
    }
}

#[test]
fn a_quotation_mark_of_the_client_hides_nothing_of_its_proxy() {
    check_forwarded(&["for=\"1.1.1.1, for=198.51.100.7"], "198.51.100.7");
    check_forwarded(&["for=\"1.1.1.1\\\", for=198.51.100.7"], "198.51.100.7");
    check_forwarded(&["for=\"", "for=\"[2001:db9::7]\""], "2001:db9::7");
}

#[test]
fn peers_of_unix_sockets_are_believed_where_they_are_trusted() {
    let headers = fields(&X_FORWARDED_FOR, &["198.51.100.7"]);
    let client = |unix| TrustedProxies { unix, ..TrustedProxies::default() }.client(None, &headers);
    assert_eq!(client(false), None);
    assert_eq!(client(true), Some("198.51.100.7".parse().unwrap()));
}
