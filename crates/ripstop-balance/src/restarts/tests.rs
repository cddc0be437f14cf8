//! The rules of `restarts.rs`, as tables and random walks.

use super::*;

/// Milliseconds, as the tables are written.
fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The verdict on the last of the restarts at `times`; all before it are borne.
#[track_caller]
fn check(most: usize, window: u64, times: &[u64], expected: Verdict) {
    let mut restarts = Restarts::new(Intensity { most, window: ms(window) });
    let (last, before) = times.split_last().expect("a table has a restart");
    for &time in before {
        assert_eq!(restarts.count(ms(time)), Verdict::Go, "{times:?}");
    }
    assert_eq!(restarts.count(ms(*last)), expected, "{times:?}");
}

#[test]
fn the_sixth_restart_within_the_window_is_too_many() {
    check(5, 10_000, &[0, 0, 0, 0, 0], Verdict::Go);
    check(5, 10_000, &[0, 0, 0, 0, 0, 9_999], Verdict::TooMany);
    check(5, 10_000, &[0, 0, 0, 0, 0, 10_000], Verdict::Go);
    check(5, 10_000, &[0, 2_500, 5_000, 7_500, 9_000, 10_000, 12_499], Verdict::TooMany);
    check(5, 10_000, &[0, 2_500, 5_000, 7_500, 9_000, 10_000, 12_500], Verdict::Go);
}

#[test]
fn none_are_borne_where_none_are_allowed() {
    check(0, 1, &[5], Verdict::TooMany);
}

#[test]
fn a_clock_that_goes_back_a_little_counts_as_no_time_passed() {
    check(1, 100, &[50, 49], Verdict::TooMany);
}

#[test]
fn no_more_times_are_remembered_than_needed() {
    let mut restarts = Restarts::new(Intensity { most: 3, window: ms(1_000_000) });
    for time in 0..100 {
        restarts.count(ms(time));
        assert!(restarts.times.len() <= 4);
    }
    assert_eq!(restarts.times, [ms(96), ms(97), ms(98), ms(99)]);
}

/// The delays after failures at `times`, with 100 ms at first, 500 at most, 1 000 of quiet.
#[track_caller]
fn check_delays(times: &[u64], expected: &[u64]) {
    let mut backoff = Backoff::new(ms(100), ms(500), ms(1_000));
    let delays: Vec<_> = times.iter().map(|&time| backoff.next(ms(time))).collect();
    let expected: Vec<_> = expected.iter().map(|&delay| ms(delay)).collect();
    assert_eq!(delays, expected, "{times:?}");
}

#[test]
fn delays_double_up_to_the_longest() {
    check_delays(&[0, 100, 300, 700, 1_200], &[100, 200, 400, 500, 500]);
}

#[test]
fn a_try_that_lasted_as_long_as_the_quiet_time_begins_anew() {
    check_delays(&[0, 1_099], &[100, 200]);
    check_delays(&[0, 1_100], &[100, 100]);
}

#[test]
fn a_failure_reported_before_the_try_began_doubles_too() {
    check_delays(&[50, 49], &[100, 200]);
}

#[test]
fn the_first_delay_is_bounded_and_nothing_overflows() {
    let mut backoff = Backoff::new(Duration::MAX, ms(7), ms(0));
    assert_eq!(backoff.next(Duration::MAX), ms(7));
    let mut backoff = Backoff::new(Duration::MAX, Duration::MAX, ms(1));
    backoff.next(Duration::MAX);
    assert_eq!(backoff.next(ms(0)), Duration::MAX);
}

#[test]
fn a_restart_that_is_taken_back_does_not_count() {
    let second = Duration::from_secs(1);
    let mut restarts = Restarts::new(Intensity { most: 1, window: 10 * second });
    for _ in 0..3 {
        assert_eq!(restarts.count(second), Verdict::Go);
        restarts.take_back();
    }
    assert_eq!(restarts.count(second), Verdict::Go);
    assert_eq!(restarts.count(second), Verdict::TooMany);
}
