//! What the parts of one connection share: the side that reads, the handling of requests, and
//! the driver that waits for both.

use crate::{
    AccessLog, Connection, Earlier, Options, Refusal, Rules, Shared,
    buffers::Held,
    facts::RequestNumbers,
    progress::{Progress, Wait},
};
use ripstop_survive::Claim;
use ripstop_work::{Ending, Worker};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// How long a client that takes nothing is waited for while all clients hold too much.
const HURRY: Duration = Duration::from_secs(2);

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) options: Arc<Options>,
    pub(crate) facts: Arc<Connection>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) numbers: RequestNumbers,
    pub(crate) access: Option<Arc<AccessLog>>,
    pub(crate) rules: Arc<Rules>,
    /// For HTTP/1 also that of its requests.
    pub(crate) progress: Progress,
    /// What of its responses the client has not taken.
    pub(crate) held: Held,
    /// Exchanges that have begun and whose response is not finished.
    open: AtomicUsize,
    /// Requests that have come, where their number is limited.
    requests: AtomicU32,
    /// HTTP/1: the connection's claim, if others may take it while it rests.
    claim: Option<Claim>,
    /// HTTP/1: it has just come from another worker.
    pub(crate) has_moved: bool,
    /// HTTP/1: the claim says that it rests.
    resting: AtomicBool,
    /// HTTP/1: hyper waits for bytes, so that what it has read is no whole request.
    pub(crate) waits: AtomicBool,
    /// HTTP/1: somebody else has taken the connection.
    lost: AtomicBool,
    /// HTTP/1: everything that was owed has left hyper's buffer.
    pub(crate) flushed: AtomicBool,
    /// HTTP/1: a request was refused in a way that ends the connection: its peer may go on
    /// sending, and must get the answer all the same.
    pub(crate) refused: AtomicBool,
    /// HTTP/1: whether a client that goes while its request is handled is looked for; an
    /// [`EndWatch`].
    end_watch: AtomicU8,
    /// HTTP/1: where the reading side stands; a [`Reading`].
    reading: AtomicU8,
    /// HTTP/1: what became of a message that may turn the connection into a tunnel; a
    /// [`Switch`].
    switch: AtomicU8,
}

/// Where the reading side of an HTTP/1 connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nothing was read of the connection yet.
    Fresh,
    /// Between two messages: nothing of the next one was read.
    Between,
    /// In a request's head.
    Head,
    /// In a request's body.
    Body,
    /// Behind the head of a request that may turn the connection into a tunnel, until the answer
    /// to it is known.
    Held,
    /// At the first line of an HTTP/2 preface.
    Preface,
    /// At a head that is refused.
    Refused(Refusal),
}

/// Numbers above all others of [`Reading`] are those of refusals, moved by this.
const REFUSED: u8 = 128;

impl Reading {
    fn to_number(self) -> u8 {
        match self {
            Self::Between => 0,
            Self::Head => 1,
            Self::Body => 2,
            Self::Preface => 3,
            Self::Fresh => 4,
            Self::Held => 5,
            Self::Refused(refusal) => REFUSED + refusal as u8,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Between,
            1 => Self::Head,
            2 => Self::Body,
            3 => Self::Preface,
            4 => Self::Fresh,
            5 => Self::Held,
            _ => Self::Refused(
                Refusal::from_number(number.wrapping_sub(REFUSED)).unwrap_or(Refusal::BadMessage),
            ),
        }
    }
}

/// Whether a client that goes while its last request is handled is looked for. Most handlers answer
/// at once, and then a look at the stream in between is a system call for nothing, and on a fresh
/// connection the only reason to join the reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndWatch {
    /// The connection's last request has just begun.
    NotYet,
    /// hyper wanted to look, and was put off.
    PutOff,
    /// The request is not the last one, or the handler takes its time.
    On,
}

/// Whether the connection stays HTTP/1 after a message that may turn it into a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// The answer is not known.
    Undecided,
    /// It was refused or ignored.
    Stay,
    /// The answer is 101, or 2xx to CONNECT, and the driver has yet to prepare for it.
    Wanted,
    /// The driver is prepared.
    Tunnel,
}

