//! The rules of `lane.rs`, as tables and random walks.

use super::*;

const THRESHOLD: Duration = Duration::from_millis(20);
const GOOD: Duration = Duration::from_millis(1);
const MINUTE: u64 = 60_000;
const HOUR: u64 = 3_600_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A route that two stalls at `now` have made queued.
fn queued(now: u64) -> Conduct {
    let mut conduct = Conduct::default();
    demote(&mut conduct, now, MINUTE);
    conduct
}

#[track_caller]
fn demote(conduct: &mut Conduct, now: u64, stretch: u64) {
    assert_eq!(conduct.stalled(ms(now)), None);
    let until = ms(stretch);
    assert_eq!(conduct.stalled(ms(now)), Some(Change::ToQueued { until }));
}

/// So many runs of `longest_poll`, none of which changes anything.
#[track_caller]
fn runs(conduct: &mut Conduct, count: u32, now: u64, longest_poll: Duration) {
    for _ in 0..count {
        assert_eq!(conduct.ran(ms(now), longest_poll, THRESHOLD), None);
    }
    assert_eq!(conduct.run(), Run::Queued);
}

#[track_caller]
fn check_stalls(times: &[u64], expected: Run) {
    let mut conduct = Conduct::default();
    for &time in times {
        conduct.stalled(ms(time));
    }
    assert_eq!(conduct.run(), expected, "{times:?}");
}

#[test]
fn every_lane_is_parsed_from_its_name() {
    for lane in Lane::ALL {
        assert_eq!(lane.to_string().parse(), Ok(lane));
    }
    assert_eq!("".parse::<Lane>(), Err(ParseLaneError));
}

#[test]
fn two_stalls_within_a_minute_make_a_route_queued() {
    check_stalls(&[], Run::Inline);
    check_stalls(&[5], Run::Inline);
    check_stalls(&[5, 5], Run::Queued);
    check_stalls(&[5, 60_004], Run::Queued);
    check_stalls(&[5, 60_005], Run::Queued);
    check_stalls(&[5, 60_006], Run::Inline);
    check_stalls(&[5, 60_006, 120_006], Run::Queued);
    check_stalls(&[5, 60_006, 120_007], Run::Inline);
}

#[test]
fn a_clock_that_goes_back_a_little_counts_as_no_time_passed() {
    check_stalls(&[5, 4], Run::Queued);
    let mut conduct = queued(1_000);
    runs(&mut conduct, 40, 999, GOOD);
    assert_eq!(conduct.stalled(ms(998)), None);
    runs(&mut conduct, 32, 61_000 - 1, GOOD);
    assert_eq!(conduct.ran(ms(61_000), GOOD, THRESHOLD), Some(Change::ToInline));
}

#[test]
fn a_route_comes_back_at_the_end_of_its_stretch_and_not_before() {
    let mut conduct = queued(0);
    runs(&mut conduct, 100, MINUTE - 1, GOOD);
    assert_eq!(conduct.ran(ms(MINUTE), GOOD, THRESHOLD), Some(Change::ToInline));
    assert_eq!(conduct.run(), Run::Inline);
}

#[test]
fn a_stretch_wants_thirty_two_good_runs() {
    let mut conduct = queued(0);
    runs(&mut conduct, 31, MINUTE, GOOD);
    runs(&mut conduct, 1, MINUTE, THRESHOLD / 2);
    let below_half = THRESHOLD / 2 - Duration::from_nanos(1);
    assert_eq!(conduct.ran(ms(MINUTE), below_half, THRESHOLD), Some(Change::ToInline));
}

#[test]
fn a_run_between_half_and_whole_is_neither_good_nor_a_stall() {
    let mut conduct = queued(0);
    runs(&mut conduct, 31, 0, GOOD);
    runs(&mut conduct, 100, MINUTE, THRESHOLD - Duration::from_nanos(1));
    assert_eq!(conduct.ran(ms(MINUTE), GOOD, THRESHOLD), Some(Change::ToInline));
}

#[test]
fn a_run_of_the_threshold_begins_the_stretch_anew() {
    let mut conduct = queued(0);
    runs(&mut conduct, 100, 0, GOOD);
    runs(&mut conduct, 1, MINUTE - 1, THRESHOLD);
    runs(&mut conduct, 31, 2 * MINUTE - 1, GOOD);
    assert_eq!(conduct.ran(ms(2 * MINUTE - 1), GOOD, THRESHOLD), Some(Change::ToInline));
}

