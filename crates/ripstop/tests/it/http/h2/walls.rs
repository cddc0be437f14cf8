//! Wall 1 in HTTP/2: a tear costs its stream.

use super::client::{Answer, H2, answer, get};
use crate::http::{
    site::{Site, options},
    walls::weak,
};
use h2::Reason;
use ripstop::{Body, Disconnect, Facts};
use tower::service_fn;

fn torn(h2: &H2, path: &str) -> Result<Answer, h2::Error> {
    let mut request = get(path);
    request.headers_mut().insert("x-request-id", "torn-7".parse().unwrap());
    h2.ask(request, b"")
}

#[test]
fn a_handler_that_panics_or_fails_is_answered_500() {
    for disconnect in [Disconnect::CancelHandler, Disconnect::RunToEnd] {
        let mut options = options();
        options.disconnect = disconnect;
        let site = Site::of(service_fn(weak), options);
        let h2 = H2::connect(&site);
        for path in ["/panic", "/bomb", "/drop", "/error", "/panic"] {
            let answer = torn(&h2, path).unwrap();
            assert_eq!(answer.status, 500, "{path}");
            assert_eq!(answer.headers["x-request-id"], "torn-7", "{path}");
            assert_eq!(h2.get("/").text(), "hello", "after {path}");
        }
    }
}

#[test]
fn a_body_that_panics_or_fails_resets_its_stream_and_no_other() {
    let site = Site::of(service_fn(weak), options());
    let h2 = H2::connect(&site);
    for path in ["/frame", "/late-frame", "/body-error"] {
        let other = h2.begin("/");
        let err = torn(&h2, path).unwrap_err();
        assert!(err.is_reset() && err.is_remote(), "{path}: {err}");
        assert_eq!(err.reason(), Some(Reason::INTERNAL_ERROR), "{path}");
        assert_eq!(h2.wait(answer(other)).unwrap().text(), "hello", "beside {path}");
    }
    assert_eq!(h2.get("/").text(), "hello");
}

#[test]
fn a_body_whose_drop_or_hints_panic_does_no_harm_to_what_it_says() {
    let site = Site::of(service_fn(weak), options());
    let h2 = H2::connect(&site);
    for path in ["/body-drop", "/size-hint", "/end-of-stream"] {
        for _ in 0..2 {
            let answer = torn(&h2, path).unwrap_or_else(|err| panic!("{path}: {err}"));
            assert_eq!((answer.status, answer.text()), (200, "partrest"), "{path}");
        }
    }
    assert_eq!(h2.get("/").text(), "hello");
}

#[test]
fn a_handler_knows_its_facts() {
    let service = service_fn(async |request: http::Request<Body>| {
        let facts = request.extensions().get::<Facts>().ok_or("no facts")?;
        let peer = facts.connection.peer.map(|peer| peer.to_string());
        let text = format!("{} {}", peer.unwrap_or_default(), facts.request_id);
        Ok::<_, ripstop::BoxError>(http::Response::new(text))
    });
    let site = Site::of(service, options());
    let h2 = H2::connect(&site);
    let answer = torn(&h2, "/").unwrap();
    assert_eq!(answer.text(), format!("{} torn-7", h2.local_addr));
    assert!(h2.get("/").text().len() > 32);
}
