//! The rules by which each request is judged before it is handled: who its client is, whether that
//! one comes too often, and whether requests like it have crashed the server.
//!
//! They are shared by all connections of a server and can be set anew while it runs: the next
//! request of any connection goes by the new ones. While there are none, a request pays for one
//! look at a flag.

use crate::{
    Quarantine, Refusal, TrustedProxies,
    quarantine::Suspected,
    rate::{Exceeded, RateCounts, RateLimit, RateLimiter, Standing, seconds},
};
use arc_swap::ArcSwap;
use http::{HeaderMap, Request, header};
use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// The rules of a server as they are now. By default there are none.
#[derive(Debug, Default)]
pub struct Rules {
    any: AtomicBool,
    /// Where there is a process wall.
    quarantine: OnceLock<Quarantine>,
    quarantines: AtomicBool,
    current: ArcSwap<Current>,
}

#[derive(Debug, Default)]
struct Current {
    proxies: TrustedProxies,
    rates: Vec<Arc<RateLimiter>>,
}

/// What the rules say of a request.
#[derive(Debug)]
pub(crate) struct Judged {
    /// Who it is from: the peer, or whom trusted proxies name.
    pub(crate) client: Option<IpAddr>,
    /// It comes too soon.
    pub(crate) exceeded: Option<Box<Exceeded>>,
    /// What its answer tells of the rate limits, if it does not come too soon.
    pub(crate) standing: Option<Box<Standing>>,
    /// Requests like it were running when a server crashed.
    pub(crate) suspected: Option<Box<Suspected>>,
}

impl Judged {
    /// Tells the client of a request that is refused when it may come again.
    pub(crate) fn tell(&mut self, headers: &mut HeaderMap) {
        if let Some(exceeded) = self.exceeded.take() {
            exceeded.tell(headers);
        }
        if let Some(standing) = self.standing.take() {
            standing.tell(headers);
        }
        if let Some(left) = self.suspected.as_ref().and_then(|suspected| suspected.left) {
            headers.insert(header::RETRY_AFTER, seconds(left).into());
        }
    }
}

impl Rules {
    /// Sets the rules for the requests that come from now on. A rate limit that stays the same
    /// goes on counting.
    pub fn set(&self, proxies: TrustedProxies, rates: &[RateLimit]) {
        let before = self.current.load();
        let rates = RateLimiter::renewed(&before.rates, rates);
        self.any.store(!proxies.is_nobody() || !rates.is_empty(), Relaxed);
        self.current.store(Arc::new(Current { proxies, rates }));
    }

    /// Has requests be judged by what they did to servers before, once: there is one such memory in
    /// a process.
    pub fn remember(&self, quarantine: Quarantine) {
        // The process has no other.
        let _ = self.quarantine.set(quarantine);
    }

    /// Whether requests that have crashed servers are refused.
    pub fn set_quarantine(&self, on: bool) {
        self.quarantines.store(on, Relaxed);
    }

    /// The quarantine, where there is a process wall.
    pub fn quarantine(&self) -> Option<Quarantine> {
        self.quarantine.get().copied()
    }

    /// What the rate limits have done.
    pub fn rates(&self) -> Vec<RateCounts> {
        self.current.load().rates.iter().map(|limiter| limiter.counts()).collect()
    }

    /// Judges a request of `peer`. Counts it, and refuses it if it comes too soon or is in
    /// quarantine, unless it is refused already.
    pub(crate) fn judge<B>(
        &self,
        peer: Option<IpAddr>,
        request: &Request<B>,
        admitted: &mut Result<(), Refusal>,
    ) -> Judged {
        let suspected = self.suspect(request, admitted);
        if !self.any.load(Relaxed) {
            return Judged { client: peer, exceeded: None, standing: None, suspected };
        }
        let headers = request.headers();
        let current = self.current.load();
        let client = current.proxies.client(peer, headers);
        let mut judged = Judged { client, exceeded: None, standing: None, suspected };
        if admitted.is_ok() {
            match RateLimiter::check_all(&current.rates, client, headers) {
                Ok(standing) => judged.standing = standing.map(Box::new),
                Err(err) => {
                    *admitted = Err(Refusal::TooManyRequests);
                    judged.exceeded = Some(Box::new(err));
                }
            }
        }
        judged
    }

    fn suspect<B>(
        &self,
        request: &Request<B>,
        admitted: &mut Result<(), Refusal>,
    ) -> Option<Box<Suspected>> {
        let quarantine = self.quarantine.get().filter(|quarantine| quarantine.any())?;
        if admitted.is_err() || !self.quarantines.load(Relaxed) {
            return None;
        }
        let suspected = Box::new(quarantine.judge(request)?);
        if suspected.left.is_some() {
            *admitted = Err(Refusal::Quarantined);
        }
        Some(suspected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripstop_balance::Rate;
    use std::num::NonZeroU32;

    fn limit(name: &str, requests: u32) -> RateLimit {
        let requests = NonZeroU32::new(requests).unwrap();
        let rate = Rate { requests, burst: requests, ..RateLimit::default().rate };
        RateLimit { name: name.into(), rate, ..RateLimit::default() }
    }

    /// Whether a request of `client` is admitted by the rules.
    fn is_admitted(rules: &Rules, client: &str) -> bool {
        let mut admitted = Ok(());
        rules.judge(Some(client.parse().unwrap()), &Request::new(()), &mut admitted);
        admitted.is_ok()
    }

    #[test]
    fn a_limit_that_stays_the_same_goes_on_counting_and_a_new_one_begins_anew() {
        let rules = Rules::default();
        let set = |rates: &[RateLimit]| rules.set(TrustedProxies::default(), rates);
        set(&[limit("one", 1)]);
        assert!(is_admitted(&rules, "192.0.2.1"));
        assert!(!is_admitted(&rules, "192.0.2.1"));
        set(&[limit("other", 1000), limit("one", 1)]);
        assert!(!is_admitted(&rules, "192.0.2.1"));
        assert_eq!(rules.rates()[1].refused, 2);
        set(&[limit("one", 2)]);
        assert!(is_admitted(&rules, "192.0.2.1"));
        set(&[]);
        assert!((0..10).all(|_| is_admitted(&rules, "192.0.2.1")));
    }

    #[test]
    fn what_is_refused_already_is_not_counted() {
        let rules = Rules::default();
        rules.set(TrustedProxies::default(), &[limit("one", 1)]);
        let mut refused = Err(Refusal::BadHost);
        rules.judge(Some("192.0.2.1".parse().unwrap()), &Request::new(()), &mut refused);
        assert_eq!(refused, Err(Refusal::BadHost));
        assert!(is_admitted(&rules, "192.0.2.1"));
    }
}
