//! Floods: what an HTTP/2 peer may make the server do beside its requests.
//!
//! h2 bounds what a peer may make it *keep*: streams, header blocks, resets that its own errors
//! cause, DATA that nobody reads. It answers every PING and SETTINGS, and reads every PRIORITY,
//! `WINDOW_UPDATE` and unknown frame, for as long as they come; and a stream that is cancelled once
//! its handler runs costs its peer nothing at all. Here such frames are paid for. A connection has
//! two budgets: one for chores, which work (requests, data either way) earns anew, and one for
//! cancelled streams, which finished ones earn anew. Time earns a little of both, so that a quiet
//! connection may ping for ever. Pure: bytes go in, and how many of them may be passed on comes
//! out.

use super::heads::{Head, Heads};
use std::time::Duration;

/// Chores in a row. A SETTINGS or GOAWAY, which h2 takes to every stream, counts as several.
const CHORES: u32 = 1000;

/// Chores that a second earns.
const CHORES_PER_SECOND: u32 = 100;

/// What a frame costs that h2 takes to every stream, or to the log.
const DEAR: u32 = 10;

/// Chores that a request earns, and a DATA frame, if it is not tiny: gRPC clients send a PING and
/// two of `WINDOW_UPDATE` for one.
const EARNED: u32 = 4;

/// Bytes of DATA that earn a chore, up to [`EARNED`] a frame: with windows of a few bytes a peer
/// could have any response cut into as many frames as it likes.
const BYTES_PER_CHORE: u32 = 4;

/// Streams that may be cancelled in a row, at least.
const CANCELS: u32 = 500;

/// Streams that may be cancelled in a row, of those that may be open at once: a page that is left
/// cancels all it has.
const CANCELS_PER_STREAM: u32 = 4;

/// Cancelled streams that a second earns.
const CANCELS_PER_SECOND: u32 = 50;

/// Up to this length a padded DATA frame may be nothing but padding.
const PADDING_MAX: u32 = 256;

/// Bytes of the client's connection preface.
const PREFACE: usize = 24;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;

/// What there was too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    Chores,
    Cancels,
}

impl Excess {
    /// The debug data of the GOAWAY.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Chores => "too_many_frames_beside_requests",
            Self::Cancels => "too_many_cancelled_streams",
        }
    }
}

/// What a connection has sent, and may still send.
#[derive(Debug)]
pub(super) struct Flood {
    incoming: Heads,
    outgoing: Heads,
    chores: Budget,
    cancels: Budget,
    /// The last stream that the peer opened.
    last_stream: u32,
    excess: Option<Excess>,
}

impl Flood {
    /// Follows a connection on which so many streams may be open at once.
    pub(super) fn new(streams: u32) -> Self {
        let cancels = CANCELS.max(streams.saturating_mul(CANCELS_PER_STREAM));
        Self {
            incoming: Heads::after(PREFACE),
            outgoing: Heads::after(0),
            chores: Budget::new(CHORES, CHORES_PER_SECOND),
            cancels: Budget::new(cancels, CANCELS_PER_SECOND),
            last_stream: 0,
            excess: None,
        }
    }

    /// Takes in what was read, at `now` since the connection's begin, and tells how much of it may
    /// be passed on: all, or up to the end of the frame that was too much.
    pub(super) fn reads(&mut self, bytes: &[u8], now: impl Fn() -> Duration) -> usize {
        let mut at = 0;
        while at < bytes.len() && self.excess.is_none() {
            let (read, head) = self.incoming.next(&bytes[at..]);
            at += read;
            if let Some(head) = head {
                self.charge(head, &now);
            }
        }
        if self.excess.is_some() {
            at += self.incoming.pass(&bytes[at..]);
        }
        at
    }

    /// Takes in what was written.
    pub(super) fn writes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (written, head) = self.outgoing.next(bytes);
            bytes = &bytes[written..];
            if let Some(head) = head {
                self.earn(head);
            }
        }
    }

    /// What there was too much of, once nothing more may be passed on.
    pub(super) fn over(&self) -> Option<Excess> {
        self.excess.filter(|_| self.incoming.is_between())
    }

    /// The last stream that the peer opened.
    pub(super) fn last_stream(&self) -> u32 {
        self.last_stream
    }

    fn charge(&mut self, head: Head, now: &impl Fn() -> Duration) {
        let chores = match head.kind {
            HEADERS if head.stream > self.last_stream => {
                self.last_stream = head.stream;
                return self.chores.give(EARNED);
            }
            DATA if head.flags & END_STREAM != 0 => 0,
            DATA if head.len == 0 || (head.flags & PADDED != 0 && head.len <= PADDING_MAX) => 1,
            DATA => return self.chores.give(earned_by(head.len)),
            RST_STREAM => {
                if !self.cancels.take(1, now) {
                    self.excess = Some(Excess::Cancels);
                }
                0
            }
            SETTINGS if head.flags & ACK == 0 => DEAR,
            // A PING of the server's is rare, and h2 warns of each confirmation of none.
            PING if head.flags & ACK != 0 => DEAR,
            GOAWAY => DEAR,
            _ => 1,
        };
        if !self.chores.take(chores, now) {
            self.excess = Some(Excess::Chores);
        }
    }

    fn earn(&mut self, head: Head) {
        if head.kind == DATA {
            self.chores.give(earned_by(head.len));
        }
        if matches!(head.kind, DATA | HEADERS) && head.flags & END_STREAM != 0 {
            self.cancels.give(1);
        }
    }
}

/// What a DATA frame of so many bytes earns.
fn earned_by(len: u32) -> u32 {
    (len / BYTES_PER_CHORE).min(EARNED)
}

/// A bucket that work and time fill up again.
#[derive(Debug)]
struct Budget {
    left: u32,
    max: u32,
    per_second: u32,
    /// Until when time has been paid out.
    paid_until: Duration,
}

impl Budget {
    fn new(max: u32, per_second: u32) -> Self {
        Self { left: max, max, per_second, paid_until: Duration::ZERO }
    }

    fn give(&mut self, count: u32) {
        self.left = self.left.saturating_add(count).min(self.max);
    }

    /// Takes `count` out if it is there. The time is asked for only when nothing else is left.
    fn take(&mut self, count: u32, now: &impl Fn() -> Duration) -> bool {
        if self.left < count {
            self.pay_out(now());
        }
        let left = self.left.checked_sub(count);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    fn pay_out(&mut self, now: Duration) {
        let earned = now.saturating_sub(self.paid_until).as_millis() * u128::from(self.per_second);
        if earned >= 1000 {
            self.paid_until = now;
            self.give(u32::try_from(earned / 1000).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests;