impl Conn {
    pub(crate) fn new(
        shared: Shared,
        facts: Arc<Connection>,
        worker: Arc<Worker>,
        claim: Option<Claim>,
        earlier: Option<Earlier>,
    ) -> Self {
        let Shared { options, access, rules, buffers } = shared;
        let progress = Progress::new(worker.clock());
        let age = earlier.map(|earlier| earlier.age).unwrap_or_default();
        let max_age = options.timeouts.connection_age;
        progress.set(Wait::Age, max_age.map(|max| max.saturating_sub(age)));
        let reading = match earlier {
            Some(_) => Reading::Between,
            None => {
                progress.set(Wait::Peer, options.timeouts.header);
                Reading::Fresh
            }
        };
        Self {
            options,
            facts,
            worker,
            numbers: RequestNumbers::of_new_connection(),
            access,
            rules,
            progress,
            held: Held::new(buffers),
            open: AtomicUsize::new(0),
            requests: AtomicU32::new(earlier.map(|earlier| earlier.requests).unwrap_or_default()),
            claim,
            has_moved: earlier.is_some_and(|earlier| earlier.moved),
            resting: AtomicBool::new(claim.is_some_and(Claim::is_resting)),
            waits: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            flushed: AtomicBool::new(true),
            refused: AtomicBool::new(false),
            end_watch: AtomicU8::new(EndWatch::On as u8),
            reading: AtomicU8::new(reading.to_number()),
            switch: AtomicU8::new(Switch::Undecided as u8),
        }
    }

    /// Whether no response is owed or on its way.
    pub(crate) fn owes_nothing(&self) -> bool {
        self.open.load(Relaxed) == 0
    }

    /// Whether more than one exchange is open.
    pub(crate) fn is_busy(&self) -> bool {
        self.open.load(Relaxed) > 1
    }

