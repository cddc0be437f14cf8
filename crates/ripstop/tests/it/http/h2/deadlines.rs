//! Deadlines of HTTP/2: those of a stream cost the stream, those of the connection end it in order.

use super::{
    client::{H2, answer, request},
    frames::{
        END_STREAM, Frames, GOAWAY, HEADERS, PREFACE, RST_STREAM, WINDOW_UPDATE, block,
        get as get_fields,
    },
};
use crate::http::site::{LONG, SHORT, STEP, Site, options};
use bytes::Bytes;
use h2::client::Builder;
use ripstop_testkit::{Ending, until};
use std::time::Instant;
use tokio::time::timeout;

/// Expects a `GOAWAY` without an error, and the end.
#[track_caller]
fn assert_goodbye(frames: Frames) {
    let (goodbye, ending) = frames.ending();
    assert_eq!(goodbye.map(|goodbye| goodbye.error()), Some(0));
    assert_eq!(ending, Ending::Closed);
}

#[test]
fn a_preface_that_does_not_end_in_time_ends_the_connection() {
    let site = Site::with_timeouts(|timeouts| timeouts.header = Some(SHORT));
    let begin = Instant::now();
    let part = |len: usize| {
        let mut client = site.client();
        client.send(&PREFACE[..len]).unwrap();
        client
    };
    // To the end of its first line, and further.
    for mut client in [part(16), part(20)] {
        client.ending().unwrap();
        assert!(begin.elapsed() >= SHORT);
    }
}

#[test]
fn a_connection_on_which_no_request_comes_is_ended() {
    let site = Site::with_timeouts(|timeouts| timeouts.header = Some(SHORT));
    let begin = Instant::now();
    assert_goodbye(Frames::open(&site, &[]));
    assert!(begin.elapsed() >= SHORT);
}

#[test]
fn a_head_that_does_not_end_in_time_ends_the_connection() {
    let site = Site::with_timeouts(|timeouts| timeouts.header = Some(SHORT));
    let begin = Instant::now();
    let mut frames = Frames::open(&site, &[]);
    frames.send(HEADERS, END_STREAM, 1, &block(&get_fields("/")));
    // Nothing more is sent: any other frame would end the connection at once.
    frames.client.ending().unwrap();
    assert!(begin.elapsed() >= SHORT);
    assert_eq!(site.probe.begun(), 0);
}

#[test]
fn an_idle_connection_is_ended() {
    let site = Site::with_timeouts(|timeouts| timeouts.idle = Some(SHORT));
    let mut frames = Frames::open(&site, &[]);
    frames.request(1, &get_fields("/"));
    frames.response(1);
    let begin = Instant::now();
    assert_goodbye(frames);
    assert!(begin.elapsed() >= SHORT / 2, "after {:?}", begin.elapsed());
}

#[test]
fn a_connection_in_use_is_not_idle() {
    let site = Site::with_timeouts(|timeouts| timeouts.idle = Some(SHORT));
    let h2 = H2::connect(&site);
    let waiting = h2.begin("/wait");
    site.probe.await_begun(1);
    assert!(!until(SHORT * 2, || site.probe.dropped() > 0));
    site.probe.release();
    assert_eq!(h2.wait(answer(waiting)).unwrap().text(), "waited");
}

#[test]
fn a_request_that_takes_too_long_is_answered_504_beside_others() {
    let site = Site::with_timeouts(|timeouts| timeouts.request = Some(SHORT));
    let h2 = H2::connect(&site);
    let begin = Instant::now();
    let slow = h2.begin("/wait");
    assert_eq!(h2.get("/").text(), "hello");
    let slow = h2.wait(answer(slow)).unwrap();
    assert_eq!(slow.status, 504);
    assert!(begin.elapsed() >= SHORT);
    assert_eq!(site.probe.dropped(), 1);
    assert_eq!(h2.get("/").text(), "hello");
}

#[test]
fn a_body_that_stalls_is_answered_408_beside_others() {
    let site = Site::with_timeouts(|timeouts| timeouts.body = Some(SHORT));
    let h2 = H2::connect(&site);
    let begin = Instant::now();
    let (response, mut stream) = h2.open(request("POST", "/echo"), false);
    stream.send_data(Bytes::from_static(b"hello"), false).unwrap();
    assert_eq!(h2.get("/").text(), "hello");
    assert_eq!(h2.wait(response).unwrap().status(), 408);
    assert!(begin.elapsed() >= SHORT);
    assert_eq!(h2.get("/").text(), "hello");
}

