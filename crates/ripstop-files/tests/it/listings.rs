//! The page of a directory: what it shows, and what it must not.

use std::fs;
use std::os::unix::fs::symlink;

use http::StatusCode;
use http::header::ACCEPT_ENCODING;
use ripstop_files::{Files, FilesOptions};
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::{Tree, get, get_with};

fn open(tree: &Tree) -> Files {
    Files::open(FilesOptions { listing: true, ..tree.options() }).unwrap()
}

#[tokio::test]
async fn a_listing_shows_what_would_be_served_in_order() {
    let tree = Tree::new(&[
        ("b.txt", &[0; 2048]),
        ("A.txt", b"x"),
        ("c dir/x", b""),
        (".hidden", b""),
        ("back\\slash", b""),
    ]);
    fs::write(tree.outer().join("secret"), "").unwrap();
    symlink("../secret", tree.root().join("out")).unwrap();
    symlink("b.txt", tree.root().join("link")).unwrap();
    mkfifoat(CWD, tree.root().join("fifo"), Mode::RUSR).unwrap();
    let page = get(&open(&tree), "/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let hrefs: Vec<_> = page.text().split("<td class=name><a href=\"").skip(1).collect();
    let hrefs: Vec<_> = hrefs.iter().map(|rest| rest.split_once('"').unwrap().0).collect();
    assert_eq!(hrefs, ["./c%20dir/", "./A.txt", "./b.txt", "./link"]);
    assert!(page.text().contains("2.0 KiB"));
    assert!(page.text().contains("1 folder and 3 files"));
}

#[tokio::test]
async fn names_are_escaped() {
    let name = "<img src=x onerror='a(\"b\")'>&";
    let tree = Tree::new(&[(&format!("{name}/{name}.txt"), b"")]);
    let files = open(&tree);
    let path = format!(
        "/{}/",
        percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC)
    );
    for target in ["/", &path] {
        let page = get(&files, target).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.text().contains("<img"), "{}", page.text());
        assert!(page.text().contains("&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt;&amp;"));
        let href = "./%3Cimg%20src%3Dx%20onerror%3D%27a%28%22b%22%29%27%3E%26";
        assert!(page.text().contains(href));
    }
}

#[tokio::test]
async fn a_listing_loads_nothing_from_elsewhere() {
    let page = get(&open(&Tree::new(&[("a", b"")])), "/").await;
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    for forbidden in ["http:", "https:", "<script", "<link", "src="] {
        assert!(!page.text().contains(forbidden), "{forbidden}");
    }
}

#[tokio::test]
async fn a_listing_shows_the_present() {
    let tree = Tree::new(&[("dir/one", b"")]);
    let files = open(&tree);
    assert!(get(&files, "/dir/").await.text().contains("./one"));
    tree.write("dir/two", b"");
    assert!(get(&files, "/dir/").await.text().contains("./two"));
    tree.write("dir/index.html", b"index");
    assert_eq!(get(&files, "/dir/").await.text(), "index");
}

#[tokio::test]
async fn a_listing_is_compressed_for_those_who_accept_it() {
    let page = get_with(&open(&Tree::new(&[("a", b"")])), "/", &[(ACCEPT_ENCODING, "gzip")]).await;
    assert_eq!(page.header("content-encoding"), "gzip");
    assert_eq!(page.header("vary"), "accept-encoding");
    let html = std::io::read_to_string(flate2::read::GzDecoder::new(&page.body[..])).unwrap();
    assert!(html.starts_with("<!doctype html>"));
}

#[tokio::test]
async fn there_is_no_listing_unless_asked_for() {
    let tree = Tree::new(&[("dir/a", b"")]);
    let files = tree.open();
    assert_eq!(get(&files, "/dir/").await.status, StatusCode::NOT_FOUND);
}
