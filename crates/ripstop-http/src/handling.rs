//! The handling of one request: from its head to the head of its response.

use crate::{
    Body, BodyError, Disconnect, Refusal, X_REQUEST_ID,
    conn::Switch,
    exchange::Exchange,
    outgoing::Outgoing,
    panics::{Panicked, wall},
    refusal,
};
use http::{Method, Request, Response, StatusCode, Version, header};
use http_body::{Body as HttpBody, SizeHint};
use ripstop_work::Ending;
use std::{
    convert::Infallible,
    error::Error as StdError,
    future::Future,
    pin::Pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, ready},
};
use tokio::sync::oneshot;
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
    struct Walled<S: Service<Request<Body>>> {
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
    fn new(service: S, request: Request<Body>) -> Self {
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
    fn poll_refusing(
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
enum Failure {
    Panic,
    Error(Box<dyn StdError + Send + Sync>),
}

impl Failure {
    fn log(&self, exchange: &Exchange) {
        let request_id = &exchange.request_id;
        match self {
            Self::Panic => log::error!(request_id:%; "a handler panicked"),
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

pin_project_lite::pin_project! {
    #[project = StageProjected]
    enum Stage<S: Service<Request<Body>, Response = Response<B>>, B> {
        /// On the connection: dropped with it.
        Inline { #[pin] walled: Walled<S> },
        /// As a task of the worker: runs to its end whatever becomes of the connection.
        Detached { response: oneshot::Receiver<Result<Response<B>, Failure>> },
        /// Not handled at all.
        Refused { refusal: Refusal },
        /// The response is known, and waits until the driver is prepared for a tunnel.
        Switching { response: Option<Response<B>> },
    }
}

pin_project_lite::pin_project! {
    /// The future of a response, as hyper polls it.
    pub(crate) struct Handling<S, B>
    where
        S: Service<Request<Body>, Response = Response<B>>,
    {
        #[pin]
        stage: Stage<S, B>,
        exchange: Option<Exchange>,
        http1: bool,
        connect: bool,
    }
}

impl<S, B> Handling<S, B>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    S::Future: Send,
    B: Send + 'static,
{
    pub(crate) fn new(
        service: S,
        request: Request<Body>,
        admitted: Result<(), Refusal>,
        exchange: Exchange,
    ) -> Self {
        let http1 = request.version() != Version::HTTP_2;
        let connect = *request.method() == Method::CONNECT;
        let stage = match admitted {
            Err(refusal) => Stage::Refused { refusal },
            Ok(()) => match exchange.conn().options.disconnect {
                Disconnect::CancelHandler => {
                    Stage::Inline { walled: Walled::new(service, request) }
                }
                Disconnect::RunToEnd => detach(service, request, &exchange),
            },
        };
        Self { stage, exchange: Some(exchange), http1, connect }
    }
}

/// Runs the handler as a task of the worker.
fn detach<S, B>(service: S, request: Request<Body>, exchange: &Exchange) -> Stage<S, B>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    S::Future: Send,
    B: Send + 'static,
{
    let (sender, response) = oneshot::channel();
    exchange.conn().worker.spawn(async move {
        let mut walled = std::pin::pin!(Walled::new(service, request));
        let outcome = std::future::poll_fn(|cx| walled.as_mut().poll_refusing(cx)).await;
        // Nobody waits for it when the client has gone.
        let _ = sender.send(outcome);
    });
    Stage::Detached { response }
}

impl<S, B> Future for Handling<S, B>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: HttpBody,
{
    type Output = Result<Response<Outgoing<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        let exchange = this.exchange.as_mut().expect("polled until it is ready, not after");
        let outcome = match exchange.progress().refusal() {
            Some(refusal) => Err(refusal),
            None => {
                let outcome = ready!(poll_stage(this.stage.as_mut(), exchange, cx));
                // Whatever the handler made of it, a body that was refused is answered as such.
                exchange.progress().refusal().map_or(outcome, Err)
            }
        };
        let Ok(response) = outcome else {
            return Poll::Ready(Ok(self.refuse(outcome.err())));
        };
        if *this.http1 && !prepare_switch(exchange, &response, *this.connect) {
            this.stage.set(Stage::Switching { response: Some(response) });
            return Poll::Pending;
        }
        Poll::Ready(Ok(self.respond(response)))
    }
}

fn poll_stage<S, B>(
    stage: Pin<&mut Stage<S, B>>,
    exchange: &Exchange,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<B>, Refusal>>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let outcome = match stage.project() {
        StageProjected::Inline { walled } => ready!(walled.poll_refusing(cx)),
        StageProjected::Detached { response } => {
            // The sender goes without an answer only with the worker itself.
            ready!(Pin::new(response).poll(cx)).unwrap_or(Err(Failure::Panic))
        }
        StageProjected::Refused { refusal } => return Poll::Ready(Err(*refusal)),
        StageProjected::Switching { response } => {
            return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
        }
    };
    Poll::Ready(outcome.map_err(|failure| {
        failure.log(exchange);
        Refusal::HandlerFailed
    }))
}

/// Tells the reading side what becomes of the connection. False while the driver has to prepare
/// for a tunnel first; it polls again when it has.
fn prepare_switch<B>(exchange: &Exchange, response: &Response<B>, connect: bool) -> bool {
    let conn = exchange.conn();
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS || (connect && status.is_success()) {
        if conn.switch() == Switch::Tunnel {
            return true;
        }
        conn.set_switch(Switch::Wanted);
        return false;
    }
    conn.set_switch(Switch::Stay);
    true
}

impl<S, B> Handling<S, B>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody,
{
    fn respond(self: Pin<&mut Self>, mut response: Response<B>) -> Response<Outgoing<B>> {
        let says_goodbye = self.http1;
        let mut exchange = self.take_exchange();
        exchange.responds(response.status(), || {
            wall(|| response.body().size_hint()).unwrap_or_default()
        });
        if says_goodbye && exchange.conn().worker.ending() != Ending::NotYet {
            // hyper cannot know it where the connection's first request came after the stop.
            response.headers_mut().entry(header::CONNECTION).or_insert(refusal::CLOSE);
        }
        response.map(|body| Outgoing::application(body, exchange))
    }

    fn refuse(mut self: Pin<&mut Self>, refusal: Option<Refusal>) -> Response<Outgoing<B>> {
        let refusal = refusal.unwrap_or(Refusal::HandlerFailed);
        // The handler goes first: it must not outlive its answer.
        self.as_mut().project().stage.set(Stage::Refused { refusal });
        let mut response = refusal.response(self.http1);
        let mut exchange = self.take_exchange();
        exchange.conn().set_switch(Switch::Stay);
        if !refusal.keeps_connection() {
            exchange.conn().refused.store(true, Relaxed);
        }
        let text = refusal.text().len() as u64;
        exchange.responds(response.status(), || SizeHint::with_exact(text));
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, exchange.request_id.to_header_value());
        response.map(|()| Outgoing::refusal(refusal, exchange))
    }

    fn take_exchange(self: Pin<&mut Self>) -> Exchange {
        let exchange = self.project().exchange.take().expect("an exchange has one response");
        exchange.conn().flushed.store(false, Relaxed);
        exchange
    }
}
