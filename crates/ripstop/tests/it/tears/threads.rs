//! Threads: that they are back after each fault, and what happens where none can be had.

use ripstop_testkit::{Client, Process, Signal, example, until};
use rustix::process::{Resource, geteuid, getrlimit};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};
use tempfile::TempDir;

use super::site::get;
use crate::serve::{
    program::{Program, tear},
    setup::SOON,
};

/// The executors of programs while they rest. On a busy machine there may be more for a moment.
const EXECUTORS: usize = 2;

/// What a program has while it rests.
#[derive(Debug, PartialEq, Eq)]
struct Baseline {
    threads: Vec<String>,
    fds: usize,
}

impl Baseline {
    /// Once it has answered a request, and reported something.
    fn of(program: &Program) -> Self {
        assert_eq!(program.connect().get("/panic").unwrap().status(), 500);
        program.logged("panic in tear::tear");
        let mut baseline = Self::now(program);
        assert!(until(SOON, || {
            let before = std::mem::replace(&mut baseline, Self::now(program));
            before == baseline
        }));
        baseline
    }

    fn now(program: &Program) -> Self {
        let mut threads = program.threads();
        // Executors are numbered on: as many as before are there again. The reporter comes and goes.
        threads.retain(|name| !is_executor(name) && name != "rip-tears");
        Self { threads, fds: program.process.proc().fds().unwrap() }
    }

    /// Waits until the program has what it had.
    #[track_caller]
    fn returns(&self, program: &Program) {
        let is_back = |now: &Self| now.threads == self.threads && now.fds <= self.fds;
        // A thread may have had a file of `/proc` open for a moment when there were so many.
        let back = until(SOON, || is_back(&Self::now(program)) && executors(program) == EXECUTORS);
        let threads = program.threads();
        assert!(back, "{:?}: {threads:?}, before {self:?}", Self::now(program));
    }
}

fn is_executor(name: &str) -> bool {
    name.starts_with("rip-e")
}

fn executors(program: &Program) -> usize {
    program.threads().iter().filter(|name| is_executor(name)).count()
}

/// After these requests, all at once, which all are answered, nothing is left of them.
#[track_caller]
fn check(arguments: &[&str], paths: &[&str], status: u16) {
    let program = tear(&[arguments, &["--executors", "2"]].concat());
    let baseline = Baseline::of(&program);
    for _ in 0..2 {
        let mut clients: Vec<_> = paths.iter().map(|path| send(&program, path)).collect();
        for client in &mut clients {
            assert_eq!(client.response().unwrap().status(), status);
        }
    }
    baseline.returns(&program);
    program.terminate();
}

fn send(program: &Program, path: &str) -> Client {
    let mut client = program.connect();
    client.send(get(path)).unwrap();
    client
}

#[test]
fn what_a_stall_took_is_back_after_it() {
    check(&["--workers", "2", "--spares", "1"], &["/wedge?ms=300", "/spin?ms=300"], 200);
}

#[test]
fn executors_that_jobs_held_are_back_after_them() {
    let arguments = ["--workers", "1", "--lane", "queued"];
    check(&arguments, &["/wedge?ms=300"; 8], 200);
}

#[test]
fn executors_are_back_after_jobs_that_came_too_late() {
    let arguments = ["--workers", "1", "--lane", "queued", "--deadline", "1000"];
    check(&arguments, &["/spin?ms=2000", "/wedge?ms=2000"], 504);
}

#[test]
fn the_threads_of_a_worker_that_was_replaced_end_with_its_last_connection() {
    let program =
        tear(&["--workers", "1", "--spares", "1", "--lane", "inline", "--executors", "2"]);
    let baseline = Baseline::of(&program);
    let mut stuck = [send(&program, "/wedge?ms=1500"), send(&program, "/wedge?ms=1500")];
    program.logged("a fresh one takes its place");
    assert_eq!(program.connect().get("/").unwrap().status(), 200);
    for client in &mut stuck {
        assert_eq!(client.response().unwrap().status(), 200);
        // It goes on with the fresh one.
        assert_eq!(client.get("/").unwrap().status(), 200);
    }
    drop(stuck);
    baseline.returns(&program);
    assert_eq!(program.connect().get("/").unwrap().status(), 200);
    program.terminate();
}

