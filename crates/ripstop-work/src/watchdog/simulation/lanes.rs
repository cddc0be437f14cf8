//! The lanes of routes, with a list of what each was charged with.

use super::Seen;
use ripstop_balance::{Change, Conduct, Run};
use std::time::Duration;

/// A second charge so long after another makes a route queued.
const MINUTE: u64 = 60_000;

/// A route.
#[derive(Debug, Default)]
pub(super) struct Lane {
    conduct: Conduct,
    /// When it was charged, since it has been inline.
    charges: Vec<u64>,
}

impl Lane {
    pub(super) fn run(&self) -> Run {
        self.conduct.run()
    }

    /// Charges it, and checks what comes of that.
    pub(super) fn charge(&mut self, now: u64, seen: &mut Seen) {
        let before = self.conduct.run();
        let change = self.conduct.stalled(Duration::from_millis(now));
        let within = self.charges.last().is_some_and(|last| now - last <= MINUTE);
        let expected = before == Run::Inline && within;
        let queued = matches!(change, Some(Change::ToQueued { .. }));
        assert_eq!(queued, expected, "queued by the charges {:?} and {now}", self.charges);
        if queued {
            seen.insert("a route that was queued");
        }
        if before == Run::Inline {
            self.charges.push(now);
        }
    }

    /// A job of it has run, in one poll at most for so long.
    pub(super) fn ran(&mut self, now: u64, longest: u64, stall: u64, seen: &mut Seen) {
        let [now, longest, stall] = [now, longest, stall].map(Duration::from_millis);
        let change = self.conduct.ran(now, longest, stall);
        if change == Some(Change::ToInline) {
            self.charges.clear();
            seen.insert("a route that came back");
        }
        assert!(!matches!(change, Some(Change::ToQueued { .. })), "an executor may be held");
    }
}
