//! The program that is started as root and serves as somebody else: what it opens, what it leaves to
//! whom, and what of its configuration is a fault.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use ripstop_testkit::{Certificates, Client, Family, Proc, Process, Signal, is_root, send, until};

use crate::{
    program::{DEADLINE, Ended, Home, LISTEN, ended},
    wall::address,
};

/// Nobody, by number: every machine has one.
const NOBODY: u32 = 65534;

/// The keys that make the server nobody's.
const USER: &str = "[server]\nuser = \"65534\"\ngroup = \"65534\"\n";

/// A home that everybody can look into, with a copy of the program.
fn open_home() -> Home {
    let home = Home::new();
    open(home.path());
    let (ours, lent) = (env!("CARGO_BIN_EXE_ripstop"), program(&home));
    if fs::hard_link(ours, &lent).is_err() {
        // Not by this process: what another test starts meanwhile would keep it open for writing.
        let copied = Command::new("cp").arg(ours).arg(&lent).status().unwrap();
        assert!(copied.success(), "{copied}");
    }
    home
}

fn program(home: &Home) -> PathBuf {
    home.path().join("ripstop")
}

fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A folder of nobody's.
fn theirs(home: &Home, name: &str) -> PathBuf {
    let folder = home.path().join(name);
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    folder
}

fn command(home: &Home, arguments: &[&str]) -> Command {
    let mut command = Command::new(program(home));
    command.args(arguments).current_dir(home.path()).env_clear();
    command.env("XDG_RUNTIME_DIR", home.path());
    command
}

fn run(home: &Home, arguments: &[&str]) -> Ended {
    ended(command(home, arguments).output().unwrap())
}

/// What a program prints that has to end by itself, and its exit code.
#[track_caller]
fn ends(command: &mut Command) -> (i32, String) {
    let mut process = Process::start(command).unwrap();
    let status = process.exit(DEADLINE).unwrap_or_else(|err| panic!("{err}"));
    // Its output is read to the end, by threads of its own.
    let _ = process.announced(DEADLINE, |_| None::<()>);
    (status.code().unwrap(), process.log())
}

/// That the program ends with a fault of the configuration, which it tells.
#[track_caller]
fn is_told(command: &mut Command, fault: &str) {
    let (code, said) = ends(command);
    assert_eq!(code, 78, "{command:?}: {said}");
    assert!(said.contains(fault), "{fault:?}, {command:?}: {said}");
}

fn serve(home: &Home, config: &str) -> Family {
    home.write("ripstop.toml", config);
    Family::start(&mut command(home, &["serve"])).unwrap()
}

#[track_caller]
fn logged(family: &Family, text: &str) {
    let found = family.announced(DEADLINE, |line| line.contains(text).then_some(()));
    found.unwrap_or_else(|err| panic!("{text:?} was not logged: {err}"));
}

#[track_caller]
fn kill_server(family: &Family) {
    let server = family.server();
    assert!(until(DEADLINE, || server.is_at_rest().unwrap_or(false)));
    send(server, Signal::KILL).unwrap();
    assert!(until(DEADLINE, || family.server().id() != server.id()));
}

#[track_caller]
fn are_nobody(family: &Family) {
    for member in [family.proc(), family.server(), family.keeper()] {
        let field = |of: Proc, key| of.status_line(key).unwrap();
        assert_eq!(field(member, "Uid:"), "65534 65534 65534 65534");
        assert_eq!(field(member, "Gid:"), "65534 65534 65534 65534");
        assert_eq!(field(member, "NoNewPrivs:"), "1");
    }
}

