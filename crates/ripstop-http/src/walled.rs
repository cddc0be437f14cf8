//! A call of the application behind wall 1.

use crate::{Body, BodyError, exchange::Exchange};
use http::Request;
use ripstop_work::{Panicked, wall};
use std::{
    error::Error as StdError,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

pin_project_lite::pin_project! {
    /// Asks the service when it is ready, as tower's contract has it.
    #[project = CallProjected]
    enum Call<S: Service<Request<Body>>> {
        Waiting { service: S, request: Option<Request<Body>> },
        Called { #[pin] future: S::Future },
    }
}

impl<S: Service<Request<Body>>> Future for Call<S> {
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let future = match self.as_mut().project() {
                CallProjected::Called { future } => return future.poll(cx),
                CallProjected::Waiting { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    let request = request.take().expect("a request is handled once");
                    service.call(request)
                }
            };
            self.set(Self::Called { future });
        }
    }
}

pin_project_lite::pin_project! {
    /// A call behind wall 1: a panic or an error of it becomes a failure.
    pub(crate) struct Walled<S: Service<Request<Body>>> {
        // `None` once it is over.
        #[pin]
        call: Option<Call<S>>,
    }

    impl<S: Service<Request<Body>>> PinnedDrop for Walled<S> {
        fn drop(this: Pin<&mut Self>) {
            this.end();
        }
    }
}

impl<S: Service<Request<Body>>> Walled<S> {
    pub(crate) fn new(service: S, request: Request<Body>) -> Self {
        Self { call: Some(Call::Waiting { service, request: Some(request) }) }
    }

    /// Drops the call; false if that panicked.
    fn end(self: Pin<&mut Self>) -> bool {
        wall(|| self.project().call.set(None)).is_ok()
    }
}

impl<S> Walled<S>
where
    S: Service<Request<Body>>,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    pub(crate) fn poll_refusing(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, Failure>> {
        let Some(call) = self.as_mut().project().call.as_pin_mut() else {
            return Poll::Pending;
        };
        let outcome = match wall(|| call.poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(response))) => Ok(response),
            Ok(Poll::Ready(Err(err))) => Err(Failure::Error(err.into())),
            Err(Panicked) => Err(Failure::Panic),
        };
        let dropped = self.end();
        Poll::Ready(if dropped { outcome } else { Err(Failure::Panic) })
    }
}

/// How a handler failed.
pub(crate) enum Failure {
    Panic,
    Error(Box<dyn StdError + Send + Sync>),
}

impl Failure {
    pub(crate) fn log(&self, exchange: &Exchange) {
        let request_id = &exchange.asked.request_id;
        match self {
            // The panic's own report has the rest.
            Self::Panic => log::debug!(request_id:%; "a handler panicked"),
            Self::Error(err) if is_of_body(&**err) => {
                log::debug!(request_id:%, err:%; "a handler could not read its request");
            }
            Self::Error(err) => log::error!(request_id:%, err:%; "a handler failed"),
        }
    }
}

/// Whether it comes from the request's body: then the peer is at fault, not the handler.
fn is_of_body(err: &(dyn StdError + 'static)) -> bool {
    let mut chain = std::iter::successors(Some(err), |&err| err.source());
    chain.any(<dyn StdError>::is::<BodyError>)
}