    /// HTTP/1: whether nothing is owed and nothing on its way: only then may the driver write,
    /// and only then does the peer's time run.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.owes_nothing() && self.flushed.load(Relaxed)
    }

    /// HTTP/1: tells others, if it is certain, that they may take the connection: nothing is owed,
    /// and nothing of a next request was read. hyper has read all that the guard let pass, and waits
    /// for more: so what it holds would be a part of a message, and the guard says that there is none.
    pub(crate) fn rests(&self) {
        let fresh = self.reading() == Reading::Fresh;
        if (fresh || self.is_between()) && !self.is_resting() {
            self.resting.store(true, Relaxed);
            self.claim.inspect(|claim| claim.rest());
        }
    }

    /// HTTP/1: whether, at rest, it is between two requests for certain, so that it can leave its
    /// task.
    pub(crate) fn is_between(&self) -> bool {
        self.reading() == Reading::Between && self.waits.load(Relaxed)
    }

    /// HTTP/1: whether others may take the connection at this moment.
    pub(crate) fn is_resting(&self) -> bool {
        self.resting.load(Relaxed)
    }

    /// How far the connection is asked to end: what nobody else can go on with ends.
    pub(crate) fn ending(&self) -> Ending {
        match self.worker.ending() {
            Ending::MoveOn if self.claim.is_none() => Ending::AfterRequest,
            ending => ending,
        }
    }

    /// HTTP/1: whether, at rest, it is to go on elsewhere.
    pub(crate) fn moves_on(&self) -> bool {
        let can = self.reading() == Reading::Fresh || self.is_between();
        can && self.ending() == Ending::MoveOn
    }

    /// HTTP/1: to be called before anything is read of a connection that rests. False if somebody
    /// has taken it.
    pub(crate) fn resumes(&self) -> bool {
        if !self.is_resting() {
            return !self.is_lost();
        }
        self.resting.store(false, Relaxed);
        let ours = self.claim.is_none_or(Claim::resume);
        self.lost.store(!ours, Relaxed);
        ours
    }

    /// HTTP/1: whether somebody has taken the connection, so that nothing must be done with it.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }

    /// Whether the connection, which is idle, has been so for longer than it may be while memory is
    /// short.
    pub(crate) fn gives_way(&self) -> bool {
        let Some(max) = self.worker.thrift().idle_max() else { return false };
        let idle = self.options.timeouts.idle.zip(self.progress.left(Wait::Peer));
        // Where there is no deadline, nobody knows since when.
        idle.is_none_or(|(idle, left)| idle.saturating_sub(left) >= max)
    }

    /// Gives a client less time to take what it is sent, on this connection or a stream of it, while
    /// all clients hold too much.
    pub(crate) fn hurries(&self, progress: &Progress) {
        let waits = progress.left(Wait::Write).is_some();
        if waits && self.worker.thrift().hurries() && self.held.counts() {
            progress.set_sooner(Wait::Write, HURRY);
        }
    }

    /// A client is given up since it takes nothing.
    pub(crate) fn gives_up(&self) {
        if self.worker.thrift().hurries() && self.held.counts() {
            self.worker.thrift().cuts();
        }
    }

    /// HTTP/1: bytes of a response go out.
    pub(crate) fn responds(&self) {
        self.claim.inspect(|claim| claim.start());
    }

    /// What a later task has to know of the connection.
    pub(crate) fn requests_so_far(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    /// A request has come.
    pub(crate) fn request_comes(&self) {
        if self.options.limits.requests.is_some() {
            self.requests.fetch_add(1, Relaxed);
        }
    }

    /// Whether as many requests have come as may: the connection ends after them.
    pub(crate) fn is_used_up(&self) -> bool {
        let max = self.options.limits.requests;
        max.is_some_and(|max| self.requests.load(Relaxed) >= max)
    }

    pub(crate) fn exchange_begins(&self) {
        self.open.fetch_add(1, Relaxed);
        self.worker.load().request_begins();
    }

    /// Returns whether it was the last open one.
    pub(crate) fn exchange_ended(&self) -> bool {
        self.worker.load().request_ended();
        self.open.fetch_sub(1, Relaxed) == 1
    }

    /// The request that begins says that it is the connection's last one.
    pub(crate) fn last_request_begins(&self) {
        self.end_watch.store(EndWatch::NotYet as u8, Relaxed);
    }

    /// Whether a look for the end of the stream, while a request is handled, comes too early.
    pub(crate) fn puts_end_watch_off(&self) -> bool {
        if self.end_watch.load(Relaxed) == EndWatch::On as u8 {
            return false;
        }
        self.end_watch.store(EndWatch::PutOff as u8, Relaxed);
        true
    }

    /// Begins to look if that was put off. Whoever gets `true` polls the connection again, for
    /// nothing else wakes it when the client goes.
    pub(crate) fn begins_end_watch(&self) -> bool {
        let put_off = self.end_watch.load(Relaxed) == EndWatch::PutOff as u8;
        if put_off {
            self.end_watch.store(EndWatch::On as u8, Relaxed);
        }
        put_off
    }

    pub(crate) fn reading(&self) -> Reading {
        Reading::from_number(self.reading.load(Relaxed))
    }

    pub(crate) fn set_reading(&self, reading: Reading) {
        self.reading.store(reading.to_number(), Relaxed);
    }

    pub(crate) fn switch(&self) -> Switch {
        match self.switch.load(Relaxed) {
            0 => Switch::Undecided,
            1 => Switch::Stay,
            2 => Switch::Wanted,
            _ => Switch::Tunnel,
        }
    }

    pub(crate) fn set_switch(&self, switch: Switch) {
        self.switch.store(switch as u8, Relaxed);
    }
}

/// A request's way to its connection, and to the progress that is its own.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) conn: Arc<Conn>,
    /// HTTP/2: the stream's.
    pub(crate) stream: Option<Arc<Progress>>,
}

impl Link {
    pub(crate) fn progress(&self) -> &Progress {
        self.stream.as_deref().unwrap_or(&self.conn.progress)
    }
}
