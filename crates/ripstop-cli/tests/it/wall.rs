//! The program behind its process wall: the pid file, reloads and stops go by the master.

use std::{
    fs, net::SocketAddr, os::unix::fs::PermissionsExt, sync::atomic::Ordering::Relaxed, thread,
};

use ripstop_testkit::{Busy, Client, Family, Proc, Signal, send, until};

use crate::program::{DEADLINE, Home, LISTEN};

const TOOK_OVER: &str = "the server before has died";

/// A configuration with one more listener, where `respond` says `body`.
fn config(more: &str, body: &str) -> String {
    format!("{LISTEN}{more}[[route]]\npath = \"/*\"\nrespond.body = \"{body}\"\n")
}

/// One more listener, which begins with a PROXY header.
const BEHIND: &str = "[[listen]]\nname = \"behind\"\naddress = \"127.0.0.1:0\"\n\
                      proxy_protocol = true\n";

fn serve(home: &Home, config: &str) -> Family {
    home.write("ripstop.toml", config);
    Family::start(&mut home.command(&["serve"])).unwrap()
}

/// Where the listener of this name listens.
#[track_caller]
pub(crate) fn address(family: &Family, listener: &str) -> SocketAddr {
    let start = format!("listener={listener} address=");
    let address = |line: &str| line.split_once(&start)?.1.trim().parse().ok();
    family.announced(DEADLINE, address).unwrap_or_else(|err| panic!("{listener}: {err}"))
}

#[track_caller]
fn logged(family: &Family, text: &str, times: usize) {
    let mut seen = 0;
    let found = family.announced(DEADLINE, |line| {
        seen += usize::from(line.contains(text));
        (seen == times).then_some(())
    });
    found.unwrap_or_else(|err| panic!("{text:?} was not logged {times} times: {err}"));
}

/// Waits until all that was answered is at rest, and kills the server.
#[track_caller]
fn kill_server(family: &Family) {
    let server = family.server();
    assert!(until(DEADLINE, || server.is_at_rest().unwrap_or(false)));
    send(server, Signal::KILL).unwrap();
}

