//! Wall 1: whatever panics or fails in the application, it costs the request alone.

use super::{
    refusals::assert_ended,
    site::{AnyBody, QUIET, Reply, SHORT, Site, options, text},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use ripstop::{Body, BoxError, Disconnect};
use ripstop_testkit::Ending;
use std::{
    convert::Infallible,
    future::{Future, Ready, pending, ready},
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll},
};
use tower::{Service, service_fn};

/// Panics without the message that the panic hook prints.
fn tear() -> ! {
    resume_unwind(Box::new("tear"))
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        tear()
    }
}

/// Where a body gives way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weak {
    Frame,
    LateFrame,
    Error,
    Drop,
    SizeHint,
    EndOfStream,
}

/// A body of `part` and `rest` with a weak spot.
struct Torn {
    weak: Weak,
    frames: usize,
}

impl HttpBody for Torn {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.frames += 1;
        match (self.weak, self.frames) {
            (Weak::Frame, 1) | (Weak::LateFrame, 2) => tear(),
            (Weak::Error, 2) => Poll::Ready(Some(Err("torn".into()))),
            (_, 1) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"part"))))),
            (_, 2) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"rest"))))),
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        if self.weak == Weak::EndOfStream { tear() } else { false }
    }

    fn size_hint(&self) -> SizeHint {
        if self.weak == Weak::SizeHint { tear() } else { SizeHint::default() }
    }
}

impl Drop for Torn {
    fn drop(&mut self) {
        if self.weak == Weak::Drop {
            tear();
        }
    }
}

fn torn(weak: Weak) -> Response<AnyBody> {
    Response::new(Torn { weak, frames: 0 }.boxed_unsync())
}

