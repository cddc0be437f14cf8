//! Tables of frames, and after how many of them there are too many.

use super::*;

const PRIORITY: u8 = 2;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, stream: u32, len: usize) -> Vec<u8> {
    let head = u32::try_from(len).unwrap().to_be_bytes();
    [&head[1..], &[kind, flags], &stream.to_be_bytes(), &vec![0; len]].concat()
}

/// A connection behind its preface, at whose begin no time passes.
fn connection() -> Flood {
    let mut flood = Flood::new(128);
    assert_eq!(flood.reads(&[0; PREFACE], || Duration::ZERO), PREFACE);
    flood
}

/// How many times these frames may come one after the other in an instant; at most a hundred thousand.
fn allowed(read: &[u8], written: &[u8]) -> usize {
    let mut flood = connection();
    (0..100_000)
        .find(|_| {
            flood.reads(read, || Duration::ZERO);
            flood.writes(written);
            flood.over().is_some()
        })
        .unwrap_or(usize::MAX)
}

#[test]
fn frames_that_are_no_work_are_bounded() {
    for (kind, flags, stream, len, expected) in [
        (PING, 0, 0, 8, 1000),
        (PING, ACK, 0, 8, 100),
        (SETTINGS, 0, 0, 0, 100),
        (SETTINGS, 0, 0, 6, 100),
        (SETTINGS, ACK, 0, 0, 1000),
        (PRIORITY, 0, 1, 5, 1000),
        (WINDOW_UPDATE, 0, 0, 4, 1000),
        (CONTINUATION, 0, 1, 0, 1000),
        (GOAWAY, 0, 0, 8, 100),
        (0xfa, 0, 0, 0, 1000),
        (DATA, 0, 1, 0, 1000),
        (DATA, PADDED, 1, 256, 1000),
        (RST_STREAM, 0, 1, 4, 512),
    ] {
        let frame = frame(kind, flags, stream, len);
        assert_eq!(allowed(&frame, &[]), expected, "kind {kind}, flags {flags}, {len} bytes");
    }
}

#[test]
fn work_is_not_bounded() {
    for frame in [
        frame(DATA, 0, 1, 1),
        frame(DATA, 0, 1, 16_384),
        frame(DATA, END_STREAM, 1, 0),
        frame(DATA, PADDED, 1, 257),
    ] {
        assert_eq!(allowed(&frame, &[]), usize::MAX, "{:?}", &frame[..9]);
    }
}

#[test]
fn work_pays_for_what_comes_with_it() {
    let mut flood = connection();
    let chores = [frame(PRIORITY, 0, 1, 5), frame(PING, 0, 0, 8)].concat();
    for stream in (1..100_001).step_by(2) {
        let request = [frame(HEADERS, 5, stream, 40), chores.clone(), chores.clone()].concat();
        assert_eq!(flood.reads(&request, || Duration::ZERO), request.len(), "stream {stream}");
    }
    assert_eq!((flood.over(), flood.last_stream()), (None, 99_999));
}

#[test]
fn a_client_that_answers_each_data_frame_is_not_bounded() {
    let acknowledged =
        [frame(WINDOW_UPDATE, 0, 0, 4), frame(WINDOW_UPDATE, 0, 1, 4), frame(PING, 0, 0, 8)];
    assert_eq!(allowed(&acknowledged.concat(), &frame(DATA, 0, 1, 16)), usize::MAX);
}

#[test]
fn windows_of_a_byte_are_bounded() {
    assert_eq!(allowed(&frame(WINDOW_UPDATE, 0, 1, 4), &frame(DATA, 0, 1, 1)), 1000);
}

#[test]
fn finished_streams_pay_for_cancelled_ones() {
    let cancel = frame(RST_STREAM, 0, 1, 4);
    assert_eq!(allowed(&cancel, &frame(DATA, END_STREAM, 1, 0)), usize::MAX);
    assert_eq!(allowed(&cancel, &frame(HEADERS, END_STREAM, 1, 10)), usize::MAX);
    assert_eq!(allowed(&cancel, &frame(HEADERS, 0, 1, 10)), 512);
}

#[test]
fn requests_that_are_cancelled_do_not_pay_for_it() {
    let mut flood = connection();
    let begun = (0..10_000).find(|i| {
        let begin_and_cancel = [frame(HEADERS, 5, 2 * i + 1, 40), frame(RST_STREAM, 0, 1, 4)];
        flood.reads(&begin_and_cancel.concat(), || Duration::ZERO);
        flood.over().is_some()
    });
    assert_eq!((begun, flood.over()), (Some(512), Some(Excess::Cancels)));
}

#[test]
fn time_pays_a_little() {
    let ping = frame(PING, 0, 0, 8);
    for (pause_ms, endless) in [(9, false), (10, true), (10_000, true)] {
        let mut flood = connection();
        let over = (0..100_000).any(|i| {
            flood.reads(&ping, || Duration::from_millis(i * pause_ms));
            flood.over().is_some()
        });
        assert_eq!(over, !endless, "a ping each {pause_ms} ms");
    }
}

#[test]
fn what_follows_a_frame_too_much_is_not_passed_on_wherever_it_is_cut() {
    let pings = frame(PING, 0, 0, 8).repeat(1001);
    let stream = [pings.clone(), frame(PING, 0, 0, 8)].concat();
    for cut in pings.len() - 30..stream.len() {
        let mut flood = connection();
        let (first, second) = stream.split_at(cut);
        let mut passed = flood.reads(first, || Duration::ZERO);
        if flood.over().is_none() {
            passed += flood.reads(second, || Duration::ZERO);
        }
        assert_eq!((passed, flood.over()), (pings.len(), Some(Excess::Chores)), "cut at {cut}");
    }
}
