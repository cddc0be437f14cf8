//! The sections that stand once: `[server]`, `[timeouts]`, `[limits]`, `[log]`
//! and `[admin]`.
//!
//! Each is a plain struct and the one function that names its keys, kinds,
//! defaults and documentation. Listeners and routes have files of their own.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use ripstop::{Account, Lane, MemoryCeiling, Placement};
use serde_json::{Value as Json, json};

use super::fault::Place;
use super::kind::{
    Choice, FilePath, Input, Kind, OrOff, Parsed, Size, Span, Switch, Target, Whole,
};
use super::listen::{Address, CONNECTIONS_MAX, address};
use super::privileges;
use super::reader::Table;
use super::unit;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// `[server]`: the process and its workers.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Workers; `None` is one for each CPU this process may use.
    pub(crate) workers: Option<u32>,
    /// Threads that stand by for each worker.
    pub(crate) spares: u32,
    /// Executors that are free for queued requests; `None` is one for each CPU this process may
    /// use.
    pub(crate) executors: Option<u32>,
    /// Executors at most.
    pub(crate) executors_max: u32,
    /// Where handlers run when their route does not say.
    pub(crate) lane: Lane,
    /// How connections are given to workers.
    pub(crate) placement: Placement,
    /// How long a drain may take.
    pub(crate) drain: Duration,
    /// How long requests are refused that crash the server.
    pub(crate) quarantine: Option<Duration>,
    /// Where the process writes its id; `None` is the usual place.
    pub(crate) pid_file: Option<PathBuf>,
    /// Whom it runs as; `None` is whoever starts it.
    pub(crate) account: Option<Account>,
    /// Whether it can open only what the configuration names.
    pub(crate) landlock: bool,
}

const PLACEMENTS: Choice<Placement> = Choice(&[
    ("least-loaded", Placement::LeastLoaded),
    ("least-connections", Placement::LeastConnections),
    ("round-robin", Placement::RoundRobin),
    ("two-choices", Placement::TwoChoices),
]);

/// Where a handler may run.
pub(crate) const LANES: Choice<Lane> =
    Choice(&[("auto", Lane::Auto), ("inline", Lane::Inline), ("queued", Lane::Queued)]);

impl Server {
    /// Reads the section.
    pub(crate) fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            workers: table.optional(
                "workers",
                &Whole(1, 1024),
                json!(4),
                "Workers, each with one active thread. Left out: one for each CPU this process \
                 may use.",
            ),
            spares: table.field(
                "spares",
                &Whole(0, 64),
                4,
                "Threads that stand by for each worker; one takes over when a handler blocks the \
                 active thread.",
            ),
            executors: table.optional(
                "executors",
                &Whole(1, 1024),
                json!(4),
                "Executors that are free for queued requests. Left out: one for each CPU this \
                 process may use.",
            ),
            executors_max: table.field(
                "executors_max",
                &Whole(1, 4096),
                64,
                "Executors at most, with those that a request blocks.",
            ),
            lane: table.field(
                "lane",
                &LANES,
                Lane::Auto,
                "Where requests are handled: \"inline\", on the thread of their connection; \
                 \"queued\", on an executor; \"auto\", inline until their route has blocked its \
                 thread twice in a minute.",
            ),
            placement: table.field(
                "placement",
                &PLACEMENTS,
                Placement::LeastLoaded,
                "Which worker gets the next connection.",
            ),
            drain: table.field(
                "drain",
                &Span(Duration::ZERO, HOUR),
                Duration::from_secs(30),
                "How long running requests may take to finish after SIGTERM, SIGINT or `ripstop \
                 stop`; what still runs then is cut.",
            ),
            quarantine: table.field(
                "quarantine",
                &OrOff(Span(SECOND, DAY)),
                Some(Duration::from_secs(300)),
                "How long requests of the same method, path and query are refused with 503 that                  were running at three crashes within a minute; twice as long, up to an hour, if                  they crash the server again. `ripstop poison lift` lifts it.",
            ),
            pid_file: table.optional(
                "pid_file",
                &FilePath,
                json!("/run/ripstop.pid"),
                "Where the process writes its id, for `ripstop reload` and `ripstop stop`. Left \
                 out: ripstop.pid in $XDG_RUNTIME_DIR, else in /run, else in the folder for \
                 temporary files.",
            ),
            account: privileges::read(table),
            landlock: table.field(
                "landlock",
                &Switch,
                false,
                "Whether the server can open nothing but what is named here, by the kernel's word \
                 (Linux 5.13): the folders of files, certificates, logs, sockets, pid file and this \
                 file, and what every process reads, such as /usr, /etc and /proc. Takes a restart, \
                 and so do paths outside of them.",
            ),
        }
    }
}

