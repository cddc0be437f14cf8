//! Floods: what a peer sends to keep a server busy without asking for anything. Each ends with the
//! right GOAWAY, before it took much of a worker; a busy client never does.

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PADDED, PING,
    PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, frames_of,
};
use crate::{
    http::site::{PATIENCE, SHORT, Site, options},
    serve::program::{Program, tear},
};
use ripstop_testkit::until;
use std::time::Duration;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A tenth of a worker's second. Without optimization everything takes several times as long.
const CPU_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 100 });

/// More than anybody may send; who is still served then was not cut.
const ROUNDS: u32 = 20_000;

/// How many times a flood is sent at once.
const BATCH: u32 = 50;

/// The same again and again, after a beginning.
struct Flood {
    name: &'static str,
    settings: &'static [(u16, u32)],
    begin: fn() -> Vec<u8>,
    /// The frames of each round, which is named by the number of a stream.
    round: fn(u32) -> Vec<u8>,
    ends_with: u32,
}

impl Flood {
    /// One whose rounds need no beginning.
    const fn of(name: &'static str, round: fn(u32) -> Vec<u8>, ends_with: u32) -> Self {
        Self { name, settings: &[], begin: Vec::new, round, ends_with }
    }

    const fn behind(self, begin: fn() -> Vec<u8>) -> Self {
        Self { begin, ..self }
    }

    /// Sends it until the server has had enough; the error and the text of its GOAWAY.
    #[track_caller]
    fn run(&self, program: &Program) -> (u32, String) {
        let mut client = Frames::over(program.connect(), self.settings).client;
        client.send((self.begin)()).unwrap();
        for first in (0..ROUNDS).step_by(BATCH as usize) {
            let rounds = (first..first + BATCH).flat_map(|round| (self.round)(2 * round + 101));
            if client.send(rounds.collect::<Vec<_>>()).is_err() {
                break;
            }
        }
        let (read, _) = client.ending().unwrap_or_else(|err| panic!("{}: {err}", self.name));
        let goodbye = frames_of(&read).into_iter().rfind(|frame| frame.kind == GOAWAY);
        let goodbye = goodbye.unwrap_or_else(|| panic!("{}: no GOAWAY", self.name));
        (goodbye.error(), String::from_utf8_lossy(&goodbye.payload[8..]).into_owned())
    }
}

/// A request for `path` that takes a while, or to which a body belongs.
fn request(stream: u32, method: &str, path: &str, flags: u8) -> Vec<u8> {
    let fields =
        [(":method", method), (":scheme", "http"), (":authority", "test"), (":path", path)];
    frame(HEADERS, flags | END_HEADERS, stream, &block(&fields))
}

fn slow(stream: u32) -> Vec<u8> {
    request(stream, "GET", "/slow", END_STREAM)
}

fn upload(stream: u32) -> Vec<u8> {
    request(stream, "POST", "/echo", 0)
}

fn update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// Header fields whose table entry is sent once and meant a thousand times.
fn bomb(stream: u32) -> Vec<u8> {
    let entry = [&[0x40, 1, b'x', 127, 0xa1, 0x1e][..], &[b'y'; 4000]].concat();
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &[entry, vec![0xbe; 10_000]].concat())
}

/// The head of a request that does not end.
fn endless_head() -> Vec<u8> {
    frame(HEADERS, END_STREAM, 1, &block(&[(":method", "GET")]))
}

