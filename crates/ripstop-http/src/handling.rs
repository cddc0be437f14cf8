//! The handling of one request: from its head to the head of its response.

use crate::{
    Body, Disconnect, Refusal, X_REQUEST_ID,
    conn::{Conn, Switch},
    exchange::Exchange,
    lane::{Run, run_of},
    outgoing::Outgoing,
    refusal,
    walled::{Failure, Walled},
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use http_body::{Body as HttpBody, SizeHint};
use ripstop_work::{Ending, Full, Job, JobError, JobHandle, Route, wall};
use std::{
    convert::Infallible,
    error::Error as StdError,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};
use tokio::sync::oneshot;
use tower_service::Service;

/// What a handler came to.
type Outcome<B> = Result<Response<B>, Failure>;

pin_project_lite::pin_project! {
    #[project = StageProjected]
    enum Stage<S: Service<Request<Body>, Response = Response<B>>, B> {
        /// On the connection: dropped with it.
        Inline { #[pin] walled: Walled<S> },
        /// As a task of the worker: runs to its end whatever becomes of the connection.
        Detached { response: oneshot::Receiver<Outcome<B>> },
        /// As a job of the executors.
        Queued { response: JobHandle<Outcome<B>> },
        /// Not handled at all.
        Refused { refusal: Refusal },
        /// The response is known, and waits until the driver is prepared for a tunnel.
        Switching { response: Option<Response<B>> },
    }
}

impl<S: Service<Request<Body>, Response = Response<B>>, B> Stage<S, B> {
    /// Where the handler is, for people.
    fn whereabouts(&self) -> &'static str {
        match self {
            Self::Inline { .. } | Self::Detached { .. } => "the handler runs on the worker",
            Self::Queued { .. } => "the handler is queued, or held on an executor",
            Self::Refused { .. } | Self::Switching { .. } => "the handler is over",
        }
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
    /// Starts the handler, in the lane that its route has.
    pub(crate) fn new(service: S, request: Request<Body>, exchange: Exchange) -> Self {
        let (http1, connect) = (is_http1(&request), *request.method() == Method::CONNECT);
        let disconnect = exchange.conn().options.disconnect;
        let stage = match (run_of(&exchange), disconnect) {
            (Run::Queued(route), _) => queue(service, request, &exchange, route),
            (Run::Inline, Disconnect::CancelHandler) => {
                Stage::Inline { walled: Walled::new(service, request) }
            }
            (Run::Inline, Disconnect::RunToEnd) => detach(service, request, &exchange),
        };
        Self { stage, exchange: Some(exchange), http1, connect }
    }

    /// Answers without the handler.
    pub(crate) fn refused(refusal: Refusal, request: &Request<Body>, exchange: Exchange) -> Self {
        let (http1, stage) = (is_http1(request), Stage::Refused { refusal });
        Self { stage, exchange: Some(exchange), http1, connect: false }
    }
}

fn is_http1(request: &Request<Body>) -> bool {
    request.version() != Version::HTTP_2
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
    let handler = handle(service, request, exchange);
    exchange.conn().worker.spawn(async move {
        // Nobody waits for it when the client has gone.
        let _ = sender.send(handler.await);
    });
    Stage::Detached { response }
}

/// Runs the handler as a job of the executors.
fn queue<S, B>(
    service: S,
    request: Request<Body>,
    exchange: &Exchange,
    route: Arc<Route>,
) -> Stage<S, B>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    S::Future: Send,
    B: Send + 'static,
{
    let conn = exchange.conn();
    let (handler, held) = (handle(service, request, exchange), conn.worker.hold());
    let handler = async move {
        let outcome = handler.await;
        drop(held);
        outcome
    };
    let mut job = Job::future(handler).route(route);
    if let Some(timeout) = conn.options.timeouts.request {
        job = job.deadline(timeout);
    }
    match conn.worker.queue().submit(job) {
        Ok(response) => match conn.options.disconnect {
            Disconnect::CancelHandler => Stage::Queued { response },
            Disconnect::RunToEnd => Stage::Queued { response: response.detached() },
        },
        Err(Full) => Stage::Refused { refusal: Refusal::QueueFull },
    }
}

/// The handler away from its connection.
fn handle<S, B>(
    service: S,
    request: Request<Body>,
    exchange: &Exchange,
) -> impl Future<Output = Outcome<B>> + Send + use<S, B>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    S::Future: Send,
    B: Send + 'static,
{
    let asked = exchange.asked.clone();
    async move {
        let mut walled = pin!(Walled::new(service, request));
        poll_fn(|cx| {
            let _at_work = asked.at_work();
            walled.as_mut().poll_refusing(cx)
        })
        .await
    }
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
            Some(refusal) => {
                if refusal == Refusal::HandlerTimeout {
                    exchange.reports_deadline(this.stage.whereabouts());
                }
                Err(refusal)
            }
            None => {
                let Poll::Ready(outcome) = poll_stage(this.stage.as_mut(), exchange, cx) else {
                    exchange.waits();
                    return Poll::Pending;
                };
                exchange.handled = matches!(outcome, Ok(_) | Err(Refusal::HandlerFailed));
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
        StageProjected::Inline { walled } => {
            let _at_work = exchange.asked.at_work();
            ready!(walled.poll_refusing(cx))
        }
        StageProjected::Detached { response } => {
            // The sender goes without an answer only with the worker itself.
            ready!(Pin::new(response).poll(cx)).unwrap_or(Err(Failure::Panic))
        }
        StageProjected::Queued { response } => match ready!(Pin::new(response).poll(cx)) {
            Ok(outcome) => outcome,
            Err(JobError::Expired) => return Poll::Ready(Err(Refusal::HandlerTimeout)),
            Err(JobError::Panicked) => Err(Failure::Panic),
        },
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

/// Tells the client of an HTTP/1 connection that it ends. hyper cannot know it where the
/// connection's first request came after a stop, nor how many requests there may be.
fn say_goodbye(conn: &Conn, headers: &mut HeaderMap) {
    if conn.ending() >= Ending::AfterRequest || conn.is_used_up() {
        headers.entry(header::CONNECTION).or_insert(refusal::CLOSE);
    }
}

impl<S, B> Handling<S, B>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody,
{
    fn respond(self: Pin<&mut Self>, mut response: Response<B>) -> Response<Outgoing<B>> {
        let http1 = self.http1;
        let mut exchange = self.take_exchange();
        exchange.responds(response.status(), || {
            wall(|| response.body().size_hint()).unwrap_or_default()
        });
        if let Some(standing) = exchange.judged.standing.take() {
            standing.tell(response.headers_mut());
        }
        if http1 {
            say_goodbye(exchange.conn(), response.headers_mut());
        }
        response.map(|body| Outgoing::application(body, exchange))
    }

    fn refuse(mut self: Pin<&mut Self>, refusal: Option<Refusal>) -> Response<Outgoing<B>> {
        let refusal = refusal.unwrap_or(Refusal::HandlerFailed);
        // The handler goes first: it must not outlive its answer.
        self.as_mut().project().stage.set(Stage::Refused { refusal });
        let http1 = self.http1;
        let mut response = refusal.response(http1);
        let mut exchange = self.take_exchange();
        exchange.judged.tell(response.headers_mut());
        exchange.conn().set_switch(Switch::Stay);
        if !refusal.keeps_connection() {
            exchange.conn().refused.store(true, Relaxed);
        }
        let text = refusal.text().len() as u64;
        exchange.responds(response.status(), || SizeHint::with_exact(text));
        let headers = response.headers_mut();
        if http1 {
            say_goodbye(exchange.conn(), headers);
        }
        headers.insert(X_REQUEST_ID, exchange.asked.request_id.to_header_value());
        response.map(|()| Outgoing::refusal(refusal, exchange))
    }

    fn take_exchange(self: Pin<&mut Self>) -> Exchange {
        let exchange = self.project().exchange.take().expect("an exchange has one response");
        exchange.conn().flushed.store(false, Relaxed);
        exchange
    }
}
