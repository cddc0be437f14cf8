//! The bound on memory, and who has to go.

use std::fs;
use std::sync::Arc;

use http::header::ACCEPT_ENCODING;
use ripstop_files::{FileCache, Files, FilesOptions};

use crate::support::{Clock, Tree, get, get_with, noise, prose};

const KIB: usize = 1024;

fn open(tree: &Tree, cache: &Arc<FileCache>) -> Files {
    Files::open(FilesOptions { cache: Arc::clone(cache), ..tree.options() }).unwrap()
}

#[tokio::test]
async fn the_bound_is_kept_and_hot_files_stay() {
    let tree = Tree::new(&[("hot.bin", &noise(60 * KIB))]);
    for n in 0..100 {
        tree.write(&format!("{n}.bin"), &noise(60 * KIB));
    }
    let cache = Clock::default().cache(512 * KIB);
    let files = open(&tree, &cache);
    get(&files, "/hot.bin").await;
    fs::remove_file(tree.root().join("hot.bin")).unwrap();
    for n in 0..100 {
        assert_eq!(get(&files, "/hot.bin").await.body.len(), 60 * KIB, "after {n} others");
        assert_eq!(get(&files, &format!("/{n}.bin")).await.body.len(), 60 * KIB);
        assert!(cache.used_bytes() <= 512 * KIB, "{}", cache.used_bytes());
    }
    assert_eq!(cache.entries(), 8);
}

#[tokio::test]
async fn files_up_to_an_eighth_are_kept() {
    let tree = Tree::new(&[("fits", &noise(64 * KIB)), ("large", &noise(64 * KIB + 1))]);
    let cache = Arc::new(FileCache::new(512 * KIB));
    let files = open(&tree, &cache);
    get(&files, "/large").await;
    assert_eq!((cache.entries(), cache.used_bytes()), (0, 0));
    get(&files, "/fits").await;
    assert_eq!(cache.entries(), 1);
}

#[tokio::test]
async fn each_spelling_and_coding_of_a_path_is_one_entry() {
    let tree = Tree::new(&[("a.txt", &prose(9000))]);
    let cache = Arc::new(FileCache::new(512 * KIB));
    let files = open(&tree, &cache);
    for path in ["/a.txt", "/%61.txt", "/a%2etxt", "/%61%2e%74%78%74"] {
        for accept in ["gzip", "br", "zstd, gzip", "identity", "gzip;q=0.3"] {
            get_with(&files, path, &[(ACCEPT_ENCODING, accept)]).await;
        }
    }
    assert_eq!(cache.entries(), 1);
    assert!(cache.used_bytes() > 9000 && cache.used_bytes() < 20_000, "{}", cache.used_bytes());
}

#[tokio::test]
async fn what_is_not_there_is_not_remembered() {
    let tree = Tree::new(&[]);
    let cache = Arc::new(FileCache::new(512 * KIB));
    let files = open(&tree, &cache);
    for n in 0..100 {
        get(&files, &format!("/{n}")).await;
    }
    assert_eq!((cache.entries(), cache.used_bytes()), (0, 0));
}

#[tokio::test]
async fn instances_share_the_bound_and_not_the_files() {
    let (one, two) = (Tree::new(&[("a", b"one")]), Tree::new(&[("a", b"two")]));
    let cache = Arc::new(FileCache::new(512 * KIB));
    let (first, second) = (open(&one, &cache), open(&two, &cache));
    for _ in 0..2 {
        assert_eq!(get(&first, "/a").await.text(), "one");
        assert_eq!(get(&second, "/a").await.text(), "two");
    }
    assert_eq!(cache.entries(), 2);
    for n in 0..20 {
        two.write(&n.to_string(), &noise(60 * KIB));
        get(&second, &format!("/{n}")).await;
    }
    assert!(cache.used_bytes() <= 512 * KIB);
    drop((first, second));
    assert_eq!((cache.entries(), cache.used_bytes()), (0, 0));
}

#[tokio::test]
async fn many_at_once_get_the_whole_file_and_make_one_entry() {
    let content = noise(3 << 20);
    let tree = Tree::new(&[("a.bin", &content)]);
    let cache = Arc::new(FileCache::new(FileCache::DEFAULT_MAX_BYTES));
    let files = open(&tree, &cache);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let files = files.clone();
        asked.spawn(async move { get(&files, "/a.bin").await.body });
    }
    for body in asked.join_all().await {
        assert!(body == content);
    }
    assert_eq!(cache.entries(), 1);
}

/// Threads have copies of what is hot: they must not differ.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn every_thread_sends_the_same() {
    let tree = Tree::new(&[("a.html", &prose(9000))]);
    let files = open(&tree, &Arc::new(FileCache::new(512 * KIB)));
    let fields = [(ACCEPT_ENCODING, "gzip")];
    let first = get_with(&files, "/a.html", &fields).await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let files = files.clone();
        let fields = fields.clone();
        asked.spawn(async move { get_with(&files, "/a.html", &fields).await });
    }
    for answer in asked.join_all().await {
        assert_eq!((&answer.headers, &answer.body), (&first.headers, &first.body));
    }
}

#[tokio::test]
async fn the_copies_of_what_is_hot_count() {
    let tree = Tree::new(&[]);
    let cache = Arc::new(FileCache::new(64 * KIB));
    let files = open(&tree, &cache);
    for n in 0..100 {
        tree.write(&n.to_string(), b"small");
        let mut used = Vec::new();
        for _ in 0..6 {
            assert_eq!(get(&files, &format!("/{n}")).await.text(), "small");
            assert!(cache.used_bytes() <= 64 * KIB);
            used.push(cache.used_bytes());
        }
        assert!(n > 0 || used[5] > used[0], "{used:?}");
    }
    assert!(cache.entries() > 10);
    drop(files);
    assert_eq!((cache.entries(), cache.used_bytes()), (0, 0));
}
