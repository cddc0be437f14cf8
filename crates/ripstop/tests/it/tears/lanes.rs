//! Queued handlers, by the server's lane or by a layer in the application: they behave like any
//! other, but for the thread that they run on.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn},
    routing::{get, post},
};
use http_body_util::BodyExt;
use ripstop::{Kind, Lane, LaneLayer, Options};
use ripstop_testkit::{Client, until};
use std::{convert::Infallible, num::NonZeroUsize, time::Duration};

use super::{
    lever::Stop,
    routes::{panic_in_handler, thread_name, wedge},
    site::{Site, alone, names, options},
};
use crate::serve::setup::SOON;

/// Ways to queue a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Server,
    Layer,
}

const WAYS: [Way; 2] = [Way::Server, Way::Layer];

impl Way {
    /// A server whose handlers are queued this way, but for `/`.
    fn start(self, mut options: Options) -> Site {
        match self {
            Self::Server => {
                options.lane = Lane::Queued;
                Site::of(&options, |stop| handlers(stop).route("/", get(async || "hello")))
            }
            Self::Layer => Site::of(&options, |stop| {
                let named = |parts: &http::request::Parts| {
                    Some(parts.extensions.get::<MatchedPath>()?.as_str().to_owned())
                };
                let layer = LaneLayer::queued().named_by(named);
                handlers(stop).route_layer(layer).route("/", get(async || "hello"))
            }),
        }
    }

    /// How it names `GET /path/{id}`.
    fn name(self, method: &str, matched: &str, key: &str) -> String {
        match self {
            Self::Server => format!("{method} {key}"),
            Self::Layer => matched.to_owned(),
        }
    }
}

/// - `/sum` adds up the bytes of its body, piece by piece,
/// - `/pieces` answers each piece of its body with one of its own.
fn handlers(stop: Stop) -> Router {
    Router::new()
        .route("/name", get(async || thread_name()))
        .route("/users/{id}", get(async || thread_name()))
        .route("/wedge", get(wedge))
        .route("/wait", get(wait))
        .route("/panic", get(panic_in_handler))
        .route("/sum", post(sum))
        .route("/pieces", post(pieces))
        .with_state(stop)
}

async fn wait(State(stop): State<Stop>) -> &'static str {
    stop.wait().await;
    "waited"
}

async fn sum(mut body: Body) -> String {
    let mut sum = 0;
    while let Some(frame) = body.frame().await {
        sum += frame.unwrap().data_ref().map_or(0, Bytes::len);
    }
    format!("{sum} on {}", thread_name())
}

async fn pieces(body: Body) -> Body {
    use futures_util::StreamExt;
    let answers = body.into_data_stream().map(|piece| {
        let piece = piece.unwrap();
        Ok::<_, Infallible>(Bytes::from(piece.to_ascii_uppercase()))
    });
    Body::from_stream(answers)
}

#[test]
fn queued_handlers_run_on_executors_and_their_routes_have_names() {
    for way in WAYS {
        let site = way.start(options(1, 1));
        let mut client = site.client();
        for id in 1..=3 {
            let thread = client.get(&format!("/users/{id}")).unwrap().text();
            assert!(thread.starts_with("rip-e"), "{way:?}: {thread}");
        }
        let name = way.name("GET", "/users/{id}", "/users/{}");
        let route = site.route(&name, |route| route.cost.is_some());
        assert_eq!(route.stalls, 0, "{route:?}");
        assert_eq!(client.get("/").unwrap().text(), "hello");
        assert_eq!(site.handle().queue().state().taken, if way == Way::Layer { 3 } else { 4 });
        drop(client);
        site.ends_whole(&[]);
    }
}

#[test]
fn a_lane_in_the_extensions_of_a_request_goes_before_that_of_the_layer() {
    async fn choose(mut request: Request, next: Next) -> axum::response::Response {
        let lane = request.headers().get("lane").and_then(|lane| lane.to_str().ok()?.parse().ok());
        if let Some(lane) = lane {
            request.extensions_mut().insert::<Lane>(lane);
        }
        next.run(request).await
    }
    let site = Site::of(&options(1, 1), |stop| {
        let queued = handlers(stop).route_layer(LaneLayer::queued().named("all"));
        let inline = Router::new().route("/inline", get(async || thread_name()));
        let inline = inline.route_layer(LaneLayer::inline());
        queued.merge(inline).layer(from_fn(choose)).route("/", get(async || "hello"))
    });
    let mut client = site.client();
    for (path, lane, thread) in [
        ("/name", "", "rip-e"),
        ("/name", "lane: inline\r\n", "rip-w0"),
        ("/name", "lane: auto\r\n", "rip-w0"),
        ("/name", "lane: queued\r\n", "rip-e"),
        ("/inline", "", "rip-w0"),
        ("/inline", "lane: queued\r\n", "rip-e"),
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{lane}\r\n")).unwrap();
        let ran = client.response().unwrap().text();
        assert!(ran.starts_with(thread), "{path} {lane:?}: {ran}");
    }
    site.route("all", |route| route.cost.is_some());
    drop(client);
    site.ends_whole(&[]);
}