#[test]
fn memory_is_back_after_stalls() {
    let program = tear(&["--workers", "2"]);
    let stalls = |count: usize, ms: u64| {
        for _ in 0..count {
            let send = |_| send(&program, &format!("/wedge?ms={ms}"));
            let mut clients: Vec<_> = (0..4).map(send).collect();
            for client in &mut clients {
                assert_eq!(client.response().unwrap().status(), 200);
            }
        }
    };
    let proc = program.process.proc();
    let grown = || {
        let before = proc.anonymous_bytes().unwrap();
        stalls(40, 30);
        reporter_has_ended(&program);
        proc.anonymous_bytes().unwrap().saturating_sub(before)
    };
    // What the first ones take is kept: buffers, and what it takes to report one.
    stalls(1, 300);
    program.logged(" stall of ");
    stalls(10, 30);
    reporter_has_ended(&program);
    // On a busy machine some last long enough to be reported, which may take more than before; what
    // is lost at each is taken each time.
    let mut grown_by = Vec::new();
    let back = (0..5).any(|_| {
        grown_by.push(grown());
        grown_by.last() < Some(&(4 << 20))
    });
    assert!(back, "{grown_by:?}");
    program.terminate();
}

#[track_caller]
fn reporter_has_ended(program: &Program) {
    let ended = until(SOON, || !program.threads().iter().any(|name| name == "rip-tears"));
    assert!(ended, "{:?}", program.threads());
}

/// `tear` as a user whose number of threads can be limited, which that of root cannot be.
struct Limited {
    /// A copy that every user may run.
    dir: TempDir,
    /// Nobody's number, and no other test's, so that nobody else's threads count.
    user: u32,
}

