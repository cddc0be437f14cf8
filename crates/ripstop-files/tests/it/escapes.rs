//! Nothing outside of the root, nothing that is no file, nothing hidden.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use http::StatusCode;
use ripstop_files::{Files, FilesOptions};
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::{Tree, get};

fn tree() -> Tree {
    let tree = Tree::new(&[
        ("a.txt", b"public"),
        ("dir/b.txt", b"public"),
        (".env", b"secret"),
        (".git/config", b"secret"),
        ("dir/.hidden", b"secret"),
        (".well-known/security.txt", b"public"),
    ]);
    fs::write(tree.outer().join("secret.txt"), "secret").unwrap();
    fs::create_dir(tree.outer().join("root2")).unwrap();
    fs::write(tree.outer().join("root2/secret.txt"), "secret").unwrap();
    tree
}

#[tokio::test]
async fn no_spelling_leaves_the_root() {
    let tree = tree();
    // Whatever is decoded once too often finds these, or the file outside.
    tree.write("%2e%2e/secret.txt", b"public");
    for files in [tree.open(), tree.open_streaming()] {
        for path in [
            "/../secret.txt",
            "/..%2fsecret.txt",
            "/..%5csecret.txt",
            "/..\\secret.txt",
            "/%2e%2e/secret.txt",
            "/%2E%2E/secret.txt",
            "/.%2e/secret.txt",
            "/%2e%2e%2fsecret.txt",
            "/dir/../../secret.txt",
            "/dir/../a.txt",
            "/dir/./b.txt",
            "/dir//b.txt",
            "//a.txt",
            "/./a.txt",
            "/dir%2fb.txt",
            "/dir%5cb.txt",
            "/dir\\b.txt",
            "/%252e%252e%252fsecret.txt",
            "/..%252fsecret.txt",
            "/%c0%ae%c0%ae/secret.txt",
            "/%e0%80%ae%e0%80%ae/secret.txt",
            "/%f0%80%80%ae/secret.txt",
            "/..%c0%afsecret.txt",
            "/%u002e%u002e/secret.txt",
            "/a.txt%00",
            "/a.txt%00.html",
            "/%00",
            "/%",
            "/%2",
            "/%2x",
            "/a.txt/",
            "/a.txt/..",
            "/a.txt/../../secret.txt",
            "/....//secret.txt",
            "/..;/secret.txt",
            "/../root2/secret.txt",
            "/~root/secret.txt",
        ] {
            // Not every one of these is a target that the type for them lets through.
            if path.parse::<http::Uri>().is_err() {
                continue;
            }
            let answer = get(&files, path).await;
            let refused = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST);
            assert!(refused, "{path} {answer:?}");
        }
        assert_eq!(get(&files, "/%252e%252e/secret.txt").await.text(), "public");
    }
}

/// Whatever is found is public, however the pieces of a path are put together.
#[tokio::test]
async fn no_combination_leaves_the_root() {
    const PIECES: [&str; 24] = [
        "/",
        "/",
        "/",
        "%2f",
        "%2F",
        "%252f",
        "\\",
        "%5c",
        ".",
        "..",
        "%2e",
        "%2E%2e",
        "%252e",
        "%00",
        "%c0%ae",
        "%",
        ";",
        "a.txt",
        "dir",
        "b.txt",
        "secret.txt",
        "root2",
        ".env",
        "out",
    ];
    let tree = tree();
    symlink("..", tree.root().join("out")).unwrap();
    let files = tree.open();
    let seed = 0x5eed_u64;
    println!("seed {seed:#x}");
    let (mut state, mut found) = (seed, 0);
    for pieces in (1..=6).cycle().take(20_000) {
        let mut path = "/".to_owned();
        for _ in 0..pieces {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            path.push_str(PIECES[usize::try_from(state >> 33).unwrap() % PIECES.len()]);
        }
        if path.parse::<http::Uri>().is_err() {
            continue;
        }
        let answer = get(&files, &path).await;
        match answer.status {
            StatusCode::OK => assert_eq!(answer.text(), "public", "{path}"),
            StatusCode::MOVED_PERMANENTLY => {
                assert!(answer.header("location").starts_with("./dir/"), "{path} {answer:?}");
            }
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => continue,
            _ => panic!("{path} {answer:?}"),
        }
        found += 1;
    }
    assert!(found > 100, "the pieces do make names of files");
}

