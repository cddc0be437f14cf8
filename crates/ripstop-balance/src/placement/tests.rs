//! Tables: policy and loads in, choices out.

use super::*;

fn load(connections: usize, in_flight: usize, busy_percent: u8) -> Load {
    Load { stuck: false, connections, in_flight, busy_percent }
}

fn stuck() -> Load {
    Load { stuck: true, ..Load::default() }
}

#[track_caller]
fn check(policy: Placement, loads: &[Load], expected: &[usize]) {
    let mut placer = Placer::new(policy, 7);
    let chosen: Vec<_> = expected.iter().filter_map(|_| placer.place(loads)).collect();
    assert_eq!(chosen, expected, "{policy} on {loads:?}");
}

#[test]
fn round_robin_takes_turns_and_skips_the_stuck() {
    check(Placement::RoundRobin, &[load(9, 9, 99), load(0, 0, 0), load(1, 1, 1)], &[0, 1, 2, 0]);
    check(Placement::RoundRobin, &[load(0, 0, 0), stuck(), load(0, 0, 0)], &[0, 2, 0, 2]);
}

#[test]
fn least_connections_counts_connections_only() {
    check(Placement::LeastConnections, &[load(3, 0, 0), load(2, 9, 99)], &[1, 1]);
    check(Placement::LeastConnections, &[load(2, 0, 0), load(2, 0, 0)], &[0, 1, 0]);
    check(Placement::LeastConnections, &[stuck(), load(50, 0, 0)], &[1]);
}

#[test]
fn least_loaded_prefers_an_idle_worker_whatever_it_owns() {
    check(Placement::LeastLoaded, &[load(1, 1, 90), load(500, 0, 10)], &[1, 1]);
}

#[test]
fn least_loaded_among_idle_workers_counts_connections() {
    check(Placement::LeastLoaded, &[load(4, 0, 49), load(3, 0, 0)], &[1]);
}

#[test]
fn least_loaded_among_busy_workers_counts_requests_then_share() {
    check(Placement::LeastLoaded, &[load(1, 5, 60), load(9, 4, 99)], &[1]);
    check(Placement::LeastLoaded, &[load(1, 5, 95), load(9, 5, 60)], &[1]);
    // 61 and 66 percent are one step: the fewer connections decide.
    check(Placement::LeastLoaded, &[load(9, 5, 61), load(1, 5, 66)], &[1]);
}

#[test]
fn a_stuck_worker_is_chosen_only_when_all_are() {
    for policy in Placement::ALL {
        let mut placer = Placer::new(policy, 3);
        let loads = [stuck(), stuck(), load(99, 99, 99), stuck()];
        assert!((0..1000).all(|_| placer.place(&loads) == Some(2)), "{policy}");
        assert!(Placer::new(policy, 3).place(&[stuck(), stuck()]).is_some());
    }
}

#[test]
fn two_choices_never_takes_the_worse_of_a_mixed_draw() {
    let loads = [load(0, 0, 0), load(0, 8, 100), load(0, 9, 100)];
    let mut placer = Placer::new(Placement::TwoChoices, 11);
    let mut taken = [0; 3];
    for _ in 0..3000 {
        taken[placer.place(&loads).expect("there are workers")] += 1;
    }
    // The worst is in two of three draws and never the better one, the best in two and always.
    let [best, middle, worst] = taken;
    assert!((1900..2100).contains(&best) && middle == 3000 - best && worst == 0, "{taken:?}");
}

#[test]
fn no_worker_is_no_choice() {
    assert_eq!(Placer::new(Placement::LeastLoaded, 1).place(&[]), None);
}

#[test]
fn names_parse_back() {
    for policy in Placement::ALL {
        assert_eq!(policy.name().parse(), Ok(policy));
    }
    assert_eq!("fastest".parse::<Placement>(), Err(ParsePlacementError));
}
