//! Conditional requests, from memory and from disk.

use http::header::{
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderName, StatusCode};

use crate::support::{Tree, get, get_with};

const PAST: &str = "Sat, 01 Jan 2000 00:00:00 GMT";

#[tokio::test]
async fn the_validators_of_a_response_make_the_next_conditional() {
    let tree = Tree::new(&[("a.txt", b"hello")]);
    for files in [tree.open(), tree.open_streaming()] {
        let found = get(&files, "/a.txt").await;
        let (etag, date) = (found.header("etag"), found.header("last-modified"));
        let cases: &[(&[(HeaderName, &str)], u16)] = &[
            (&[(IF_NONE_MATCH, etag)], 304),
            (&[(IF_NONE_MATCH, "*")], 304),
            (&[(IF_NONE_MATCH, "\"other\"")], 200),
            (&[(IF_MODIFIED_SINCE, date)], 304),
            (&[(IF_MODIFIED_SINCE, PAST)], 200),
            (&[(IF_MATCH, etag)], 200),
            (&[(IF_MATCH, "\"other\"")], 412),
            (&[(IF_UNMODIFIED_SINCE, date)], 200),
            (&[(IF_UNMODIFIED_SINCE, PAST)], 412),
            (&[(IF_MATCH, "\"other\""), (IF_NONE_MATCH, etag)], 412),
            (&[(IF_NONE_MATCH, etag), (RANGE, "bytes=0-1")], 304),
            (&[(IF_MATCH, "\"other\""), (RANGE, "bytes=0-1")], 412),
            (&[(IF_MATCH, etag), (RANGE, "bytes=0-1")], 206),
            (&[(IF_RANGE, etag), (RANGE, "bytes=0-1")], 206),
            (&[(IF_RANGE, "\"other\""), (RANGE, "bytes=0-1")], 200),
            (&[(IF_RANGE, "\"other\""), (RANGE, "bytes=99-")], 200),
            (&[(IF_RANGE, PAST), (RANGE, "bytes=0-1")], 200),
        ];
        for (fields, status) in cases {
            let answer = get_with(&files, "/a.txt", fields).await;
            assert_eq!(answer.status.as_u16(), *status, "{fields:?}");
        }
    }
}

#[tokio::test]
async fn not_modified_has_validators_and_no_body() {
    let tree = Tree::new(&[("a.txt", b"hello")]);
    let files = tree.open();
    let found = get(&files, "/a.txt").await;
    let etag = found.header("etag");
    let answer = get_with(&files, "/a.txt", &[(IF_NONE_MATCH, etag)]).await;
    assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
    assert_eq!(answer.header("etag"), etag);
    assert_eq!(answer.header("last-modified"), found.header("last-modified"));
    assert!(answer.body.is_empty());
    for name in ["content-type", "content-length", "accept-ranges"] {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn conditions_do_not_count_where_there_is_no_file() {
    let tree = Tree::new(&[]);
    let files = tree.open();
    let answer = get_with(&files, "/none", &[(IF_MATCH, "\"other\"")]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
