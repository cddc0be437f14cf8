//! A thread that is stuck names the function that it is stuck in, with file and line.

#![expect(unsafe_code, reason = "calls of the C library, which keeps no frame pointers")]

use crate::threads::{DEADLINE, Release, Stuck, names, report};
use ripstop_tears::Tears;
use ripstop_testkit::until;
use std::{
    ffi::{c_int, c_void},
    fmt::Write,
    hint::{black_box, spin_loop},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// Lines of one of the functions below.
const LINES: u32 = 16;

#[track_caller]
fn check(name: &str, first: u32, body: fn(&Release)) {
    let tears = Tears::new();
    let stuck = Stuck::start(name, body);
    let mut last = None;
    let found = until(DEADLINE, || {
        let tear = report(&tears, &stuck.thread);
        let culprit = tear.culprit().filter(|frame| {
            let function = frame.function.as_deref().unwrap_or_default();
            function == name || function.ends_with(&format!("::{name}"))
        });
        let right = culprit.is_some_and(|frame| {
            let file = frame.file.as_deref().unwrap_or_default();
            let line = frame.line.unwrap_or_default();
            file.ends_with("tests/it/stuck.rs") && (first..first + LINES).contains(&line)
        });
        last = Some(tear);
        right
    });
    assert!(found, "{name} is not to be seen from line {first} on:\n{}", last.unwrap());
}

#[inline(never)]
#[expect(clippy::disallowed_methods, reason = "it is what blocks threads")]
fn sleeps(release: &Release) {
    while !release.is_given() {
        thread::sleep(Duration::from_millis(50)); // tidy: the fault itself
    }
}

#[test]
fn a_sleep_is_named() {
    check("sleeps", line!() - 9, sleeps);
}

#[inline(never)]
fn spins(release: &Release) {
    while !release.is_given() {
        spin_loop();
    }
}

#[test]
fn a_loop_is_named() {
    check("spins", line!() - 9, spins);
}

#[inline(never)]
fn waits_for_a_lock(release: &Release) {
    let lock = Arc::new(Mutex::new(()));
    let (theirs, released) = (lock.clone(), release.clone());
    let (held, is_held) = std::sync::mpsc::channel();
    let holder = Stuck::start("holder", move |_| hold(&theirs, &released, &held));
    is_held.recv().unwrap();
    drop(lock.lock().unwrap());
    drop(holder);
}

fn hold(lock: &Mutex<()>, release: &Release, held: &std::sync::mpsc::Sender<()>) {
    let _held = lock.lock().unwrap();
    held.send(()).unwrap();
    assert!(until(DEADLINE, || release.is_given()));
}

#[test]
fn a_lock_is_named() {
    check("waits_for_a_lock", line!() - 20, waits_for_a_lock);
}

#[inline(never)]
fn recurses(release: &Release) {
    black_box(descend(10_000, release));
}

#[inline(never)]
fn descend(depth: usize, release: &Release) -> usize {
    if depth > 0 {
        return black_box(descend(black_box(depth - 1), release)) + 1;
    }
    while !release.is_given() {
        spin_loop();
    }
    0
}

#[test]
fn a_deep_recursion_is_named() {
    check("descend", line!() - 12, recurses);
}

#[inline(never)]
fn copies(release: &Release) {
    let from = vec![7u8; 16 << 20];
    let mut to = vec![0u8; 16 << 20];
    while !release.is_given() {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
    }
}

#[test]
fn a_long_copy_is_named() {
    check("copies", line!() - 11, copies);
}

#[inline(never)]
fn formats(release: &Release) {
    let mut text = String::new();
    while !release.is_given() {
        text.clear();
        for number in 0..100 {
            write!(text, "{:?} {number:>30} ", black_box(0.1 + f64::from(number))).unwrap();
        }
    }
}

#[test]
fn endless_formatting_is_named() {
    check("formats", line!() - 12, formats);
}

#[inline(never)]
fn calls_the_c_library(release: &Release) {
    while !release.is_given() {
        // SAFETY: it takes a number.
        unsafe { libc::usleep(50_000) }; // tidy: the fault itself
    }
}

#[test]
fn the_caller_of_the_c_library_is_named() {
    check("calls_the_c_library", line!() - 10, calls_the_c_library);
}

/// Sorts by a comparison that does not end, until it is released.
#[inline(never)]
fn sorts_in_the_c_library(release: &Release) {
    let mut items = [release; 40];
    // SAFETY: the items are as many and as large as is said, and the comparison takes them for what
    // they are.
    unsafe {
        libc::qsort(items.as_mut_ptr().cast(), 40, size_of::<&Release>(), Some(compares));
    }
}

#[inline(never)]
unsafe extern "C" fn compares(one: *const c_void, _: *const c_void) -> c_int {
    // SAFETY: only the function above passes it, with items of that type.
    let release = unsafe { *one.cast::<&Release>() };
    while !release.is_given() {
        spin_loop();
    }
    0
}

#[test]
fn callers_on_the_other_side_of_the_c_library_are_found_again() {
    let tears = Tears::new();
    let stuck = Stuck::start("sorts", sorts_in_the_c_library);
    assert!(until(DEADLINE, || {
        let tear = report(&tears, &stuck.thread);
        names(&tear, "compares") && names(&tear, "sorts_in_the_c_library")
    }));
}