#[test]
fn a_stall_while_queued_begins_the_stretch_anew() {
    let mut conduct = queued(0);
    runs(&mut conduct, 100, 0, GOOD);
    assert_eq!(conduct.stalled(ms(1_000)), None);
    runs(&mut conduct, 100, MINUTE + 999, GOOD);
    assert_eq!(conduct.ran(ms(MINUTE + 1_000), GOOD, THRESHOLD), Some(Change::ToInline));
}

#[test]
fn a_late_run_says_nothing_of_a_route_that_is_inline() {
    let mut conduct = Conduct::default();
    for _ in 0..3 {
        assert_eq!(conduct.ran(ms(0), 2 * THRESHOLD, THRESHOLD), None);
    }
    assert_eq!(conduct.stalled(ms(0)), None);
    assert_eq!(conduct.run(), Run::Inline);
}

/// Has `conduct` behave for `stretch` from `now` on, and says when it is inline again.
#[track_caller]
fn behave(conduct: &mut Conduct, now: u64, stretch: u64) -> u64 {
    let end = now + stretch;
    runs(conduct, 32, end - 1, GOOD);
    assert_eq!(conduct.ran(ms(end), GOOD, THRESHOLD), Some(Change::ToInline));
    end
}

#[test]
fn each_further_change_doubles_the_stretch_up_to_an_hour() {
    let mut conduct = Conduct::default();
    let mut now = 0;
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        demote(&mut conduct, now, minutes * MINUTE);
        now = behave(&mut conduct, now, minutes * MINUTE);
    }
}

#[test]
fn an_hour_inline_without_a_stall_forgets_the_doubling() {
    for (calm, stretch) in [(HOUR - 1, 2 * MINUTE), (HOUR, MINUTE)] {
        let mut conduct = queued(0);
        let inline = behave(&mut conduct, 0, MINUTE);
        demote(&mut conduct, inline + calm, stretch);
    }
}

#[test]
fn a_stall_alone_keeps_the_doubling_for_another_hour() {
    let mut conduct = queued(0);
    let inline = behave(&mut conduct, 0, MINUTE);
    assert_eq!(conduct.stalled(ms(inline + HOUR - 1)), None);
    demote(&mut conduct, inline + 2 * HOUR - 2, 2 * MINUTE);
}

/// Changes in any hour: queued after 0, 1, 3, 7, 15 and 31 minutes, and back between them.
const CHANGES_IN_AN_HOUR: usize = 11;

#[track_caller]
fn check_changes(changes: &[u64], seed: u64) {
    for (i, &from) in changes.iter().enumerate() {
        let within = changes[i..].iter().take_while(|&&at| at < from + HOUR).count();
        assert!(within <= CHANGES_IN_AN_HOUR, "seed {seed}: {within} changes from {from} ms on");
    }
}

#[test]
fn the_worst_conduct_reaches_the_bound_of_changes() {
    let mut conduct = Conduct::default();
    let mut changes = Vec::new();
    for now in (0..HOUR).step_by(100) {
        let change = match conduct.run() {
            Run::Inline => conduct.stalled(ms(now)),
            Run::Queued => conduct.ran(ms(now), GOOD, THRESHOLD),
        };
        changes.extend(change.map(|_| now));
    }
    assert_eq!(changes.len(), CHANGES_IN_AN_HOUR);
    check_changes(&changes, 0);
}

#[test]
fn random_conduct_does_not_flap() {
    for seed in 1..=40 {
        println!("seed {seed}");
        check_changes(&wander(seed), seed);
    }
}

/// When a route changed that stalls now and then, in ten hours of requests.
fn wander(seed: u64) -> Vec<u64> {
    let (mut random, mut now, mut changes) = (seed, 1_000, Vec::new());
    let mut draw = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) % bound
    };
    let mut conduct = Conduct::default();
    while now < 10 * HOUR {
        now += draw(1_000);
        // Another thread's clock, a little behind.
        let seen = ms(now - draw(10));
        let stalls = draw(8 << (seed % 8)) == 0;
        let change = match (conduct.run(), stalls) {
            (Run::Inline, true) => conduct.stalled(seen),
            (Run::Inline, false) => None,
            (Run::Queued, _) => conduct.ran(seen, ms(draw(20)), THRESHOLD),
        };
        changes.extend(change.map(|_| now));
    }
    changes
}
