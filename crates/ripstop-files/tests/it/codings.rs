//! Which coding is sent to whom, and that it is what it says.

use std::io::Read;

use http::header::{ACCEPT_ENCODING, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderName, StatusCode};
use ripstop_files::{Files, FilesOptions};

use crate::support::{Answer, Tree, get, get_with, noise, prose};

fn decoded(answer: &Answer) -> Vec<u8> {
    let mut out = Vec::new();
    let body = answer.body.as_slice();
    match answer.headers.get("content-encoding").map(|v| v.to_str().unwrap()) {
        None => out.extend(body),
        Some("gzip") => drop(flate2::read::GzDecoder::new(body).read_to_end(&mut out).unwrap()),
        Some("zstd") => out = zstd::decode_all(body).unwrap(),
        Some("br") => drop(brotli::Decompressor::new(body, 4096).read_to_end(&mut out).unwrap()),
        Some(other) => panic!("unknown coding {other}"),
    }
    out
}

fn accept(value: &str) -> [(HeaderName, &str); 1] {
    [(ACCEPT_ENCODING, value)]
}

fn coding(answer: &Answer) -> &str {
    answer.headers.get("content-encoding").map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_sibling_is_sent_to_those_who_accept_it() {
    let tree = Tree::new(&[
        ("a.js", b"plain"),
        ("a.js.br", b"BROTLI"),
        ("a.js.zst", b"ZSTD"),
        ("a.js.gz", b"GZIP"),
    ]);
    for files in [tree.open(), tree.open_streaming()] {
        for (value, expected, body) in [
            ("gzip, deflate, br, zstd", "br", "BROTLI"),
            ("gzip, zstd", "zstd", "ZSTD"),
            ("gzip;q=1, br;q=0.5", "gzip", "GZIP"),
            ("br;q=0, *", "zstd", "ZSTD"),
            ("identity", "", "plain"),
            ("identity;q=1, gzip;q=0.9", "", "plain"),
            ("*;q=0, gzip", "gzip", "GZIP"),
            ("deflate", "", "plain"),
            ("gzip;q=0", "", "plain"),
        ] {
            let answer = get_with(&files, "/a.js", &accept(value)).await;
            assert_eq!((coding(&answer), answer.text()), (expected, body), "{value}");
            assert_eq!(answer.header("vary"), "accept-encoding");
            assert_eq!(answer.header("content-type"), "text/javascript; charset=utf-8");
            assert_eq!(answer.header("content-length"), body.len().to_string());
        }
        assert_eq!(get(&files, "/a.js").await.text(), "plain");
    }
}

#[tokio::test]
async fn each_coding_has_its_own_tag() {
    let text = prose(5000);
    let tree = Tree::new(&[("a.txt", &text), ("b.txt", &text), ("b.txt.gz", b"GZIP")]);
    let files = tree.open();
    for path in ["/a.txt", "/b.txt"] {
        let mut tags = Vec::new();
        for value in ["identity", "gzip", "zstd", "br"] {
            let answer = get_with(&files, path, &accept(value)).await;
            let tag = answer.header("etag").to_owned();
            let fields = [(ACCEPT_ENCODING, value), (IF_NONE_MATCH, tag.as_str())];
            let again = get_with(&files, path, &fields).await;
            assert_eq!(again.status, StatusCode::NOT_MODIFIED);
            assert_eq!(again.header("vary"), "accept-encoding");
            tags.push(tag);
        }
        let other = [(ACCEPT_ENCODING, "gzip"), (IF_NONE_MATCH, tags[0].as_str())];
        assert_eq!(get_with(&files, path, &other).await.status, StatusCode::OK);
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 4, "{tags:?}");
    }
}

#[tokio::test]
async fn text_above_a_kibibyte_is_compressed() {
    let text = prose(1025);
    let tree = Tree::new(&[("a.html", &text), ("small.html", &text[..1024]), ("a.png", &text)]);
    let files = tree.open();
    for value in ["gzip", "zstd", "br"] {
        for _ in 0..2 {
            let answer = get_with(&files, "/a.html", &accept(value)).await;
            assert_eq!(coding(&answer), value);
            assert_eq!(answer.header("content-length"), answer.body.len().to_string());
            assert!(answer.body.len() < text.len());
            assert_eq!(decoded(&answer), text);
            assert_eq!(answer.header("vary"), "accept-encoding");
            assert!(!answer.headers.contains_key("accept-ranges"));
        }
        for path in ["/small.html", "/a.png"] {
            let answer = get_with(&files, path, &accept(value)).await;
            assert_eq!(coding(&answer), "", "{path}");
            assert!(!answer.headers.contains_key("vary"), "{path}");
        }
    }
    let plain = get(&files, "/a.html").await;
    assert_eq!((coding(&plain), &plain.body), ("", &text));
    assert_eq!(plain.header("vary"), "accept-encoding");
}

