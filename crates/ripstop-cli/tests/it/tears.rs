//! Faults that need a process of their own: a start for which there are not enough threads.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
    time::Duration,
};

use ripstop_testkit::{Process, Signal, until};

use crate::program::{DEADLINE, Home, LISTEN, Server};

/// The program, as somebody who may have so many threads.
fn limited(home: &Home, threads: usize) -> Server {
    let all = || fs::Permissions::from_mode(0o755);
    fs::set_permissions(home.path(), all()).unwrap();
    let copy = home.path().join("ripstop");
    if !copy.exists() {
        fs::copy(env!("CARGO_BIN_EXE_ripstop"), &copy).unwrap();
        fs::set_permissions(&copy, all()).unwrap();
    }
    let mut command = Command::new("sh");
    // The shell has the option as -u or as -p.
    let limit = format!("ulimit -u {threads} 2>/dev/null || ulimit -p {threads}");
    command.args(["-c", &format!("{limit}; exec \"$0\" serve")]).arg(copy);
    command.current_dir(home.path()).env_clear().env("PATH", "/usr/bin:/bin");
    if is_root() {
        // Nobody's number, so that nobody else's threads count; those of root cannot be limited.
        let user = 1_900_000_000 + std::process::id();
        command.uid(user).gid(user);
    }
    Server { process: Process::start(&mut command).expect("there is a shell") }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    Path::new("/proc/self").metadata().is_ok_and(|own| own.uid() == 0)
}

#[test]
fn a_start_without_enough_threads_ends_with_an_error_and_not_with_a_panic() {
    let home = Home::new();
    home.write("ripstop.toml", &format!("{LISTEN}[server]\nworkers = 1\nspares = 1\n"));
    let mut threads = 1;
    let started = until(DEADLINE, || {
        let mut server = limited(&home, threads);
        await_start(&mut server);
        // It may have ended, or be about to.
        let _ = server.process.signal(Signal::TERM);
        let code = server.exit_code();
        if code == 0 {
            return true;
        }
        // Its output is read to the end, by threads of its own.
        let _ = server.process.announced(DEADLINE, |_| None::<()>);
        let log = server.process.log();
        assert!([70, 74, 78].contains(&code), "{threads}: {code}: {log}");
        assert!(log.contains("Resource temporarily unavailable"), "{threads}: {log}");
        assert!(!log.contains("panicked"), "{threads}: {log}");
        threads += 1;
        false
    });
    // The main thread, that of the server, the watchdog, a worker with its spare, and others.
    assert!(started && threads > 5, "{threads}");
}

/// Waits until its main thread runs, which is one of the last to be started, or until it ends.
fn await_start(server: &mut Server) {
    let started = until(DEADLINE, || {
        let threads = server.process.proc().threads().unwrap_or_default();
        let runs = threads.iter().any(|name| name == "rip-main");
        runs || server.process.exit(Duration::ZERO).is_ok()
    });
    assert!(started, "{}", server.process.log());
}
