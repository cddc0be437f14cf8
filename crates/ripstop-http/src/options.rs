//! What a server allows a peer and itself: limits, deadlines, and what a disconnect means.

use ripstop_balance::Lane;
use std::{num::NonZeroU32, time::Duration};

/// How connections are served. All of it may change from one connection to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// How much a peer may send.
    pub limits: Limits,
    /// What happens to a handler whose client has gone.
    pub disconnect: Disconnect,
    /// Whether the handler takes `CONNECT`; without it, such a request is answered 405.
    pub connect: bool,
    /// Where handlers run: on their connection's worker, or on executors.
    pub lane: Lane,
}

/// What happens to a handler whose client has gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disconnect {
    /// Its future is dropped.
    #[default]
    CancelHandler,
    /// It runs to its end as a task of the worker, and its response is dropped.
    RunToEnd,
}

/// Deadlines. `None` turns one off. Each holds to within two ticks of the worker's clock and is
/// never early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the accept, or from the first byte of a later request, to the end of its head:
    /// then 408. Default 10 s.
    pub header: Option<Duration>,
    /// Between two pieces of a request's body while the handler waits for one: then 408, or a
    /// reset where the response has begun. See also [`Limits::rate`]. Default 30 s.
    pub body: Option<Duration>,
    /// Between two pieces of a response that the peer takes: then a reset. See also
    /// [`Limits::rate`]. Default 30 s.
    pub write: Option<Duration>,
    /// Between two requests of a connection: then it is closed; one that is parked up to
    /// [`Timeouts::park`] and [`Timeouts::sweep`] later. Default 75 s.
    pub idle: Option<Duration>,
    /// Between two requests of an HTTP/1 connection: then it leaves its task, and costs next to
    /// nothing until its next bytes come; sooner where memory is short, or the worker has a crowd
    /// of them. Where it is not shorter than `idle`, it never does. Default 1 s.
    pub park: Option<Duration>,
    /// From the request's head to the response's head, counted anew from each piece of the
    /// request's body: then 504. Default 60 s.
    pub request: Option<Duration>,
    /// The age at which a connection is asked to end after its request. Default off.
    pub connection_age: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Some(Duration::from_secs(10)),
            body: Some(Duration::from_secs(30)),
            write: Some(Duration::from_secs(30)),
            idle: Some(Duration::from_secs(75)),
            park: Some(Duration::from_secs(1)),
            request: Some(Duration::from_secs(60)),
            connection_age: None,
        }
    }
}

impl Timeouts {
    /// How often those are looked over that are parked: a thirty-second part of the idle time, but
    /// no more often than the clock ticks, and at least every two seconds.
    pub fn sweep(&self) -> Duration {
        let rarely = Duration::from_secs(2);
        self.idle.map_or(rarely, |idle| (idle / 32).min(rarely).max(self.tick()))
    }

    /// The tick of the worker's clock that suits these timeouts: an eighth of the shortest, in
    /// the range of 5 to 250 ms.
    pub fn tick(&self) -> Duration {
        let all =
            [self.header, self.body, self.write, self.idle, self.request, self.connection_age];
        let shortest = all.into_iter().flatten().min().unwrap_or(Duration::MAX);
        (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }
}

/// Bounds on what a peer may send, each with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request target: 414 above. Default 8 KiB.
    pub uri: usize,
    /// Bytes of a request's head, and of an HTTP/2 header list: 431 above. Default 64 KiB.
    pub head: usize,
    /// Header fields of a request: 431 above. Default 100.
    pub fields: usize,
    /// Bytes of a request's body: 413 above. Default none.
    pub body: Option<u64>,
    /// Bytes a second that a peer has to send of a body, until the response begins, or take of
    /// what it is sent: a second of waiting for it is given back for each so many. Without it a
    /// byte now and then is enough. Default 240.
    pub rate: Option<NonZeroU32>,
    /// HTTP/2 streams that a connection may have open at once: refused above. Default 128.
    pub streams: u32,
    /// Requests of a connection: it is asked to end after so many, by `Connection: close` or
    /// GOAWAY, and what an HTTP/2 client sends before it has heard of that is answered. Default
    /// none.
    pub requests: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            uri: 8 << 10,
            head: 64 << 10,
            fields: 100,
            body: None,
            rate: NonZeroU32::new(240),
            streams: 128,
            requests: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tick_follows_the_shortest_timeout_within_its_range() {
        let with = |idle| Timeouts { idle, ..Timeouts::default() };
        assert_eq!(Timeouts::default().tick(), Duration::from_millis(250));
        assert_eq!(with(Some(Duration::from_millis(400))).tick(), Duration::from_millis(50));
        assert_eq!(with(Some(Duration::from_millis(1))).tick(), Duration::from_millis(5));
    }
}
