//! The rules of `rate.rs`: tables of times, and random walks whose every window is counted.

use super::*;
use crate::random::random;

/// Milliseconds, as the tables are written.
fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn rate(requests: u32, window: Duration, burst: u32) -> Rate {
    let number = |number| NonZeroU32::new(number).unwrap();
    Rate { requests: number(requests), window, burst: number(burst) }
}

/// Requests of one key in turn, each with how long it comes too soon, both in milliseconds.
#[track_caller]
fn check(requests: u32, burst: u32, table: &[(u64, u64)]) {
    let mut rates = RateTable::new(rate(requests, ms(1000), burst), 8);
    for &(now, wait) in table {
        let expected = if wait == 0 { Ok(()) } else { Err(ms(wait)) };
        assert_eq!(rates.take(1, ms(now)).map(drop), expected, "at {now} of {table:?}");
    }
}

#[test]
fn without_a_burst_requests_come_at_their_intervals() {
    check(10, 1, &[(0, 0), (0, 100), (99, 1), (100, 0), (150, 50), (200, 0), (950, 0), (1000, 50)]);
}

#[test]
fn a_burst_is_had_at_once_and_comes_back_at_the_rate() {
    check(10, 3, &[(0, 0), (0, 0), (0, 0), (0, 100), (100, 0), (100, 100), (250, 0), (250, 50)]);
    check(10, 3, &[(0, 0), (0, 0), (0, 0), (300, 0), (300, 0), (300, 0), (300, 100)]);
}

#[test]
fn a_pause_saves_no_more_than_the_burst() {
    check(10, 2, &[(0, 0), (100_000, 0), (100_000, 0), (100_000, 100)]);
}

#[test]
fn what_is_refused_counts_nothing() {
    check(1, 1, &[(0, 0), (1, 999), (2, 998), (999, 1), (1000, 0)]);
}

#[test]
fn a_clock_that_goes_back_a_little_counts_as_no_time_passed() {
    check(10, 1, &[(500, 0), (499, 101), (600, 0)]);
}

#[test]
fn the_wait_is_exact_to_the_nanosecond() {
    let mut rates = RateTable::new(rate(3, Duration::from_secs(1), 1), 8);
    let interval = Duration::from_nanos(333_333_334);
    assert_eq!(rates.take(1, ms(0)).map(drop), Ok(()));
    assert_eq!(rates.take(1, ms(0)), Err(interval));
    assert_eq!(rates.take(1, interval - Duration::from_nanos(1)), Err(Duration::from_nanos(1)));
    assert_eq!(rates.take(1, interval).map(drop), Ok(()));
}

#[test]
fn nothing_overflows_at_the_ends_of_numbers() {
    let mut rates = RateTable::new(rate(1, Duration::MAX, u32::MAX), 8);
    assert_eq!(rates.take(1, Duration::MAX).map(drop), Ok(()));
    assert_eq!(rates.take(1, ms(0)).map(drop), Ok(()));
    let mut rates = RateTable::new(rate(u32::MAX, Duration::ZERO, 1), 8);
    assert_eq!(rates.take(1, ms(0)).map(drop), Ok(()));
    assert_eq!(rates.take(1, Duration::from_nanos(1)).map(drop), Ok(()));
}

#[test]
fn a_key_that_has_passed_gives_way_and_one_that_has_not_does_not() {
    let mut rates = RateTable::new(rate(1, ms(1000), 1), 2);
    assert_eq!(rates.take(1, ms(0)).map(drop), Ok(()));
    assert_eq!(rates.take(2, ms(500)).map(drop), Ok(()));
    assert_eq!(rates.take(3, ms(1000)).map(drop), Ok(()));
    assert_eq!(rates.len(), 2);
    assert_eq!(rates.take(2, ms(1000)), Err(ms(500)));
    assert_eq!(rates.take(3, ms(1000)), Err(ms(1000)));
}

#[test]
fn strangers_share_a_cell_and_those_who_are_known_do_not_notice() {
    let mut rates = RateTable::new(rate(1, ms(1000), 2), 1);
    let strangers = STRANGERS as u64;
    assert_eq!(rates.take(1, ms(0)).map(drop), Ok(()));
    assert_eq!(rates.take(strangers, ms(0)).map(drop), Ok(()));
    assert_eq!(rates.take(2 * strangers, ms(0)).map(drop), Ok(()));
    assert_eq!(rates.take(3 * strangers, ms(0)), Err(ms(1000)));
    assert_eq!(rates.take(strangers + 2, ms(0)).map(drop), Ok(()), "another cell");
    assert_eq!(rates.take(1, ms(0)).map(drop), Ok(()));
    assert_eq!(rates.take(1, ms(0)), Err(ms(1000)));
}

