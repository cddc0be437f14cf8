//! Ways to tear a server: an axum application whose routes block, crash, burn and leak.
//!
//! Many tests run it. `tear --help` says how.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Query,
    routing::{get, post},
};
use clap::Parser;
use futures_util::{StreamExt, stream};
use ripstop::{
    Account, Groups, Handle, Landlock, Lane, Listen, ListenError, ListenerOptions, MemoryCeiling,
    Options, Outcome, Privileges, Running, Server, workers,
};
use std::{
    convert::Infallible,
    hint::black_box,
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    sync::{Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ways to tear a server.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; repeated for several listeners.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: Vec<String>,
    /// Workers. Default: the processors this process may use.
    #[arg(long)]
    workers: Option<NonZeroUsize>,
    /// Spare threads of each worker.
    #[arg(long, default_value_t = 4)]
    spares: usize,
    /// Milliseconds after which a poll is a stall.
    #[arg(long, default_value_t = 20)]
    stall: u64,
    /// Where handlers run: inline, queued or auto.
    #[arg(long, default_value_t)]
    lane: Lane,
    /// Executors. Default: the processors this process may use.
    #[arg(long)]
    executors: Option<NonZeroUsize>,
    /// Milliseconds until a request has to be answered.
    #[arg(long, default_value_t = 60_000)]
    deadline: u64,
    /// Milliseconds that a stop waits for requests that run.
    #[arg(long, default_value_t = 30_000)]
    drain: u64,
    /// Milliseconds that a connection is idle until it is parked.
    #[arg(long, default_value_t = 1_000)]
    park: u64,
    /// Milliseconds that a request is refused that was running at three crashes; 0 for never.
    #[arg(long, default_value_t = 300_000)]
    quarantine: u64,
    /// Mebibytes of memory that it may use before connections give way. Default: 80 percent of
    /// what it may have.
    #[arg(long)]
    memory: Option<u64>,
    /// Mebibytes of responses that clients need not have taken. Default: 25 percent of that.
    #[arg(long)]
    buffered: Option<u64>,
    /// Whom to be, by name or number, once the listeners are bound as root.
    #[arg(long)]
    user: Option<String>,
    /// Its group.
    #[arg(long, requires = "user")]
    group: Option<String>,
    /// Folders that can be read, and nothing else; repeated for several.
    #[arg(long)]
    only: Vec<PathBuf>,
}

impl Arguments {
    fn privileges(&self) -> Option<Privileges> {
        let find = |user| Account::find(user, self.group.as_deref(), Groups::OfUser);
        let account =
            self.user.as_deref().map(|user| find(user).unwrap_or_else(|err| panic!("{err}")));
        let read = self.only.clone();
        let landlock = (!read.is_empty()).then(|| Landlock { read, ..Landlock::default() });
        let any = account.is_some() || landlock.is_some();
        any.then(|| Privileges { account, landlock, ..Privileges::default() })
    }
}

/// Known when the server has started.
static HANDLE: OnceLock<Handle> = OnceLock::new();

/// `?ms=`
#[derive(serde::Deserialize)]
struct Time {
    #[serde(default = "three_seconds")]
    ms: u64,
}

fn three_seconds() -> u64 {
    3000
}

/// `?ms=` and `?us=`, added up.
#[derive(serde::Deserialize)]
struct Burn {
    ms: Option<u64>,
    us: Option<u64>,
}

impl Burn {
    fn duration(&self) -> Duration {
        let us = Duration::from_micros(self.us.unwrap_or(0));
        let ms = self.ms.unwrap_or_else(|| if self.us.is_none() { three_seconds() } else { 0 });
        Duration::from_millis(ms) + us
    }
}

/// `?mb=` and `?kb=`
#[derive(serde::Deserialize)]
struct Size {
    #[serde(default)]
    mb: usize,
    #[serde(default)]
    kb: usize,
}

fn main() -> Result<ExitCode, ripstop::Error> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let arguments = Arguments::parse();
    let workers = workers::Options {
        workers: arguments.workers.unwrap_or_else(ripstop::cpus),
        spares: arguments.spares,
        stall: Duration::from_millis(arguments.stall),
        executors: arguments.executors.unwrap_or_else(ripstop::cpus),
        ..workers::Options::default()
    };
    let drain = Duration::from_millis(arguments.drain);
    let mut options = Options { workers, drain, lane: arguments.lane, ..Options::default() };
    options.timeouts.request = Some(Duration::from_millis(arguments.deadline));
    options.timeouts.park = Some(Duration::from_millis(arguments.park));
    let quarantine = Duration::from_millis(arguments.quarantine);
    options.quarantine = Some(quarantine).filter(|quarantine| !quarantine.is_zero());
    if let Some(mb) = arguments.memory {
        options.memory = Some(MemoryCeiling::Bytes(mb << 20));
    }
    if let Some(mb) = arguments.buffered {
        options.buffered = Some(MemoryCeiling::Bytes(mb << 20));
    }
    options.listen = arguments.listen.iter().map(|at| listen(at)).collect::<Result<_, _>>()?;
    let server = Server::with_options(app(), options.clone());
    let server = match arguments.privileges() {
        Some(privileges) => server.privileges(privileges),
        None => server,
    };
    // There is no file to be read again: the same options are applied.
    let reload = |handle: &Handle| match handle.apply(options.clone()) {
        Ok(()) => log::info!("reloaded"),
        Err(err) => log::error!(err:%; "not reloaded"),
    };
    // How often it was counted is known to the server after this one.
    let server = server.on_resume(|wall| {
        let count = wall.value("count").and_then(|(_, value)| String::from_utf8(value).ok());
        log::info!(count:?; "resumed");
    });
    let started = |running: &Running| drop(HANDLE.set(running.handle().clone()));
    Ok(match server.run_reloading(started, reload)? {
        Outcome::Drained | Outcome::Cut(_) => ExitCode::SUCCESS,
        // EX_TEMPFAIL: it should be started again.
        Outcome::Surrendered(_) => ExitCode::from(75),
    })
}

