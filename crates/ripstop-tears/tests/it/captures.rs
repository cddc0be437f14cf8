//! Questions to threads that end, sleep, spin, or do not answer.

#![expect(unsafe_code, reason = "only the C library blocks signals")]

use crate::threads::{PATIENCE, Release, Stuck, names, report};
use ripstop_tears::{Stack, Tears, Thread};
use ripstop_testkit::{Seed, until};
use std::{
    fs, hint::black_box, mem::MaybeUninit, ptr, sync::mpsc::channel, thread, time::Duration,
};

#[inline(never)]
#[expect(clippy::disallowed_methods, reason = "it is what blocks threads")]
fn marker_of_sleepers(release: &Release) {
    while !release.is_given() {
        thread::sleep(Duration::from_micros(300)); // tidy: the fault itself
    }
}

#[inline(never)]
fn marker_of_yielders(release: &Release) {
    while !release.is_given() {
        thread::yield_now();
    }
}

#[inline(never)]
fn marker_of_those_who_end(_: &Release) {
    black_box((0..1_000).sum::<u64>());
}

type Body = fn(&Release);

const BODIES: [(&str, Body); 3] = [
    ("marker_of_sleepers", marker_of_sleepers),
    ("marker_of_yielders", marker_of_yielders),
    ("marker_of_those_who_end", marker_of_those_who_end),
];

/// That nothing but its own marker is on a thread's stack.
fn check_own(tears: &Tears, stuck: &Stuck, marker: &str) -> bool {
    let tear = report(tears, &stuck.thread);
    for (other, _) in BODIES.iter().filter(|(name, _)| *name != marker) {
        assert!(!names(&tear, other), "{marker} has a frame of {other}:\n{tear}");
    }
    names(&tear, marker)
}

#[test]
fn a_thousand_questions_get_nothing_of_another_thread() {
    let mut random = Seed::from_env_or_clock().random();
    let tears = Tears::new();
    let start = |kind: usize| (BODIES[kind].0, Stuck::start(BODIES[kind].0, BODIES[kind].1));
    let mut threads: Vec<_> = (0..6).map(|index| start(index % 3)).collect();
    let mut named = 0;
    for _ in 0..1_000 {
        let index = random.below(threads.len());
        if random.chance(20) {
            threads[index] = start(random.below(3));
        }
        let (marker, stuck) = &threads[index];
        named += usize::from(check_own(&tears, stuck, marker));
    }
    assert!(named > 200, "only {named} of 1000 named their function");
}

#[test]
fn a_thread_that_has_ended_has_no_stack() {
    let thread = Stuck::start("ends", marker_of_those_who_end).end();
    assert_eq!(thread.stack(PATIENCE), Stack::empty());
    assert_eq!(thread.usage(), None);
}

#[test]
fn a_thread_may_ask_itself() {
    let stack = Thread::current().stack(PATIENCE);
    assert!(!stack.is_empty());
}

#[test]
fn what_a_thread_has_used_is_known() {
    let stuck = Stuck::start("spins", marker_of_yielders);
    let busy = || stuck.thread.usage().is_some_and(|usage| usage.on_cpu > Duration::from_millis(5));
    assert!(until(PATIENCE, busy));
}

/// Lets no signal through, or all.
fn mask(how: libc::c_int) {
    let mut all = MaybeUninit::uninit();
    // SAFETY: the set is filled before it is read, and nobody wants the old one.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(how, all.as_ptr(), ptr::null_mut());
    }
}

/// Signals of this user that have not arrived.
fn queued_signals() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("SigQ:")).unwrap();
    line.trim().split('/').next().unwrap().parse().unwrap()
}

#[test]
fn a_thread_that_blocks_the_signal_holds_nobody_up_and_answers_afterwards() {
    let (blocked, is_blocked) = channel();
    let (unblock, unblocked) = channel::<()>();
    let stuck = Stuck::start("blocks", move |release| {
        mask(libc::SIG_BLOCK);
        blocked.send(()).unwrap();
        unblocked.recv().unwrap();
        mask(libc::SIG_UNBLOCK);
        blocked.send(()).unwrap();
        marker_of_yielders(release);
    });
    is_blocked.recv().unwrap();
    for _ in 0..100 {
        assert_eq!(stuck.thread.stack(Duration::from_micros(100)), Stack::empty());
    }
    assert!(queued_signals() < 50, "{} signals are queued", queued_signals());
    let other = Stuck::start("other", marker_of_yielders);
    assert_ne!(other.thread.stack(PATIENCE), Stack::empty());
    unblock.send(()).unwrap();
    is_blocked.recv().unwrap();
    let tears = Tears::new();
    assert!(until(PATIENCE, || check_own(&tears, &stuck, "marker_of_yielders")));
}