impl Limited {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let all = || fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.path(), all()).unwrap();
        let copy = dir.path().join("tear");
        // Not by this process: what another test starts meanwhile would keep the copy open for
        // writing until it runs, and nobody could run the copy.
        let copied = Command::new("cp").arg(example("tear").unwrap()).arg(&copy).status().unwrap();
        assert!(copied.success(), "{copied}");
        fs::set_permissions(&copy, all()).unwrap();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let user = 2_000_000_000 + (std::process::id() << 4) + NEXT.fetch_add(1, SeqCst);
        Self { dir, user }
    }

    /// With these arguments, and at most so many threads from the start on.
    fn command(&self, threads: Option<usize>, arguments: &[&str]) -> Command {
        let limit = threads.map_or(String::new(), |threads| {
            // The shell has the option as -u or as -p.
            format!("ulimit -u {threads} 2>/dev/null || ulimit -p {threads}; ")
        });
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limit}exec \"$0\" \"$@\"")]);
        command.arg(self.dir.path().join("tear")).args(["--listen", "127.0.0.1:0"]).args(arguments);
        command.env("RUST_LOG", "info").env("RUST_BACKTRACE", "0");
        if geteuid().is_root() {
            command.uid(self.user).gid(self.user);
        }
        command
    }

    /// Lets a program have at most so many threads, or as many as it wants.
    #[track_caller]
    fn limit(&self, program: &Program, threads: Option<u64>) {
        // A server answers before its last thread has started.
        program.threads();
        let maximum = || getrlimit(Resource::Nproc).maximum;
        let limit = threads.or_else(maximum).map_or("unlimited".into(), |limit| limit.to_string());
        let mut command = Command::new("prlimit");
        command.arg(format!("--pid={}", program.process.id())).arg(format!("--nproc={limit}:"));
        if geteuid().is_root() {
            // Even root may be forbidden to do it for others.
            command.uid(self.user).gid(self.user);
        }
        let done = command.output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

#[test]
fn a_start_without_enough_threads_ends_with_an_error_that_says_so() {
    let limited = Limited::new();
    let arguments = ["--workers", "2", "--spares", "2", "--executors", "2"];
    // The main thread, that of the server, that which waits for signals, the watchdog, six of the
    // workers and two executors.
    for threads in 1..12 {
        let mut started = Process::start(&mut limited.command(Some(threads), &arguments)).unwrap();
        let status = started.exit(SOON).unwrap_or_else(|err| panic!("{threads}: {err}"));
        // Its output is read to the end, by threads of its own.
        let _ = started.announced(SOON, |_| None::<()>);
        let log = started.log();
        assert_eq!(status.code(), Some(1), "{threads}: {log}");
        assert!(log.contains("Resource temporarily unavailable"), "{threads}: {log}");
        assert!(!log.contains("panicked"), "{threads}: {log}");
    }
    let mut enough = Program::start(&mut limited.command(Some(12), &arguments));
    assert_eq!(enough.connect().get("/").unwrap().status(), 200);
    enough.signal(Signal::TERM);
    assert_eq!(enough.exit_code(), Some(0), "{}", enough.process.log());
}

#[test]
fn without_threads_what_runs_goes_on_and_executors_come_when_there_are_some_again() {
    let limited = Limited::new();
    let arguments = ["--workers", "1", "--lane", "queued", "--executors", "1"];
    let program = Program::start(&mut limited.command(None, &arguments));
    let mut idle = program.connect();
    assert_eq!(idle.get("/").unwrap().status(), 200);
    limited.limit(&program, Some(1));
    let mut held = send(&program, "/wedge?ms=3000");
    program.logged("an executor cannot be started yet");
    // The only executor is held: what comes now waits, and is neither lost nor refused.
    let mut waits = program.connect();
    waits.send(get("/")).unwrap();
    assert!(waits.is_quiet_for(Duration::ZERO).unwrap());
    limited.limit(&program, None);
    assert_eq!(waits.response().unwrap().status(), 200);
    assert!(held.is_quiet_for(Duration::ZERO).unwrap(), "another executor has run it");
    assert_eq!(held.response().unwrap().status(), 200);
    assert_eq!(idle.get("/").unwrap().status(), 200);
    assert!(!program.process.log().contains("panicked"), "{}", program.process.log());
    program.terminate();
}

#[test]
fn without_threads_stalls_and_panics_cost_no_more_than_with_them() {
    let limited = Limited::new();
    let program = Program::start(&mut limited.command(None, &["--workers", "1", "--spares", "1"]));
    assert_eq!(program.connect().get("/").unwrap().status(), 200);
    limited.limit(&program, Some(1));
    let mut stalled = send(&program, "/wedge?ms=3000");
    assert_eq!(program.connect().get("/panic").unwrap().status(), 500);
    assert_eq!(program.connect().get("/").unwrap().status(), 200);
    assert!(stalled.is_quiet_for(Duration::ZERO).unwrap());
    assert_eq!(stalled.response().unwrap().status(), 200);
    limited.limit(&program, None);
    // A thread for reports is to be had again.
    assert_eq!(program.connect().get("/panic").unwrap().status(), 500);
    program.logged("panic in tear::tear");
    program.terminate();
}

#[test]
fn without_threads_a_worker_that_drowned_is_replaced_as_soon_as_there_are_some_again() {
    let limited = Limited::new();
    let arguments = ["--workers", "1", "--spares", "0", "--lane", "inline"];
    let program = Program::start(&mut limited.command(None, &arguments));
    assert_eq!(program.connect().get("/").unwrap().status(), 200);
    limited.limit(&program, Some(1));
    let mut held = send(&program, "/wedge?ms=4000");
    program.logged("a drowned worker cannot be replaced yet");
    limited.limit(&program, None);
    assert_eq!(program.connect().get("/").unwrap().status(), 200);
    assert!(held.is_quiet_for(Duration::ZERO).unwrap(), "another worker has answered");
    assert_eq!(held.response().unwrap().status(), 200);
    program.terminate();
}

/// A handler that never ends: the process ends all the same, and says what was cut.
#[track_caller]
fn check_stop(lane: &str, path: &str) {
    let arguments = ["--workers", "1", "--lane", lane, "--drain", "300"];
    let mut program = tear(&arguments);
    let _client = send(&program, path);
    // The next one is answered when the first one is being handled.
    assert_eq!(program.connect().get("/").unwrap().status(), 200);
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), Some(0), "{lane} {path}");
    program.logged("server ended outcome=Cut(");
    let log = program.process.log();
    let line = log.lines().find(|line| line.contains("request cut off by the end of the server"));
    let line = line.unwrap_or_else(|| panic!("{lane} {path}: {log}"));
    let bare = path.split('?').next().unwrap();
    assert!(line.contains(&format!("method=GET path={bare} request_id=")), "{line}");
    assert!(line.contains("peer=Some(127.0.0.1:"), "{line}");
}

#[test]
fn what_is_cut_at_a_stop_is_listed_wherever_it_runs() {
    for lane in ["inline", "queued"] {
        for path in ["/slow?ms=600000", "/wedge?ms=600000", "/spin?ms=600000"] {
            check_stop(lane, path);
        }
    }
}

#[test]
fn a_program_whose_workers_drown_again_and_again_exits_with_75() {
    let mut program = tear(&["--workers", "1", "--spares", "0", "--lane", "inline"]);
    let mut held = Vec::new();
    // Whichever worker comes to a request is drowned by it.
    let gone = until(SOON, || match Client::tcp(program.address) {
        Ok(mut client) => {
            let sent = client.send(get("/wedge?ms=600000"));
            held.push((client, sent));
            false
        }
        Err(_) => true,
    });
    assert!(gone, "{}", program.process.log());
    assert_eq!(program.exit_code(), Some(75), "{}", program.process.log());
    program.logged("server ended outcome=Surrendered(Rebuilds)");
}
