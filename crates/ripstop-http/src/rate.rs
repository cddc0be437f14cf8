//! Rate limits: how often a client, or whoever sends a header field, may come; and what is told to
//! it, above all if it comes too soon.
//!
//! Owns what a request is counted by, the clock, and the locks around the tables of keys; what is
//! too often is decided by [`ripstop_balance::RateTable`]. The fields are those of
//! draft-ietf-httpapi-ratelimit-headers-10.

mod layer;
#[cfg(test)]
mod tests;

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{self, InvalidHeaderValue},
};
use ripstop_balance::{Client, Left, Rate, RateTable};
use std::{
    fmt::Write,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

pub use layer::{RateLayer, Rated, RatedFuture};

/// The parts of a table, so that workers seldom meet at a lock; a power of two.
const SHARDS: usize = 16;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A limit on how often a key may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// What it is called in `RateLimit` fields and counts; visible ASCII. Default `default`.
    pub name: Arc<str>,
    /// How often. Default 100 in each second, and 100 at once.
    pub rate: Rate,
    /// Whose requests are counted together. Default those of a client.
    pub by: RateKey,
    /// How many keys are remembered, at most 70 bytes each. A key goes when its burst is whole
    /// again; if there is no room, keys that come new share a few places until there is. Default
    /// 65 536.
    pub keys_max: usize,
}

impl Default for RateLimit {
    fn default() -> Self {
        let hundred = NonZeroU32::MIN.saturating_add(99);
        Self {
            name: "default".into(),
            rate: Rate { requests: hundred, window: Duration::from_secs(1), burst: hundred },
            by: RateKey::Client,
            keys_max: 1 << 16,
        }
    }
}

/// Whose requests are counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RateKey {
    /// Those of a client, by its address, and by the /64 of an IPv6 one. Clients without an
    /// address, over Unix sockets, are not counted.
    #[default]
    Client,
    /// Those with the same value of this field, such as an API key; those without it by their
    /// client. Whoever can make values up can come as often as it likes, so it must be one that is
    /// checked.
    Header(HeaderName),
    /// All of them.
    Everyone,
}

/// What a [`RateLimit`] has done since it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateCounts {
    /// The limit's name.
    pub name: Arc<str>,
    /// Requests that were answered 429.
    pub refused: u64,
    /// Keys that are remembered now.
    pub keys: usize,
}

/// A limit at work: its options and the keys it has counted.
#[derive(Debug)]
pub struct RateLimiter {
    limit: RateLimit,
    /// The value of `RateLimit-Policy`.
    policy: HeaderValue,
    /// Keyed by the operating system: clients choose what is hashed.
    hasher: RandomState,
    start: Instant,
    shards: Box<[Shard]>,
    refused: AtomicU64,
}

/// Apart from the others in the processor's cache.
#[derive(Debug)]
#[repr(align(64))]
struct Shard(Mutex<RateTable>);

impl Shard {
    fn lock(&self) -> MutexGuard<'_, RateTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RateLimiter {
    /// A limiter that has counted nothing.
    pub fn new(limit: RateLimit) -> Self {
        let (rate, keys_max) = (limit.rate, limit.keys_max.div_ceil(SHARDS));
        let shard = || Shard(Mutex::new(RateTable::new(rate, keys_max)));
        Self {
            policy: policy(&limit),
            hasher: RandomState::new(),
            start: Instant::now(),
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            refused: AtomicU64::new(0),
            limit,
        }
    }

    /// Limiters for `wanted`: those of `before` that are the same, which go on counting, or new
    /// ones.
    pub fn renewed(before: &[Arc<Self>], wanted: &[RateLimit]) -> Vec<Arc<Self>> {
        let mut before = before.to_vec();
        let renew = |limit: &RateLimit| {
            let same = before.iter().position(|limiter| limiter.limit == *limit);
            same.map_or_else(|| Arc::new(Self::new(limit.clone())), |at| before.swap_remove(at))
        };
        wanted.iter().map(renew).collect()
    }

    /// What it was made with.
    pub fn limit(&self) -> &RateLimit {
        &self.limit
    }

    /// Counts a request of `client` with these fields. Returns what its answer tells, unless it is
    /// not counted.
    ///
    /// # Errors
    ///
    /// It comes too soon, and is to be answered as the error says.
    pub fn check(
        &self,
        client: Option<IpAddr>,
        headers: &HeaderMap,
    ) -> Result<Option<Standing>, Exceeded> {
        let Some(key) = self.key(client, headers) else { return Ok(None) };
        let shard = &self.shards[(key >> 32) as usize % SHARDS];
        let taken = shard.lock().take(key, self.start.elapsed());
        let (name, policy) = (&self.limit.name, self.policy.clone());
        match taken {
            Ok(left) => Ok(Some(Standing { name: name.clone(), policy, left })),
            Err(wait) => {
                self.refused.fetch_add(1, Relaxed);
                Err(Exceeded::new(name, policy, wait))
            }
        }
    }

