//! What a connection costs its worker, kept while that worker should give connections away.

use ripstop_work::{LoadCell, Relief};
use std::time::{Duration, Instant};

/// Windows that a connection stays where it came to.
const SETTLED: u8 = 10;

/// The costs of one connection.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The number of the window that `spent` is of.
    window: u32,
    spent: Duration,
    /// What was spent in the window before, if all of that was looked at.
    last: Option<Duration>,
    /// Windows until it may move.
    settled: u8,
}

/// A poll that is being paid for.
pub(crate) struct Paid(Option<(Relief, Instant)>);

impl Paid {
    /// A poll begins. Without need for relief, time is not even asked for.
    pub(crate) fn begin(load: &LoadCell) -> Self {
        Self(load.relief().map(|relief| (relief, Instant::now())))
    }
}

impl Ledger {
    /// `moved`: the connection has just come from another worker.
    pub(crate) fn new(moved: bool) -> Self {
        let settled = if moved { SETTLED } else { 0 };
        Self { window: 0, spent: Duration::ZERO, last: None, settled }
    }

    /// The poll is over.
    pub(crate) fn pay(&mut self, paid: &Paid) {
        if let Some((relief, begin)) = paid.0 {
            self.enter(relief.window, begin.elapsed());
        }
    }

    fn enter(&mut self, window: u32, spent: Duration) {
        if window != self.window {
            let follows = window == self.window.wrapping_add(1);
            self.last = follows.then_some(self.spent);
            (self.window, self.spent) = (window, Duration::ZERO);
            self.settled = self.settled.saturating_sub(1);
        }
        self.spent += spent;
    }

    /// The worker that the connection should go to, if it should: then it counts as given away.
    pub(crate) fn moves(&self, paid: &Paid, load: &LoadCell) -> Option<usize> {
        let (relief, _) = paid.0?;
        let permille =
            self.permille().filter(|permille| (1..=relief.permille).contains(permille))?;
        load.gives(relief.window, permille).then_some(usize::from(relief.to))
    }

    /// The share of a worker's time that it took in the last window.
    fn permille(&self) -> Option<u16> {
        let last = self.last.filter(|_| self.settled == 0)?;
        u16::try_from(last.as_micros() * 1000 / Relief::WINDOW.as_micros()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time spent in a series of windows, and the share that follows from it.
    #[track_caller]
    fn check(moved: bool, spent: &[(u32, u64)], permille: Option<u16>) {
        let mut ledger = Ledger::new(moved);
        for &(window, ms) in spent {
            ledger.enter(window, Duration::from_millis(ms));
        }
        assert_eq!(ledger.permille(), permille, "{spent:?}");
    }

    #[test]
    fn the_share_is_that_of_the_last_whole_window() {
        check(false, &[(5, 10)], None);
        check(false, &[(5, 10), (5, 20), (6, 1)], Some(300));
        check(false, &[(5, 10), (6, 0), (7, 0)], Some(0));
        check(false, &[(5, 10), (7, 1)], None);
    }

    #[test]
    fn who_has_just_come_stays() {
        let windows: Vec<_> = (1..=9).map(|window| (window, 10)).collect();
        check(true, &windows, None);
        let windows: Vec<_> = (1..=10).map(|window| (window, 10)).collect();
        check(true, &windows, Some(100));
    }
}