const FLOODS: &[Flood] = &[
    Flood::of("PING", |_| frame(PING, 0, 0, &[7; 8]), ENHANCE_YOUR_CALM),
    Flood::of("confirmations of PINGs", |_| frame(PING, ACK, 0, &[7; 8]), ENHANCE_YOUR_CALM),
    Flood::of("SETTINGS", |_| frame(SETTINGS, 0, 0, &[]), ENHANCE_YOUR_CALM),
    Flood::of(
        "SETTINGS that change all windows",
        |round| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, (round / 2 % 2) as u8, 0]),
        ENHANCE_YOUR_CALM,
    )
    .behind(|| (1..100).step_by(2).flat_map(slow).collect()),
    Flood::of("confirmations of SETTINGS", |_| frame(SETTINGS, ACK, 0, &[]), PROTOCOL_ERROR),
    Flood::of("PRIORITY", |_| frame(PRIORITY, 0, 1, &[0; 5]), ENHANCE_YOUR_CALM),
    Flood::of("frames of no known type", |_| frame(0xfa, 0, 0, &[]), ENHANCE_YOUR_CALM),
    Flood::of("GOAWAY", |_| frame(GOAWAY, 0, 0, &[0; 8]), ENHANCE_YOUR_CALM).behind(|| slow(1)),
    Flood::of("empty DATA", |_| frame(DATA, 0, 1, &[]), ENHANCE_YOUR_CALM).behind(|| upload(1)),
    Flood::of("DATA of padding", |_| frame(DATA, PADDED, 1, &[3, 0, 0, 0]), ENHANCE_YOUR_CALM)
        .behind(|| upload(1)),
    Flood::of("windows of the connection", |_| update(0, 1), ENHANCE_YOUR_CALM),
    Flood::of("windows of a stream", |_| update(1, 1), ENHANCE_YOUR_CALM).behind(|| slow(1)),
    Flood::of("windows that grow by nothing", |_| update(1, 0), PROTOCOL_ERROR).behind(|| slow(1)),
    Flood::of("windows too large", |_| update(0, 0x7fff_ffff), FLOW_CONTROL_ERROR),
    Flood {
        settings: &[(4, 0)],
        ..Flood::of("windows of a byte", |_| update(1, 1), ENHANCE_YOUR_CALM)
            .behind(|| request(1, "GET", "/stream?kb=1000", END_STREAM))
    },
    Flood::of(
        "rapid reset",
        |stream| [slow(stream), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat(),
        ENHANCE_YOUR_CALM,
    ),
    Flood::of(
        "resets of a stream that is over",
        |_| frame(RST_STREAM, 0, 1, &[0; 4]),
        ENHANCE_YOUR_CALM,
    )
    .behind(|| slow(1)),
    Flood::of(
        "streams reset by a window too large",
        |stream| [slow(stream), update(stream, 0x7fff_ffff)].concat(),
        ENHANCE_YOUR_CALM,
    ),
    Flood::of(
        "DATA after the end of its stream",
        |stream| [slow(stream), frame(DATA, 0, stream, b"x")].concat(),
        PROTOCOL_ERROR,
    ),
    Flood::of(
        "a second head after the end of its stream",
        |stream| [slow(stream), slow(stream)].concat(),
        PROTOCOL_ERROR,
    ),
    Flood::of(
        "streams reset by depending on themselves",
        |stream| {
            let dependency = [&stream.to_be_bytes()[..], &[0]].concat();
            [slow(stream), frame(PRIORITY, 0, stream, &dependency)].concat()
        },
        ENHANCE_YOUR_CALM,
    ),
    Flood::of(
        "streams reset by a body too long",
        |stream| {
            let fields = [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "test"),
                (":path", "/echo"),
                ("content-length", "1"),
            ];
            let head = frame(HEADERS, END_HEADERS, stream, &block(&fields));
            [head, frame(DATA, END_STREAM, stream, b"xx")].concat()
        },
        ENHANCE_YOUR_CALM,
    ),
    Flood::of("streams that are one too many", slow, ENHANCE_YOUR_CALM),
    Flood::of(
        "CONTINUATION",
        |_| frame(CONTINUATION, 0, 1, &[0, 1, b'a', 1, b'b']),
        ENHANCE_YOUR_CALM,
    )
    .behind(endless_head),
    Flood::of("empty CONTINUATION", |_| frame(CONTINUATION, 0, 1, &[]), ENHANCE_YOUR_CALM)
        .behind(endless_head),
    Flood::of("CONTINUATION without a head", |_| frame(CONTINUATION, 0, 1, &[]), PROTOCOL_ERROR),
    Flood::of("fields that are meant again and again", bomb, ENHANCE_YOUR_CALM),
    Flood::of(
        "fields without a name",
        |stream| {
            let fields = block(&[("", ""); 1000]);
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields)
        },
        PROTOCOL_ERROR,
    ),
];