/// Gives way where the path says.
pub(crate) async fn weak(request: Request<Body>) -> Reply {
    match request.uri().path() {
        "/panic" => tear(),
        "/bomb" => resume_unwind(Box::new(Bomb)),
        "/drop" => {
            let _bomb = Bomb;
            text("never seen")
        }
        "/drop-waiting" => {
            let _bomb = Bomb;
            pending().await
        }
        "/error" => Err("torn".into()),
        "/frame" => Ok(torn(Weak::Frame)),
        "/late-frame" => Ok(torn(Weak::LateFrame)),
        "/body-error" => Ok(torn(Weak::Error)),
        "/body-drop" => Ok(torn(Weak::Drop)),
        "/size-hint" => Ok(torn(Weak::SizeHint)),
        "/end-of-stream" => Ok(torn(Weak::EndOfStream)),
        _ => text("hello"),
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\nx-request-id: torn-7\r\n\r\n")
}

/// Expects a 500 to each of `paths`, again and again on one connection.
fn all_answered_500(site: &Site, paths: &[&str]) {
    let mut client = site.client();
    for path in paths.iter().cycle().take(3 * paths.len()) {
        client.send(get(path)).unwrap();
        let response = client.response().unwrap_or_else(|err| panic!("{path}: {err}"));
        assert_eq!(response.status(), 500, "{path}");
        assert_eq!(response.header("x-request-id"), Some("torn-7"), "{path}");
        assert_eq!(response.header("connection"), None, "{path}");
        assert_eq!(client.get("/").unwrap().text(), "hello", "after {path}");
    }
}

#[test]
fn a_handler_that_panics_or_fails_is_answered_500_and_its_connection_goes_on() {
    for disconnect in [Disconnect::CancelHandler, Disconnect::RunToEnd] {
        let mut options = options();
        options.disconnect = disconnect;
        let site = Site::of(service_fn(weak), options);
        all_answered_500(&site, &["/panic", "/bomb", "/drop", "/error"]);
    }
}

#[test]
fn a_panic_behind_other_requests_costs_only_its_own() {
    let site = Site::of(service_fn(weak), options());
    let mut client = site.client();
    client.send([get("/"), get("/panic"), get("/error"), get("/")].concat()).unwrap();
    for status in [200, 500, 500, 200] {
        assert_eq!(client.response().unwrap().status(), status);
    }
}

#[test]
fn a_panic_with_a_body_on_its_way_does_not_read_it_as_a_request() {
    let site = Site::of(service_fn(weak), options());
    let inner = get("/").repeat(1000);
    let head = "POST /panic HTTP/1.1\r\nHost: test\r\n";
    let mut client = site.client();
    client.send(format!("{head}Content-Length: {}\r\n\r\n{inner}", inner.len())).unwrap();
    assert_eq!(client.response().unwrap().status(), 500);
    assert_ended(&mut client, "unread body");
}

#[test]
fn a_body_that_panics_or_fails_resets_its_connection() {
    let site = Site::of(service_fn(weak), options());
    for path in ["/frame", "/late-frame", "/body-error"] {
        let mut client = site.client();
        client.send(get(path)).unwrap();
        let (read, ending) = client.ending().unwrap();
        assert_eq!(ending, Ending::Cut, "{path}");
        assert!(!read.ends_with(b"0\r\n\r\n"), "{path} looks whole: {}", read.escape_ascii());
        assert_eq!(site.client().get("/").unwrap().text(), "hello", "after {path}");
    }
}

#[test]
fn a_body_whose_drop_or_hints_panic_does_no_harm_to_what_it_says() {
    let site = Site::of(service_fn(weak), options());
    for path in ["/body-drop", "/size-hint", "/end-of-stream"] {
        let mut client = site.client();
        for _ in 0..3 {
            client.send(get(path)).unwrap();
            let response = client.response().unwrap_or_else(|err| panic!("{path}: {err}"));
            assert_eq!((response.status(), response.text()), (200, "partrest".into()), "{path}");
        }
        assert_eq!(client.get("/").unwrap().text(), "hello", "after {path}");
    }
}

#[test]
fn a_body_whose_drop_panics_is_held_when_nobody_wants_it() {
    let site = Site::of(service_fn(weak), options());
    let mut client = site.client();
    for _ in 0..3 {
        client.send("HEAD /body-drop HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        assert_eq!(client.head().unwrap().status, 200);
    }
    assert_eq!(client.get("/").unwrap().text(), "hello");
}

#[test]
fn a_handler_whose_drop_panics_is_held_when_it_is_cancelled() {
    let mut options = options();
    options.timeouts.request = Some(SHORT);
    let site = Site::of(service_fn(weak), options);
    let mut client = site.client();
    for _ in 0..2 {
        client.send(get("/drop-waiting")).unwrap();
        assert_eq!(client.response().unwrap().status(), 504);
    }
    assert_eq!(client.get("/").unwrap().text(), "hello");
    // Cancelled by the client.
    client.send(get("/drop-waiting")).unwrap();
    assert!(client.is_quiet_for(QUIET).unwrap());
    client.reset().unwrap();
    assert_eq!(site.client().get("/").unwrap().text(), "hello");
}

/// A service that panics itself, not its future.
#[derive(Clone)]
struct WeakService {
    when_ready: bool,
}

impl Service<Request<Body>> for WeakService {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.when_ready { tear() } else { Poll::Ready(Ok(())) }
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() == "/panic" {
            tear();
        }
        ready(Ok(Response::new("hello".into())))
    }
}

#[test]
fn a_service_that_panics_when_it_is_called_is_answered_500() {
    let site = Site::of(WeakService { when_ready: false }, options());
    all_answered_500(&site, &["/panic"]);
}

#[test]
fn a_service_that_panics_when_it_is_asked_whether_it_is_ready_is_answered_500() {
    let site = Site::of(WeakService { when_ready: true }, options());
    let mut client = site.client();
    for _ in 0..3 {
        assert_eq!(client.get("/").unwrap().status(), 500);
    }
}

/// A service that is ready only when it is asked a second time, and keeps to tower's contract.
#[derive(Clone)]
struct Slow {
    asked: bool,
}

impl Service<Request<Body>> for Slow {
    type Response = Response<String>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if std::mem::replace(&mut self.asked, true) {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        assert!(self.asked, "called before it was ready");
        Box::pin(ready(Ok(Response::new("hello".into()))))
    }
}

#[test]
fn a_service_is_called_only_when_it_is_ready() {
    let site = Site::of(Slow { asked: false }, options());
    let mut client = site.client();
    for _ in 0..3 {
        assert_eq!(client.get("/").unwrap().text(), "hello");
    }
}
