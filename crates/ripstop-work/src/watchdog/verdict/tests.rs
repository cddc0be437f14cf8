//! Tables of looks and what they mean, to the millisecond.

use super::*;

const THRESHOLDS: Thresholds = Thresholds {
    stall: Duration::from_millis(20),
    report: Duration::from_millis(100),
    lost: Duration::from_secs(60),
};

/// A thread as tokio shows it: parks, busy milliseconds.
fn thread(parks: u64, busy: u64) -> Thread {
    Thread { parks, busy: Duration::from_millis(busy) }
}

/// Shows the looks at their milliseconds and returns what the last one means.
#[track_caller]
fn last(looks: &[(u64, &Look)]) -> Seen {
    let mut verdict = Verdict::new(THRESHOLDS);
    let mut seen = None;
    for (ms, look) in looks {
        seen = Some(verdict.judge(look, Duration::from_millis(*ms), &mut Vec::new()));
    }
    seen.expect("a table has looks")
}

fn marks(marks: &[u64]) -> Look {
    // One thread that moves keeps the unmarked rule out of it.
    let marks = marks.iter().copied().enumerate().collect();
    Look { marks, threads: vec![thread(1, 0)], held: 0 }
}

#[test]
fn a_marked_poll_is_stuck_at_the_stall_time_and_not_a_millisecond_before() {
    let inside = marks(&[7]);
    assert_eq!(last(&[(100, &inside), (119, &inside)]).stuck, 0);
    assert_eq!(last(&[(100, &inside), (119, &inside), (120, &inside)]).stuck, 1);
}

#[test]
fn a_thread_between_polls_is_never_stuck() {
    let outside = marks(&[8]);
    assert_eq!(last(&[(0, &outside), (100, &outside), (200, &outside)]).stuck, 0);
}

#[test]
fn another_poll_of_the_same_thread_starts_the_patience_anew() {
    let (one, two) = (marks(&[7]), marks(&[9]));
    assert_eq!(last(&[(0, &one), (15, &two), (30, &two)]).stuck, 0);
    assert_eq!(last(&[(0, &one), (15, &two), (35, &two)]).stuck, 1);
}

#[test]
fn each_stuck_thread_counts() {
    let look = marks(&[7, 4, 3, 11]);
    assert_eq!(last(&[(0, &look), (25, &look)]).stuck, 3);
}

#[test]
fn a_thread_that_comes_back_counts_no_more() {
    let (stuck, back) = (marks(&[7]), marks(&[8]));
    assert_eq!(last(&[(0, &stuck), (50, &stuck), (60, &back)]).stuck, 0);
}

#[test]
fn a_paused_machine_condemns_nobody() {
    let inside = marks(&[7]);
    assert_eq!(last(&[(0, &inside), (30_000, &inside)]).stuck, 0);
    assert_eq!(last(&[(0, &inside), (30_000, &inside), (30_019, &inside)]).stuck, 0);
    assert_eq!(last(&[(0, &inside), (30_000, &inside), (30_020, &inside)]).stuck, 1);
}

#[test]
fn a_pause_of_the_machine_brings_no_drowned_worker_back() {
    let (inside, back) = (marks(&[7]), marks(&[8]));
    let before = last(&[(0, &inside), (20, &inside)]);
    assert!(before.drowns(false, 0) && !before.drowns(false, 1));
    let after = last(&[(0, &inside), (20, &inside), (30_000, &inside)]);
    assert!(after.drowns(true, 0) && !after.drowns(false, 0));
    assert!(!last(&[(0, &inside), (20, &inside), (30_000, &back)]).drowns(true, 0));
}

/// Two threads: one held by a plug, the other as given.
fn unmarked(other: Thread) -> Look {
    Look { marks: vec![], threads: vec![thread(0, 0), other], held: 1 }
}

#[test]
fn an_unmarked_stall_is_seen_after_four_stall_times() {
    let stuck = unmarked(thread(2, 5));
    let looks: Vec<_> = (0..=7).map(|i| (i * 10, &stuck)).collect();
    assert_eq!(last(&looks).stuck, 0, "at 70 ms");
    let looks: Vec<_> = (0..=8).map(|i| (i * 10, &stuck)).collect();
    assert_eq!(last(&looks).stuck, 1, "at 80 ms");
}

#[test]
fn a_thread_that_was_freed_has_time_to_move_before_the_next_is_freed() {
    let still = |held| Look { marks: vec![], threads: vec![thread(0, 0); 3], held };
    let (before, freed) = (still(2), still(1));
    let mut looks: Vec<_> = (0..=8).map(|i| (i * 10, &before)).collect();
    assert_eq!(last(&looks).stuck, 1, "at 80 ms");
    looks.extend((9..=16).map(|i| (i * 10, &freed)));
    assert_eq!(last(&looks).stuck, 1, "at 160 ms, freed at 90");
    looks.push((170, &freed));
    assert_eq!(last(&looks).stuck, 2, "at 170 ms");
}

#[test]
fn a_sleeping_thread_is_not_stuck() {
    let asleep = unmarked(thread(3, 5));
    let looks: Vec<_> = (0..=20).map(|i| (i * 10, &asleep)).collect();
    assert_eq!(last(&looks).stuck, 0);
}

#[test]
fn a_busy_thread_that_publishes_now_and_then_is_not_stuck() {
    let looks: Vec<_> = (0..20).map(|i| unmarked(thread(2, i * 10 / 60))).collect();
    let looks: Vec<_> = looks.iter().enumerate().map(|(i, l)| (i as u64 * 10, l)).collect();
    assert_eq!(last(&looks).stuck, 0);
}

#[test]
fn moved_says_whether_anything_changed() {
    let (one, two) = (marks(&[2]), marks(&[4]));
    assert!(!last(&[(0, &one), (10, &one)]).moved);
    assert!(last(&[(0, &one), (10, &two)]).moved);
    let (asleep, awake) = (unmarked(thread(3, 5)), unmarked(thread(4, 5)));
    assert!(last(&[(0, &asleep), (10, &awake)]).moved);
}

#[test]
fn a_thread_that_does_not_come_back_is_at_work_however_long_and_after_any_gap() {
    for (look, at_work) in [
        (marks(&[7]), true),
        (marks(&[8]), false),
        (unmarked(thread(2, 5)), true),
        (unmarked(thread(3, 5)), false),
    ] {
        for ms in [1, 10, 100, 1_000, 100_000] {
            let seen = last(&[(0, &look), (ms, &look)]);
            assert_eq!((seen.moved, seen.at_work), (false, at_work), "{look:?} after {ms} ms");
        }
    }
}

#[test]
fn the_busy_share_is_taken_once_a_window_and_never_above_the_whole() {
    let busy = |ms| unmarked(thread(2, ms));
    let looks = [busy(0), busy(30), busy(60), busy(9_999)];
    let at = |ms, i: usize| (ms, &looks[i]);
    assert_eq!(last(&[at(0, 0), at(99, 1)]).busy_percent, None);
    assert_eq!(last(&[at(100, 0), at(199, 1), at(200, 2)]).busy_percent, Some(60));
    assert_eq!(last(&[at(100, 0), at(200, 3)]).busy_percent, Some(100));
}
