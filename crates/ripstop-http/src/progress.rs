//! What a connection or an HTTP/2 stream waits for, until when, and what was decided when it
//! took too long.
//!
//! An HTTP/1 connection has one progress for all its requests, which come one after the other;
//! an HTTP/2 connection has one for itself and one for each stream.

use crate::Refusal;
use ripstop_work::{Clock, Registered};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    task::Waker,
    time::Duration,
};

/// What is waited for, each with a deadline of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// For bytes of the peer: a request, the rest of its head, more of its body.
    Peer,
    /// For the head of the handler's response.
    Handler,
    /// For the peer to take bytes.
    Write,
    /// For the connection to grow old.
    Age,
}

/// The deadlines of a connection or a stream, and the verdict on its request.
#[derive(Debug)]
pub(crate) struct Progress {
    deadlines: Registered,
    /// A [`Refusal`] by its number, 0 for none. Written by the reading side and by whoever saw a
    /// deadline pass; read by the handling of the request.
    verdict: AtomicU8,
    /// The head of the response is known. Written and read by the handling of the request.
    responded: AtomicBool,
}

impl Progress {
    pub(crate) fn new(clock: &Arc<Clock>) -> Self {
        let responded = AtomicBool::new(false);
        Self { deadlines: clock.register(), verdict: AtomicU8::new(0), responded }
    }

    /// The time on the worker's clock, as of its last tick.
    pub(crate) fn now(&self) -> Duration {
        self.deadlines.now()
    }

    /// Names the task to wake when a deadline passes.
    pub(crate) fn wakes(&self, waker: &Waker) {
        self.deadlines.wakes(waker);
    }

    /// Whether some deadline may have passed.
    pub(crate) fn any_passed(&self) -> bool {
        self.deadlines.any_passed()
    }

    pub(crate) fn set(&self, wait: Wait, timeout: Option<Duration>) {
        self.deadlines.set(wait as usize, timeout);
    }

    /// Sets the deadline unless one is running.
    pub(crate) fn set_if_clear(&self, wait: Wait, timeout: Option<Duration>) {
        if !self.deadlines.is_set(wait as usize) {
            self.set(wait, timeout);
        }
    }

    /// Moves a deadline closer, never away.
    pub(crate) fn set_sooner(&self, wait: Wait, timeout: Duration) {
        self.deadlines.set_sooner(wait as usize, timeout);
    }

    /// Counts the handler's time anew, if it still runs.
    pub(crate) fn extend_handler(&self, timeout: Option<Duration>) {
        if self.deadlines.is_set(Wait::Handler as usize) {
            self.set(Wait::Handler, timeout);
        }
    }

    pub(crate) fn clear(&self, wait: Wait) {
        self.deadlines.clear(wait as usize);
    }

    /// How long it is until the deadline, if one is running.
    pub(crate) fn left(&self, wait: Wait) -> Option<Duration> {
        self.deadlines.left(wait as usize)
    }

    pub(crate) fn passed(&self, wait: Wait) -> bool {
        self.deadlines.passed(wait as usize)
    }

    /// Decides that the request that is being read or handled is refused. The first one holds.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        // A refusal that comes second changes nothing, so the result does not matter.
        let _ = self.verdict.compare_exchange(0, refusal as u8, Relaxed, Relaxed);
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self.verdict.load(Relaxed) {
            0 => None,
            number => Refusal::from_number(number),
        }
    }

    /// What a passed deadline means for the request that is being handled.
    pub(crate) fn judge_request(&self) {
        if self.passed(Wait::Peer) {
            self.refuse(Refusal::PeerTimeout);
        } else if self.passed(Wait::Handler) {
            self.refuse(Refusal::HandlerTimeout);
        }
    }

    /// The head of the response is known.
    pub(crate) fn responds(&self) {
        self.clear(Wait::Handler);
        self.responded.store(true, Relaxed);
    }

    /// Whether the head of the response is known.
    pub(crate) fn has_responded(&self) -> bool {
        self.responded.load(Relaxed)
    }

    /// A new request: no verdict on it yet, and no response.
    pub(crate) fn forget_verdict(&self) {
        self.verdict.store(0, Relaxed);
        self.responded.store(false, Relaxed);
    }
}
