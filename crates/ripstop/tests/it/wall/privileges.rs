//! Privileges: what master, server and keeper are, and what they can open, once the server listens.

use super::{
    family::{Walled, all_answered},
    upgrades::{is_one, upgrade},
};
use crate::serve::{program::command_at, setup::SOON};
use ripstop::{Error, Privileges, PrivilegesError, Server};
use ripstop_testkit::{Proc, Signal, example, is_root, send, until};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};
use tempfile::TempDir;

/// Nobody, by number: every machine has one.
const NOBODY: [&str; 4] = ["--user", "65534", "--group", "65534"];

/// A folder that everybody can look into.
fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// `tear`, from a place where everybody can execute it.
fn lent(folder: &TempDir) -> Command {
    let (ours, lent) = (example("tear").unwrap(), folder.path().join("tear"));
    if fs::hard_link(&ours, &lent).is_err() {
        // Not by this process: what another test starts meanwhile would keep it open for writing.
        let copied = Command::new("cp").arg(ours).arg(&lent).status().unwrap();
        assert!(copied.success(), "{copied}");
    }
    command_at(&lent)
}

/// That all threads of a process are nobody's, with these groups, and can never be root's again.
#[track_caller]
fn is_nobody(of: Proc, groups: &str) {
    for (key, expected) in [
        ("Uid:", "65534 65534 65534 65534"),
        ("Gid:", "65534 65534 65534 65534"),
        ("Groups:", groups),
        ("CapPrm:", "0000000000000000"),
        ("CapEff:", "0000000000000000"),
        ("NoNewPrivs:", "1"),
    ] {
        for thread in of.status_lines(key).unwrap() {
            assert_eq!(thread, expected, "{key} {:?}", of.name());
        }
    }
}

/// The same, of master, server and keeper.
#[track_caller]
fn all_are_nobody(walled: &Walled) {
    all_are_nobody_in(walled, "65534");
}

#[track_caller]
fn all_are_nobody_in(walled: &Walled, groups: &str) {
    for member in [walled.proc(), walled.server(), walled.keeper()] {
        is_nobody(member, groups);
    }
}

#[test]
fn the_whole_family_is_somebody_else_through_crashes_and_upgrades() {
    if !is_root("a server that gives root up") {
        return;
    }
    let folder = open_folder();
    let mut walled = Walled::start_as(lent(&folder).args(["--workers", "2"]).args(NOBODY));
    let mut idle = walled.idle(20);
    all_are_nobody(&walled);
    for deaths in 1..3 {
        walled.settle();
        walled.kill_server();
        walled.took_over(deaths + 1);
        all_answered(&mut idle);
        all_are_nobody(&walled);
    }
    // A keeper that is cloned anew.
    let keeper = walled.keeper();
    send(keeper, Signal::KILL).unwrap();
    assert!(until(SOON, || walled.keeper().id() != keeper.id()));
    all_are_nobody(&walled);
    upgrade(&mut walled);
    is_one(&walled);
    all_answered(&mut idle);
    all_are_nobody(&walled);
    walled.settle();
    walled.kill_server();
    all_answered(&mut idle);
    all_are_nobody(&walled);
    walled.family.master().signal(Signal::TERM).unwrap();
    assert_eq!(walled.family.master().exit(SOON).unwrap().code(), Some(0));
    assert!(walled.ends());
}

#[test]
fn a_master_that_gave_root_up_starts_a_server_that_has_the_listeners() {
    if !is_root("a master that gives root up") {
        return;
    }
    let walled = Walled::start(&NOBODY);
    let (server, keeper) = (walled.server(), walled.keeper());
    send(keeper, Signal::KILL).unwrap();
    send(server, Signal::KILL).unwrap();
    walled.successor(server);
    assert_eq!(walled.connect().get("/").unwrap().text(), "Hello, World!");
    all_are_nobody(&walled);
}

