//! The placement policies: which worker is next.

use crate::Load;
use std::{fmt, str::FromStr};

/// How the next worker is chosen. A stuck worker is never chosen while another is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// One after the other.
    RoundRobin,
    /// The worker that owns the fewest connections.
    LeastConnections,
    /// An idle worker first, else the one with the fewest requests in flight, then the lowest
    /// busy share, then the fewest connections. A full scan: for up to 64 workers it is markedly
    /// better than two random choices.
    #[default]
    LeastLoaded,
    /// The less loaded of two workers drawn at random (Mitzenmacher, "The Power of Two Choices
    /// in Randomized Load Balancing", 2001).
    TwoChoices,
}

impl Placement {
    /// Every policy, in the order in which documentation lists them.
    pub const ALL: [Self; 4] =
        [Self::RoundRobin, Self::LeastConnections, Self::LeastLoaded, Self::TwoChoices];

    /// The policy's name in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::LeastConnections => "least-connections",
            Self::LeastLoaded => "least-loaded",
            Self::TwoChoices => "two-choices",
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Placement {
    type Err = ParsePlacementError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|policy| policy.name() == name).ok_or(ParsePlacementError)
    }
}

/// The text names no placement policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsePlacementError;

impl fmt::Display for ParsePlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "unknown placement policy, expected round-robin, least-connections, least-loaded or \
             two-choices",
        )
    }
}

impl std::error::Error for ParsePlacementError {}

/// A policy together with the little it has to remember.
#[derive(Clone, Debug)]
pub struct Placer {
    policy: Placement,
    /// Where the next scan starts, so that equals take turns.
    next: usize,
    /// State of the xorshift generator behind two-choices; never zero.
    random: u64,
}

impl Placer {
    /// A placer for `policy`; `seed` feeds the draws of two-choices, any value will do.
    pub fn new(policy: Placement, seed: u64) -> Self {
        Self { policy, next: 0, random: seed | 1 }
    }

    /// The index of the worker that should get the next connection, `None` if `loads` is empty.
    pub fn place(&mut self, loads: &[Load]) -> Option<usize> {
        if loads.is_empty() {
            return None;
        }
        let chosen = match self.policy {
            Placement::RoundRobin => self.scan(loads, |load| load.stuck),
            Placement::LeastConnections => self.scan(loads, |l| (l.stuck, l.connections)),
            Placement::LeastLoaded => self.scan(loads, pressure),
            Placement::TwoChoices => self.draw_two(loads),
        };
        self.next = (chosen + 1) % loads.len();
        Some(chosen)
    }

    /// The first index with the least key, starting after the last one chosen.
    fn scan<K: Ord>(&self, loads: &[Load], key: impl Fn(&Load) -> K) -> usize {
        let turn = |i: usize| (self.next + i) % loads.len();
        let least = (0..loads.len()).min_by_key(|&i| key(&loads[turn(i)])).unwrap_or(0);
        turn(least)
    }

    fn draw_two(&mut self, loads: &[Load]) -> usize {
        let first = self.draw(loads.len());
        // One of the others, where there are any.
        let further = 1 + self.draw((loads.len() - 1).max(1));
        let second = (first + further) % loads.len();
        let better = std::cmp::min_by_key(first, second, |&index| pressure(&loads[index]));
        if loads[better].stuck { self.scan(loads, pressure) } else { better }
    }

    /// A number below `bound`, by xorshift64 (Marsaglia, "Xorshift RNGs", 2003).
    fn draw(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        // The low bits of xorshift are its weakest; the modulo bias is far below the noise.
        usize::try_from(self.random >> 33).unwrap_or(0) % bound
    }
}

/// Orders workers by how soon they would turn to one more connection.
fn pressure(load: &Load) -> (bool, bool, usize, u8, usize) {
    if load.is_idle() {
        return (load.stuck, false, 0, 0, load.connections);
    }
    // In steps of ten percent: smaller differences are noise of the window.
    (load.stuck, true, load.in_flight, load.busy_percent / 10, load.connections)
}

#[cfg(test)]
mod tests;
