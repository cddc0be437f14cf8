//! What becomes of what was filed.

use crate::threads::{DEADLINE, names, reported};
use log::{Level, LevelFilter, Log, Metadata, Record};
use ripstop_tears::{Kind, Sighting, Stack, Tears};
use ripstop_testkit::until;
use std::sync::{Mutex, Once};

/// Keeps what is logged.
#[derive(Default)]
struct Logger {
    records: Mutex<Vec<(Level, String)>>,
}

static LOGGER: Logger = Logger { records: Mutex::new(Vec::new()) };

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        assert!(!text.contains("/explode"), "the logger is broken, too");
        self.records.lock().unwrap().push((record.level(), text));
    }

    fn flush(&self) {}
}

/// Records about a route.
fn logged(route: &str) -> Vec<(Level, String)> {
    static SET: Once = Once::new();
    SET.call_once(|| {
        log::set_logger(&LOGGER).unwrap();
        log::set_max_level(LevelFilter::Warn);
    });
    let records = LOGGER.records.lock().unwrap();
    records.iter().filter(|(_, text)| text.contains(route)).cloned().collect()
}

fn sighting(kind: Kind, route: &str) -> Sighting {
    Sighting { route: Some(route.into()), ..Sighting::new(kind, "rip-w0") }
}

#[inline(never)]
fn the_function_of_this_test() -> Stack {
    std::hint::black_box(Stack::here())
}

#[test]
fn the_stack_of_the_caller_names_it() {
    let stack = the_function_of_this_test();
    let tear = reported(&Tears::new(), Sighting { stack, ..Sighting::new(Kind::Panic, "test") });
    assert!(names(&tear, "the_function_of_this_test"), "{tear}");
    let culprit = tear.culprit().and_then(|frame| frame.function.clone()).unwrap();
    assert!(culprit.ends_with("the_function_of_this_test"), "{culprit}\n{tear}");
}

#[test]
fn what_is_filed_is_counted_numbered_and_kept() {
    let tears = Tears::new();
    for number in 1..=300 {
        let tear = reported(&tears, sighting(Kind::Deadline, "GET /kept"));
        assert_eq!(tear.number, number);
    }
    tears.add(Kind::Stall);
    assert_eq!(
        [Kind::Deadline, Kind::Stall, Kind::Panic].map(|kind| tears.count(kind)),
        [300, 1, 0]
    );
    let numbers: Vec<_> = tears.recent().iter().map(|tear| tear.number).collect();
    assert_eq!(numbers, (45..=300).collect::<Vec<_>>());
}

#[test]
fn what_does_not_fit_is_counted() {
    let tears = Tears::new();
    for _ in 0..20_000 {
        tears.file(sighting(Kind::Stall, "GET /many"));
    }
    assert_eq!(tears.count(Kind::Stall), 20_000);
    let reported = || tears.recent().last().map_or(0, |tear| tear.number);
    assert!(until(DEADLINE, || reported() + tears.unreported() == 20_000));
}

#[test]
fn a_stream_has_every_report_and_ends_with_the_hub() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let tears = Tears::new();
    reported(&tears, sighting(Kind::Stall, "GET /before"));
    let mut stream = tears.stream();
    for _ in 0..3 {
        reported(&tears, sighting(Kind::Stall, "GET /after"));
    }
    drop(tears);
    runtime.block_on(async {
        for number in 2..=4 {
            assert_eq!(stream.next().await.unwrap().number, number);
        }
        assert!(stream.next().await.is_none());
    });
}

#[test]
fn a_slow_reader_misses_the_oldest_reports() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let tears = Tears::new();
    let mut stream = tears.stream();
    for _ in 0..300 {
        reported(&tears, sighting(Kind::Stall, "GET /slow"));
    }
    let first = runtime.block_on(stream.next()).unwrap();
    assert_eq!(first.number, 300 - 256 + 1);
}

#[test]
fn one_record_of_a_kind_and_route_is_logged() {
    logged("");
    let tears = Tears::new();
    for _ in 0..5 {
        reported(&tears, sighting(Kind::Stall, "GET /logged"));
        reported(&tears, sighting(Kind::Deadline, "GET /logged"));
    }
    reported(&tears, sighting(Kind::Restart, "GET /logged"));
    // What is logged last is logged after all before it.
    assert!(until(DEADLINE, || logged("GET /logged").len() >= 3));
    let records = logged("GET /logged");
    let first_lines = records.iter().map(|(level, text)| (*level, text.lines().next().unwrap()));
    let expected = [(Level::Error, "stall"), (Level::Warn, "deadline"), (Level::Error, "restart")];
    assert_eq!(first_lines.collect::<Vec<_>>(), expected);
}

#[test]
fn the_reporter_outlives_a_panic_of_its_own() {
    logged("");
    let tears = Tears::new();
    tears.file(sighting(Kind::Stall, "GET /explode"));
    assert!(until(DEADLINE, || tears.unreported() == 1));
    let tear = reported(&tears, sighting(Kind::Stall, "GET /fine"));
    assert_eq!(tear.route.as_deref(), Some("GET /fine"));
}