/// `[timeouts]`: how long each wait may take.
#[derive(Clone, Debug)]
pub(crate) struct Timeouts {
    /// Those of HTTP.
    pub(crate) http: ripstop::Timeouts,
    /// Until the TLS handshake or the PROXY header is complete.
    pub(crate) handshake: Duration,
}

impl Timeouts {
    /// Reads the section.
    pub(crate) fn read(table: &mut Table<'_, '_>) -> Self {
        let default = ripstop::Timeouts::default();
        let mut wait =
            |name, default, doc| table.field(name, &OrOff(Span(MILLISECOND, DAY)), default, doc);
        let http = ripstop::Timeouts {
            header: wait(
                "header",
                default.header,
                "Until the head of a request is complete; then 408.",
            ),
            body: wait("body", default.body, "Until more of a request's body comes; then 408."),
            write: wait(
                "write",
                default.write,
                "Until the client takes more of a response; then a reset.",
            ),
            idle: wait(
                "idle",
                default.idle,
                "Until the next request on a connection; then it is closed.",
            ),
            park: wait(
                "park",
                default.park,
                "Until an idle connection is parked: it costs next to nothing until its next request.",
            ),
            request: wait("request", default.request, "Until the head of the response; then 504."),
            connection_age: wait(
                "connection_age",
                default.connection_age,
                "How old a connection may become; then it ends after the request it is on.",
            ),
        };
        let handshake = table.field(
            "handshake",
            &Span(MILLISECOND, DAY),
            Duration::from_secs(10),
            "Until a TLS handshake or a PROXY header is complete; then the connection is closed.",
        );
        Self { http, handshake }
    }
}

/// `[limits]`: how much each client may ask for.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Those of HTTP.
    pub(crate) http: ripstop::Limits,
    /// Most connections at a time; `None` is what descriptors are enough for.
    pub(crate) connections: Option<usize>,
    /// Most of them from one client.
    pub(crate) connections_per_client: Option<usize>,
    /// Most TLS handshakes of a listener at a time.
    pub(crate) handshakes: usize,
    /// Memory that the process may use before connections give way.
    pub(crate) memory: Option<MemoryCeiling>,
    /// Bytes of responses that clients need not have taken.
    pub(crate) buffered: Option<MemoryCeiling>,
    /// Memory for files that are asked for often, bytes.
    pub(crate) file_cache: usize,
}

const MEMORY: Parsed<MemoryCeiling> = Parsed {
    expected: "a share from \"1%\" to \"100%\" or a size such as \"512 MiB\"",
    parse: |text| {
        let share = |text: &str| text.trim().parse().ok().filter(|share| (1..=100).contains(share));
        let ceiling = match text.trim().strip_suffix('%') {
            Some(text) => share(text).map(MemoryCeiling::Percent),
            None => unit::parse_size(text).filter(|bytes| *bytes >= MIB).map(MemoryCeiling::Bytes),
        };
        ceiling.ok_or_else(|| format!("{text:?} is neither a share nor a size of at least 1 MiB"))
    },
    show: |ceiling| match ceiling {
        MemoryCeiling::Percent(share) => format!("{share}%"),
        MemoryCeiling::Bytes(bytes) => unit::show_size(*bytes),
    },
};