#[test]
fn whoever_is_already_who_it_should_be_needs_no_root() {
    use std::os::unix::process::CommandExt;
    if !is_root("a server that is started as somebody else") {
        return;
    }
    let folder = open_folder();
    let mut command = lent(&folder);
    command.args(NOBODY).uid(65534).gid(65534);
    let walled = Walled::start_as(&mut command);
    all_are_nobody_in(&walled, "");
    walled.kill_server();
    assert_eq!(walled.connect().get("/").unwrap().text(), "Hello, World!");
    all_are_nobody_in(&walled, "");
}

#[test]
fn a_process_with_threads_gives_nothing_up_and_does_not_start() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("never.sock");
    let address = format!("unix:{}", socket.display());
    let server = Server::new(axum::Router::new()).listen(&address);
    // The test's own thread, and that of the harness.
    let refused = server.privileges(Privileges::default()).start().unwrap_err();
    assert!(matches!(refused, Error::Privileges(PrivilegesError::Threads(2..))), "{refused}");
    assert!(!socket.exists());
    assert_eq!(Proc::own().status_line("NoNewPrivs:").unwrap(), "0");
}

/// What the server makes of opening a file, by the thread of its handler and by one that may block.
#[track_caller]
fn opens(walled: &Walled, file: &Path) -> String {
    let file = file.to_str().unwrap().replace('/', "%2F");
    walled.connect().get(&format!("/open?file={file}")).unwrap().text().clone()
}

const OPENED: &str = "opened, opened";
const DENIED: &str = "permission denied, permission denied";

/// Whether this kernel has Landlock; else it is said what was not tested.
fn has_landlock() -> bool {
    let walled = Walled::start(&["--only", "/usr"]);
    let line = walled.announced(SOON, |line| line.contains("landlock ").then(|| line.to_owned()));
    let line = line.unwrap();
    let has = line.contains("landlock in force:");
    if !has {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "not tested, since this kernel cannot: {line}");
    }
    has
}

#[test]
fn with_landlock_no_thread_opens_anything_else_before_and_after_a_crash() {
    if !has_landlock() {
        return;
    }
    let (inside, outside) = (open_folder(), open_folder());
    let file = |folder: &TempDir| {
        let file = folder.path().join("file");
        fs::write(&file, "text").unwrap();
        file
    };
    let (inner, outer) = (file(&inside), file(&outside));
    let link = inside.path().join("link");
    std::os::unix::fs::symlink(&outer, &link).unwrap();
    for lane in ["inline", "queued"] {
        let only = inside.path().to_str().unwrap();
        let walled = Walled::start(&["--workers", "1", "--lane", lane, "--only", only]);
        let mut idle = walled.idle(5);
        for deaths in 1..4 {
            assert_eq!(opens(&walled, &inner), OPENED);
            assert_eq!(opens(&walled, &outer), DENIED);
            assert_eq!(opens(&walled, &link), DENIED);
            // What the process reads of itself and of the machine, and its libraries.
            assert_eq!(opens(&walled, Path::new("/proc/self/status")), OPENED);
            assert_eq!(opens(&walled, Path::new("/proc/self/exe")), OPENED);
            // A keeper that is cloned by a thread that is held executes the program, too.
            let keeper = walled.keeper();
            send(keeper, Signal::KILL).unwrap();
            assert!(until(SOON, || walled.keeper().id() != keeper.id()));
            walled.settle();
            walled.kill_server();
            walled.took_over(deaths + 1);
            all_answered(&mut idle);
        }
    }
}

#[test]
fn a_stall_is_reported_with_its_line_by_a_server_that_gave_everything_up() {
    if !is_root("reports of a server that gave root up") || !has_landlock() {
        return;
    }
    let folder = open_folder();
    let only = folder.path().to_str().unwrap();
    let walled = Walled::start(&[&["--workers", "1", "--only", only][..], &NOBODY].concat());
    assert_eq!(walled.connect().get("/wedge?ms=300").unwrap().text(), "unwedged");
    let named = |line: &str| line.contains("in tear::wedge").then_some(());
    walled.announced(SOON, named).unwrap();
}
