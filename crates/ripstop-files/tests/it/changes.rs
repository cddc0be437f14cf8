//! A file that changes is noticed within a second, and not looked at more often than needed.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use http::StatusCode;
use http::header::ACCEPT_ENCODING;
use ripstop_files::{FileCache, Files, FilesOptions};

use crate::support::{Clock, Tree, get, get_with};

const SECOND: Duration = Duration::from_secs(1);

fn open(tree: &Tree, clock: &Clock) -> Files {
    let cache = clock.cache(FileCache::DEFAULT_MAX_BYTES);
    Files::open(FilesOptions { cache, ..tree.options() }).unwrap()
}

#[tokio::test]
async fn a_change_is_noticed_within_a_second() {
    let tree = Tree::new(&[("a.txt", b"one"), ("dir/index.html", b"one")]);
    let clock = Clock::default();
    let files = open(&tree, &clock);
    for path in ["/a.txt", "/dir/"] {
        let one = get(&files, path).await;
        assert_eq!(one.text(), "one");
        tree.write("a.txt", b"second");
        tree.write("dir/index.html", b"second");
        // From memory, without a look at the disk.
        assert_eq!(get(&files, path).await.text(), "one");
        clock.advance(SECOND);
        let two = get(&files, path).await;
        assert_eq!(two.text(), "second");
        assert_ne!(one.header("etag"), two.header("etag"));
        tree.write("a.txt", b"one");
        tree.write("dir/index.html", b"one");
        clock.advance(SECOND);
    }
}

#[tokio::test]
async fn the_first_after_half_a_second_looks_for_all() {
    let tree = Tree::new(&[("a.txt", b"one")]);
    let clock = Clock::default();
    let files = open(&tree, &clock);
    get(&files, "/a.txt").await;
    tree.write("a.txt", b"second");
    clock.advance(Duration::from_millis(499));
    assert_eq!(get(&files, "/a.txt").await.text(), "one");
    clock.advance(Duration::from_millis(1));
    assert_eq!(get(&files, "/a.txt").await.text(), "second");
}

#[tokio::test]
async fn an_unchanged_file_stays_in_memory() {
    let tree = Tree::new(&[("a.txt", b"one")]);
    let clock = Clock::default();
    let files = open(&tree, &clock);
    let first = get(&files, "/a.txt").await;
    clock.advance(10 * SECOND);
    assert_eq!(get(&files, "/a.txt").await.headers, first.headers);
    // It counts from the look: for another half a second nobody looks.
    tree.write("a.txt", b"second");
    clock.advance(Duration::from_millis(400));
    assert_eq!(get(&files, "/a.txt").await.text(), "one");
}

#[tokio::test]
async fn what_is_gone_is_gone() {
    let tree = Tree::new(&[("a.txt", b"one"), ("dir/index.html", b"one")]);
    let clock = Clock::default();
    let cache = clock.cache(FileCache::DEFAULT_MAX_BYTES);
    let files = Files::open(FilesOptions { cache: cache.clone(), ..tree.options() }).unwrap();
    get(&files, "/a.txt").await;
    get(&files, "/dir/").await;
    assert_eq!(cache.entries(), 2);
    fs::remove_file(tree.root().join("a.txt")).unwrap();
    fs::remove_dir_all(tree.root().join("dir")).unwrap();
    clock.advance(SECOND);
    for path in ["/a.txt", "/dir/"] {
        assert_eq!(get(&files, path).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!((cache.entries(), cache.used_bytes()), (0, 0));
}

#[tokio::test]
async fn a_sibling_that_comes_or_changes_is_noticed() {
    let tree = Tree::new(&[("a.bin", b"plain")]);
    let clock = Clock::default();
    let files = open(&tree, &clock);
    let fields = [(ACCEPT_ENCODING, "gzip")];
    assert_eq!(get_with(&files, "/a.bin", &fields).await.text(), "plain");
    for content in ["GZIP", "OTHER"] {
        tree.write("a.bin.gz", content.as_bytes());
        clock.advance(SECOND);
        assert_eq!(get_with(&files, "/a.bin", &fields).await.text(), content);
    }
    fs::remove_file(tree.root().join("a.bin.gz")).unwrap();
    clock.advance(SECOND);
    let plain = get_with(&files, "/a.bin", &fields).await;
    assert_eq!(plain.text(), "plain");
    assert!(!plain.headers.contains_key("vary"));
}

#[tokio::test]
async fn a_root_that_is_a_link_may_be_swapped() {
    let tree = Tree::new(&[]);
    for name in ["one", "two"] {
        tree.write(&format!("{name}/a.txt"), name.as_bytes());
    }
    let current = tree.outer().join("current");
    symlink("root/one", &current).unwrap();
    let clock = Clock::default();
    let cache = clock.cache(FileCache::DEFAULT_MAX_BYTES);
    let options = FilesOptions { root: current.clone(), cache, ..FilesOptions::default() };
    let files = Files::open(options).unwrap();
    assert_eq!(get(&files, "/a.txt").await.text(), "one");
    fs::remove_file(&current).unwrap();
    symlink("root/two", &current).unwrap();
    clock.advance(SECOND);
    assert_eq!(get(&files, "/a.txt").await.text(), "two");
}
