//! The byte stream of a connection, what others may do with it while it rests, and how it ends.

use ripstop_survive::Claim;
use std::{
    fmt, io,
    task::{Context, Poll},
};

/// A byte stream, with what is done to it beside reading and writing.
pub struct Wire<I> {
    /// The stream.
    pub io: I,
    /// Makes the close that follows a reset (`SO_LINGER` of zero), so that the peer does not
    /// take what it got for the whole.
    pub abort: fn(&I),
    /// Closing the stream is all it takes to end it, as in clear text; under TLS a
    /// `close_notify` has to be sent first.
    pub ends_by_close: bool,
    /// The connection's claim, if others may take the connection while nothing is under way on it.
    pub claim: Option<Claim>,
    /// Waits until there is something to read, without reading it; at once where only reading can
    /// tell.
    pub poll_readable: fn(&I, &mut Context<'_>) -> Poll<io::Result<()>>,
    /// Whether the connection can leave its task while it is idle.
    pub parks: bool,
}

impl<I> fmt::Debug for Wire<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("claim", &self.claim).finish_non_exhaustive()
    }
}

/// A wire without its byte stream.
#[derive(Debug)]
pub(crate) struct Ends<I> {
    abort: fn(&I),
    ends_by_close: bool,
    claim: Option<Claim>,
    poll_readable: fn(&I, &mut Context<'_>) -> Poll<io::Result<()>>,
    parks: bool,
}

impl<I> Ends<I> {
    pub(crate) fn poll_readable(&self) -> fn(&I, &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_readable
    }

    pub(crate) fn parks(&self) -> bool {
        self.parks
    }

    /// The wire of this byte stream.
    pub(crate) fn of(self, io: I) -> Wire<I> {
        let Self { abort, ends_by_close, claim, poll_readable, parks } = self;
        Wire { io, abort, ends_by_close, claim, poll_readable, parks }
    }
}

impl<I> Wire<I> {
    /// The byte stream, and the rest of it.
    pub(crate) fn split(self) -> (I, Ends<I>) {
        let Self { io, abort, ends_by_close, claim, poll_readable, parks } = self;
        (io, Ends { abort, ends_by_close, claim, poll_readable, parks })
    }

    /// Closes the stream with a reset.
    pub(crate) fn reset(self) {
        (self.abort)(&self.io);
    }
}
