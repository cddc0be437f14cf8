//! Tables for the PROXY header's grammar: each header whole, with bytes behind it, and cut at
//! every byte.

use super::parse::{Parsed, V2_LEN_MAX, parse};
use super::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A version 2 header: command and version, family and transport, length as said, body.
fn v2(command: u8, family: u8, len: u16, body: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[command, family], &len.to_be_bytes(), body].concat()
}

/// A version 2 header whose length is right.
fn v2_body(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    v2(command, family, u16::try_from(body.len()).unwrap(), body)
}

#[track_caller]
fn check(header: &[u8], expected: Option<(&str, &str)>) {
    let addresses = expected.map(|(source, destination)| Addresses {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    });
    let complete = Parsed::Complete { addresses, len: header.len() };
    for cut in 0..header.len() {
        assert_eq!(parse(&header[..cut]).unwrap(), Parsed::Incomplete, "cut at {cut}");
    }
    assert_eq!(parse(header).unwrap(), complete);
    assert_eq!(parse(&[header, b"GET / HTTP/1.1\r\n"].concat()).unwrap(), complete);
}

#[track_caller]
fn refused(bytes: &[u8]) -> String {
    parse(bytes).expect_err(&bytes.escape_ascii().to_string()).to_string()
}

#[test]
fn version_1_names_the_client() {
    check(
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
        Some(("192.0.2.1:56324", "198.51.100.2:443")),
    );
    check(b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", Some(("[2001:db8::1]:0", "[::1]:65535")));
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let line = format!("PROXY TCP6 {longest} {longest} 65535 65535\r\n");
    let end = format!("[{longest}]:65535");
    check(line.as_bytes(), Some((&end, &end)));
}

#[test]
fn version_1_unknown_keeps_the_peer() {
    check(b"PROXY UNKNOWN\r\n", None);
    check(b"PROXY UNKNOWN ffff::1 whatever 65535 0\r\n", None);
}

#[test]
fn version_2_names_the_client() {
    let four = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];
    check(&v2_body(0x21, 0x11, &four), Some(("192.0.2.1:56324", "198.51.100.2:443")));
    let tlvs = [&four[..], &[0x02, 0, 1, b'a', 0x03, 0, 4, 1, 2, 3, 4]].concat();
    check(&v2_body(0x21, 0x11, &tlvs), Some(("192.0.2.1:56324", "198.51.100.2:443")));
    let mut six = [0; 36];
    (six[15], six[31], six[33], six[35]) = (1, 2, 80, 81);
    check(&v2_body(0x21, 0x21, &six), Some(("[::1]:80", "[::2]:81")));
    let long = [&four[..], &vec![0; V2_LEN_MAX - 16 - four.len()]].concat();
    check(&v2_body(0x21, 0x11, &long), Some(("192.0.2.1:56324", "198.51.100.2:443")));
}

#[test]
fn version_2_without_a_tcp_client_keeps_the_peer() {
    check(&v2_body(0x20, 0x00, b""), None);
    check(&v2_body(0x20, 0x11, &[0; 12]), None);
    check(&v2_body(0x20, 0xff, b"ignored"), None);
    check(&v2_body(0x21, 0x00, b"ignored"), None);
    check(&v2_body(0x21, 0x12, &[0; 12]), None);
    check(&v2_body(0x21, 0x31, &[b'/'; 216]), None);
}

#[test]
fn what_is_no_header_is_refused_at_its_first_wrong_byte() {
    let none = "the connection does not begin with a PROXY header";
    for bytes in
        [&b"G"[..], b"PROXX", b"proxy TCP4", b"\x16\x03\x01", b"\r\n\r\nG", b"\0", b"PROXY\t"]
    {
        assert_eq!(refused(bytes), none);
    }
}

#[test]
fn malformed_version_1_is_refused() {
    let lines: [&[u8]; 18] = [
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        b"PROXY TCP4 192.0.2.\xff 192.0.2.2 1 2\r\n",
        b"PROXY UNKNOWN\n",
    ];
    for line in lines {
        assert!(refused(line).starts_with("malformed PROXY header: "));
    }
    let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93]].concat();
    assert_eq!(parse(&endless[..106]).unwrap(), Parsed::Incomplete);
    assert_eq!(refused(&endless), "malformed PROXY header: a version 1 line without an end");
}

#[test]
fn malformed_version_2_is_refused() {
    let cases = [
        (v2_body(0x31, 0x11, &[0; 12]), "a version 2 signature with another version"),
        ([SIGNATURE, &[0x11]].concat(), "a version 2 signature with another version"),
        (v2_body(0x22, 0x11, &[0; 12]), "an unknown command"),
        (v2_body(0x21, 0x41, &[0; 12]), "an unknown family or transport"),
        (v2_body(0x21, 0x13, &[0; 12]), "an unknown family or transport"),
        (v2_body(0x21, 0x11, &[0; 11]), "an address block that is too short"),
        (v2_body(0x21, 0x21, &[0; 35]), "an address block that is too short"),
        (v2_body(0x21, 0x21, b""), "an address block that is too short"),
    ];
    for (bytes, what) in cases {
        assert_eq!(refused(&bytes), format!("malformed PROXY header: {what}"));
    }
    let too_long = u16::try_from(V2_LEN_MAX - 15).unwrap();
    assert_eq!(refused(&v2(0x21, 0x11, too_long, b"")), "PROXY header of 4097 bytes is too long");
}
