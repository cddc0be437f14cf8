//! When connections move from a worker that is behind to one that is not.
//!
//! Looked at once a window. An order names who gives and who gets, and how much: half of what the
//! one is busier than the other, so that both would be equal after it. Which connections go is
//! decided by themselves, between two requests, from what each has cost in the last window.

use crate::Load;

/// The busy share from which on a worker is worth relieving, percent.
const BUSY_MIN: u8 = 30;

/// A difference of busy shares from which on connections move, percent, and one below which they
/// stop. In between, what was goes on.
const GAP: (u8, u8) = (10, 5);

/// Windows that the difference must last: one alone may be a burst.
const PATIENCE: u8 = 2;

/// What is to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The worker that gives connections away.
    pub from: usize,
    /// The worker that gets them.
    pub to: usize,
    /// What they may cost in all: thousandths of a worker's time.
    pub permille: u16,
}

/// The policy with the little that it remembers.
#[derive(Clone, Debug, Default)]
pub struct Mover {
    /// Windows in which the difference was too large, up to the patience.
    seen: u8,
    moving: bool,
}

impl Mover {
    /// Judges the loads of all workers at the end of a window.
    pub fn judge(&mut self, loads: &[Load]) -> Option<Order> {
        let order = between(loads);
        let gap = order.map_or(0, |(_, gap)| gap);
        let (begin, end) = GAP;
        self.seen = if gap >= begin { PATIENCE.min(self.seen + 1) } else { 0 };
        self.moving = self.seen >= PATIENCE || (self.moving && gap >= end);
        order.filter(|_| self.moving).map(|(order, _)| order)
    }
}

/// What would move between the busiest worker and the one that is least busy, and by how many
/// percent they differ.
fn between(loads: &[Load]) -> Option<(Order, u8)> {
    let free = || loads.iter().enumerate().filter(|(_, load)| !load.stuck);
    let (from, most) = free().max_by_key(|(_, load)| load.busy_percent)?;
    let (to, least) = free().min_by_key(|(_, load)| load.busy_percent)?;
    let gap = most.busy_percent.saturating_sub(least.busy_percent);
    let worth_it = from != to && most.busy_percent >= BUSY_MIN;
    // Half of it, in thousandths.
    worth_it.then_some((Order { from, to, permille: u16::from(gap) * 5 }, gap))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(busy: &[u8]) -> Vec<Load> {
        busy.iter().map(|&busy_percent| Load { busy_percent, ..Load::default() }).collect()
    }

    /// The orders that follow from a series of windows.
    #[track_caller]
    fn check(windows: &[&[u8]], expected: &[Option<(usize, usize, u16)>]) {
        let mut mover = Mover::default();
        let judge = |busy: &&[u8]| mover.judge(&loads(busy));
        let orders: Vec<_> = windows.iter().map(judge).collect();
        let expected = expected.iter().copied();
        let expected: Vec<_> = expected
            .map(|at| at.map(|(from, to, permille)| Order { from, to, permille }))
            .collect();
        assert_eq!(orders, expected);
    }

    #[test]
    fn half_of_the_difference_moves_once_it_has_lasted() {
        check(&[&[90, 10], &[90, 10], &[60, 50]], &[None, Some((0, 1, 400)), Some((0, 1, 50))]);
        check(&[&[10, 50, 90][..]; 2], &[None, Some((2, 0, 400))]);
    }

    #[test]
    fn a_burst_moves_nothing() {
        check(&[&[90, 10], &[50, 50], &[90, 10], &[50, 50]], &[None; 4]);
    }

    #[test]
    fn it_goes_on_until_the_difference_is_small_and_does_not_flap() {
        let windows: &[&[u8]] = &[&[60, 50], &[60, 50], &[56, 50], &[54, 50], &[58, 50]];
        check(windows, &[None, Some((0, 1, 50)), Some((0, 1, 30)), None, None]);
    }

    #[test]
    fn nobody_moves_on_a_server_with_little_to_do_or_from_or_to_a_stuck_worker() {
        check(&[&[29, 0][..]; 3], &[None; 3]);
        check(&[&[90][..]; 3], &[None; 3]);
        let mut stuck = loads(&[90, 0]);
        stuck[1].stuck = true;
        let mut mover = Mover::default();
        assert!((0..3).all(|_| mover.judge(&stuck).is_none()));
    }
}