#[test]
fn the_pid_file_names_the_master_through_crashes_and_commands_go_by_it() {
    let home = Home::new();
    let mut family = serve(&home, &config("", "old"));
    let mut idle = Client::tcp(address(&family, "web")).unwrap();
    assert_eq!(idle.get("/").unwrap().text(), "old");
    let pid_file = home.path().join("ripstop.pid");
    for deaths in 1..4 {
        let text = fs::read_to_string(&pid_file).unwrap();
        assert_eq!(text.lines().next(), Some(&*family.id().to_string()));
        kill_server(&family);
        logged(&family, TOOK_OVER, deaths);
        assert_eq!(idle.get("/").unwrap().text(), "old");
    }
    home.write("ripstop.toml", &config("", "new"));
    assert_eq!(home.run(&["reload"]).code, 0);
    logged(&family, "configuration reloaded", 1);
    assert_eq!(idle.get("/").unwrap().text(), "new");
    let stopped = home.run(&["stop"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert_eq!(family.master().exit(DEADLINE).unwrap().code(), Some(0));
    assert!(family.ends() && !pid_file.exists());
}

/// Kills in a row, under load.
const KILLS: usize = 10;

#[test]
fn kills_under_load_cost_no_idle_connection_and_refuse_nobody() {
    let home = Home::new();
    home.write("public/index.html", "Hello, World!");
    let files = "[[route]]\npath = \"/*\"\nfiles.root = \"public\"\n";
    let family = serve(&home, &format!("{LISTEN}[timeouts]\npark = \"200ms\"\n{files}"));
    let web = address(&family, "web");
    let mut idle: Vec<_> = (0..200).map(|_| Client::tcp(web).unwrap()).collect();
    let all_answered = |clients: &mut [Client]| {
        for client in clients {
            assert_eq!(client.get("/").unwrap().text(), "Hello, World!");
        }
    };
    all_answered(&mut idle);
    let busy = Busy::default();
    thread::scope(|scope| {
        let _guard = busy.guard();
        busy.run(scope, web, 8);
        for deaths in 1..=KILLS {
            // The others were parked meanwhile, or will be.
            all_answered(&mut idle[..100]);
            let pause = busy.pause();
            assert!(until(DEADLINE, || family.server().is_at_rest().unwrap_or(false)));
            drop(pause);
            send(family.server(), Signal::KILL).unwrap();
            logged(&family, TOOK_OVER, deaths);
        }
        all_answered(&mut idle);
    });
    assert_eq!((busy.refused.load(Relaxed), busy.wrong.load(Relaxed)), (0, 0), "{busy:?}");
    // Each kill hits at most one request of each of them.
    let hit = busy.told.load(Relaxed) + busy.cut.load(Relaxed);
    assert!(hit <= KILLS * 8 && busy.answered.load(Relaxed) > 0, "{busy:?}");
}

/// Reloads in a row, each of which is waited for.
const RELOADS: usize = 1000;

#[test]
fn a_thousand_reloads_under_load_fail_no_request_and_leave_nothing() {
    let home = Home::new();
    let numbered = |number: usize| {
        let busy = "[[route]]\npath = \"/busy\"\nrespond.body = \"Hello, World!\"\n";
        config(busy, &number.to_string())
    };
    let mut family = serve(&home, &numbered(0));
    let web = address(&family, "web");
    let server = family.server();
    let (busy, mut client) = (Busy::default(), Client::tcp(web).unwrap());
    let sizes = || (server.fds().unwrap(), server.rss_bytes().unwrap());
    thread::scope(|scope| {
        let _guard = busy.guard();
        busy.run_on(scope, web, 4, ("/busy", "Hello, World!"));
        let mut before = (0, 0);
        for number in 1..=RELOADS {
            home.write("ripstop.toml", &numbered(number));
            family.master().signal(Signal::HUP).unwrap();
            let is_there = || client.get("/").unwrap().text() == number.to_string();
            assert!(until(DEADLINE, is_there), "{number}");
            if number == RELOADS / 10 {
                before = sizes();
            }
        }
        let is_back = |after: (usize, u64)| after.0 <= before.0 && after.1 <= before.1 * 3 / 2;
        assert!(until(DEADLINE, || is_back(sizes())), "{before:?} {:?}", sizes());
        println!("{before:?} {:?} {busy:?}", sizes());
    });
    let bad = [&busy.told, &busy.cut, &busy.refused, &busy.wrong].map(|count| count.load(Relaxed));
    assert_eq!((bad, family.server().id()), ([0; 4], server.id()), "{busy:?}");
}

#[test]
fn listeners_that_a_reload_opened_or_closed_are_known_to_the_next_server() {
    let home = Home::new();
    let mut family = serve(&home, &config("", "x"));
    let web = address(&family, "web");
    home.write("ripstop.toml", &config(BEHIND, "x"));
    family.master().signal(Signal::HUP).unwrap();
    logged(&family, "configuration reloaded", 1);
    let behind = address(&family, "behind");
    kill_server(&family);
    logged(&family, TOOK_OVER, 1);
    assert_eq!(Client::tcp(web).unwrap().get("/").unwrap().text(), "x");
    let mut proxied = proxied(behind);
    assert_eq!(proxied.get("/").unwrap().text(), "x");
    home.write("ripstop.toml", &config("", "x"));
    family.master().signal(Signal::HUP).unwrap();
    logged(&family, "configuration reloaded", 2);
    // Neither the server nor the master holds it any more.
    assert!(until(DEADLINE, || Client::tcp(behind).is_err()), "it still listens");
}

#[test]
fn a_connection_behind_a_proxy_keeps_its_clients_address() {
    let home = Home::new();
    let access = "[log.access]\nformat = \"combined\"\nto = \"access.log\"\n";
    let family = serve(&home, &config(&format!("{BEHIND}{access}"), "x"));
    let mut idle = proxied(address(&family, "behind"));
    let log = home.path().join("access.log");
    let is_logged = |path| {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().any(|line| line.contains(path) && line.contains("192.0.2.7"))
    };
    assert_eq!(idle.get("/before").unwrap().text(), "x");
    // A line that was not written yet would be lost with the server.
    assert!(until(DEADLINE, || is_logged("/before")));
    kill_server(&family);
    logged(&family, TOOK_OVER, 1);
    assert_eq!(idle.get("/after").unwrap().text(), "x");
    assert!(until(DEADLINE, || is_logged("/after")), "{:?}", fs::read_to_string(&log));
}

/// A connection whose PROXY header names a client of 192.0.2.7.
fn proxied(to: SocketAddr) -> Client {
    let mut client = Client::tcp(to).unwrap();
    client.send("PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\n").unwrap();
    client
}

#[test]
fn a_configuration_with_a_fault_is_told_once_with_its_exit_code() {
    let home = Home::new();
    let mut family = serve(&home, &config("", "x").replace("respond", "respnod"));
    assert_eq!(family.master().exit(DEADLINE).unwrap().code(), Some(78));
    assert!(family.ends());
    assert_eq!(family.log().matches("did you mean").count(), 1, "{}", family.log());
}

#[test]
fn without_a_master_there_is_one_process() {
    let home = Home::new();
    home.write("ripstop.toml", &config("", "x"));
    let mut family = Family::start(&mut home.command(&["serve", "--no-master"])).unwrap();
    let web = address(&family, "web");
    assert_eq!(Client::tcp(web).unwrap().get("/").unwrap().text(), "x");
    assert_eq!(
        family.members().iter().map(|member| member.id()).collect::<Vec<_>>(),
        [family.id()]
    );
    family.master().signal(Signal::TERM).unwrap();
    assert_eq!(family.master().exit(DEADLINE).unwrap().code(), Some(0));
}

#[test]
fn the_quarantine_is_looked_at_by_the_pid_file_and_by_the_process() {
    let home = Home::new();
    let family = serve(&home, &config("", "x"));
    address(&family, "web");
    let (master, server) = (family.id().to_string(), family.server().id().to_string());
    for whose in [&[][..], &["--pid", &master], &["--pid", &server]] {
        let listed = home.run(&[&["poison", "list"], whose].concat());
        assert_eq!((listed.code, &*listed.stdout), (0, "nothing is in quarantine\n"), "{whose:?}");
        let lifted = home.run(&[&["poison", "lift", "--all"], whose].concat());
        assert_eq!((lifted.code, &*lifted.stdout), (0, "0 handled again\n"), "{whose:?}");
        let unknown = home.run(&[&["poison", "lift", "00000000000000ab"], whose].concat());
        assert_eq!(unknown.code, 65, "{unknown:?}");
        assert!(unknown.stderr.contains("00000000000000ab is not in quarantine"), "{unknown:?}");
    }
}

#[test]
fn without_a_wall_or_a_server_there_is_no_quarantine_to_look_at() {
    let home = Home::new();
    assert_eq!(home.run(&["poison", "list"]).code, 69);
    home.write("ripstop.toml", &config("", "x"));
    let family = Family::start(&mut home.command(&["serve", "--no-master"])).unwrap();
    address(&family, "web");
    let listed = home.run(&["poison", "list", "--pid", &family.id().to_string()]);
    assert_eq!(listed.code, 69, "{listed:?}");
    assert!(listed.stderr.contains("the process has no wall"), "{listed:?}");
    assert_eq!(home.run(&["poison", "lift", "--all", "--pid", "999999999"]).code, 69);
}

#[test]
fn master_and_keeper_of_the_program_are_small() {
    let home = Home::new();
    let family = serve(&home, &config("", "x"));
    address(&family, "web");
    let private = |of: Proc| of.private_bytes().unwrap() >> 10;
    let (master, keeper) = (private(family.proc()), private(family.keeper()));
    println!("master {master} KiB, keeper {keeper} KiB");
    // Half a megabyte more than in a release: an unoptimised program has more to relocate.
    assert!(master < 2048 && keeper < 512, "{master} {keeper}");
    assert_eq!(family.proc().threads().unwrap(), ["ripstop"]);
}

/// A program that does this, in the shell.
fn script(home: &Home, name: &str, lines: &str) -> String {
    let path = home.path().join(name);
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn an_upgrade_replaces_the_program_and_its_status_is_told() {
    let home = Home::new();
    let mut family = serve(&home, &config("", "x"));
    let mut idle = Client::tcp(address(&family, "web")).unwrap();
    assert_eq!(idle.get("/").unwrap().text(), "x");
    let first = family.server();
    assert!(until(DEADLINE, || first.is_at_rest().unwrap_or(false)));
    let status = home.run(&["status"]);
    let is_told = |text: &str| assert!(status.stdout.contains(text), "{text}: {status:?}");
    is_told(&format!("master   pid {}\n", family.id()));
    is_told(&format!(
        "serves   pid {}, keeper pid {}, server number 1",
        first.id(),
        family.keeper().id()
    ));
    let upgraded = home.run(&["upgrade"]);
    assert_eq!(upgraded.code, 0, "{upgraded:?}");
    assert_eq!(idle.get("/").unwrap().text(), "x");
    let second = family.server();
    assert_ne!(second.id(), first.id());
    let status = home.run(&["status"]);
    let expected = format!("serves   pid {}", second.id());
    assert!(status.stdout.contains(&expected), "{status:?}");
    // The pid file is the new server's now.
    assert_eq!(home.run(&["stop"]).code, 0);
    assert_eq!(family.master().exit(DEADLINE).unwrap().code(), Some(0));
    assert!(family.ends() && !home.path().join("ripstop.pid").exists());
}

#[test]
fn a_new_program_with_a_fault_leaves_the_present_one() {
    let home = Home::new();
    let family = serve(&home, &config("", "x"));
    let mut idle = Client::tcp(address(&family, "web")).unwrap();
    assert_eq!(idle.get("/").unwrap().text(), "x");
    let first = family.server();
    let ours = env!("CARGO_BIN_EXE_ripstop");
    let checks = |then: &str| format!("[ \"$1\" = check ] && exec {ours} \"$@\"\n{then}");
    let upgrade = |binary: &str| home.run(&["upgrade", "--timeout", "2s", "--binary", binary]);
    let is_refused = |binary: &str, reason: &str| {
        let refused = upgrade(binary);
        assert_eq!(refused.code, 75, "{refused:?}");
        assert!(refused.stderr.contains(reason), "{reason}: {refused:?}");
        assert!(refused.stderr.contains("the server that was there goes on"), "{refused:?}");
    };
    is_refused("nothing", "cannot be executed: No such file");
    is_refused(&script(&home, "ends", &checks("exit 3")), "exit code 3 before it served");
    is_refused(&script(&home, "hangs", &checks("exec sleep 600")), "did not serve in time");
    // Whatever it is, it does not know the configuration.
    is_refused(&script(&home, "other", "echo what >&2; exit 64"), "what");
    home.write("ripstop.toml", "nonsense = 1\n");
    is_refused(ours, "unknown key");
    assert_eq!(idle.get("/").unwrap().text(), "x");
    assert_eq!(family.server().id(), first.id());
}

#[test]
fn a_server_without_a_master_says_so() {
    let home = Home::new();
    home.write("ripstop.toml", &config("", "x"));
    let family = Family::start(&mut home.command(&["serve", "--no-master"])).unwrap();
    address(&family, "web");
    for command in ["status", "upgrade"] {
        let refused = home.run(&[command]);
        assert_eq!(refused.code, 69, "{refused:?}");
        assert!(refused.stderr.contains("has no master"), "{refused:?}");
    }
}
