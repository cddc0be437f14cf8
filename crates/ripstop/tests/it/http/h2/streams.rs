//! Many requests on one connection: how many, both ways at once, and given up one by one.

use super::{
    client::{H2, answer, get, request},
    frames::{
        END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, SETTINGS, block, frame,
        get as get_fields,
    },
};
use crate::http::{
    site::{PATIENCE, QUIET, SHORT, Site, options},
    upgrades::tunnels,
};
use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use http::Request;
use ripstop::Disconnect;
use ripstop_testkit::{Seed, until};

/// The error of a stream that was not begun.
const REFUSED_STREAM: u32 = 7;

#[test]
fn a_hundred_streams_are_handled_at_once() {
    let site = Site::start(options());
    let h2 = H2::connect(&site);
    let waiting: Vec<_> = (0..100).map(|_| answer(h2.begin("/wait"))).collect();
    site.probe.await_begun(100);
    assert_eq!(h2.get("/").text(), "hello");
    (0..100).for_each(|_| site.probe.release());
    for answer in h2.wait(join_all(waiting)) {
        assert_eq!(answer.unwrap().text(), "waited");
    }
}

#[test]
fn the_settings_tell_the_limits() {
    let site = Site::start(options());
    let settings = Frames::open(&site, &[]).next_of(SETTINGS);
    let settings: Vec<_> = settings.payload.chunks(6).map(<[u8]>::to_vec).collect();
    // SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_MAX_HEADER_LIST_SIZE.
    assert!(settings.contains(&vec![0, 3, 0, 0, 0, 128]), "{settings:?}");
    assert!(settings.contains(&vec![0, 6, 0, 1, 0, 0]), "{settings:?}");
}

#[test]
fn a_client_waits_with_one_stream_too_many() {
    let site = Site::start(options());
    let h2 = H2::connect(&site);
    assert_eq!(h2.get("/").text(), "hello");
    let waiting: Vec<_> = (0..129).map(|_| answer(h2.begin("/wait"))).collect();
    site.probe.await_begun(129);
    assert!(!until(QUIET, || site.probe.begun() > 129), "more than 128 at once");
    site.probe.release();
    site.probe.await_begun(130);
    (1..129).for_each(|_| site.probe.release());
    assert!(h2.wait(join_all(waiting)).iter().all(Result::is_ok));
}