#[test]
fn who_was_a_stranger_brings_what_was_used_up() {
    let mut rates = RateTable::new(rate(1, ms(1000), 2), 1);
    let stranger = STRANGERS as u64;
    assert_eq!(rates.take(1, ms(0)).map(drop), Ok(()));
    assert_eq!(rates.take(stranger, ms(900)).map(drop), Ok(()));
    assert_eq!(rates.take(stranger, ms(900)).map(drop), Ok(()));
    // There is room from here on.
    assert_eq!(rates.take(stranger, ms(1000)), Err(ms(900)));
    assert_eq!(rates.take(stranger, ms(1900)).map(drop), Ok(()));
    assert_eq!(rates.places.keys().copied().collect::<Vec<_>>(), [stranger]);
    assert_eq!(rates.take(stranger, ms(1900)), Err(ms(1000)));
}

#[test]
fn keys_that_are_made_up_never_grow_the_table() {
    let mut rates = RateTable::new(rate(1, ms(3_600_000), 5), 1000);
    for key in 0..100_000 {
        let _ = rates.take(key * STRANGERS as u64, ms(key));
        assert!(rates.len() <= 1000);
        assert_eq!(rates.len(), rates.places.len());
    }
    assert!(rates.entries.capacity() <= 2048, "{}", rates.entries.capacity());
}

#[test]
fn a_table_that_was_large_gives_its_memory_back() {
    let mut rates = RateTable::new(rate(1, ms(1000), 1), 100_000);
    (0..100_000).for_each(|key| assert_eq!(rates.take(key, ms(0)).map(drop), Ok(())));
    assert_eq!(rates.len(), 100_000);
    (100_000..200_000).for_each(|key| assert_eq!(rates.take(key, ms(key)).map(drop), Ok(())));
    assert!(rates.len() < 2_000, "{}", rates.len());
    assert!(rates.entries.capacity() <= 8_000, "{}", rates.entries.capacity());
}

/// Asserts that between any two requests of `admitted`, both included, there are no more than the
/// burst and what the rate allows in the time between them.
#[track_caller]
fn assert_within(rate: Rate, admitted: &[u64], seed: u64) {
    let (burst, interval) = (u64::from(rate.burst.get()), rate.interval());
    for (first, begin) in admitted.iter().enumerate() {
        for (count, end) in (1..).zip(&admitted[first..]) {
            let most = burst + (end - begin) / interval;
            assert!(count <= most, "{count} > {most} of {rate:?}, seed {seed}");
        }
    }
}

#[test]
fn no_window_has_more_than_the_burst_and_the_rate() {
    for seed in 0..200 {
        let mut state = seed;
        let mut below = |end: u64| random(&mut state) % end;
        let rate = rate(1 + below(50) as u32, ms(1 + below(2000)), 1 + below(10) as u32);
        // So few places that keys become strangers and come back, again and again.
        let mut rates = RateTable::new(rate, below(4) as usize);
        let mut admitted = vec![Vec::new(); 6];
        let (mut now, mut waits) = (0, 0);
        for _ in 0..600 {
            now += below(rate.interval() / 8 + 2);
            let key = below(6);
            match rates.take(key * STRANGERS as u64 / 2, Duration::from_nanos(now)) {
                Ok(_) => admitted[key as usize].push(now),
                Err(wait) => {
                    assert!(!wait.is_zero());
                    waits += 1;
                }
            }
        }
        assert!(waits > 0, "seed {seed} asks too little");
        admitted.iter().for_each(|admitted| assert_within(rate, admitted, seed));
    }
}

#[test]
fn a_key_alone_gets_all_that_its_rate_allows() {
    for seed in 0..50 {
        let mut state = seed;
        let rate = rate(1 + (random(&mut state) % 100) as u32, ms(1000), 3);
        let mut rates = RateTable::new(rate, 1);
        let interval = rate.interval();
        let asked = (0..500).map(|tenth| tenth * interval.div_ceil(10));
        let admitted = asked.filter(|now| rates.take(1, Duration::from_nanos(*now)).is_ok());
        // Three at once, then one each interval; fifty of them.
        assert!((51..=53).contains(&admitted.count()), "seed {seed}");
    }
}

#[test]
fn what_is_left_is_what_may_come_at_once() {
    // Two a second, four at once.
    let (two, four) = (NonZeroU32::new(2).unwrap(), NonZeroU32::new(4).unwrap());
    let rate = Rate { requests: two, window: Duration::from_secs(1), burst: four };
    let mut rates = RateTable::new(rate, 10);
    let mut left = |now| rates.take(1, ms(now)).map(|left| (left.requests, left.whole_in));
    assert_eq!(left(0), Ok((3, ms(500))));
    assert_eq!(left(0), Ok((2, ms(1000))));
    assert_eq!(left(250), Ok((1, ms(1250))));
    assert_eq!(left(250), Ok((0, ms(1750))));
    assert_eq!(left(250), Err(ms(250)));
    assert_eq!(left(500), Ok((0, ms(2000))));
    assert_eq!(left(10_000), Ok((3, ms(500))));
}
