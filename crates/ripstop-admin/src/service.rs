//! The service behind the admin listener: two paths and nothing to configure.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower_service::Service;

use crate::{Health, State};

/// Answers `GET` and `HEAD` of `/health/live` and `/health/ready`; 404 for other paths, 405 for
/// other methods. Request bodies are not looked at.
#[derive(Clone, Debug)]
pub struct Admin {
    health: Health,
}

impl Admin {
    /// A service that tells `health`.
    pub fn new(health: Health) -> Self {
        Self { health }
    }

    /// The answer to a request, with its body also for `HEAD`: the connection leaves it out.
    pub fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let (status, text) = match path {
            "/health/live" => (StatusCode::OK, "live\n"),
            "/health/ready" => self.readiness(),
            _ => (StatusCode::NOT_FOUND, "there are /health/live and /health/ready\n"),
        };
        if status == StatusCode::NOT_FOUND || matches!(*method, Method::GET | Method::HEAD) {
            return plain(status, text);
        }
        let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        refusal
    }

    fn readiness(&self) -> (StatusCode, &'static str) {
        match self.health.state() {
            State::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            State::Ready => (StatusCode::OK, "ready\n"),
            State::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        }
    }
}

impl<B> Service<Request<B>> for Admin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _ctx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Request<B>) -> Self::Future {
        ready(Ok(self.answer(req.method(), req.uri().path())))
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // What was true a moment ago must not be told by a cache.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::future::Future;
    use std::pin::pin;
    use std::task::Waker;

    #[test]
    fn paths_and_methods_have_their_answers() {
        let health = Health::new();
        for (say, method, path, status, text) in [
            (None, "GET", "/health/live", 200, "live\n"),
            (None, "GET", "/health/ready", 503, "starting\n"),
            (Some(State::Ready), "GET", "/health/ready", 200, "ready\n"),
            (None, "HEAD", "/health/ready", 200, "ready\n"),
            (None, "POST", "/health/ready", 405, "only GET and HEAD\n"),
            (None, "DELETE", "/health/live", 405, "only GET and HEAD\n"),
            (Some(State::Draining), "GET", "/health/ready", 503, "draining\n"),
            (None, "GET", "/health/live", 200, "live\n"),
            (Some(State::Starting), "HEAD", "/health/ready", 503, "starting\n"),
            (None, "GET", "/health", 404, "there are /health/live and /health/ready\n"),
            (None, "POST", "/", 404, "there are /health/live and /health/ready\n"),
        ] {
            match say {
                Some(State::Starting) => health.starting(),
                Some(State::Ready) => health.ready(),
                Some(State::Draining) => health.draining(),
                None => {}
            }
            let response = call(&mut Admin::new(health.clone()), method, path);
            assert_eq!(response.status(), status, "{method} {path}");
            assert_eq!(response.headers().get(ALLOW).is_some(), status == 405, "{method} {path}");
            assert_eq!(poll(response.into_body().collect()).unwrap().to_bytes(), text);
        }
    }

    fn call(admin: &mut Admin, method: &str, path: &str) -> Response<Full<Bytes>> {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        poll(admin.call(request)).unwrap()
    }

    /// Nothing here waits.
    fn poll<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("it waits"),
        }
    }
}
