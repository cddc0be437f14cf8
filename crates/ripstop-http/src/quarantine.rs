//! The quarantine: requests that crash one server after the other are not handled for some time.
//!
//! What is known of them outlives the process. Who counts a crash, and for how long, is decided
//! elsewhere; here each request is looked up, which costs one look at a number while nothing is
//! known, and one that comes to its end is cleared.

use http::Request;
use ripstop_balance::Suspicion;
use ripstop_survive::{Suspects, uptime};
use ripstop_work::{Ran, fingerprint};
use std::{
    fmt::{self, Display},
    num::ParseIntError,
    str::FromStr,
    time::Duration,
};

/// The requests that may have crashed servers, and those that are refused for it.
#[derive(Clone, Copy, Debug)]
pub struct Quarantine(&'static Suspects);

/// What requests of the same method, path and query have in common; shown as 16 hexadecimal digits.
/// Nobody outside can make one of their choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

/// Requests that are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// What they have in common.
    pub fingerprint: Fingerprint,
    /// The name of their route.
    pub route: String,
    /// How long they are refused still.
    pub left: Duration,
    /// How many were.
    pub refused: u64,
}

/// A request that may crash the server.
#[derive(Debug)]
pub(crate) struct Suspected {
    quarantine: Quarantine,
    fingerprint: Fingerprint,
    /// How long it is refused still; `None` if it is not.
    pub(crate) left: Option<Duration>,
}

impl Quarantine {
    /// By what is known of requests.
    pub fn new(suspects: &'static Suspects) -> Self {
        Self(suspects)
    }

    /// A server has crashed, by [`uptime`] at `at`, while these requests were running: those that
    /// are refused from now on. `cooling`: for how long at first.
    ///
    /// Where the table is full of others, a request is not counted.
    pub fn crashed(self, at: Duration, ran: &[Ran], cooling: Duration) -> Vec<Quarantined> {
        self.forget(at);
        let mut fingerprints = Vec::new();
        let mut quarantined = Vec::new();
        for request in ran {
            let fingerprint = Fingerprint(request.fingerprint(self.0.key()));
            if fingerprints.contains(&fingerprint) {
                continue;
            }
            fingerprints.push(fingerprint);
            let Some(suspect) = self.0.enter(fingerprint.0, &request.route) else { continue };
            let mut suspicion = Suspicion::from_words(suspect.words());
            let left = suspicion.crashed(at, cooling);
            suspect.set_words(suspicion.to_words());
            let (route, refused) = (suspect.name(), suspect.refused());
            quarantined.extend(left.map(|left| Quarantined { fingerprint, route, left, refused }));
        }
        quarantined
    }

    /// All requests that are refused now.
    pub fn list(self) -> Vec<Quarantined> {
        let now = uptime();
        let quarantined = |(fingerprint, suspect): (u64, &ripstop_survive::Suspect)| {
            let left = Suspicion::from_words(suspect.words()).left(now)?;
            let (route, refused) = (suspect.name(), suspect.refused());
            Some(Quarantined { fingerprint: Fingerprint(fingerprint), route, left, refused })
        };
        self.0.list().filter_map(quarantined).collect()
    }

    /// Has requests be handled again, as if they had never crashed a server; false if nothing was
    /// known of them.
    pub fn lift(self, fingerprint: Fingerprint) -> bool {
        self.0.remove(fingerprint.0)
    }

    /// How many requests were refused, by all servers that came one after the other.
    pub fn refused(self) -> u64 {
        self.0.refused()
    }

    /// Forgets what does not matter any more at `now`.
    pub fn forget(self, now: Duration) {
        if self.0.any() {
            let is_over = |suspect: &ripstop_survive::Suspect| {
                Suspicion::from_words(suspect.words()).is_over(now)
            };
            let over = self.0.list().filter(|(_, suspect)| is_over(suspect));
            over.for_each(|(fingerprint, _)| {
                self.0.remove(fingerprint);
            });
        }
    }

    /// Whether anything is known of any request.
    #[inline]
    pub(crate) fn any(self) -> bool {
        self.0.any()
    }

    /// What is known of a request, if anything is. Counts it, if it is to be refused.
    pub(crate) fn judge<B>(self, request: &Request<B>) -> Option<Suspected> {
        let target = request.uri().path_and_query().map_or("*", |target| target.as_str());
        let fingerprint = fingerprint(self.0.key(), request.method().as_str(), target);
        let suspect = self.0.find(fingerprint)?;
        let left = Suspicion::from_words(suspect.words()).left(uptime());
        left.inspect(|_| self.0.refuses(suspect));
        Some(Suspected { quarantine: self, fingerprint: Fingerprint(fingerprint), left })
    }
}

impl Suspected {
    /// The request has come to its end, and the server lives.
    pub(crate) fn completed(&self) {
        let (suspects, now) = (self.quarantine.0, uptime());
        let Some(suspect) = suspects.find(self.fingerprint.0) else { return };
        let mut suspicion = Suspicion::from_words(suspect.words());
        suspicion.completed(now);
        if suspicion.is_over(now) {
            suspects.remove(self.fingerprint.0);
        }
    }
}

impl Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_shown() {
        for number in [1, 0xabc, u64::MAX] {
            let text = Fingerprint(number).to_string();
            assert_eq!((text.len(), text.parse()), (16, Ok(Fingerprint(number))));
        }
        assert!("".parse::<Fingerprint>().is_err() && "GET /".parse::<Fingerprint>().is_err());
    }
}
