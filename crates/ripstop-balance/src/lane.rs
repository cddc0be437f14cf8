//! The lane of a route: run where its connection is, or queued for the executors; and how that is
//! learned from its conduct.
//!
//! Two stalls close together make a route queued. It comes back after a stretch of good conduct,
//! which is longer each time, so that a route on the verge does not flap.

use std::{fmt, str::FromStr, time::Duration};

/// A second stall so long after another one still belongs to it.
const STALLS_WITHIN: Duration = Duration::from_secs(60);
/// The stretch after the first change to queued.
const STRETCH_FIRST: Duration = Duration::from_secs(60);
/// No stretch is longer.
const STRETCH_MAX: Duration = Duration::from_secs(3600);
/// After so long inline without a stall the next stretch is as the first.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// Good runs that a stretch must have had.
const GOOD_RUNS: u32 = 32;

/// Where requests run, as an operator writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// On the worker of their connection.
    Inline,
    /// As jobs, on the executors.
    Queued,
    /// As each route's [`Conduct`] says.
    #[default]
    Auto,
}

impl Lane {
    /// Every lane, in the order in which documentation lists them.
    pub const ALL: [Self; 3] = [Self::Inline, Self::Queued, Self::Auto];

    /// The lane's name in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Queued => "queued",
            Self::Auto => "auto",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Lane {
    type Err = ParseLaneError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|lane| lane.name() == name).ok_or(ParseLaneError)
    }
}

/// The text names no lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseLaneError;

impl fmt::Display for ParseLaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown lane, expected inline, queued or auto")
    }
}

impl std::error::Error for ParseLaneError {}

/// How one request runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// On the worker of its connection.
    Inline,
    /// As a job, on an executor.
    Queued,
}

/// What a route's conduct has just changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stalled twice: from now on it is queued.
    ToQueued {
        /// How long it must behave before it comes back. A length of time, not a moment.
        until: Duration,
    },
    /// It has behaved: from now on it runs inline.
    ToInline,
}

/// What is remembered of one route in [`Lane::Auto`]. It begins inline.
///
/// Times that are a little older than ones given before, as threads may hand them in, count as
/// no time passed.
///
/// ```
/// use ripstop_balance::{Change, Conduct, Run};
/// use std::time::Duration;
///
/// let mut conduct = Conduct::default();
/// assert_eq!(conduct.stalled(Duration::from_secs(1)), None);
/// assert_eq!(conduct.run(), Run::Inline);
///
/// let minute = Duration::from_secs(60);
/// let change = conduct.stalled(Duration::from_secs(2));
/// assert_eq!(change, Some(Change::ToQueued { until: minute }));
/// assert_eq!(conduct.run(), Run::Queued);
/// ```
#[derive(Clone, Debug)]
pub struct Conduct {
    state: State,
    /// What the next change to queued asks for, unless it is forgotten.
    next_stretch: Duration,
}

#[derive(Clone, Debug)]
enum State {
    /// Without a stall since `calm_since`, when there was one if `stalled`.
    Inline { calm_since: Duration, stalled: bool },
    /// Without a stall since `calm_since`, and with so many `good` runs since then.
    Queued { calm_since: Duration, good: u32, stretch: Duration },
}

impl Default for Conduct {
    fn default() -> Self {
        let state = State::Inline { calm_since: Duration::ZERO, stalled: false };
        Self { state, next_stretch: STRETCH_FIRST }
    }
}

impl Conduct {
    /// How the route's next request runs.
    pub fn run(&self) -> Run {
        match self.state {
            State::Inline { .. } => Run::Inline,
            State::Queued { .. } => Run::Queued,
        }
    }

    /// Takes in that a request of the route stalled its thread, wherever it ran.
    pub fn stalled(&mut self, now: Duration) -> Option<Change> {
        match &mut self.state {
            State::Queued { calm_since, good, .. } => {
                *calm_since = now.max(*calm_since);
                *good = 0;
                None
            }
            State::Inline { calm_since, stalled } => {
                let calm = now.saturating_sub(*calm_since);
                if *stalled && calm <= STALLS_WITHIN {
                    return Some(self.demote(now));
                }
                (*calm_since, *stalled) = (now.max(*calm_since), true);
                if calm >= FORGET_AFTER {
                    self.next_stretch = STRETCH_FIRST;
                }
                None
            }
        }
    }

    /// Takes in the longest poll of a run on an executor. A run that ends when the route is
    /// inline again says nothing new.
    pub fn ran(
        &mut self,
        now: Duration,
        longest_poll: Duration,
        threshold: Duration,
    ) -> Option<Change> {
        let State::Queued { calm_since, good, stretch } = &mut self.state else { return None };
        if longest_poll >= threshold {
            return self.stalled(now);
        }
        if longest_poll.saturating_mul(2) < threshold {
            *good = good.saturating_add(1);
        }
        let behaved = now.saturating_sub(*calm_since) >= *stretch && *good >= GOOD_RUNS;
        behaved.then(|| self.restore(now))
    }

    fn demote(&mut self, now: Duration) -> Change {
        let stretch = self.next_stretch;
        self.next_stretch = stretch.saturating_mul(2).min(STRETCH_MAX);
        self.state = State::Queued { calm_since: now, good: 0, stretch };
        Change::ToQueued { until: stretch }
    }

    fn restore(&mut self, now: Duration) -> Change {
        self.state = State::Inline { calm_since: now, stalled: false };
        Change::ToInline
    }
}

#[cfg(test)]
mod tests;
