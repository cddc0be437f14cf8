//! Both resolvers against one tree with every kind of way out.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use rustix::fs::{Mode, mkfifoat, open};
use tempfile::TempDir;

use super::*;

struct Tree {
    outer: TempDir,
}

impl Tree {
    /// `root` beside a file that must never be reached.
    fn new() -> Self {
        let outer = TempDir::new().unwrap();
        let root = outer.path().join("root");
        fs::create_dir_all(root.join("dir/deep")).unwrap();
        fs::write(outer.path().join("secret"), "secret").unwrap();
        fs::write(root.join("file"), "file").unwrap();
        // What a path finds that is kept inside instead of refused.
        fs::write(root.join("secret"), "decoy").unwrap();
        fs::create_dir(root.join("etc")).unwrap();
        fs::write(root.join("etc/passwd"), "decoy").unwrap();
        fs::write(root.join("dir/deep/leaf"), "leaf").unwrap();
        let links = [
            ("inside", "dir/deep/leaf"),
            ("dir/up", "../file"),
            ("dir/deep/upup", "../../dir/up"),
            ("todir", "dir"),
            ("out", "../secret"),
            ("outdir", ".."),
            ("dir/out2", "../../secret"),
            ("absolute", "/etc/passwd"),
            ("loop", "loop"),
            ("magic", "/proc/self/root/etc/passwd"),
            ("dangling", "nothing"),
        ];
        for (name, target) in links {
            symlink(target, root.join(name)).unwrap();
        }
        symlink(root.join("file"), root.join("absolute_inside")).unwrap();
        let fd = open(&root, OFlags::RDONLY, Mode::empty()).unwrap();
        mkfifoat(fd, "fifo", Mode::RUSR).unwrap();
        drop(UnixListener::bind(root.join("socket")).unwrap());
        Self { outer }
    }

    fn directory(&self, resolver: Resolver, links: Links) -> Directory {
        let opened = Directory::open(&self.outer.path().join("root"), links).unwrap();
        Directory { resolver, ..opened }
    }
}

#[track_caller]
fn check_reads(directory: &Directory, relative: &str, expected: Result<&str, Errno>) {
    let read = directory.open_file(relative).map(|(file, _)| io::read_to_string(file).unwrap());
    assert_eq!(read.as_deref().map_err(|e| *e), expected, "{relative} {:?}", directory.resolver);
}

#[test]
fn links_are_followed_as_long_as_they_stay_inside() {
    let tree = Tree::new();
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let directory = tree.directory(resolver, Links::Beneath);
        for (relative, text) in [
            ("file", "file"),
            ("dir/deep/leaf", "leaf"),
            ("inside", "leaf"),
            ("dir/up", "file"),
            ("dir/deep/upup", "file"),
            ("todir/deep/leaf", "leaf"),
            ("dir/../file", "file"),
        ] {
            check_reads(&directory, relative, Ok(text));
        }
    }
}

#[test]
fn nothing_leads_out_of_the_root() {
    let tree = Tree::new();
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let directory = tree.directory(resolver, Links::Beneath);
        for relative in [
            "out",
            "outdir/secret",
            "dir/out2",
            "absolute",
            "absolute_inside",
            "magic",
            "../secret",
            "dir/../../secret",
            "..",
            "todir/../../secret",
            "/etc/passwd",
        ] {
            check_reads(&directory, relative, Err(Errno::XDEV));
        }
        check_reads(&directory, "loop", Err(Errno::LOOP));
        check_reads(&directory, "dangling", Err(Errno::NOENT));
        check_reads(&directory, "file/x", Err(Errno::NOTDIR));
    }
}

#[test]
fn links_are_refused_where_none_is_wanted() {
    let tree = Tree::new();
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let directory = tree.directory(resolver, Links::Refused);
        check_reads(&directory, "dir/deep/leaf", Ok("leaf"));
        check_reads(&directory, "inside", Err(Errno::LOOP));
        check_reads(&directory, "todir/deep/leaf", Err(Errno::LOOP));
    }
}

#[test]
fn what_is_no_file_is_seen_without_being_opened() {
    let tree = Tree::new();
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let directory = tree.directory(resolver, Links::Beneath);
        assert_eq!(directory.probe("fifo"), Ok(Kind::Other));
        assert_eq!(directory.probe("socket"), Ok(Kind::Other));
        assert_eq!(directory.probe("dir"), Ok(Kind::Directory));
        assert_eq!(directory.probe(""), Ok(Kind::Directory));
        assert!(matches!(directory.probe("file"), Ok(Kind::File(_))));
        check_reads(&directory, "fifo", Err(Errno::NOENT));
        check_reads(&directory, "dir", Err(Errno::NOENT));
    }
}

#[test]
fn a_root_that_is_a_link_may_be_swapped() {
    let outer = TempDir::new().unwrap();
    for name in ["one", "two"] {
        fs::create_dir(outer.path().join(name)).unwrap();
        fs::write(outer.path().join(name).join("file"), name).unwrap();
    }
    let link = outer.path().join("current");
    symlink("one", &link).unwrap();
    let root = Root::open(&link, Links::Beneath).unwrap();
    check_reads(&root.current(), "file", Ok("one"));
    fs::remove_file(&link).unwrap();
    check_reads(&root.current(), "file", Ok("one"));
    symlink("two", &link).unwrap();
    check_reads(&root.current(), "file", Ok("two"));
}