impl Limits {
    /// Reads the section.
    pub(crate) fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            http: Self::read_http(table),
            connections: Self::read_connections(table),
            connections_per_client: table
                .field(
                    "connections_per_client",
                    &OrOff(Whole(1, CONNECTIONS_MAX)),
                    None,
                    "Most connections at a time from one IPv4 address or one IPv6 network (/64); \
                     more are refused. With the PROXY protocol the address is the one in its \
                     header; Unix sockets are not counted. Off, since all clients have one address \
                     behind a load balancer without the PROXY protocol, and thousands have one \
                     behind a mobile network's NAT.",
                )
                .map(|connections| connections as usize),
            handshakes: table.field(
                "handshakes",
                &Whole(1, 1_000_000),
                1024,
                "Most TLS handshakes of a listener at a time; more wait, within their timeout.",
            ) as usize,
            memory: table.field(
                "memory",
                &OrOff(MEMORY),
                Some(MemoryCeiling::Percent(80)),
                "Memory that the process may use, a share of what the machine has, or its control \
                 group allows, or a size. From seven eighths of it on idle connections are parked \
                 at once; at it no more are busy than were when memory last grew, at least 64, and \
                 more are refused; a sixteenth above it idle ones are closed when it grows, those \
                 first that have been idle for longest.",
            ),
            buffered: table.field(
                "buffered",
                &OrOff(MEMORY),
                Some(MemoryCeiling::Percent(25)),
                "Bytes of responses that clients have not taken, of all of them together, a share of \
                 `limits.memory` or a size. With more, clients that take nothing for two seconds \
                 are reset.",
            ),
            file_cache: whole_usize(table.field(
                "file_cache",
                &Size(0, 64 * GIB),
                64 * MIB,
                "Memory for files that are asked for often.",
            )),
        }
    }

    fn read_connections(table: &mut Table<'_, '_>) -> Option<usize> {
        let connections = table.optional(
            "connections",
            &Whole(1, CONNECTIONS_MAX),
            json!(10_000),
            "Most connections that are open at a time; more get 503, and are closed where they \
             would speak TLS. The admin listener's are not counted. Left out: what descriptors \
             (`ulimit -Hn`) are enough for.",
        );
        connections.map(|connections| connections as usize)
    }

    fn read_http(table: &mut Table<'_, '_>) -> ripstop::Limits {
        let default = ripstop::Limits::default();
        ripstop::Limits {
            uri: whole_usize(table.field(
                "uri",
                &Size(64, 64 * KIB),
                default.uri as u64,
                "Longest request target; a longer one gets 414.",
            )),
            head: whole_usize(table.field(
                "head",
                &Size(KIB, MIB),
                default.head as u64,
                "Longest header block of a request; a longer one gets 431.",
            )),
            fields: table.field(
                "fields",
                &Whole(1, 10_000),
                u32::try_from(default.fields).expect("the default of fields is small"),
                "Most header fields of a request; more get 431.",
            ) as usize,
            body: table.field(
                "body",
                &OrOff(Size(0, 1024 * GIB)),
                Some(16 * MIB),
                "Longest body of a request; a longer one gets 413.",
            ),
            rate: table
                .field(
                    "rate",
                    &OrOff(Size(1, GIB)),
                    default.rate.map(|rate| u64::from(rate.get())),
                    "Bytes a second that a client has to send of a body, until the response \
                     begins, or take of a response: each so many give a second of waiting for it \
                     back to `timeouts.body` or `timeouts.write`. With off, one byte gives back all.",
                )
                .and_then(|rate| NonZeroU32::new(u32::try_from(rate).unwrap_or(u32::MAX))),
            streams: table.field(
                "streams",
                &Whole(1, 10_000),
                default.streams,
                "Most concurrent streams of an HTTP/2 connection.",
            ),
            requests: table.field(
                "requests",
                &OrOff(Whole(1, CONNECTIONS_MAX)),
                default.requests,
                "Most requests of a connection; then it ends, by `Connection: close` or GOAWAY.",
            ),
        }
    }
}

/// A size in the range of memory; the bounds of each key are far below the end of it.
fn whole_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// `[log]`: what is said about the server's life.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Log {
    /// Levels, in the language of `RUST_LOG`.
    pub(crate) filter: String,
    /// Whether anybody said that.
    pub(crate) filter_said: bool,
    /// How a line looks.
    pub(crate) format: LogFormat,
    /// Where lines go.
    pub(crate) to: Output,
    /// Where that was said, to tell a fault of opening it.
    pub(crate) place: Place,
    /// What is said about each request.
    pub(crate) access: Access,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, which is appended to, and reopened when it was moved.
    File(PathBuf),
}

