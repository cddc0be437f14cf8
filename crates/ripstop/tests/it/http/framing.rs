//! Messages whose framing two readers could take for two things: all refused, nothing behind them
//! is read.

use super::{
    refusals::refused,
    site::{SHORT, Site, options},
};
use ripstop_testkit::Seed;

/// Expects each of `fields` in a POST to be refused with `status` before it is handled.
#[track_caller]
fn fields_refused(status: u16, cases: &[(&str, &str)]) {
    let site = Site::start(options());
    for (fields, body) in cases {
        let head = format!("POST /echo HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n");
        refused(&site, head + body, status);
        assert_eq!(site.probe.begun(), 0, "{fields:?} or what followed it was handled");
    }
}

#[test]
fn a_length_beside_a_transfer_coding_is_answered_400() {
    fields_refused(
        400,
        &[
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
            ("Transfer-Encoding: chunked\r\nContent-Length: 0", "0\r\n\r\n"),
        ],
    );
}

#[test]
fn several_lengths_or_a_length_that_is_none_are_answered_400() {
    fields_refused(
        400,
        &[
            ("Content-Length: 5\r\nContent-Length: 5", "hello"),
            ("Content-Length: 5\r\nContent-Length: 6", "hello"),
            ("Content-Length: 5, 5", "hello"),
            ("Content-Length: +5", "hello"),
            ("Content-Length: -5", "hello"),
            ("Content-Length: 0x5", "hello"),
            ("Content-Length: 5 5", "hello"),
            ("Content-Length: 5.0", "hello"),
            ("Content-Length:", "hello"),
            ("Content-Length: 99999999999999999999", "hello"),
        ],
    );
}

#[test]
fn a_transfer_coding_other_than_chunked_is_answered_501() {
    fields_refused(
        501,
        &[
            ("Transfer-Encoding: gzip", ""),
            ("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
            ("Transfer-Encoding: chunked, gzip", "0\r\n\r\n"),
            ("Transfer-Encoding: identity", ""),
            ("Transfer-Encoding: xchunked", "0\r\n\r\n"),
            ("Transfer-Encoding: \u{b}chunked", "0\r\n\r\n"),
        ],
    );
}

#[test]
fn a_doubled_or_empty_transfer_coding_is_answered_400() {
    fields_refused(
        400,
        &[
            ("Transfer-Encoding: chunked, chunked", "0\r\n\r\n"),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
            ("Transfer-Encoding:", "0\r\n\r\n"),
        ],
    );
}

#[test]
fn a_transfer_coding_in_http_1_0_is_answered_400() {
    let site = Site::start(options());
    let request = "POST /echo HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\
                   Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    refused(&site, request, 400);
    assert_eq!(site.probe.begun(), 0);
}

#[test]
fn fields_that_are_not_to_the_letter_are_answered_400() {
    fields_refused(
        400,
        &[
            ("X: y\r\n folded", ""),
            ("X: y\r\n\tfolded", ""),
            (" X: y", ""),
            ("X : y", ""),
            ("Content-Length : 5", "hello"),
            (": y", ""),
            ("no colon", ""),
            ("X: a\0b", ""),
            ("X: a\rb", ""),
            ("X: y\nZ: z", ""),
            ("X: y\n", ""),
        ],
    );
}

#[test]
fn a_bare_line_feed_is_answered_400_wherever_a_line_ends() {
    let site = Site::start(options());
    for request in [
        "GET / HTTP/1.1\nHost: test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\n\n",
        "GET / HTTP/1.1\nHost: test\n\n",
        "\nGET / HTTP/1.1\r\nHost: test\r\n\r\n",
    ] {
        refused(&site, request, 400);
        assert_eq!(site.probe.begun(), 0, "{request:?}");
    }
}

#[test]
fn a_bad_chunk_is_answered_400_and_ends_the_connection() {
    let head = "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long_line = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(5000));
    let endless_line = "x".repeat(5000);
    let bodies = [
        "x\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "12345678901234567\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\nX: y\r\n folded\r\n\r\n",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: a\0b\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n",
        long_line.as_str(),
        endless_line.as_str(),
    ];
    for body in bodies {
        // Each of its own: a body that is refused may have reached its handler, or not yet.
        let site = Site::start(options());
        refused(&site, head.to_owned() + body, 400);
        assert!(site.probe.begun() <= 1, "{body:?}: what followed was handled");
        assert_eq!(site.probe.finished(), 0, "{body:?} was read to an end");
    }
}

#[test]
fn trailers_over_the_limit_are_answered_431() {
    let site = Site::start(options());
    let head = "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    refused(&site, head.to_owned() + &"x: y\r\n".repeat(101) + "\r\n", 431);
    refused(&site, format!("{head}x: {}\r\n\r\n", "y".repeat(65 << 10)), 431);
    assert_eq!(site.probe.finished(), 0);
}

#[test]
fn chunks_to_the_letter_are_read() {
    let site = Site::start(options());
    let head = "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, text) in [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("05\r\nhello\r\n000\r\n\r\n", "hello"),
        ("5;a;b=c;d=\"e;\\\"f\"\r\nhello\r\n0;x\r\n\r\n", "hello"),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
        ("5\r\n\r\n\r\n0\r\n0\r\nTrailer: x\r\n\r\n", "\r\n\r\n0"),
    ] {
        let mut client = site.client();
        client.send(head.to_owned() + body).unwrap();
        assert_eq!(client.response().unwrap().text(), text, "{body:?}");
        assert_eq!(client.get("/").unwrap().text(), "hello", "after {body:?}");
    }
}