#[test]
fn a_body_that_makes_progress_is_not_cut() {
    let mut options = options();
    options.timeouts.body = Some(LONG);
    options.timeouts.request = Some(LONG);
    options.limits.rate = None;
    let site = Site::start(options);
    let h2 = H2::connect(&site);
    let begin = Instant::now();
    let (mut response, mut stream) = h2.open(request("POST", "/echo"), false);
    for _ in 0..10 {
        stream.send_data(Bytes::from_static(b"x"), false).unwrap();
        let early = h2.wait(async { timeout(STEP, &mut response).await });
        assert!(early.is_err(), "it was answered before it was sent");
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert!(begin.elapsed() > LONG);
    assert_eq!(h2.wait(answer(response)).unwrap().text(), "x".repeat(10));
}

#[test]
fn a_body_that_trickles_is_answered_408_beside_others() {
    let site = Site::with_timeouts(|timeouts| timeouts.body = Some(SHORT));
    let h2 = H2::connect(&site);
    let begin = Instant::now();
    let (mut response, mut stream) = h2.open(request("POST", "/echo"), false);
    let answered = (0..50).find_map(|_| {
        // The server may have had enough.
        let _ = stream.send_data(Bytes::from_static(b"x"), false);
        h2.wait(async { timeout(SHORT / 10, &mut response).await }).ok()
    });
    assert_eq!(answered.expect("before it was sent").unwrap().status(), 408);
    assert!(begin.elapsed() >= SHORT);
    assert_eq!(h2.get("/").text(), "hello");
}

#[test]
fn a_stream_whose_client_does_not_read_is_reset_beside_others() {
    let site = Site::with_timeouts(|timeouts| timeouts.write = Some(SHORT));
    let windows = { Builder::new() }
        .initial_window_size(100_000)
        .initial_connection_window_size(1 << 20)
        .clone();
    let h2 = H2::with(&site, &windows);
    let begin = Instant::now();
    let stuck = h2.wait(h2.begin("/stream")).unwrap();
    assert_eq!(h2.get("/").text(), "hello");
    site.probe.await_dropped(1);
    assert!(begin.elapsed() >= SHORT);
    assert!(site.probe.produced() < 1 << 20, "{} bytes for nobody", site.probe.produced());
    let mut body = stuck.into_body();
    let mut read = 0;
    let err = loop {
        match h2.wait(body.data()).unwrap() {
            Ok(piece) => read += piece.len(),
            Err(err) => break err,
        }
    };
    assert!(err.is_reset() && err.is_remote(), "{err} after {read} bytes");
    assert_eq!(h2.get("/").text(), "hello");
}

#[test]
fn a_stream_whose_client_does_not_read_is_reset_where_the_response_is_one_piece() {
    let site = Site::with_timeouts(|timeouts| timeouts.write = Some(SHORT));
    let mut frames = Frames::open(&site, &[]);
    frames.request(1, &get_fields("/large"));
    assert_eq!(frames.next_of(RST_STREAM).stream, 1);
}

#[test]
fn a_stream_whose_client_takes_nothing_is_reset_beside_others() {
    let site = Site::with_timeouts(|timeouts| timeouts.write = Some(SHORT));
    // SETTINGS_INITIAL_WINDOW_SIZE.
    let mut frames = Frames::open(&site, &[(4, 0)]);
    let begin = Instant::now();
    frames.request(1, &get_fields("/"));
    let reset = frames.next_of(RST_STREAM);
    assert_eq!(reset.stream, 1);
    assert!(begin.elapsed() >= SHORT);
    frames.request(3, &get_fields("/"));
    frames.send(WINDOW_UPDATE, 0, 3, &5_u32.to_be_bytes());
    assert_eq!(frames.response(3)[0], 0x88);
}

#[test]
fn a_connection_whose_client_takes_only_the_beginning_is_idle() {
    let site = Site::with_timeouts(|timeouts| timeouts.idle = Some(SHORT));
    let mut frames = Frames::open(&site, &[(4, 1)]);
    frames.request(1, &get_fields("/"));
    let (goodbye, _) = frames.ending();
    assert_eq!(goodbye.map(|goodbye| goodbye.error()), Some(0));
    site.assert_serves();
}

#[test]
fn a_connection_whose_client_does_not_read_is_cut_and_costs_little_memory() {
    let site = Site::with_timeouts(|timeouts| timeouts.write = Some(SHORT));
    // SETTINGS_INITIAL_WINDOW_SIZE, and the connection's window.
    let mut frames = Frames::open(&site, &[(4, 0x7fff_ffff)]);
    frames.send(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    frames.request(1, &get_fields("/stream"));
    site.probe.await_dropped(1);
    assert!(site.probe.produced() <= 16 << 20, "{} bytes for nobody", site.probe.produced());
    frames.client.ending().unwrap();
    site.assert_serves();
}

#[test]
fn an_old_connection_says_goodbye_and_finishes_what_runs() {
    let site = Site::with_timeouts(|timeouts| timeouts.connection_age = Some(SHORT));
    let begin = Instant::now();
    let mut frames = Frames::open(&site, &[]);
    frames.request(1, &get_fields("/wait"));
    assert_eq!(frames.next_of(GOAWAY).error(), 0);
    assert!(begin.elapsed() >= SHORT);
    site.probe.release();
    assert_eq!(frames.response(1)[0], 0x88);
    assert_eq!(frames.ending().1, Ending::Closed);
}

#[test]
fn an_old_connection_of_a_polite_client_ends_in_order() {
    let site = Site::with_timeouts(|timeouts| timeouts.connection_age = Some(SHORT));
    let h2 = H2::connect(&site);
    assert_eq!(h2.get("/").text(), "hello");
    h2.ended().unwrap();
}