#[tokio::test]
async fn large_text_is_compressed_as_it_is_sent() {
    let text = prose(1 << 20);
    let mixed = [text.as_slice(), &noise(500_000)].concat();
    let tree = Tree::new(&[("a.txt", &text), ("b.txt", &mixed)]);
    let files = tree.open_streaming();
    for (path, content) in [("/a.txt", &text), ("/b.txt", &mixed)] {
        for value in ["gzip", "zstd", "br"] {
            let answer = get_with(&files, path, &accept(value)).await;
            assert_eq!(coding(&answer), value);
            assert!(!answer.headers.contains_key("content-length"));
            assert!(decoded(&answer) == *content, "{path} {value}");
        }
    }
}

#[tokio::test]
async fn what_is_compressed_is_not_compressed_again() {
    let tree = Tree::new(&[("a.txt.gz", &prose(5000)), ("a.svgz", &prose(5000))]);
    let files = tree.open();
    for path in ["/a.txt.gz", "/a.svgz"] {
        let answer = get_with(&files, path, &accept("gzip, br, zstd")).await;
        assert_eq!(coding(&answer), "", "{path}");
    }
}

#[tokio::test]
async fn ranges_are_of_what_is_stored() {
    let text = prose(5000);
    let tree = Tree::new(&[("a.txt", &text), ("b.txt", &text), ("b.txt.gz", b"0123456789")]);
    for files in [tree.open(), tree.open_streaming()] {
        let fields = [(ACCEPT_ENCODING, "gzip"), (RANGE, "bytes=2-4")];
        let plain = get_with(&files, "/a.txt", &fields).await;
        assert_eq!((coding(&plain), &plain.body[..]), ("", &text[2..5]));
        let stored = get_with(&files, "/b.txt", &fields).await;
        assert_eq!((coding(&stored), stored.text()), ("gzip", "234"));
        assert_eq!(stored.header("content-range"), "bytes 2-4/10");
        // The tag of the compressed file is not that of the plain one.
        let tag = get_with(&files, "/a.txt", &fields[..1]).await.header("etag").to_owned();
        let fields = [(ACCEPT_ENCODING, "gzip"), (RANGE, "bytes=2-4"), (IF_RANGE, tag.as_str())];
        let whole = get_with(&files, "/a.txt", &fields).await;
        assert_eq!((whole.status, coding(&whole)), (StatusCode::OK, ""));
    }
}

#[tokio::test]
async fn those_who_refuse_all_there_is_get_406() {
    let tree = Tree::new(&[("a.png", b"plain"), ("a.html", &prose(5000))]);
    let files = tree.open();
    for _ in 0..2 {
        for value in ["identity;q=0", "*;q=0", "br, *;q=0"] {
            let answer = get_with(&files, "/a.png", &accept(value)).await;
            assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE, "{value}");
        }
        let answer = get_with(&files, "/a.html", &accept("identity;q=0, gzip")).await;
        assert_eq!(coding(&answer), "gzip");
        assert_eq!(get(&files, "/a.png").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn both_can_be_turned_off() {
    let tree = Tree::new(&[("a.html", &prose(5000)), ("a.html.gz", b"GZIP")]);
    let options = FilesOptions { precompressed: false, ..tree.options() };
    let answer = get_with(&Files::open(options).unwrap(), "/a.html", &accept("gzip")).await;
    assert_eq!(decoded(&answer), prose(5000));
    let options = FilesOptions { compress: false, ..tree.options() };
    let files = Files::open(options).unwrap();
    assert_eq!(get_with(&files, "/a.html", &accept("gzip")).await.text(), "GZIP");
    assert_eq!(coding(&get_with(&files, "/a.html", &accept("br")).await), "");
}

#[tokio::test]
async fn a_sibling_needs_the_plain_file() {
    let tree = Tree::new(&[("a.js.gz", b"GZIP")]);
    let files = tree.open();
    assert_eq!(get_with(&files, "/a.js", &accept("gzip")).await.status, StatusCode::NOT_FOUND);
}