/// Messages that two readers could take for two things, whole.
const AMBIGUOUS: [&str; 30] = [
    "GET / HTTP/1.1\r\nHost : test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: test\r\nX\t: y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: test\r\nX\0Y: z\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: test\r\nX: y\0\r\n\r\n",
    "GET /\0 HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: test\r\nX: y\rContent-Length: 5\r\n\r\n",
    "GET / HTTP/1.1\rHost: test\r\n\r\n",
    "GET / HTTP/1.1\r\r\nHost: test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: test\r\n\r\r\n",
    "GET http://other/ HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET http://test:81/ HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET http://test@other/ HTTP/1.1\r\nHost: test@other\r\n\r\n",
    "GET http://test/ HTTP/1.1\r\n\r\n",
    "GET ftp://test/ HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: test\r\nHost: test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: one, two\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: te st\r\n\r\n",
    "GET /#part HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: test\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET\t/\tHTTP/1.1\r\nHost: test\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: test\r\n\r\n",
    "GET / HTTP/01.1\r\nHost: test\r\n\r\n",
    "GET / http/1.1\r\nHost: test\r\n\r\n",
    "GET /\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: test\r\nUpgrade: h2c\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "GET / HTTP/1.1\r\nHost: test\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "PRI * HTTP/2.0\r\nHost: test\r\n\r\n",
];

/// Wherever they are cut, nothing of what is behind them is read as a request of its own.
#[test]
fn an_ambiguous_message_is_never_read_in_two_ways_wherever_it_is_cut() {
    let site = Site::start(options());
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";
    for text in AMBIGUOUS {
        let (mut clients, begun) = (Vec::new(), site.probe.begun());
        for cut in 1..=text.len() {
            let mut client = site.client();
            client.send(&text[..cut]).unwrap();
            clients.push((cut, client));
        }
        for (cut, client) in &mut clients {
            // The server may have had enough.
            let _ = client.send([&text[*cut..], smuggled].concat());
        }
        for (cut, mut client) in clients {
            let (read, _) = client.ending().unwrap_or_else(|err| panic!("{text:?}, {cut}: {err}"));
            let read = String::from_utf8_lossy(&read).into_owned();
            let bad = ["400", "501", "505"].map(|status| format!("HTTP/1.1 {status} "));
            let refusals = bad.iter().map(|bad| read.matches(bad).count()).sum::<usize>();
            // What looked like HTTP/2 got its settings, and no more.
            assert!(refusals == 1 || text.starts_with("PRI"), "{text:?} cut at {cut}: {read}");
        }
        let first_is_whole = text.contains("\r\n\r\nPRI");
        let most = if first_is_whole { text.len() } else { 0 };
        assert!(site.probe.begun() - begun <= most, "{text:?}: what followed was handled");
    }
    site.assert_serves();
}

/// As docs/faults.md says. None of it moves the end of a message.
#[test]
fn what_is_read_more_freely_than_the_rfc_asks_is_known() {
    let site = Site::start(options());
    let mut client = site.client();
    for byte in "\"\\^{|}\u{e9}".chars() {
        assert_eq!(client.get(&format!("/{byte}")).unwrap().text(), "hello", "{byte:?}");
    }
    client.send("\r\n".repeat(8)).unwrap();
    assert_eq!(client.get("/").unwrap().text(), "hello");
    for byte in [' ', '<', '>', '\u{1}', '\u{7f}'] {
        refused(&site, format!("GET /{byte} HTTP/1.1\r\nHost: test\r\n\r\n"), 400);
    }
}

/// What mixtures are made of.
const PIECES: [&str; 24] = [
    "GET / HTTP/1.1\r\n",
    "GET / HTTP/1.0\r\n",
    "POST /echo HTTP/1.1\r\n",
    "POST /ignore HTTP/1.1\r\n",
    "CONNECT test:1 HTTP/1.1\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "Host: test\r\n",
    "Host: test\r\n\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 5\r\n\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\n\r\n",
    "Upgrade: x\r\nConnection: upgrade\r\n",
    "Connection: close\r\n",
    "Expect: 100-continue\r\n",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "hello",
    "5;x=\"",
    "\r\n",
    "\n",
    "\r",
    " ",
    "\0",
];

/// For what no table has: whatever comes, the connection ends, and what was answered are responses.
#[test]
fn any_mixture_of_pieces_comes_to_an_end() {
    let site = Site::with_timeouts(|timeouts| {
        timeouts.header = Some(SHORT);
        timeouts.idle = Some(SHORT);
        timeouts.body = Some(SHORT);
    });
    let mut random = Seed::from_env_or_clock().random();
    let mut sent = Vec::new();
    for _ in 0..200 {
        let mixture: String = (0..=random.below(12)).map(|_| *random.pick(&PIECES)).collect();
        let mut client = site.client();
        for part in mixture.as_bytes().chunks(1 + random.below(60)) {
            // The server may have had enough.
            let _ = client.send(part);
        }
        sent.push((mixture, client));
    }
    for (mixture, mut client) in sent {
        let (read, _) = client.ending().unwrap_or_else(|err| panic!("{mixture:?}: {err}"));
        let is_response = read.is_empty() || read.starts_with(b"HTTP/1.");
        // Frames of HTTP/2 begin with the length of the settings.
        assert!(is_response || mixture.contains("PRI"), "{mixture:?}: {}", read.escape_ascii());
    }
    site.assert_serves();
}
