//! The byte stream of a connection, and how it ends.

/// A byte stream, and how it is cut off.
#[derive(Debug)]
pub struct Wire<I> {
    /// The stream.
    pub io: I,
    /// Makes the close that follows a reset (`SO_LINGER` of zero), so that the peer does not
    /// take what it got for the whole.
    pub abort: fn(&I),
    /// Closing the stream is all it takes to end it, as in clear text; under TLS a
    /// `close_notify` has to be sent first.
    pub ends_by_close: bool,
}

impl<I> Wire<I> {
    /// Closes the stream with a reset.
    pub(crate) fn reset(self) {
        (self.abort)(&self.io);
    }
}
