//! Ranges of files in memory and on disk.

use http::header::RANGE;
use http::{Method, StatusCode};

use crate::support::{Answer, Tree, get_with, noise, send};

/// The parts of a `multipart/byteranges` body: what `Content-Range` says, and the bytes.
fn parts(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let boundary = answer.header("content-type").split_once("boundary=").unwrap().1;
    let mut rest = answer.body.as_slice();
    let mut found = Vec::new();
    let opening = format!("\r\n--{boundary}\r\n");
    while let Some(part) = rest.strip_prefix(opening.as_bytes()) {
        let head_len = part.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&part[..head_len]).unwrap();
        let range = head.split_once("content-range: ").unwrap().1;
        let (first, last) = range.strip_prefix("bytes ").unwrap().split_once('-').unwrap();
        let last = last.split_once('/').unwrap().0;
        let len = last.parse::<usize>().unwrap() - first.parse::<usize>().unwrap() + 1;
        found.push((range.to_owned(), part[head_len + 4..][..len].to_vec()));
        rest = &part[head_len + 4 + len..];
    }
    assert_eq!(rest, format!("\r\n--{boundary}--\r\n").as_bytes());
    found
}

#[tokio::test]
async fn one_range_is_sent_plainly() {
    let content = noise(1 << 20);
    let tree = Tree::new(&[("a.bin", &content)]);
    for files in [tree.open(), tree.open_streaming()] {
        for (range, from, to) in [
            ("bytes=0-0", 0, 1),
            ("bytes=5-9", 5, 10),
            ("bytes=1048570-", 1_048_570, 1_048_576),
            ("bytes=-7", 1_048_569, 1_048_576),
            ("bytes=100000-900000", 100_000, 900_001),
            ("bytes=0-99999999", 0, 1_048_576),
            ("bytes=3-4,99999999-", 3, 5),
        ] {
            let answer = get_with(&files, "/a.bin", &[(RANGE, range)]).await;
            assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
            assert_eq!(answer.body, content[from..to], "{range}");
            let expected = format!("bytes {from}-{}/1048576", to - 1);
            assert_eq!(answer.header("content-range"), expected);
            assert_eq!(answer.header("content-length"), (to - from).to_string());
            assert_eq!(answer.header("content-type"), "application/octet-stream");
            answer.header("etag");
        }
    }
}

#[tokio::test]
async fn several_ranges_are_parts_in_the_order_asked_for() {
    let content = noise(1 << 20);
    let tree = Tree::new(&[("a.bin", &content)]);
    for files in [tree.open(), tree.open_streaming()] {
        let range = "bytes=600000-900000, 0-1,-3";
        let answer = get_with(&files, "/a.bin", &[(RANGE, range)]).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
        assert!(!answer.headers.contains_key("content-range"));
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        let expected = [
            ("bytes 600000-900000/1048576".to_owned(), content[600_000..=900_000].to_vec()),
            ("bytes 0-1/1048576".to_owned(), content[..2].to_vec()),
            ("bytes 1048573-1048575/1048576".to_owned(), content[1_048_573..].to_vec()),
        ];
        assert_eq!(parts(&answer), expected);
        let head = std::str::from_utf8(&answer.body[..120]).unwrap();
        assert!(head.contains("content-type: application/octet-stream\r\n"), "{head}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_416() {
    let tree = Tree::new(&[("a.bin", b"0123456789"), ("empty", b"")]);
    for files in [tree.open(), tree.open_streaming()] {
        for (path, range, len) in
            [("/a.bin", "bytes=10-", 10), ("/a.bin", "bytes=-0", 10), ("/empty", "bytes=0-", 0)]
        {
            let answer = get_with(&files, path, &[(RANGE, range)]).await;
            assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE, "{path} {range}");
            assert_eq!(answer.header("content-range"), format!("bytes */{len}"));
        }
    }
}

#[tokio::test]
async fn what_is_invalid_or_greedy_gets_the_whole_file() {
    let tree = Tree::new(&[("a.bin", b"0123456789")]);
    let files = tree.open();
    let many = format!("bytes={}", vec!["1-1"; 1000].join(","));
    for range in ["bytes=5-2", "lines=1-2", "bytes=0-4,4-9", "bytes=0-,0-,0-", "", &many] {
        let answer = get_with(&files, "/a.bin", &[(RANGE, range)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{range}");
        assert_eq!(answer.body, b"0123456789", "{range}");
    }
    let twice = [(RANGE, "bytes=0-1"), (RANGE, "bytes=2-3")];
    assert_eq!(get_with(&files, "/a.bin", &twice).await.status, StatusCode::OK);
}

#[tokio::test]
async fn head_knows_no_ranges() {
    let tree = Tree::new(&[("a.bin", b"0123456789")]);
    let files = tree.open();
    let answer = send(&files, Method::HEAD, "/a.bin", &[(RANGE, "bytes=0-1")]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-length"), "10");
}
