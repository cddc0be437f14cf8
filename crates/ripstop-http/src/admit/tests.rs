//! Tables of heads and their refusals.

use super::{Limits, OwnFields, Refusal, Request, Version};

fn head(method: &str, target: &str, headers: &[(&str, &str)], version: Version) -> Request<()> {
    let mut builder = Request::builder().method(method).uri(target).version(version);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

/// Finds the fields and admits.
fn admit(
    request: &Request<()>,
    body_length: Option<u64>,
    limits: &Limits,
    connect: bool,
) -> Result<(), Refusal> {
    super::admit(request, &OwnFields::find(request.headers()), body_length, limits, connect)
}

#[track_caller]
fn check(method: &str, target: &str, headers: &[(&str, &str)], expected: Result<(), Refusal>) {
    let head = head(method, target, headers, Version::HTTP_11);
    let found = admit(&head, None, &Limits::default(), false);
    assert_eq!(found, expected, "{method} {target} {headers:?}");
}

#[test]
fn one_valid_host_is_needed() {
    let bad = Err(Refusal::BadHost);
    check("GET", "/", &[("host", "a")], Ok(()));
    check("GET", "/", &[], bad);
    check("GET", "/", &[("host", "a"), ("host", "a")], bad);
    for (host, valid) in [
        ("example.org", true),
        ("example.org:8080", true),
        ("example.org:", true),
        ("127.0.0.1:1", true),
        ("[::1]", true),
        ("[::1]:443", true),
        ("a_b.c", true),
        ("", false),
        (":80", false),
        ("user@a", false),
        ("a/b", false),
        ("a,b", false),
        ("a b", false),
        ("a?b", false),
        ("a#b", false),
        ("a:b", false),
        ("a:123456", false),
        ("[::1", false),
        ("[zz]", false),
        ("[::1]x", false),
        ("ä", false),
    ] {
        check("GET", "/", &[("host", host)], if valid { Ok(()) } else { bad });
    }
}

#[test]
fn host_and_authority_agree() {
    let bad = Err(Refusal::BadHost);
    check("GET", "http://a/", &[("host", "a")], Ok(()));
    check("GET", "http://a/", &[("host", "A")], Ok(()));
    check("GET", "http://a:80/", &[("host", "a")], Ok(()));
    check("GET", "https://a/", &[("host", "a:443")], Ok(()));
    check("GET", "http://a/", &[("host", "a:443")], bad);
    check("GET", "http://a/", &[("host", "b")], bad);
    check("GET", "http://a/", &[], bad);
}

#[test]
fn targets_have_one_of_the_forms() {
    let host = [("host", "a")];
    check("OPTIONS", "*", &host, Ok(()));
    check("GET", "*", &host, Err(Refusal::BadTarget));
    check("GET", "a:80", &host, Err(Refusal::BadTarget));
    check("GET", "ftp://a/", &host, Err(Refusal::BadTarget));
    check("CONNECT", "a:80", &[("host", "a:80")], Err(Refusal::NoConnect));
    let connect = head("CONNECT", "a:80", &[("host", "a:80")], Version::HTTP_11);
    assert_eq!(admit(&connect, None, &Limits::default(), true), Ok(()));
}

#[test]
fn methods_are_registered_ones() {
    check("BREW", "/", &[("host", "a")], Err(Refusal::UnknownMethod));
    check("PROPFIND", "/", &[("host", "a")], Ok(()));
}

#[test]
fn the_only_expectation_is_100_continue() {
    let with = |value| [("host", "a"), ("expect", value)];
    check("POST", "/", &with("100-Continue"), Ok(()));
    check("POST", "/", &with("a-miracle"), Err(Refusal::BadExpectation));
}

#[test]
fn a_declared_body_is_held_against_the_limit() {
    let head = head("POST", "/", &[("host", "a")], Version::HTTP_11);
    let limits = Limits { body: Some(10), ..Limits::default() };
    assert_eq!(admit(&head, Some(10), &limits, false), Ok(()));
    assert_eq!(admit(&head, Some(11), &limits, false), Err(Refusal::BodyTooLarge));
    assert_eq!(admit(&head, None, &limits, false), Ok(()));
}

#[test]
fn http_1_0_needs_no_host_and_http_2_takes_its_authority() {
    let old = head("GET", "/", &[], Version::HTTP_10);
    assert_eq!(admit(&old, None, &Limits::default(), false), Ok(()));
    let new = head("GET", "https://a/", &[], Version::HTTP_2);
    assert_eq!(admit(&new, None, &Limits::default(), false), Ok(()));
    let user = head("GET", "https://u@a/", &[], Version::HTTP_2);
    assert_eq!(admit(&user, None, &Limits::default(), false), Err(Refusal::BadHost));
}

#[test]
fn an_http_2_head_is_measured_here() {
    let long = format!("https://a/{}", "x".repeat(9000));
    let long = head("GET", &long, &[], Version::HTTP_2);
    assert_eq!(admit(&long, None, &Limits::default(), false), Err(Refusal::UriTooLong));
    let limits = Limits { fields: 1, ..Limits::default() };
    let many = head("GET", "https://a/", &[("a", "1"), ("b", "2")], Version::HTTP_2);
    assert_eq!(admit(&many, None, &limits, false), Err(Refusal::HeadTooLarge));
}
