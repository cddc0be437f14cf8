//! Indexes, redirects, the fallback of single-page applications, and pages of errors.

use http::header::{ACCEPT, ACCEPT_ENCODING, IF_NONE_MATCH, RANGE};
use http::{Method, StatusCode};
use ripstop_files::{Files, FilesOptions, OpenError};

use crate::support::{Tree, get, get_with, prose, send};

#[tokio::test]
async fn a_directory_is_its_first_index() {
    let tree = Tree::new(&[
        ("index.html", b"root"),
        ("a/index.htm", b"second"),
        ("b/index.html", b"first"),
        ("b/index.htm", b"second"),
        ("c/index.html/x", b""),
        ("c/index.htm", b"a directory is no index"),
        ("empty/x", b""),
    ]);
    let index = vec!["index.html".to_owned(), "index.htm".to_owned()];
    let files = Files::open(FilesOptions { index, ..tree.options() }).unwrap();
    for _ in 0..2 {
        assert_eq!(get(&files, "/").await.text(), "root");
        assert_eq!(get(&files, "/a/").await.text(), "second");
        assert_eq!(get(&files, "/b/").await.text(), "first");
        assert_eq!(get(&files, "/c/").await.text(), "a directory is no index");
        assert_eq!(get(&files, "/empty/").await.status, StatusCode::NOT_FOUND);
    }
    let answer = get(&files, "/").await;
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
}

#[tokio::test]
async fn a_directory_without_a_slash_is_redirected() {
    let tree = Tree::new(&[("a/b c/x", b""), ("a/d:e/x", b""), ("a/ä/x", b"")]);
    let files = tree.open();
    for (target, location) in [
        ("/a", "./a/"),
        ("/a?q=1&r=%2f", "./a/?q=1&r=%2f"),
        ("/a?", "./a/?"),
        ("/a/b%20c", "./b%20c/"),
        ("/a/d:e", "./d%3Ae/"),
        ("/a/%c3%a4", "./%C3%A4/"),
    ] {
        let answer = get(&files, target).await;
        assert_eq!(answer.status, StatusCode::MOVED_PERMANENTLY, "{target}");
        assert_eq!(answer.header("location"), location);
    }
    // What a browser would take for another host.
    for target in ["//a", "//evil.example/a", "/\\evil.example/..", "/%5cevil.example/%2e%2e"] {
        assert_eq!(get(&files, target).await.status, StatusCode::NOT_FOUND, "{target}");
    }
}

#[tokio::test]
async fn the_fallback_answers_for_pages_only() {
    let tree = Tree::new(&[("app/index.html", b"app"), ("a.txt", b"file"), ("dir/x", b"")]);
    let spa_fallback = Some("app/index.html".to_owned());
    let files = Files::open(FilesOptions { spa_fallback, ..tree.options() }).unwrap();
    for path in ["/", "/users/7", "/users/", "/dir/"] {
        let answer = get(&files, path).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "app"), "{path}");
    }
    assert_eq!(get(&files, "/a.txt").await.text(), "file");
    assert_eq!(get(&files, "/missing.js").await.status, StatusCode::NOT_FOUND);
    let browser = [(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")];
    assert_eq!(get_with(&files, "/v1.2", &browser).await.text(), "app");
    for path in ["/../x", "/.env", "/a%2fb"] {
        assert_eq!(get(&files, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let tag = get(&files, "/users/7").await.header("etag").to_owned();
    let again = get_with(&files, "/users/8", &[(IF_NONE_MATCH, tag.as_str())]).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn errors_have_the_pages_they_are_given() {
    let page = prose(3000);
    let tree = Tree::new(&[("404.html", &page), ("bad.html", b"<p>what?"), ("a.png", b"x")]);
    let error_pages = vec![
        (StatusCode::NOT_FOUND, "404.html".to_owned()),
        (StatusCode::BAD_REQUEST, "bad.html".to_owned()),
        (StatusCode::METHOD_NOT_ALLOWED, "bad.html".to_owned()),
    ];
    let files = Files::open(FilesOptions { error_pages, ..tree.options() }).unwrap();
    for _ in 0..2 {
        let missing = get(&files, "/none").await;
        assert_eq!((missing.status, &missing.body), (StatusCode::NOT_FOUND, &page));
        assert_eq!(missing.header("content-type"), "text/html; charset=utf-8");
        for name in ["etag", "last-modified", "accept-ranges"] {
            assert!(!missing.headers.contains_key(name), "{name}");
        }
        assert_eq!(get(&files, "/%zz").await.text(), "<p>what?");
        let post = send(&files, Method::POST, "/a.png", &[]).await;
        assert_eq!((post.status, post.text()), (StatusCode::METHOD_NOT_ALLOWED, "<p>what?"));
        assert_eq!(post.header("allow"), "GET, HEAD");
    }
    // The page is neither cut nor left out for what the request says of the file.
    let tag = get(&files, "/404.html").await.header("etag").to_owned();
    for fields in [[(RANGE, "bytes=0-1")], [(IF_NONE_MATCH, tag.as_str())]] {
        let answer = get_with(&files, "/none", &fields).await;
        assert_eq!((answer.status, &answer.body), (StatusCode::NOT_FOUND, &page));
    }
    let packed = get_with(&files, "/none", &[(ACCEPT_ENCODING, "gzip")]).await;
    assert_eq!(packed.status, StatusCode::NOT_FOUND);
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(get(&files, "/404.html").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_error_without_a_page_has_a_line_of_text() {
    let answer = get(&Tree::new(&[]).open(), "/none").await;
    assert_eq!(answer.text(), "404 Not Found\n");
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("content-length"), "14");
}

#[test]
fn options_that_cannot_work_are_refused() {
    let tree = Tree::new(&[("a.html", b""), (".b.html", b""), ("dir/x", b"")]);
    let cases = [
        (FilesOptions { root: tree.root().join("none"), ..tree.options() }, "as a directory"),
        (FilesOptions { root: tree.root().join("a.html"), ..tree.options() }, "as a directory"),
        (FilesOptions { strip_prefix: "static".into(), ..tree.options() }, "begin with a slash"),
        (FilesOptions { strip_prefix: "/static/".into(), ..tree.options() }, "not end in one"),
        (FilesOptions { index: vec!["a/b".into()], ..tree.options() }, "without a slash"),
        (FilesOptions { spa_fallback: Some("none".into()), ..tree.options() }, "cannot read"),
        (FilesOptions { spa_fallback: Some("dir".into()), ..tree.options() }, "cannot read"),
        (FilesOptions { spa_fallback: Some("../a".into()), ..tree.options() }, "below the root"),
        (FilesOptions { spa_fallback: Some(".b.html".into()), ..tree.options() }, "must be a path"),
        (
            FilesOptions {
                error_pages: vec![(StatusCode::BAD_GATEWAY, "a.html".into())],
                ..tree.options()
            },
            "for 502 must be for 400",
        ),
    ];
    for (options, expected) in cases {
        let error: OpenError = Files::open(options).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
