//! The log: `env_logger` behind a bounded writer that nobody waits for.
//!
//! Owns the two formats and the logger's exchange when a reload changes it.
//! Dropping, counting and reopening are the sink's.

use std::{
    env,
    io::{self, Write as _},
    panic,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use env_logger::{Logger, Target, fmt::Formatter};
use log::{
    Metadata, Record,
    kv::{Error as KeyValueError, Key, Value, VisitSource},
};
use ripstop::{
    Sink,
    access::{AccessLog, Format},
};
use serde_json::{Map, Value as Json, json};

use crate::config::{Access, AccessFormat, Faults, Log, LogFormat, Output};

/// Lines of the log that may wait until they are written, bytes.
const LOG_CAPACITY: usize = 1 << 20;

/// Lines of the access log that may wait until they are written, bytes.
const ACCESS_CAPACITY: usize = 4 << 20;

/// How long the last lines may take to be written when the program ends.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// What the program logs to. When it is dropped, the last lines are waited for.
pub(crate) struct Logs {
    /// What was said of them.
    said: Log,
    current: Arc<ArcSwap<Lines>>,
    access: Option<Arc<AccessLog>>,
}

/// Logs that are open, but not in use yet.
pub(crate) struct NextLogs {
    said: Log,
    /// `None` keeps the one there is.
    lines: Option<Lines>,
    access: Option<Arc<AccessLog>>,
}

/// A logger with its sink.
struct Lines {
    logger: Logger,
    sink: Sink,
}

/// What the `log` crate knows; it can be set only once, so it looks up the current logger.
struct Front(Arc<ArcSwap<Lines>>);

impl Logs {
    /// Opens the logs and has the `log` crate use them; `None` after faults. Once only.
    pub(crate) fn install(said: &Log, faults: &mut Faults) -> Option<Self> {
        let lines = told(Lines::open(said), said, faults);
        let access = open_access(&said.access, faults);
        let (lines, access) = (lines?, access?);
        let level = lines.logger.filter();
        let current = Arc::new(ArcSwap::from_pointee(lines));
        let front = Box::new(Front(Arc::clone(&current)));
        log::set_boxed_logger(front).expect("no other logger is set in this program");
        log::set_max_level(level);
        // The default hook writes to stderr by itself, and so may wait for it.
        panic::set_hook(Box::new(|panic| log::error!(panic:%; "a thread panicked")));
        Some(Self { said: said.clone(), current, access })
    }

    /// The access log, if there is one.
    pub(crate) fn access(&self) -> Option<Arc<AccessLog>> {
        self.access.clone()
    }

    /// Opens what differs from the logs there are; `None` after faults.
    pub(crate) fn prepare(&self, said: &Log, faults: &mut Faults) -> Option<NextLogs> {
        let old = &self.said;
        let same = (&old.filter, old.format, &old.to) == (&said.filter, said.format, &said.to);
        let lines = match same {
            true => Some(None),
            false => told(Lines::open(said).map(Some), said, faults),
        };
        let (is, was) = (&said.access, &old.access);
        let access = match (is.format, &is.to) == (was.format, &was.to) {
            true => Some(self.access.clone()),
            false => open_access(is, faults),
        };
        Some(NextLogs { said: said.clone(), lines: lines?, access: access? })
    }

    /// Uses what was prepared.
    pub(crate) fn replace(&mut self, next: NextLogs) {
        if let Some(lines) = next.lines {
            log::set_max_level(lines.logger.filter());
            self.current.store(Arc::new(lines));
        }
        self.access = next.access;
        self.said = next.said;
    }

    /// Has files opened anew, which somebody may have moved.
    pub(crate) fn reopen(&self) {
        self.sinks().for_each(|sink| sink.reopen());
    }

    fn sinks(&self) -> impl Iterator<Item = Sink> {
        let access = self.access.iter().map(|access| access.sink().clone());
        access.chain([self.current.load().sink.clone()])
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        for sink in self.sinks() {
            // What is not written by then is lost to a reader that does not read.
            let _ = sink.flush(FLUSH_MAX);
        }
    }
}

impl NextLogs {
    /// The access log, if there is one.
    pub(crate) fn access(&self) -> Option<Arc<AccessLog>> {
        self.access.clone()
    }
}

fn told<T>(opened: io::Result<T>, said: &Log, faults: &mut Faults) -> Option<T> {
    let fault = |err| faults.add(said.place, format!("log.to cannot be opened: {err}"));
    opened.map_err(fault).ok()
}

fn open_access(said: &Access, faults: &mut Faults) -> Option<Option<Arc<AccessLog>>> {
    let format = match said.format {
        Some(AccessFormat::Json) => Format::Json,
        Some(AccessFormat::Combined) => Format::Combined,
        None => return Some(None),
    };
    let fault = |err| faults.add(said.place, format!("log.access.to cannot be opened: {err}"));
    let opened = AccessLog::open(format, target(&said.to), ACCESS_CAPACITY).map_err(fault);
    opened.ok().map(|access| Some(Arc::new(access)))
}

/// Where the sink writes.
fn target(output: &Output) -> ripstop::Target {
    match output {
        Output::Stdout => ripstop::Target::Stdout,
        Output::Stderr => ripstop::Target::Stderr,
        Output::File(path) => ripstop::Target::File(path.clone()),
    }
}

impl Lines {
    fn open(log: &Log) -> io::Result<Self> {
        let sink = match log.format {
            LogFormat::Text => Sink::open(target(&log.to), LOG_CAPACITY)?,
            LogFormat::Json => Sink::open_noting(target(&log.to), LOG_CAPACITY, dropped_json)?,
        };
        let filter = env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
        let mut builder = env_logger::Builder::new();
        builder.parse_filters(filter.as_deref().unwrap_or(&log.filter));
        builder.target(Target::Pipe(Box::new(sink.clone())));
        if log.format == LogFormat::Json {
            builder.format(write_json);
        }
        Ok(Self { logger: builder.build(), sink })
    }
}

impl log::Log for Front {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.load().logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.0.load().logger.log(record);
    }

    fn flush(&self) {
        self.0.load().logger.flush();
    }
}

fn dropped_json(dropped: u64) -> String {
    json!({ "level": "WARN", "message": "log lines dropped", "dropped": dropped }).to_string()
}

/// One object a line; key-values stand beside the message.
fn write_json(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut fields = Fields(Map::new());
    // A value that can't be shown is left out; the rest of the line is worth having.
    let _ = record.key_values().visit(&mut fields);
    let mut line = fields.0;
    line.insert("time".to_owned(), json!(out.timestamp_millis().to_string()));
    line.insert("level".to_owned(), json!(record.level().as_str()));
    line.insert("target".to_owned(), json!(record.target()));
    line.insert("message".to_owned(), json!(record.args().to_string()));
    writeln!(out, "{}", Json::Object(line))
}

struct Fields(Map<String, Json>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), KeyValueError> {
        let value = match (value.to_u64(), value.to_bool()) {
            (Some(number), _) => json!(number),
            (None, Some(boolean)) => json!(boolean),
            (None, None) => json!(value.to_string()),
        };
        self.0.insert(key.as_str().to_owned(), value);
        Ok(())
    }
}
