//! By what requests are counted, and what is told of a limit.

use super::*;

/// A limit of one request a minute, called `one`.
fn limiter(by: RateKey) -> RateLimiter {
    let window = Duration::from_secs(60);
    let rate = Rate { requests: NonZeroU32::MIN, window, burst: NonZeroU32::MIN };
    RateLimiter::new(RateLimit { name: "one".into(), rate, by, ..RateLimit::default() })
}

fn key() -> RateKey {
    RateKey::Header(HeaderName::from_static("x-key"))
}

fn with_keys(values: &[&str]) -> HeaderMap {
    let name = HeaderName::from_static("x-key");
    values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
}

/// Requests in turn, each with its client, its keys and whether it is admitted.
#[track_caller]
fn check(by: RateKey, requests: &[(&str, &[&str], bool)]) {
    let limiter = limiter(by);
    for (client, keys, admitted) in requests {
        let client = client.parse().ok();
        let outcome = limiter.check(client, &with_keys(keys));
        assert_eq!(outcome.is_ok(), *admitted, "{client:?} with {keys:?} of {requests:?}");
    }
}

#[test]
fn clients_are_counted_by_address_and_network() {
    check(
        RateKey::Client,
        &[
            ("192.0.2.1", &[], true),
            ("192.0.2.1", &["a"], false),
            ("::ffff:192.0.2.1", &[], false),
            ("192.0.2.2", &[], true),
            ("2001:db8::1", &[], true),
            ("2001:db8::2", &[], false),
            ("2001:db8:0:1::1", &[], true),
            ("unix", &[], true),
            ("unix", &[], true),
        ],
    );
}

#[test]
fn values_of_a_field_are_counted_whoever_sends_them() {
    check(
        key(),
        &[
            ("192.0.2.1", &["a"], true),
            ("192.0.2.2", &["a"], false),
            ("192.0.2.2", &["b"], true),
            ("192.0.2.2", &["a", "b"], true),
            ("192.0.2.2", &["ab"], true),
            ("unix", &["a"], false),
        ],
    );
}

#[test]
fn without_the_field_it_is_the_client() {
    check(
        key(),
        &[
            ("192.0.2.1", &[], true),
            ("192.0.2.1", &[], false),
            ("192.0.2.1", &[""], true),
            ("192.0.2.2", &[], true),
            ("unix", &[], true),
            ("unix", &[], true),
        ],
    );
}

#[test]
fn everybody_is_counted_together() {
    check(RateKey::Everyone, &[("192.0.2.1", &[], true), ("unix", &["a"], false)]);
}

#[test]
fn made_up_keys_do_not_grow_the_table() {
    let limit = RateLimit { keys_max: 160, ..limiter(key()).limit };
    let limiter = RateLimiter::new(limit);
    for number in 0..2000 {
        let _ = limiter.check(None, &with_keys(&[&number.to_string()]));
    }
    let counts = limiter.counts();
    assert_eq!(counts.keys, 160);
    // Each of the strangers' cells, sixteen in each shard, took one more at most.
    let most = 160 + (SHARDS * 16) as u64;
    assert!((2000 - most..2000 - 160).contains(&counts.refused), "{counts:?}");
}

/// The values of `Retry-After`, `RateLimit` and `RateLimit-Policy`.
fn told(exceeded: Exceeded) -> [String; 3] {
    let response: Response<()> = exceeded.response();
    assert_eq!(response.status(), 429);
    let value = |name| response.headers()[name].to_str().unwrap().to_owned();
    ["retry-after", "ratelimit", "ratelimit-policy"].map(value)
}

#[track_caller]
fn check_told(name: &str, window: Duration, wait: Duration, expected: [&str; 3]) {
    let rate = Rate { window, ..RateLimit::default().rate };
    let limit = RateLimit { name: name.into(), rate, ..RateLimit::default() };
    assert_eq!(told(Exceeded::new(name, policy(&limit), wait)), expected);
}

#[test]
fn the_fields_are_as_the_draft_has_them_and_never_say_too_little() {
    let (second, ms) = (Duration::from_secs(1), Duration::from_millis);
    check_told("a", second, ms(1), ["1", "\"a\";r=0;t=1", "\"a\";q=100;w=1"]);
    check_told("a", 60 * second, ms(1000), ["1", "\"a\";r=0;t=1", "\"a\";q=100;w=60"]);
    check_told("a", ms(1500), ms(1001), ["2", "\"a\";r=0;t=2", "\"a\";q=100;w=2"]);
    check_told(
        "a \"b\\\" ü\n",
        second,
        ms(0),
        ["1", r#""a \"b\\\" ??";r=0;t=1"#, r#""a \"b\\\" ??";q=100;w=1"#],
    );
}

#[test]
fn who_waits_as_long_as_it_was_told_is_admitted() {
    let limiter = limiter(RateKey::Client);
    let client = Some("192.0.2.1".parse().unwrap());
    let none = HeaderMap::new();
    limiter.check(client, &none).unwrap();
    let exceeded = limiter.check(client, &none).unwrap_err();
    let minute = Duration::from_secs(60);
    assert!(exceeded.wait() <= minute && exceeded.wait() > minute / 2, "{exceeded:?}");
    assert_eq!(limiter.counts(), RateCounts { name: "one".into(), refused: 1, keys: 1 });
}