#[test]
fn a_full_queue_is_answered_503_with_retry_after_and_the_connection_goes_on() {
    let _alone = alone();
    for way in WAYS {
        let mut options = options(1, 1);
        options.workers.executors = NonZeroUsize::MIN;
        options.workers.executors_max = 1;
        options.workers.queue_jobs = 1;
        let site = way.start(options);
        let mut held = site.send("/wedge");
        site.lever.await_begun(1);
        let mut waits = site.send("/wedge");
        assert!(until(SOON, || site.handle().queue().state().waiting == 1));
        let mut refused = site.client();
        let response = refused.get("/name").unwrap();
        assert_eq!((response.status(), response.header("retry-after")), (503, Some("1")));
        assert_eq!(site.handle().queue().state().refused, 1);
        site.lever.release();
        assert_eq!(held.response().unwrap().status(), 200);
        assert_eq!(waits.response().unwrap().status(), 200);
        assert!(refused.get("/name").unwrap().text().starts_with("rip-e"));
        drop((held, waits, refused));
        site.ends_whole(&[]);
    }
}

#[test]
fn a_panic_of_a_queued_handler_is_answered_500_and_reported_once() {
    for way in WAYS {
        let site = way.start(options(1, 1));
        let mut client = site.client();
        assert_eq!(client.get("/panic").unwrap().status(), 500);
        assert_eq!(client.get("/").unwrap().text(), "hello");
        let tear = &site.reported(Kind::Panic, 1)[0];
        assert_eq!(tear.route.as_deref(), Some(&*way.name("GET", "/panic", "/panic")), "{tear}");
        assert_eq!(tear.peer, Some(client.local_addr().unwrap()));
        assert!(tear.thread.starts_with("rip-e") && tear.worker.is_none(), "{tear}");
        assert!(names(tear, "it::tears::routes::panic_in_handler"), "{tear}");
        drop(client);
        site.ends_whole(&[Kind::Panic]);
    }
}

#[test]
fn a_queued_handler_that_takes_too_long_is_answered_504() {
    let _alone = alone();
    for way in WAYS {
        let mut options = options(1, 1);
        options.timeouts.request = Some(Duration::from_millis(300));
        let site = way.start(options);
        let mut client = site.client();
        for path in ["/wait", "/wedge"] {
            assert_eq!(client.get(path).unwrap().status(), 504, "{way:?} {path}");
        }
        // The one that waits without blocking anything is dropped.
        site.lever.await_left(1);
        assert_eq!(site.handle().queue().state().late, 0);
        site.lever.release();
        assert!(until(SOON, || site.handle().queue().state().late == 1), "{way:?}");
        drop(client);
        site.ends_whole(&[Kind::Deadline]);
    }
}

/// Sends one piece of a chunked body.
fn piece(client: &mut Client, bytes: &str) {
    client.send(format!("{:x}\r\n{bytes}\r\n", bytes.len())).unwrap();
}

const UPLOAD: &str = "HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn a_queued_handler_reads_its_body_as_it_comes() {
    for way in WAYS {
        let site = way.start(options(1, 1));
        let mut client = site.client();
        client.send(format!("POST /sum {UPLOAD}")).unwrap();
        for _ in 0..100 {
            piece(&mut client, "ten bytes!");
        }
        // It waits for the rest, and holds no executor meanwhile.
        assert!(until(SOON, || site.handle().queue().state().taken == 1));
        for _ in 0..10 {
            assert!(site.client().get("/name").unwrap().text().starts_with("rip-e"));
        }
        piece(&mut client, &"x".repeat(100_000));
        client.send("0\r\n\r\n").unwrap();
        let sum = client.response().unwrap().text();
        assert!(sum.starts_with("101000 on rip-e"), "{way:?}: {sum}");
        drop(client);
        site.ends_whole(&[]);
    }
}

#[test]
fn bodies_stream_both_ways_through_a_queued_handler() {
    for way in WAYS {
        let site = way.start(options(1, 1));
        let mut client = site.client();
        client.send(format!("POST /pieces {UPLOAD}")).unwrap();
        piece(&mut client, "first");
        assert_eq!(client.head().unwrap().status, 200);
        // Each piece is answered before the next is sent.
        for (sent, got) in [("", "FIRST"), ("second", "SECOND"), ("third", "THIRD")] {
            if !sent.is_empty() {
                piece(&mut client, sent);
            }
            let answer = format!("{:X}\r\n{got}\r\n", got.len());
            assert_eq!(client.read_exact(answer.len()).unwrap(), answer.as_bytes());
        }
        client.send("0\r\n\r\n").unwrap();
        assert_eq!(client.read_exact(5).unwrap(), b"0\r\n\r\n");
        assert_eq!(client.get("/").unwrap().text(), "hello");
        drop(client);
        site.ends_whole(&[]);
    }
}

#[test]
fn a_queued_handler_is_dropped_when_its_client_goes() {
    for way in WAYS {
        let site = way.start(options(1, 1));
        let client = site.send("/wait");
        site.lever.await_begun(1);
        client.reset().unwrap();
        site.lever.await_left(1);
        assert_eq!(site.handle().queue().state().waiting, 0);
        site.ends_whole(&[]);
    }
}

#[test]
fn a_handler_that_waits_in_the_queue_is_not_run_when_its_client_has_gone() {
    let _alone = alone();
    for way in WAYS {
        let mut options = options(1, 1);
        options.workers.executors = NonZeroUsize::MIN;
        options.workers.executors_max = 1;
        let site = way.start(options);
        let mut held = site.send("/wedge");
        site.lever.await_begun(1);
        let waits = site.send("/wedge");
        assert!(until(SOON, || site.handle().queue().state().waiting == 1));
        waits.reset().unwrap();
        assert!(until(SOON, || site.handle().queue().state().waiting == 0));
        site.lever.release();
        assert_eq!(held.response().unwrap().status(), 200);
        assert_eq!(site.lever.begun(), 1);
        drop(held);
        site.ends_whole(&[]);
    }
}
