//! Which reports are logged: of a kind and route one in ten seconds.

use crate::Kind;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// The time of one record.
const PERIOD: Duration = Duration::from_secs(10);

/// Kinds and routes that are told apart; what is beyond shares the record of its kind.
const TOLD_APART: usize = 512;

/// What becomes of a report in the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is logged, and so many before it were not.
    Log { left_out: u64 },
    /// It is left out.
    LeaveOut,
}

/// The records of late.
#[derive(Debug, Default)]
pub(crate) struct Limit {
    records: HashMap<Key, Record>,
}

type Key = (Kind, Option<Arc<str>>);

#[derive(Debug)]
struct Record {
    at: Instant,
    left_out: u64,
}

impl Limit {
    pub(crate) fn decide(&mut self, kind: Kind, route: Option<&Arc<str>>, now: Instant) -> Verdict {
        let key = self.room((kind, route.cloned()), now);
        let Some(record) = self.records.get_mut(&key) else {
            self.records.insert(key, Record { at: now, left_out: 0 });
            return Verdict::Log { left_out: 0 };
        };
        if now.saturating_duration_since(record.at) < PERIOD {
            record.left_out += 1;
            return Verdict::LeaveOut;
        }
        let left_out = std::mem::take(&mut record.left_out);
        record.at = now;
        Verdict::Log { left_out }
    }

    /// The key to use: without the route if there is no room for another.
    fn room(&mut self, key: Key, now: Instant) -> Key {
        if self.records.len() >= TOLD_APART && !self.records.contains_key(&key) {
            self.records.retain(|_, record| now.saturating_duration_since(record.at) < PERIOD);
            if self.records.len() >= TOLD_APART {
                return (key.0, None);
            }
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_kind_and_route_one_in_ten_seconds_is_logged() {
        let start = Instant::now();
        let (a, b) = (Arc::from("GET /a"), Arc::from("GET /b"));
        let mut limit = Limit::default();
        for (second, kind, route, verdict) in [
            (0, Kind::Stall, &a, Verdict::Log { left_out: 0 }),
            (1, Kind::Stall, &a, Verdict::LeaveOut),
            (1, Kind::Panic, &a, Verdict::Log { left_out: 0 }),
            (1, Kind::Stall, &b, Verdict::Log { left_out: 0 }),
            (9, Kind::Stall, &a, Verdict::LeaveOut),
            (10, Kind::Stall, &a, Verdict::Log { left_out: 2 }),
            (19, Kind::Stall, &a, Verdict::LeaveOut),
            (30, Kind::Stall, &a, Verdict::Log { left_out: 1 }),
            (40, Kind::Stall, &a, Verdict::Log { left_out: 0 }),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(limit.decide(kind, Some(route), now), verdict, "{second} {kind} {route}");
        }
    }

    #[test]
    fn more_routes_than_are_told_apart_share_a_record_and_take_no_memory() {
        let now = Instant::now();
        let mut limit = Limit::default();
        let logged = (0..10 * TOLD_APART)
            .filter(|number| {
                let route = Arc::from(format!("GET /{number}"));
                limit.decide(Kind::Stall, Some(&route), now) != Verdict::LeaveOut
            })
            .count();
        assert_eq!(logged, TOLD_APART + 1);
        assert!(limit.records.len() <= TOLD_APART + Kind::ALL.len());
        let later = now + PERIOD;
        let next = limit.decide(Kind::Stall, Some(&Arc::from("GET /new")), later);
        assert_eq!(next, Verdict::Log { left_out: 0 });
        assert_eq!(limit.records.len(), 1);
    }
}
