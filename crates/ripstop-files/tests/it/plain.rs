//! A file, its headers, and the methods.

use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, StatusCode};
use ripstop_files::{Files, FilesOptions};

use crate::support::{Tree, get, noise, send};

#[tokio::test]
async fn a_file_is_sent_with_what_describes_it() {
    let tree = Tree::new(&[("a.html", b"<p>hello")]);
    let answer = get(&tree.open(), "/a.html").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, b"<p>hello");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("content-length"), "8");
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("etag").starts_with('"'));
    assert!(answer.header("last-modified").ends_with(" GMT"));
    assert!(!answer.headers.contains_key("vary"));
    assert!(!answer.headers.contains_key("cache-control"));
}

#[tokio::test]
async fn a_second_request_gets_the_same_from_memory() {
    let tree = Tree::new(&[("a.txt", b"hello"), ("big.bin", &noise(3 << 20))]);
    let files = tree.open();
    for path in ["/a.txt", "/big.bin"] {
        let (first, second) = (get(&files, path).await, get(&files, path).await);
        assert_eq!(first.body, second.body);
        assert_eq!(first.headers, second.headers);
    }
}

#[tokio::test]
async fn an_escaped_path_is_the_same_file() {
    let tree = Tree::new(&[("a b.txt", b"spaced"), ("100%.txt", b"percent"), ("ä", b"umlaut")]);
    let files = tree.open();
    for _ in 0..2 {
        assert_eq!(get(&files, "/a%20b.txt").await.text(), "spaced");
        assert_eq!(get(&files, "/%61%20b%2etxt").await.text(), "spaced");
        assert_eq!(get(&files, "/100%25.txt").await.text(), "percent");
        assert_eq!(get(&files, "/100%.txt").await.status, StatusCode::BAD_REQUEST);
        assert_eq!(get(&files, "/%c3%a4").await.text(), "umlaut");
    }
}

/// A file named `%2e` is found by `%252e`, and that must not make a key of `%2e`.
#[tokio::test]
async fn a_name_with_a_percent_sign_is_not_found_by_its_bytes() {
    let tree = Tree::new(&[("%61", b"percent"), ("a", b"letter")]);
    let files = tree.open();
    for _ in 0..2 {
        assert_eq!(get(&files, "/%2561").await.text(), "percent");
        assert_eq!(get(&files, "/%61").await.text(), "letter");
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    let large = noise((4 << 20) + 1);
    let tree = Tree::new(&[
        ("a.txt", b"hello"),
        ("empty", b""),
        ("page.css", &b"body { color: red }\n".repeat(200)),
        ("large.bin", &large),
        ("large.txt", &large),
        ("dir/x", b""),
    ]);
    let listing = FilesOptions { listing: true, ..tree.options() };
    let files = Files::open(listing).unwrap();
    let paths =
        ["/a.txt", "/empty", "/page.css", "/large.bin", "/large.txt", "/dir", "/dir/", "/none"];
    for path in paths {
        for accept in ["identity", "gzip"] {
            let fields = [(http::header::ACCEPT_ENCODING, accept)];
            let head = send(&files, Method::HEAD, path, &fields).await;
            let got = send(&files, Method::GET, path, &fields).await;
            assert_eq!(head.status, got.status, "{path} {accept}");
            assert_eq!(head.headers, got.headers, "{path} {accept}");
            assert!(head.body.is_empty(), "{path} {accept}");
        }
    }
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let tree = Tree::new(&[("a.txt", b"hello")]);
    let files = tree.open();
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE] {
        let answer = send(&files, method, "/a.txt", &[]).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), "GET, HEAD");
    }
}

#[tokio::test]
async fn cache_control_is_the_operators() {
    let tree = Tree::new(&[("a.txt", b"hello")]);
    let value = HeaderValue::from_static("public, max-age=60");
    let files = Files::open(FilesOptions { cache_control: Some(value), ..tree.options() }).unwrap();
    let found = get(&files, "/a.txt").await;
    assert_eq!(found.header("cache-control"), "public, max-age=60");
    let fields = [(http::header::IF_NONE_MATCH, found.header("etag"))];
    let same = send(&files, Method::GET, "/a.txt", &fields).await;
    assert_eq!(same.headers[CACHE_CONTROL], "public, max-age=60");
    assert!(!get(&files, "/none").await.headers.contains_key(CACHE_CONTROL));
}

#[tokio::test]
async fn a_prefix_is_taken_off() {
    let tree = Tree::new(&[("a.txt", b"hello"), ("dir/index.html", b"index")]);
    let strip_prefix = "/static".to_owned();
    let files = Files::open(FilesOptions { strip_prefix, ..tree.options() }).unwrap();
    for _ in 0..2 {
        assert_eq!(get(&files, "/static/a.txt").await.text(), "hello");
        assert_eq!(get(&files, "/static/dir/").await.text(), "index");
        for path in ["/a.txt", "/statica.txt", "/static2/a.txt", "/"] {
            assert_eq!(get(&files, path).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
    assert_eq!(get(&files, "/static").await.header("location"), "./static/");
    assert_eq!(get(&files, "/static/dir").await.header("location"), "./dir/");
}
