//! The formats, whatever a peer sent.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use http::{Method, StatusCode, Uri, Version};
use ripstop_testkit::Seed;
use ripstop_work::Target;

use super::{AccessEvent, AccessLog, FIELD_BYTES_MAX, Format};

#[test]
fn a_json_line_has_all_of_the_event() {
    check(
        Format::Json,
        &event(&uri("/a?b=c")),
        r#"{"time":"2026-11-23T03:29:30.042Z","peer":"192.0.2.1:4711","method":"GET","host":"test","uri":"/a?b=c","version":"HTTP/1.1","status":200,"bytes":12,"duration_us":1500,"request_id":"id-1","referer":"http://r/","user_agent":"curl/8","completed":true}"#,
    );
}

#[test]
fn a_combined_line_is_as_nginx_writes_it() {
    check(
        Format::Combined,
        &event(&uri("/a?b=c")),
        r#"192.0.2.1 - - [23/Nov/2026:03:29:30 +0000] "GET /a?b=c HTTP/1.1" 200 12 "http://r/" "curl/8""#,
    );
}

#[test]
fn what_is_not_there_is_left_out_or_a_dash() {
    let uri = uri("/");
    let event = AccessEvent {
        peer: None,
        client: None,
        status: None,
        response_bytes: 0,
        host: None,
        referer: None,
        user_agent: None,
        completed: false,
        ..event(&uri)
    };
    check(
        Format::Json,
        &event,
        r#"{"time":"2026-11-23T03:29:30.042Z","method":"GET","uri":"/","version":"HTTP/1.1","bytes":0,"duration_us":1500,"request_id":"id-1","completed":false}"#,
    );
    check(
        Format::Combined,
        &event,
        r#"unix: - - [23/Nov/2026:03:29:30 +0000] "GET / HTTP/1.1" 499 0 "-" "-""#,
    );
}

