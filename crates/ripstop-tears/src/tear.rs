//! Sightings, and the reports that are made of them.

use crate::{Activity, Kind, Stack, culprit::is_runtime};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// What whoever saw a fault knows of it; filed once.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// What kind of fault.
    pub kind: Kind,
    /// The worker it happened in.
    pub worker: Option<usize>,
    /// The name of the thread it happened in.
    pub thread: String,
    /// The route of the request; bounds the log together with the kind.
    pub route: Option<Arc<str>>,
    /// The id of the request.
    pub request_id: Option<String>,
    /// Who sent the request.
    pub peer: Option<SocketAddr>,
    /// How long it had lasted when it was seen.
    pub lasted: Option<Duration>,
    /// What the stuck thread did meanwhile.
    pub activity: Option<Activity>,
    /// What else there is to say, such as the text of a panic; may be empty.
    pub message: String,
    /// Where the thread was.
    pub stack: Stack,
}

impl Sighting {
    /// A sighting of which no more is known.
    pub fn new(kind: Kind, thread: &str) -> Self {
        Self {
            kind,
            worker: None,
            thread: thread.into(),
            route: None,
            request_id: None,
            peer: None,
            lasted: None,
            activity: None,
            message: String::new(),
            stack: Stack::empty(),
        }
    }
}

/// A report: a sighting with its number, its time and its resolved stack.
///
/// Its [`Display`](std::fmt::Display) is a record of several lines for people. Nothing that a peer
/// sent can forge a line of it.
#[derive(Clone, Debug)]
pub struct Tear {
    /// Counted from 1, in the order of reporting.
    pub number: u64,
    /// When it was filed.
    pub time: SystemTime,
    /// What kind of fault.
    pub kind: Kind,
    /// The worker it happened in.
    pub worker: Option<usize>,
    /// The name of the thread it happened in.
    pub thread: String,
    /// The route of the request.
    pub route: Option<Arc<str>>,
    /// The id of the request.
    pub request_id: Option<String>,
    /// Who sent the request.
    pub peer: Option<SocketAddr>,
    /// How long it had lasted when it was seen.
    pub lasted: Option<Duration>,
    /// What the stuck thread did meanwhile.
    pub activity: Option<Activity>,
    /// What else there is to say; may be empty.
    pub message: String,
    /// The resolved stack, innermost frame first, with what was inlined, down to the last frame that
    /// is the application's own; the whole of it if none is.
    pub stack: Vec<Frame>,
    /// How many further frames of the runtime there were.
    pub outer_frames: usize,
}

impl Tear {
    pub(crate) fn new(number: u64, time: SystemTime, of: Sighting, mut stack: Vec<Frame>) -> Self {
        let last = stack.iter().rposition(|frame| !is_runtime(frame));
        let outer = stack.split_off(last.map_or(stack.len(), |last| last + 1));
        stack.shrink_to_fit();
        Self {
            number,
            time,
            kind: of.kind,
            worker: of.worker,
            thread: of.thread,
            route: of.route,
            request_id: of.request_id,
            peer: of.peer,
            lasted: of.lasted,
            activity: of.activity,
            message: of.message,
            stack,
            outer_frames: outer.len(),
        }
    }

    /// The first frame that is the application's own: none of the standard library, the C library,
    /// tokio, hyper, tower, axum or Ripstop.
    pub fn culprit(&self) -> Option<&Frame> {
        self.stack.iter().find(|frame| !is_runtime(frame))
    }
}

/// A function on a stack, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// An address inside the instruction that was running, or inside the call.
    pub address: usize,
    /// Demangled. Without symbols: the module and the address in it.
    pub function: Option<String>,
    /// The source file. Of a registry's crate or the standard library, the path begins with the
    /// name of the crate.
    pub file: Option<String>,
    /// Counted from 1.
    pub line: Option<u32>,
}
