//! Tables of bytes, and where the guard stands after them. Each is also fed cut at every byte.

use super::*;

/// Feeds the way the connection does: what was not passed on is fed again with more behind it.
fn run(pieces: &[&[u8]], limits: &Limits) -> (State, Vec<u8>) {
    let mut guard = Guard::new(limits, false);
    let (mut kept, mut passed) = (Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        let n = guard.feed(&kept);
        passed.extend(kept.drain(..n));
    }
    (guard.state(), passed)
}

#[track_caller]
fn check(text: &str, expected: State) {
    let bytes = text.as_bytes();
    let whole = run(&[bytes], &Limits::default());
    assert_eq!(whole.0, expected, "{text:?}");
    for cut in 0..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(run(&[first, second], &Limits::default()), whole, "{text:?} cut at {cut}");
    }
}

const BAD: State = State::Refused(Refusal::BadMessage);

#[test]
fn whole_messages_end_where_the_next_begins() {
    for text in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding:\tChunked \r\n\r\n2;x=y\r\nhi\r\n0\r\nA: b\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        check(text, State::RequestLine);
    }
}

#[test]
fn unfinished_messages_are_known_as_such() {
    check("GET / HT", State::RequestLine);
    check("GET / HTTP/1.1\r\nHo", State::Fields);
    check("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel", State::Length(2));
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(chunked, State::ChunkSize);
    check(&format!("{chunked}5\r\nhe"), State::ChunkData(3));
    check(&format!("{chunked}5\r\nhello"), State::ChunkEnd);
    check(&format!("{chunked}0\r\nA: b\r\n"), State::Trailers);
}

#[test]
fn two_readings_of_one_message_are_refused() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding:\r\n",
        "A: b\r\n c\r\n",
        "A: b\r\n\tc\r\n",
        "A: b\n",
    ] {
        check(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), BAD);
    }
    check("GET / HTTP/1.1\nHost: a\r\n\r\n", BAD);
}

#[test]
fn unknown_codings_are_refused_as_such() {
    for coding in ["gzip", "gzip, chunked", "chunked, gzip", "identity", "chunked;q=1"] {
        let text = format!("POST / HTTP/1.1\r\nTransfer-Encoding: {coding}\r\n\r\n");
        check(&text, State::Refused(Refusal::UnknownCoding));
    }
}

#[test]
fn bad_chunks_are_refused() {
    for body in ["x\r\n", "5\nhello", "5\r\nhelloX", "5\r\nhello\n", "5;\r\n", "0\r\n a: b\r\n\r\n"]
    {
        check(&format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}"), BAD);
    }
    let extensions = format!("1;{}\r\nx\r\n", "a".repeat(4000)).repeat(5);
    let text = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{extensions}");
    assert_eq!(run(&[text.as_bytes()], &Limits::default()).0, BAD);
}

#[test]
fn bad_trailers_are_refused() {
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    check(&format!("{chunked}A: b\tc\r\nB:\r\n\r\n"), State::RequestLine);
    for line in ["a", ": b", "a : b", "a b: c", "a: \0", "a: b\rc", "a: \u{7f}"] {
        check(&format!("{chunked}{line}\r\n"), BAD);
    }
}

#[test]
fn few_empty_lines_may_stand_before_a_message() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let lines = |count| "\r\n".repeat(count);
    check(&format!("{}{request}{}{request}", lines(8), lines(8)), State::RequestLine);
    check(&format!("{request}{}", lines(9)), BAD);
}

#[test]
fn nothing_of_a_refused_line_is_passed_on() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\n";
    let text = format!("{head}Transfer-Encoding: gzip\r\n\r\n");
    let (_, passed) = run(&[text.as_bytes()], &Limits::default());
    assert_eq!(String::from_utf8(passed).unwrap(), head);
}

#[test]
fn limits_hold_for_whole_and_for_endless_lines() {
    let limits = Limits { uri: 10, head: 100, fields: 2, ..Limits::default() };
    #[track_caller]
    fn check_limited(text: &str, limits: &Limits, expected: State) {
        assert_eq!(run(&[text.as_bytes()], limits).0, expected, "{text:?}");
    }
    let too_long = State::Refused(Refusal::UriTooLong);
    check_limited("GET /123456789 HTTP/1.1\r\n", &limits, State::Fields);
    check_limited("GET /1234567890 HTTP/1.1\r\n", &limits, too_long);
    check_limited(&"G".repeat(75), &limits, too_long);
    let too_large = State::Refused(Refusal::HeadTooLarge);
    check_limited("GET / HTTP/1.1\r\nA: b\r\nA: b\r\n\r\n", &limits, State::RequestLine);
    check_limited("GET / HTTP/1.1\r\nA: b\r\nA: b\r\nA: b\r\n", &limits, too_large);
    check_limited(&format!("GET / HTTP/1.1\r\nA: {}\r\n", "b".repeat(90)), &limits, too_large);
    check_limited(&format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(90)), &limits, too_large);
}

#[test]
fn the_body_of_an_upgrade_is_passed_on_before_the_answer() {
    for (fields, body) in [("Content-Length: 2", "hi"), ("Transfer-Encoding: chunked", "0\r\n\r\n")]
    {
        let message = format!("POST / HTTP/1.1\r\nUpgrade: x\r\n{fields}\r\n\r\n{body}");
        let mut guard = Guard::new(&Limits::default(), false);
        assert_eq!(guard.feed(format!("{message}GET").as_bytes()), message.len());
        assert_eq!(guard.state(), State::Held);
        guard.release(false);
        assert_eq!(guard.state(), State::RequestLine);
    }
}

#[test]
fn a_message_that_may_become_a_tunnel_holds_what_follows() {
    for head in [
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    ] {
        let text = format!("{head}tunnelled");
        let mut guard = Guard::new(&Limits::default(), false);
        assert_eq!(guard.feed(text.as_bytes()), head.len());
        assert_eq!(guard.state(), State::Held);
        guard.release(true);
        assert_eq!(guard.feed(b"tunnelled"), 9);
        assert_eq!(guard.state(), State::Tunnel);
    }
    let mut guard = Guard::new(&Limits::default(), false);
    guard.feed(b"POST / HTTP/1.1\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\n");
    guard.release(false);
    assert_eq!(guard.state(), State::Length(3));
}

#[test]
fn an_http_2_preface_is_known_and_not_passed_on() {
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", State::Preface);
    assert_eq!(run(&[b"PRI * HTTP/2.0\r\n"], &Limits::default()).1, b"");
    // Only as the first line.
    check("GET / HTTP/1.1\r\n\r\nPRI * HTTP/2.0\r\n", BAD);
    check("PRI * HTTP/2.1\r\n", BAD);
}