fn listen(address: &str) -> Result<Listen, ripstop::Error> {
    let fault = |source| ListenError::Address { address: address.to_owned(), source };
    let parsed = address.parse().map_err(|err| ripstop::Error::Listen(vec![fault(err)]))?;
    let listener = ListenerOptions { address: parsed, ..ListenerOptions::default() };
    Ok(Listen { listener, ..Listen::default() })
}

fn app() -> Router {
    Router::new()
        .route("/", get(|| async { "Hello, World!" }))
        .route("/pid", get(|| async { format!("pid {}", std::process::id()) }))
        .route("/count", get(count))
        .route("/counts", get(counts))
        .route("/panic", get(tear))
        .route("/panic-body", get(panic_body))
        .route("/wedge", get(wedge))
        .route("/hold", get(hold))
        .route("/spin", get(|burn: Query<Burn>| spin(burn, "spun")))
        .route("/cpu", get(|burn: Query<Burn>| spin(burn, "done")))
        .route("/slow", get(slow))
        .route("/deadlock", get(deadlock))
        .route("/recurse", get(|| async { recurse(0).to_string() }))
        .route("/open", get(open))
        .route("/abort", get(aborts))
        .route("/abort-blocking", get(|| ripstop::blocking(|| -> &str { std::process::abort() })))
        .route("/segv", get(segv))
        .route("/alloc", get(alloc))
        .route("/keep", get(keep))
        .route("/echo", post(|body: Body| async { body }))
        .route("/stream", get(stream_kb::<1>))
        .route("/pour", get(stream_kb::<64>))
}

/// What the server has counted, a word and a number in each line.
async fn counts() -> String {
    let Some(handle) = HANDLE.get() else { return String::new() };
    let (connections, memory) = (handle.connections(), handle.memory());
    format!(
        "open {}\nparked {}\nrefused {}\nshort {}\nstep {}\nused {}\nroom {}\nclosed {}\nbuffered {}\ncut {}\n",
        connections.open,
        handle.parked(),
        connections.refused.sum(),
        connections.refused.memory,
        memory.step as u8,
        memory.used,
        memory.room.unwrap_or(0),
        memory.closed,
        memory.buffered,
        memory.cut,
    )
}