#[test]
fn root_starts_signals_and_upgrades_a_server_that_is_somebody_else() {
    if !is_root("the program as another user") {
        return;
    }
    let home = open_home();
    let logs = theirs(&home, "logs");
    let config = |body: &str| {
        format!(
            "{LISTEN}[[listen]]\nname = \"file\"\naddress = \"unix:web.sock\"\nmode = \"0660\"\n\
             [[route]]\npath = \"/*\"\nrespond.body = \"{body}\"\n\
             [log.access]\nformat = \"combined\"\nto = \"logs/access.log\"\n{USER}"
        )
    };
    let mut family = serve(&home, &config("old"));
    let web = address(&family, "web");
    let mut idle = Client::tcp(web).unwrap();
    assert_eq!(idle.get("/").unwrap().text(), "old");
    are_nobody(&family);
    // The folder of the socket is root's, the socket is not.
    let socket = home.path().join("web.sock");
    let is_theirs = || {
        let stat = fs::metadata(&socket).unwrap();
        assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o777), (NOBODY, NOBODY, 0o660));
        assert!(Client::unix(&socket).unwrap().get("/").is_ok());
    };
    is_theirs();
    for _ in 0..2 {
        kill_server(&family);
        assert_eq!(idle.get("/").unwrap().text(), "old");
        are_nobody(&family);
        is_theirs();
    }
    fs::rename(logs.join("access.log"), logs.join("moved.log")).unwrap();
    home.write("ripstop.toml", &config("new"));
    assert_eq!(run(&home, &["reload"]).code, 0);
    logged(&family, "configuration reloaded");
    assert_eq!(idle.get("/").unwrap().text(), "new");
    let log = logs.join("access.log");
    assert!(until(DEADLINE, || fs::metadata(&log).is_ok_and(|log| log.uid() == NOBODY)));
    let upgraded = run(&home, &["upgrade"]);
    assert_eq!(upgraded.code, 0, "{upgraded:?}");
    assert_eq!(idle.get("/").unwrap().text(), "new");
    assert!(until(DEADLINE, || family.members().len() == 3));
    are_nobody(&family);
    is_theirs();
    assert_eq!(run(&home, &["status"]).code, 0);
    let stopped = run(&home, &["stop"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert_eq!(family.master().exit(DEADLINE).unwrap().code(), Some(0));
    assert!(family.ends());
    // The folder is root's, so the pid file could not be removed, and leads to nobody.
    assert_eq!(run(&home, &["status"]).code, 69);
    let mut again = serve(&home, &config("again"));
    let web = address(&again, "web");
    assert_eq!(Client::tcp(web).unwrap().get("/").unwrap().text(), "again");
    is_theirs();
    again.master().signal(Signal::TERM).unwrap();
    assert_eq!(again.master().exit(DEADLINE).unwrap().code(), Some(0));
}

#[test]
fn one_process_gives_root_up_too() {
    if !is_root("the program as another user, without a master") {
        return;
    }
    let home = open_home();
    home.write("ripstop.toml", &format!("{LISTEN}{USER}"));
    let family = Family::start(&mut command(&home, &["serve", "--no-master"])).unwrap();
    address(&family, "web");
    for key in ["Uid:", "Gid:"] {
        let ids = family.proc().status_lines(key).unwrap();
        assert!(ids.iter().all(|ids| ids == "65534 65534 65534 65534"), "{ids:?}");
    }
}

#[test]
fn an_upgrade_makes_nobody_somebody_else_and_costs_nothing() {
    if !is_root("an upgrade to another user") {
        return;
    }
    let home = open_home();
    let family = serve(&home, LISTEN);
    let mut idle = Client::tcp(address(&family, "web")).unwrap();
    assert_eq!(idle.get("/").unwrap().status(), 200);
    let server = family.server();
    home.write("ripstop.toml", &format!("{LISTEN}{USER}"));
    let refused = run(&home, &["upgrade"]);
    assert_eq!(refused.code, 75, "{refused:?}");
    logged(&family, "the master does not follow");
    assert_eq!(idle.get("/").unwrap().status(), 200);
    assert!(until(DEADLINE, || family.members().len() == 3));
    assert_eq!(family.server().id(), server.id());
    for member in [family.proc(), family.server(), family.keeper()] {
        assert_eq!(member.status_line("Uid:").unwrap(), "0 0 0 0");
    }
    // It is still found by its pid file.
    assert_eq!(run(&home, &["stop"]).code, 0);
    assert!(!home.path().join("ripstop.pid").exists());
}

/// That neither a start nor a check is content, for this reason.
#[track_caller]
fn refused(home: &Home, config: &str, fault: &str) {
    home.write("ripstop.toml", config);
    is_told(&mut command(home, &["serve"]), fault);
    is_told(&mut command(home, &["check"]), fault);
}

#[test]
fn what_the_user_cannot_read_is_a_fault_of_the_start_and_of_the_check() {
    if !is_root("files of root, for another user") {
        return;
    }
    let home = open_home();
    let certificates = Certificates::new().unwrap();
    let identity = certificates.server("a", &["a"]).unwrap();
    let [chain, key] = [(&identity.chain, "chain.pem"), (&identity.key, "key.pem")]
        .map(|(from, name)| home.write(name, &fs::read_to_string(from).unwrap()));
    let private = |path: &Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    private(&key);
    let tls = format!("[listen.tls]\ncertificates = [{{ chain = {chain:?}, key = {key:?} }}]\n");
    let listen = "[[listen]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n";
    let config = format!("{listen}{tls}[admin]\nenabled = false\n{USER}");
    refused(&home, &config, "key.pem: Permission denied");
    open(&key);
    let root = home.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
    let files = format!("{LISTEN}[[route]]\npath = \"/*\"\nfiles.root = \"root\"\n{USER}");
    refused(&home, &files, "ripstop.toml:8:14: files: cannot open root as a directory: Permission");
    // The configuration itself, which a server after a crash reads.
    let plain = format!("{LISTEN}{USER}");
    private(&home.write("ripstop.toml", &plain));
    is_told(&mut command(&home, &["serve"]), "ripstop.toml: Permission denied");
    is_told(&mut command(&home, &["check"]), "ripstop.toml: Permission denied");
    // A log in a folder that is not the user's.
    open(&home.write("ripstop.toml", &format!("{plain}[log]\nto = \"root.log\"\n")));
    let fault = "ripstop.toml:10:6: log.to cannot be opened: Permission";
    is_told(&mut command(&home, &["serve"]), fault);
    assert!(!home.path().join("root.log").exists());
}

#[test]
fn an_account_that_is_not_there_is_a_fault_where_it_is_said() {
    let home = open_home();
    for (keys, fault) in [
        (
            "user = \"nobody-at-all\"",
            "ripstop.toml:7:8: server.user: there is no user \"nobody-at-all\"",
        ),
        ("user = \"root\"", "ripstop.toml:7:8: server.user: root is whom the server should not be"),
        (
            "user = \"4000000000\"",
            "server.user: nothing is known of user 4000000000: its group must",
        ),
        (
            "user = \"1\"\ngroup = \"none-at-all\"",
            "ripstop.toml:8:9: server.group: there is no group",
        ),
        (
            "user = \"1\"\ngroup = \"0\"",
            "ripstop.toml:8:9: server.group: the group is that of root",
        ),
        ("group = \"1\"", "ripstop.toml:7:9: server.group is only for a server.user"),
    ] {
        refused(&home, &format!("{LISTEN}[server]\n{keys}\n"), fault);
    }
}

#[test]
fn nobody_but_root_can_be_somebody_else() {
    if !is_root("a start by another user") {
        return;
    }
    let home = open_home();
    let theirs = theirs(&home, "run");
    let by_nobody = |arguments: &[&str]| {
        let mut command = command(&home, arguments);
        command.uid(NOBODY).gid(NOBODY).env("XDG_RUNTIME_DIR", &theirs);
        command
    };
    home.write("ripstop.toml", &format!("{LISTEN}[server]\nuser = \"1\"\ngroup = \"1\"\n"));
    for arguments in [["serve"], ["check"]] {
        let fault = "ripstop.toml:7:8: server.user: this process is not root";
        is_told(&mut by_nobody(&arguments), fault);
    }
    // Whom it is already, it may well be.
    home.write("ripstop.toml", &format!("{LISTEN}{USER}"));
    assert_eq!(by_nobody(&["check"]).status().unwrap().code(), Some(0));
    let family = Family::start(&mut by_nobody(&["serve"])).unwrap();
    address(&family, "web");
    are_nobody(&family);
}

/// A configuration that serves a folder, with these keys of `[server]`.
fn site(root: &Path, more: &str, server: &str) -> String {
    format!("{LISTEN}{more}[[route]]\npath = \"/*\"\nfiles.root = {root:?}\n[server]\n{server}\n")
}

#[test]
fn a_reload_that_takes_what_was_given_up_changes_nothing_and_says_so() {
    if !is_root("a reload by another user") {
        return;
    }
    let (home, elsewhere) = (open_home(), open_home());
    let file = |home: &Home, text: &str| home.write("public/file", text);
    let (here, there) = (file(&home, "here"), file(&elsewhere, "there"));
    let (here, there) = (here.parent().unwrap(), there.parent().unwrap());
    let logs = elsewhere.path().join("a.log");
    let keys = "user = \"65534\"\ngroup = \"65534\"\nlandlock = true\npid_file = \"ripstop.pid\"\n";
    let logs_of_home = theirs(&home, "logs");
    let log = "[log.access]\nformat = \"json\"\nto = \"logs/access.log\"\n";
    let mut family = serve(&home, &format!("{}{log}", site(here, "", keys)));
    let mut idle = Client::tcp(address(&family, "web")).unwrap();
    assert_eq!(idle.get("/file").unwrap().text(), "here");
    are_nobody(&family);
    // A log that was moved is opened anew.
    let access = logs_of_home.join("access.log");
    fs::rename(&access, logs_of_home.join("moved.log")).unwrap();
    let is_held = family.announced(DEADLINE, |line| {
        line.contains("privileges were given up").then(|| line.contains("landlock in force"))
    });
    let is_held = is_held.unwrap();
    let mut faults = vec![
        (
            site(here, "", &keys.replace("user = \"65534\"", "user = \"1\"")),
            "this process is not root",
        ),
        (site(here, &format!("[log]\nto = {logs:?}\n"), keys), "a.log"),
        (site(here, "[[listen]]\naddress = \"unix:/run/never.sock\"\n", keys), "/run/never.sock"),
    ];
    if is_held {
        faults.push((
            site(there, "", keys),
            "public is outside of the folders that Landlock has left",
        ));
    }
    let first: u32 = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .map_or(1024, |text| text.trim().parse().unwrap());
    if first > 1 {
        let port = "[[listen]]\nname = \"low\"\naddress = \"127.0.0.1:1\"\n";
        faults.push((site(here, port, keys), "127.0.0.1:1 is not permitted: ports below"));
    }
    for (config, fault) in faults {
        let config = format!("{config}{log}");
        home.write("ripstop.toml", &config);
        family.master().signal(Signal::HUP).unwrap();
        logged(&family, fault);
        assert_eq!(idle.get("/file").unwrap().text(), "here");
    }
    // What is inside is taken, and a new file in place of the configuration is read.
    let deeper = home.write("public/deeper/file", "deeper");
    let text = site(deeper.parent().unwrap(), "", keys);
    let new = home.write("new.toml", &format!("{text}{log}"));
    fs::rename(new, home.path().join("ripstop.toml")).unwrap();
    family.master().signal(Signal::HUP).unwrap();
    logged(&family, "configuration reloaded");
    assert_eq!(idle.get("/file").unwrap().text(), "deeper");
    assert!(until(DEADLINE, || access.exists()), "{}", family.log());
    // The pid file is not theirs to write, and they need it no more.
    fs::remove_file(home.path().join("ripstop.pid")).unwrap();
    for _ in 0..2 {
        kill_server(&family);
        assert_eq!(idle.get("/file").unwrap().text(), "deeper");
        are_nobody(&family);
    }
}