#[test]
fn one_stream_too_many_is_refused_and_the_others_go_on() {
    let site = Site::start(options());
    let mut frames = Frames::open(&site, &[]);
    for i in 0..129 {
        frames.request(2 * i + 1, &get_fields("/wait"));
    }
    let reset = frames.next_of(RST_STREAM);
    assert_eq!((reset.stream, reset.error()), (257, REFUSED_STREAM));
    site.probe.await_begun(128);
    site.probe.release();
    let first =
        (0..128).map(|_| frames.next().unwrap()).find(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!(first.payload[0], 0x88);
}

#[test]
fn large_bodies_go_both_ways() {
    let site = Site::start(options());
    let h2 = H2::connect(&site);
    let body = Seed::from_env_or_clock().random().bytes(3 << 20);
    for path in ["/echo", "/mirror"] {
        let answer = h2.ask(request("POST", path), &body).unwrap();
        assert!(answer.body == body, "{path} differs");
    }
    assert_eq!(h2.get("/large").body.len(), 8 << 20);
}

#[test]
fn large_bodies_go_both_ways_on_many_streams_at_once() {
    let site = Site::start(options());
    let h2 = H2::connect(&site);
    let body = Bytes::from(Seed::from_env_or_clock().random().bytes(1 << 20));
    let mirrored = (0..10).map(|_| {
        let (response, mut stream) = h2.open(request("POST", "/mirror"), false);
        stream.send_data(body.clone(), true).unwrap();
        answer(response)
    });
    for answer in h2.wait(join_all(mirrored.collect::<Vec<_>>())) {
        assert!(answer.unwrap().body == body, "a stream got another's bytes");
    }
}

#[test]
fn a_body_that_nobody_reads_stops_its_stream_and_no_other() {
    let site = Site::start(options());
    let h2 = H2::connect(&site);
    let (response, mut stream) = h2.open(request("POST", "/wait"), false);
    stream.send_data(Bytes::from(vec![0; 1 << 20]), true).unwrap();
    site.probe.await_begun(1);
    assert_eq!(h2.ask(request("POST", "/echo"), b"hello").unwrap().text(), "hello");
    site.probe.release();
    assert_eq!(h2.wait(answer(response)).unwrap().text(), "waited");
}

#[test]
fn a_cancelled_stream_drops_its_handler_and_no_other() {
    let site = Site::start(options());
    let h2 = H2::connect(&site);
    let stays = h2.begin("/wait");
    site.probe.await_begun(1);
    let (response, mut stream) = h2.open(get("/wait"), true);
    site.probe.await_begun(2);
    stream.send_reset(Reason::CANCEL);
    drop((response, stream));
    site.probe.await_dropped(1);
    site.probe.release();
    assert_eq!(h2.wait(answer(stays)).unwrap().text(), "waited");
    assert_eq!(site.probe.finished(), 1);
}

#[test]
fn a_cancelled_stream_leaves_a_handler_that_is_to_run_to_its_end() {
    let mut options = options();
    options.disconnect = Disconnect::RunToEnd;
    let site = Site::start(options);
    let h2 = H2::connect(&site);
    let (response, mut stream) = h2.open(get("/wait"), true);
    site.probe.await_begun(1);
    stream.send_reset(Reason::CANCEL);
    drop((response, stream));
    // The server has seen the reset when it answers what was sent behind it.
    assert_eq!(h2.get("/").text(), "hello");
    site.probe.release();
    site.probe.await_finished(2);
    assert_eq!(site.probe.dropped(), 0);
}

#[test]
fn handlers_are_dropped_when_the_connection_goes() {
    let site = Site::start(options());
    let h2 = H2::connect(&site);
    let _waiting: Vec<_> = (0..5).map(|_| h2.begin("/wait")).collect();
    site.probe.await_begun(5);
    drop(h2);
    site.probe.await_dropped(5);
}

#[test]
fn a_stream_becomes_a_tunnel_and_is_not_idle() {
    let mut options = options();
    options.connect = true;
    options.timeouts.idle = Some(SHORT);
    let site = tunnels(options);
    let h2 = H2::connect(&site);
    let connect = Request::builder().method("CONNECT").uri("test:443").body(()).unwrap();
    let (response, mut stream) = h2.open(connect, false);
    let response = h2.wait(response).unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    for _ in 0..2 {
        stream.send_data(Bytes::from_static(b"hello"), false).unwrap();
        assert_eq!(h2.wait(body.data()).unwrap().unwrap(), "HELLO");
        // A connection that is idle is told so: then there is no new stream.
        assert!(!until(SHORT * 2, || site.probe.finished() > 0));
        assert_eq!(h2.ask(get("/"), b"").unwrap().status, 200);
    }
    stream.send_data(Bytes::new(), true).unwrap();
    site.probe.await_finished(1);
}

#[test]
fn a_flood_of_cancelled_streams_ends_the_connection() {
    let site = Site::start(options());
    let mut frames = Frames::open(&site, &[]);
    let head = block(&get_fields("/wait"));
    for stream in (1..10_000).step_by(2) {
        let begin = frame(HEADERS, END_STREAM | END_HEADERS, stream, &head);
        let cancel = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        if frames.client.send([begin, cancel].concat()).is_err() {
            break;
        }
    }
    let (goodbye, _) = frames.ending();
    // ENHANCE_YOUR_CALM, where it was not lost with the reset.
    assert!(goodbye.is_none_or(|goodbye| goodbye.error() == 11));
    assert!(until(PATIENCE, || { site.probe.begun() == site.probe.dropped() }));
    site.assert_serves();
}
