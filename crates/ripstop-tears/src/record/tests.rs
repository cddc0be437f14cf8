//! Records as they are read, to the letter.

use super::*;
use crate::{Activity, Kind, Sighting};
use std::time::SystemTime;

fn frame(function: &str, file: &str, line: u32) -> Frame {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Frame { address: 0x10, function: some(function), file: some(file), line: Some(line) }
}

#[track_caller]
fn check(sighting: Sighting, stack: Vec<Frame>, record: &str) {
    let tear = Tear::new(1, SystemTime::UNIX_EPOCH, sighting, stack);
    assert_eq!(tear.to_string(), record);
}

fn wedged() -> Sighting {
    Sighting {
        worker: Some(0),
        route: Some("GET /wedge".into()),
        request_id: Some("52ab01".into()),
        peer: Some(([127, 0, 0, 1], 40312).into()),
        lasted: Some(Duration::from_micros(104_300)),
        activity: Some(Activity::Asleep),
        ..Sighting::new(Kind::Stall, "rip-w0")
    }
}

#[test]
fn a_record_names_the_culprit_and_folds_what_called_it() {
    let stack = vec![
        frame("clock_nanosleep", "", 0),
        frame("std::thread::sleep", "std/src/thread/mod.rs", 9),
        frame("tear::wedge", "crates/ripstop/examples/tear.rs", 127),
        frame("tokio::task::poll", "tokio-1.54.1/src/task.rs", 5),
        frame("tear::main", "crates/ripstop/examples/tear.rs", 60),
        frame("std::rt::lang_start", "std/src/rt.rs", 1),
        frame("main", "", 0),
    ];
    let record = "\
stall of 104 ms in tear::wedge (crates/ripstop/examples/tear.rs:127), asleep
  route    GET /wedge
  request  52ab01
  peer     127.0.0.1:40312
  thread   rip-w0 (worker 0)
  stack    0  clock_nanosleep
           1  std::thread::sleep at std/src/thread/mod.rs:9
           2  tear::wedge at crates/ripstop/examples/tear.rs:127
           3  tokio::task::poll at tokio-1.54.1/src/task.rs:5
           4  tear::main at crates/ripstop/examples/tear.rs:60
           … 2 frames of the runtime";
    check(wedged(), stack, record);
}

#[test]
fn without_a_frame_of_the_application_all_are_shown() {
    let stack = vec![frame("clock_nanosleep", "", 0), frame("", "", 0)];
    let sighting = Sighting {
        lasted: Some(Duration::from_secs(75)),
        ..Sighting::new(Kind::ExecutorLost, "rip-e1")
    };
    let record = "\
executor-lost of 75 s
  thread   rip-e1
  stack    0  clock_nanosleep
           1  0x10";
    check(sighting, stack, record);
}

#[test]
fn without_a_stack_there_are_no_frames() {
    let message = "it died".into();
    let sighting = Sighting { message, ..Sighting::new(Kind::Restart, "rip-watchdog") };
    check(sighting, vec![], "restart\n  message  it died\n  thread   rip-watchdog");
}

#[test]
fn nothing_that_was_sent_forges_a_line() {
    let sighting = Sighting {
        route: Some("GET /\n  peer     1.2.3.4:5".into()),
        request_id: Some("a\r\n\u{1b}[2Jb\u{2028}c\u{85}d\u{202e}e".into()),
        message: "one\ntwo".into(),
        ..Sighting::new(Kind::Panic, "a\tb")
    };
    let record = "\
panic
  message  one\\ntwo
  route    GET /\\n  peer     1.2.3.4:5
  request  a\\r\\n\\u{1b}[2Jb\\u{2028}c\\u{85}d\\u{202e}e
  thread   a\\tb";
    check(sighting, vec![], record);
}

#[test]
fn type_parameters_are_left_out_of_names() {
    let names = [
        ("tear::wedge::{{closure}}", "tear::wedge::{{closure}}"),
        ("poll<alloc::boxed::Box<dyn Fn() -> u8>, u8>", "poll<…>"),
        ("<F as axum::Handler<(M, T1), S>>::call::<u8>", "<F as axum::Handler<…>>::call::<…>"),
        ("a::b<c>::d<e<f>>::g", "a::b<…>::d<…>::g"),
        ("<<A as B>::C as D>::e", "<<…>::C as D>::e"),
        ("closed>too>often", "closed>too>often"),
    ];
    for (name, short) in names {
        assert_eq!(without_generics(name), short);
    }
}