#[test]
fn peers_are_written_as_what_they_are() {
    for (peer, json, combined) in [
        ("[2001:db8::1]:80", "[2001:db8::1]:80", "2001:db8::1 "),
        ("[::ffff:192.0.2.7]:80", "192.0.2.7:80", "192.0.2.7 "),
        ("255.0.10.100:65535", "255.0.10.100:65535", "255.0.10.100 "),
    ] {
        let uri = uri("/");
        let event = AccessEvent { peer: Some(peer.parse().unwrap()), ..event(&uri) };
        let line = line(Format::Json, &event);
        assert!(line.contains(&format!(r#""peer":"{json}","#)), "{line}");
        assert!(self::line(Format::Combined, &event).starts_with(combined), "{peer}");
    }
}

#[test]
fn a_client_behind_a_proxy_is_named_beside_the_peer() {
    let uri = uri("/");
    let client = Some("2001:db8::7".parse().unwrap());
    let event = AccessEvent { client, ..event(&uri) };
    let line = line(Format::Json, &event);
    assert!(line.contains(r#""peer":"192.0.2.1:4711","client":"2001:db8::7","method""#), "{line}");
    assert!(self::line(Format::Combined, &event).starts_with("2001:db8::7 - - ["));
    let event = AccessEvent { peer: None, ..event };
    assert!(self::line(Format::Combined, &event).starts_with("2001:db8::7 - - ["));
}

#[test]
fn targets_are_path_and_query_or_authority() {
    for (target, expected) in [
        ("https://a.test/b?c", "/b?c"),
        ("https://a.test", "/"),
        ("a.test:443", "a.test:443"),
        ("*", "*"),
    ] {
        let uri = uri(target);
        let line = line(Format::Json, &event(&uri));
        assert!(line.contains(&format!(r#""uri":"{expected}","#)), "{target}: {line}");
    }
}

#[test]
fn what_a_peer_sent_is_escaped() {
    for (sent, json, combined) in [
        (&b"plain ~"[..], "plain ~", "plain ~"),
        (b"a\"b\\c", r#"a\"b\\c"#, r"a\x22b\x5Cc"),
        (b"\n\t\x1b[31m\x7f", r"\u000a\u0009\u001b[31m\u007f", r"\x0A\x09\x1B[31m\x7F"),
        ("\u{85}é".as_bytes(), r"\u0085é", r"\xC2\x85\xC3\xA9"),
        (b"\xff\xc3", "\u{fffd}\u{fffd}", r"\xFF\xC3"),
        (b"", "", ""),
    ] {
        let uri = uri("/");
        let event = AccessEvent { user_agent: Some(sent), ..event(&uri) };
        let found = line(Format::Json, &event);
        assert!(found.contains(&format!(r#""user_agent":"{json}","#)), "{found}");
        let found = line(Format::Combined, &event);
        assert!(found.ends_with(&format!(r#" "{combined}""#)), "{found}");
    }
}

#[test]
fn json_is_json_whatever_was_sent() {
    let mut random = Seed::from_env_or_clock().random();
    for _ in 0..2_000 {
        let len = random.below(40);
        let sent = random.bytes(len);
        let uri = uri("/");
        let event = AccessEvent { host: Some(&sent), referer: Some(&sent), ..event(&uri) };
        let line = line(Format::Json, &event);
        assert!(!line.contains(char::is_control), "{line:?}");
        assert_eq!(strings(&line), 13 + 9, "{line:?}");
    }
}

#[test]
fn a_field_is_bounded() {
    let uri = uri("/");
    let sent = vec![b'x'; FIELD_BYTES_MAX + 1];
    let event = AccessEvent { user_agent: Some(&sent), ..event(&uri) };
    for format in [Format::Json, Format::Combined] {
        assert_eq!(line(format, &event).matches('x').count(), FIELD_BYTES_MAX);
    }
}

#[test]
fn times_follow_the_calendar() {
    for (second, expected) in [
        (0, "1970-01-01T00:00:00"),
        (951_782_399, "2000-02-28T23:59:59"),
        (951_782_400, "2000-02-29T00:00:00"),
        (951_868_800, "2000-03-01T00:00:00"),
        (1_709_164_800, "2024-02-29T00:00:00"),
        (1_735_689_599, "2024-12-31T23:59:59"),
        (4_107_542_400, "2100-03-01T00:00:00"),
    ] {
        let uri = uri("/");
        let event = AccessEvent { time: UNIX_EPOCH + Duration::from_secs(second), ..event(&uri) };
        let line = line(Format::Json, &event);
        assert!(line.starts_with(&format!(r#"{{"time":"{expected}.000Z""#)), "{line}");
    }
}

#[test]
fn a_clock_before_its_epoch_is_no_panic() {
    let uri = uri("/");
    let event = AccessEvent { time: UNIX_EPOCH - Duration::from_secs(1), ..event(&uri) };
    assert!(line(Format::Json, &event).contains("1970-01-01T00:00:00.000Z"));
}

#[test]
fn events_are_lines_and_dropped_ones_are_noted_in_the_same_format() {
    for (format, note) in
        [(Format::Json, r#"{"dropped":1}"#), (Format::Combined, "# lines dropped here: 1")]
    {
        let certs = ripstop_testkit::Certificates::new().unwrap();
        let path = certs.dir().join("access.log");
        let log = AccessLog::open(format, Target::File(path.clone()), 400).unwrap();
        let short = uri("/");
        let long = uri(&format!("/{}", "x".repeat(400)));
        log.record(&event(&short));
        log.record(&event(&long));
        assert!(log.sink().flush(Duration::from_secs(10)));
        let expected = format!("{}\n{note}\n", line(format, &event(&short)));
        assert_eq!(fs::read_to_string(path).unwrap(), expected);
    }
}

/// How many strings are in a line of JSON; the line must end outside of one.
fn strings(line: &str) -> usize {
    let mut inside = false;
    let mut quotes = 0;
    let mut chars = line.chars();
    while let Some(character) = chars.next() {
        match character {
            '"' => (inside, quotes) = (!inside, quotes + 1),
            '\\' => match (inside, chars.next()) {
                (true, Some('"' | '\\')) => {}
                (true, Some('u')) => {
                    let digits: String = chars.by_ref().take(4).collect();
                    assert!(u16::from_str_radix(&digits, 16).is_ok(), "{line:?}");
                }
                other => panic!("{other:?} in {line:?}"),
            },
            _ => {}
        }
    }
    assert!(!inside, "{line:?}");
    quotes / 2
}

#[track_caller]
fn check(format: Format, event: &AccessEvent<'_>, expected: &str) {
    assert_eq!(line(format, event), expected);
}

fn line(format: Format, event: &AccessEvent<'_>) -> String {
    let mut line = Vec::new();
    format.append(event, &mut line);
    String::from_utf8(line).unwrap()
}

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

fn event(uri: &Uri) -> AccessEvent<'_> {
    AccessEvent {
        time: UNIX_EPOCH + Duration::from_millis(1_795_404_570_042),
        peer: Some(SocketAddr::from(([192, 0, 2, 1], 4711))),
        client: None,
        method: &Method::GET,
        uri,
        version: Version::HTTP_11,
        status: Some(StatusCode::OK),
        response_bytes: 12,
        duration: Duration::from_micros(1_500),
        request_id: "id-1",
        host: Some(b"test"),
        referer: Some(b"http://r/"),
        user_agent: Some(b"curl/8"),
        completed: true,
    }
}