/// `[log.access]`: one line for each request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Access {
    /// How a line looks; `None` is no access log.
    pub(crate) format: Option<AccessFormat>,
    /// Where lines go.
    pub(crate) to: Output,
    /// Where that was said, to tell a fault of opening it.
    pub(crate) place: Place,
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessFormat {
    /// One JSON object a line.
    Json,
    /// The Combined Log Format of the Apache HTTP server.
    Combined,
}

/// The kind of [`Output`]: two words, else a path as [`FilePath`] reads it.
struct OutputKind;

impl Kind for OutputKind {
    type Value = Output;

    fn expected(&self) -> String {
        "\"stdout\", \"stderr\" or the path of a file".to_owned()
    }

    fn schema(&self) -> Json {
        FilePath.schema()
    }

    fn show(&self, value: &Output) -> Json {
        match value {
            Output::Stdout => json!("stdout"),
            Output::Stderr => json!("stderr"),
            Output::File(path) => FilePath.show(path),
        }
    }

    fn read(&self, input: Input<'_>, target: &mut Target<'_>) -> Option<Output> {
        match input.text() {
            Some("stdout") => Some(Output::Stdout),
            Some("stderr") => Some(Output::Stderr),
            Some(text) if !text.is_empty() => FilePath.read(input, target).map(Output::File),
            _ => target.must_be(&self.expected(), input),
        }
    }
}

const FILTER: Parsed<String> = Parsed {
    expected: "a level, or target=level pairs with commas between them",
    parse: |text| {
        let mut builder = env_filter::Builder::new();
        match builder.try_parse(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(err) => Err(format!("{err}, such as \"info\" or \"warn,ripstop_http=debug\"")),
        }
    },
    show: Clone::clone,
};

impl Log {
    /// Reads the section.
    pub(crate) fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            filter: table.field(
                "filter",
                &FILTER,
                "info".to_owned(),
                "What is logged: error, warn, info, debug, trace or off, also for each target \
                 (\"info,ripstop_net=debug\"). RUST_LOG goes before it.",
            ),
            filter_said: table.has("filter"),
            format: table.field(
                "format",
                &Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
                LogFormat::Text,
                "How a line looks.",
            ),
            to: table.field(
                "to",
                &OutputKind,
                Output::Stderr,
                "Where lines go: \"stdout\", \"stderr\" or a file, which is reopened when it was \
                 moved. Nothing ever waits for it: lines that do not fit are dropped and counted.",
            ),
            place: table.place_of("to"),
            access: table.table("access", "One line for each request.", Access::read),
        }
    }
}

impl Access {
    fn read(table: &mut Table<'_, '_>) -> Self {
        const FORMATS: Choice<Option<AccessFormat>> = Choice(&[
            ("off", None),
            ("json", Some(AccessFormat::Json)),
            ("combined", Some(AccessFormat::Combined)),
        ]);
        Self {
            format: table.field(
                "format",
                &FORMATS,
                None,
                "How a line looks; \"combined\" is the format of the Apache HTTP server.",
            ),
            to: table.field(
                "to",
                &OutputKind,
                Output::Stdout,
                "Where lines go: \"stdout\", \"stderr\" or a file.",
            ),
            place: table.place_of("to"),
        }
    }
}

/// `[admin]`: the listener for health checks.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    /// Whether there is one.
    pub(crate) enabled: bool,
    /// Where it listens.
    pub(crate) listen: Address,
    /// Where that was said, to tell a fault of binding.
    pub(crate) place: Place,
}

impl Admin {
    /// Reads the section.
    pub(crate) fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            enabled: table.field(
                "enabled",
                &Switch,
                true,
                "Whether /health/live and /health/ready are answered.",
            ),
            listen: table.field(
                "listen",
                &address(),
                address_default(),
                "Where. Whoever reaches this address may ask, so keep it private.",
            ),
            place: table.place_of("listen"),
        }
    }
}

fn address_default() -> Address {
    "127.0.0.1:8081".parse().expect("the admin listener's default is an address")
}