    /// Counts a request by each of `limiters`, up to the first that it exceeds. Returns what its
    /// answer tells: how it stands with the limit of which it has the least left.
    ///
    /// # Errors
    ///
    /// As [`RateLimiter::check`].
    pub fn check_all(
        limiters: &[Arc<Self>],
        client: Option<IpAddr>,
        headers: &HeaderMap,
    ) -> Result<Option<Standing>, Exceeded> {
        let mut least = None::<Standing>;
        for limiter in limiters {
            let standing = limiter.check(client, headers)?;
            let both = least.into_iter().chain(standing);
            least = both.min_by_key(|standing| standing.left.requests);
        }
        Ok(least)
    }

    /// How many requests were refused, and how many keys are remembered.
    pub fn counts(&self) -> RateCounts {
        RateCounts {
            name: self.limit.name.clone(),
            refused: self.refused.load(Relaxed),
            keys: self.shards.iter().map(|shard| shard.lock().len()).sum(),
        }
    }

    /// The key of a request; `None` if it is not counted.
    fn key(&self, client: Option<IpAddr>, headers: &HeaderMap) -> Option<u64> {
        match &self.limit.by {
            RateKey::Everyone => Some(0),
            RateKey::Client => self.key_of_client(client),
            RateKey::Header(name) => {
                self.key_of_values(name, headers).or_else(|| self.key_of_client(client))
            }
        }
    }

    fn key_of_client(&self, client: Option<IpAddr>) -> Option<u64> {
        client.map(|client| self.hasher.hash_one(Client::of(client)))
    }

    fn key_of_values(&self, name: &HeaderName, headers: &HeaderMap) -> Option<u64> {
        let mut values = headers.get_all(name).iter().peekable();
        values.peek()?;
        let mut hasher = self.hasher.build_hasher();
        values.for_each(|value| value.as_bytes().hash(&mut hasher));
        Some(hasher.finish())
    }
}

/// How a request that was admitted stands with a limit: its answer tells so by `RateLimit` and
/// `RateLimit-Policy`.
#[derive(Clone, Debug)]
pub struct Standing {
    name: Arc<str>,
    policy: HeaderValue,
    left: Left,
}

impl Standing {
    /// Adds the fields to those of a response, behind what is told there of other limits.
    pub fn tell(self, headers: &mut HeaderMap) {
        let Left { requests, whole_in } = self.left;
        if let Ok(limit) = field(&self.name, requests, whole_in) {
            headers.append(RATE_LIMIT, limit);
            headers.append(RATE_LIMIT_POLICY, self.policy);
        }
    }
}

/// The value of `RateLimit`: so many requests are left, and the rest comes back in this time.
fn field(name: &str, left: u32, time: Duration) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut text = quoted(name);
    // A vector takes all that is written to it, and so does a string.
    let _ = write!(text, ";r={left};t={}", seconds(time));
    HeaderValue::try_from(text)
}

/// How a request that came too soon is answered: 429, with `Retry-After`, `RateLimit` and
/// `RateLimit-Policy`.
#[derive(Clone, Debug)]
pub struct Exceeded {
    wait: Duration,
    limit: HeaderValue,
    policy: HeaderValue,
}

impl Exceeded {
    fn new(name: &str, policy: HeaderValue, wait: Duration) -> Self {
        Self { wait, limit: field(name, 0, wait).unwrap_or(policy.clone()), policy }
    }

    /// After how long the request would not come too soon.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// Adds the fields to those of a response.
    pub(crate) fn tell(self, headers: &mut HeaderMap) {
        headers.insert(header::RETRY_AFTER, seconds(self.wait).into());
        headers.insert(RATE_LIMIT, self.limit);
        headers.insert(RATE_LIMIT_POLICY, self.policy);
    }

    /// The response, with an empty body.
    pub fn response<B: Default>(self) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        self.tell(response.headers_mut());
        response
    }
}

/// The value of `RateLimit-Policy`.
fn policy(limit: &RateLimit) -> HeaderValue {
    let (requests, window) = (limit.rate.requests, seconds(limit.rate.window));
    let text = format!("{};q={requests};w={window}", quoted(&limit.name));
    HeaderValue::try_from(text).expect("a quoted name is visible ASCII")
}

/// A String of RFC 9651; what it cannot have becomes a question mark.
fn quoted(name: &str) -> String {
    let mut text = String::from('"');
    for char in name.chars() {
        match char {
            '"' | '\\' => text.extend(['\\', char]),
            ' '..='~' => text.push(char),
            _ => text.push('?'),
        }
    }
    text.push('"');
    text
}

/// Whole seconds, never too few and at least one.
pub(crate) fn seconds(duration: Duration) -> u64 {
    let begun = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(begun).max(1)
}