#[tokio::test]
async fn links_that_leave_the_root_are_not_there() {
    let tree = tree();
    for (name, target) in [
        ("out", "../secret.txt"),
        ("outdir", ".."),
        ("root", "/"),
        ("proc", "/proc/self/root"),
        ("twice", "dir/back"),
        ("dir/back", "../../secret.txt"),
    ] {
        symlink(target, tree.root().join(name)).unwrap();
    }
    symlink(tree.root().join("a.txt"), tree.root().join("absolute")).unwrap();
    symlink("dir/../a.txt", tree.root().join("in")).unwrap();
    symlink("dir", tree.root().join("indir")).unwrap();
    // What it stands for is outside, what stands for it inside.
    symlink("../secret.txt", tree.root().join("a.txt.gz")).unwrap();
    let files = tree.open();
    for path in [
        "/out",
        "/outdir/secret.txt",
        "/outdir/",
        "/root/etc/passwd",
        "/proc/etc/passwd",
        "/twice",
        "/absolute",
    ] {
        assert_eq!(get(&files, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get(&files, "/in").await.text(), "public");
    assert_eq!(get(&files, "/indir/b.txt").await.text(), "public");
    let fields = [(http::header::ACCEPT_ENCODING, "gzip")];
    let answer = crate::support::get_with(&files, "/a.txt", &fields).await;
    assert_eq!(answer.text(), "public");

    let strict = FilesOptions { follow_links: false, ..tree.options() };
    let strict = Files::open(strict).unwrap();
    assert_eq!(get(&strict, "/in").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(&strict, "/indir/b.txt").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(&strict, "/a.txt").await.text(), "public");
}

/// Opening the FIFO would wait for a writer for ever.
#[tokio::test]
async fn what_is_no_file_is_not_there() {
    let tree = tree();
    mkfifoat(CWD, tree.root().join("fifo"), Mode::RUSR).unwrap();
    drop(UnixListener::bind(tree.root().join("socket")).unwrap());
    let files = tree.open();
    for path in ["/fifo", "/socket", "/fifo/", "/dir/"] {
        assert_eq!(get(&files, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let device = Files::open(FilesOptions { root: "/dev".into(), ..tree.options() }).unwrap();
    for path in ["/null", "/zero", "/tty", "/full"] {
        assert_eq!(get(&device, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn dotfiles_are_served_only_if_asked_for() {
    let tree = tree();
    let hidden = ["/.env", "/%2eenv", "/.git/config", "/dir/.hidden"];
    let files = tree.open();
    for path in hidden {
        assert_eq!(get(&files, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get(&files, "/.well-known/security.txt").await.text(), "public");
    let all = Files::open(FilesOptions { dotfiles: true, ..tree.options() }).unwrap();
    for path in hidden {
        assert_eq!(get(&all, path).await.text(), "secret", "{path}");
    }
    assert_eq!(get(&all, "/..").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_may_not_be_read_is_403() {
    let tree = tree();
    let path = tree.root().join("a.txt");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything.
    let expected = if fs::read(&path).is_ok() { StatusCode::OK } else { StatusCode::FORBIDDEN };
    assert_eq!(get(&tree.open(), "/a.txt").await.status, expected);
}

#[tokio::test]
async fn a_name_that_is_too_long_is_not_there() {
    let tree = tree();
    let files = tree.open();
    let path = format!("/{}", "a".repeat(5000));
    assert_eq!(get(&files, &path).await.status, StatusCode::NOT_FOUND);
}