/// Counts, through all servers.
async fn count() -> Result<String, String> {
    let wall = ripstop::wall::entered().ok_or("there is no wall")?;
    let before = wall.value("count").and_then(|(_, value)| String::from_utf8(value).ok());
    let count = before.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) + 1;
    wall.carry("count", 1, count.to_string().as_bytes()).map_err(|err| err.to_string())?;
    Ok(count.to_string())
}

async fn tear() -> &'static str {
    panic!("torn on purpose")
}

/// Sends a piece, and panics in place of the next.
async fn panic_body() -> Body {
    let pieces = stream::iter(0..2).map(|piece| match piece {
        0 => Ok::<_, Infallible>(Bytes::from_static(b"the first piece\n")),
        _ => panic!("torn on purpose in the body"),
    });
    Body::from_stream(pieces)
}

/// Blocks the thread, asleep.
#[expect(clippy::disallowed_methods, reason = "blocking the thread is what this route is for")]
async fn wedge(Query(time): Query<Time>) -> &'static str {
    thread::sleep(Duration::from_millis(time.ms));
    "unwedged"
}

/// `?until=`
#[derive(serde::Deserialize)]
struct File {
    until: PathBuf,
}

/// Blocks the thread, asleep, until there is a file of this name.
#[expect(clippy::disallowed_methods, reason = "blocking the thread is what this route is for")]
async fn hold(Query(file): Query<File>) -> &'static str {
    while !file.until.exists() {
        thread::sleep(Duration::from_millis(5));
    }
    "let go"
}

/// `?file=`
#[derive(serde::Deserialize)]
struct Opened {
    file: PathBuf,
}

/// Tries to open a file: on this thread, and on one that may block.
async fn open(Query(Opened { file }): Query<Opened>) -> String {
    let open = move || {
        std::fs::File::open(&file).map_or_else(|err| err.kind().to_string(), |_| "opened".into())
    };
    let other = ripstop::blocking(open.clone()).await;
    format!("{}, {other}", open())
}

/// Blocks the thread, burning its processor.
async fn spin(Query(burn): Query<Burn>, answer: &'static str) -> &'static str {
    let end = Instant::now() + burn.duration();
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    answer
}

async fn slow(Query(time): Query<Time>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(time.ms)).await;
    "slow"
}

/// Waits for ever for a lock that the same thread holds.
async fn deadlock() -> &'static str {
    let lock = Mutex::new(());
    let _first = lock.lock();
    let _second = lock.lock();
    "never"
}

/// Overflows the stack.
#[expect(unconditional_recursion, reason = "that is what overflows it")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    black_box(recurse(depth + 1)) + frame[0]
}

async fn aborts() -> &'static str {
    std::process::abort()
}

/// Dies of SIGSEGV.
async fn segv() -> &'static str {
    let pid = rustix::process::getpid();
    // The signal, without the undefined behaviour of a wild pointer; more than once, since the
    // standard library's handler takes the first one and only then leaves it to the kernel.
    while rustix::process::kill_process(pid, rustix::process::Signal::SEGV).is_ok() {}
    "alive"
}

/// Takes memory for as long as the response is under way.
async fn alloc(Query(size): Query<Size>) -> String {
    let block = black_box(vec![1u8; size.mb << 20]);
    format!("{} bytes", block.len())
}

/// Takes memory for ever, as an allocator does that keeps what was freed.
async fn keep(Query(size): Query<Size>) -> String {
    let block = black_box(vec![1u8; size.mb << 20].leak());
    format!("{} bytes", block.len())
}

/// So many kibibytes in pieces of `PIECE`.
async fn stream_kb<const PIECE: usize>(Query(size): Query<Size>) -> Body {
    let piece = Bytes::from_static(&[b'r'; 64 << 10]).slice(..PIECE << 10);
    let pieces = (0..size.kb / PIECE).map(move |_| Ok::<_, Infallible>(piece.clone()));
    Body::from_stream(stream::iter(pieces))
}