#[test]
fn every_flood_ends_with_a_goaway_before_it_took_much_of_a_worker() {
    let tear = tear(&["--workers", "1"]);
    let proc = tear.process.proc();
    let mut wrong = Vec::new();
    for flood in FLOODS {
        let before = proc.cpu_time().unwrap();
        let (error, why) = flood.run(&tear);
        let took = proc.cpu_time().unwrap() - before;
        println!("{:45} {:5.1} ms, {error}, {why}", flood.name, took.as_secs_f64() * 1e3);
        if error != flood.ends_with || took > CPU_MAX {
            wrong.push(format!("{}: error {error} after {took:?}", flood.name));
        }
        assert_eq!(tear.connect().get("/").unwrap().status(), 200, "after {}", flood.name);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    tear.terminate();
}

/// A reset that comes once the handler runs: no queue of h2's sees it.
#[test]
fn streams_that_are_cancelled_once_their_handlers_run_end_with_a_goaway() {
    let site = Site::start(options());
    let mut client = Frames::open(&site, &[]).client;
    // As many as may be open at once, four times, and a few that time has earned meanwhile.
    let mut begun = 0;
    for round in 0..60 {
        let streams = || (0..120).map(|i| 2 * (120 * round + i) + 1);
        let begin = streams().flat_map(|stream| request(stream, "GET", "/wait", END_STREAM));
        // The server may have had enough.
        let _ = client.send(begin.collect::<Vec<_>>());
        let begins = begun + 120;
        let is_cut = || {
            let counts = site.running.handle().connections();
            // It may not have been accepted yet.
            counts.accepted > 0 && counts.open == 0
        };
        assert!(until(PATIENCE, || site.probe.begun() == begins || is_cut()), "round {round}");
        if site.probe.begun() < begins {
            break;
        }
        begun = begins;
        let cancel = |stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        let _ = client.send(streams().flat_map(cancel).collect::<Vec<_>>());
    }
    let (read, _) = client.ending().unwrap();
    let goodbye = frames_of(&read).into_iter().rfind(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(goodbye.error(), ENHANCE_YOUR_CALM);
    assert!(site.probe.begun() >= 500, "{} were begun", site.probe.begun());
    assert!(until(PATIENCE, || site.probe.begun() == site.probe.dropped()));
    site.assert_serves();
}

/// What it is answered has to be written before more of it is read.
#[test]
fn a_flood_of_a_client_that_does_not_read_is_cut_all_the_same() {
    let site = Site::with_timeouts(|timeouts| timeouts.write = Some(SHORT));
    let mut frames = Frames::open(&site, &[(4, 0x7fff_ffff)]);
    frames.client.send(update(0, 0x7fff_0000)).unwrap();
    frames.client.send(request(1, "GET", "/stream", END_STREAM)).unwrap();
    site.probe.await_begun(2);
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(100);
    assert!(until(PATIENCE, || frames.client.send(&pings).is_err()));
    site.probe.await_dropped(1);
    site.assert_serves();
}

/// A server whose worker is never replaced, which would end its connections, too: however busy the
/// machine is, it does not look as if all of its threads were stuck.
fn lasting() -> Site {
    let mut options = options();
    options.workers.spares = 32;
    Site::start(options)
}

/// Reads on until so many bytes of DATA have come.
#[track_caller]
fn read_data(frames: &mut Frames, len: usize) {
    let mut left = len;
    while left > 0 {
        let frame = frames.next().unwrap();
        assert!(!matches!(frame.kind, GOAWAY | RST_STREAM), "{frame:?}");
        left -= if frame.kind == DATA { frame.payload.len() } else { 0 };
    }
}

#[test]
fn a_client_that_streams_small_messages_and_measures_its_path_is_never_cut() {
    let site = lasting();
    for (len, windows) in [(5, 0), (16, 2)] {
        let mut frames = Frames::open(&site, &[]);
        let streams: Vec<u32> = (1..100).step_by(2).collect();
        for &stream in &streams {
            let echo = request(stream, "POST", "/mirror", 0);
            frames.client.send(echo).unwrap();
        }
        for _ in 0..100 {
            for &stream in &streams {
                let message = frame(DATA, 0, stream, &vec![7; len]);
                let chores = [update(0, len as u32), update(stream, len as u32)];
                let ping = frame(PING, 0, 0, &[7; 8]);
                let chores = chores[..windows].concat();
                frames.client.send([message, chores, ping].concat()).unwrap();
            }
            read_data(&mut frames, len * streams.len());
        }
    }
}

#[test]
fn a_client_that_cancels_every_second_request_is_never_cut() {
    let site = lasting();
    let mut frames = Frames::open(&site, &[]);
    for stream in (1..4_001).step_by(4) {
        let both = [
            request(stream, "GET", "/wait", END_STREAM),
            request(stream + 2, "GET", "/", END_STREAM),
        ];
        frames.client.send(both.concat()).unwrap();
        frames.response(stream + 2);
        frames.client.send(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())).unwrap();
    }
    site.probe.await_dropped(1_000);
}
