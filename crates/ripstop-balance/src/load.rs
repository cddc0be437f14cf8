//! What a policy sees of one worker: a snapshot, already stale when it is read.

/// One worker's load at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// No thread of the worker makes progress: nothing is placed there.
    pub stuck: bool,
    /// Connections the worker owns.
    pub connections: usize,
    /// Requests whose response is not finished yet.
    pub in_flight: usize,
    /// Share of the last observed window in which the worker was busy, 0 to 100 percent.
    pub busy_percent: u8,
}

impl Load {
    /// Whether the worker has nothing to do, as far as the snapshot knows.
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.busy_percent < IDLE_BELOW_PERCENT
    }
}

/// A worker under this busy share answers a new connection at once.
const IDLE_BELOW_PERCENT: u8 = 50;
