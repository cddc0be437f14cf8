//! Lanes: whether a handler runs on its connection's worker or on an executor.
//!
//! The server decides for each request by its route; a [`LaneLayer`] inside the application
//! decides for a part of it.

use crate::{Facts, asked::Asked, exchange::Exchange};
use http::{Request, Response, StatusCode};
use ripstop_balance::Lane;
use ripstop_work::{
    Full, Job, JobError, JobHandle, OnRoute, Route, RouteName, Routes, Running, on_executor,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_layer::Layer;
use tower_service::Service;

/// Where a handler runs.
pub(crate) enum Run {
    /// On its connection's worker.
    Inline,
    /// On an executor, as a job of this route.
    Queued(Arc<Route>),
}

/// Where the handler of a request runs, by the server's own lane.
pub(crate) fn run_of(exchange: &Exchange) -> Run {
    let conn = exchange.conn();
    let (lane, routes) = (conn.options.lane, conn.worker.routes());
    if lane == Lane::Auto && !routes.any() {
        return Run::Inline;
    }
    choose(lane, exchange.asked.route(), routes)
}

fn choose(lane: Lane, name: RouteName<'_>, routes: &Routes) -> Run {
    match lane {
        Lane::Inline => Run::Inline,
        Lane::Queued => Run::Queued(routes.enter(name)),
        Lane::Auto => match routes.find(name) {
            Some(route) if route.run() == ripstop_balance::Run::Queued => Run::Queued(route),
            _ => Run::Inline,
        },
    }
}

/// What the application says of a request's route; `None` where it says nothing.
type Name = dyn Fn(&http::request::Parts) -> Option<String> + Send + Sync;

/// Puts a part of the application into a lane of its own.
///
/// A request whose extensions have a [`Lane`] goes by that one instead. Outside of a server of
/// this library, the layer does nothing.
///
/// ```
/// use ripstop_http::LaneLayer;
///
/// // An axum router would take it by `.route_layer(…)`.
/// let reports = LaneLayer::queued().named("reports");
/// # drop(reports);
/// ```
#[derive(Clone)]
pub struct LaneLayer {
    lane: Lane,
    name: Arc<Name>,
}

impl LaneLayer {
    /// A layer with this lane.
    pub fn new(lane: Lane) -> Self {
        Self { lane, name: Arc::new(|_| None) }
    }

    /// Always on executors: for what blocks, or takes long.
    pub fn queued() -> Self {
        Self::new(Lane::Queued)
    }

    /// Always on the connection's worker, whatever it does to it.
    pub fn inline() -> Self {
        Self::new(Lane::Inline)
    }

    /// Inline, until the route has stalled its thread.
    pub fn auto() -> Self {
        Self::new(Lane::Auto)
    }

    /// One route for all requests that come here. Without a name, each goes by its method and
    /// path.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let name = name.to_owned();
        self.named_by(move |_| Some(name.clone()))
    }

    /// The route's name by the request: with axum, the path of its `MatchedPath`.
    #[must_use]
    pub fn named_by(
        mut self,
        name: impl Fn(&http::request::Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.name = Arc::new(name);
        self
    }
}

impl fmt::Debug for LaneLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneLayer").field("lane", &self.lane).finish_non_exhaustive()
    }
}

impl LaneLayer {
    /// Puts one service into this lane.
    pub fn around<S>(&self, inner: S) -> Laned<S> {
        Laned { inner, layer: self.clone() }
    }
}

impl<S> Layer<S> for LaneLayer {
    type Service = Laned<S>;

    fn layer(&self, inner: S) -> Laned<S> {
        self.around(inner)
    }
}

/// A service in a lane of its own; see [`LaneLayer`].
#[derive(Clone, Debug)]
pub struct Laned<S> {
    inner: S,
    layer: LaneLayer,
}

impl<S, A, B> Service<Request<A>> for Laned<S>
where
    S: Service<Request<A>, Response = Response<B>, Error: Send, Future: Send>
        + Clone
        + Send
        + 'static,
    A: Send + 'static,
    B: Default + Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = LanedFuture<S::Future, B, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let name = (self.layer.name)(&parts);
        let lane = parts.extensions.get::<Lane>().copied().unwrap_or(self.layer.lane);
        let facts = parts.extensions.get::<Facts>().cloned();
        let request = Request::from_parts(parts, body);
        let Some(facts) = facts else {
            return LanedRun::Inline { future: self.inner.call(request), name }.into();
        };
        let asked = Asked::of(&request, facts.request_id, facts.connection);
        let worker = &facts.conn.worker;
        let route = name.as_deref().map_or(asked.route(), RouteName::Named);
        let run = match choose(lane, route, worker.routes()) {
            // What has been queued as a whole is where it should be.
            Run::Queued(route) if !on_executor() => {
                let (future, held) = (Box::pin(self.call_ready(request)), worker.hold());
                let handler = OnExecutor { future, asked, name, _held: held };
                match worker.queue().submit(Job::future(handler).route(route)) {
                    Ok(response) => LanedRun::Queued { response },
                    Err(Full) => LanedRun::Full,
                }
            }
            Run::Queued(_) | Run::Inline => {
                LanedRun::Inline { future: self.inner.call(request), name }
            }
        };
        run.into()
    }
}

impl<S: Clone> Laned<S> {
    /// Calls the service, which has been found ready, when the future is polled.
    fn call_ready<A>(
        &mut self,
        request: Request<A>,
    ) -> impl Future<Output = Result<S::Response, S::Error>> + use<S, A>
    where
        S: Service<Request<A>>,
    {
        // The clone is for the next call.
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        async move { ready.call(request).await }
    }
}

pin_project_lite::pin_project! {
    /// The response of a [`Laned`] service.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped, the service's own future is too, wherever it runs.
    pub struct LanedFuture<F, B, E> {
        #[pin]
        run: LanedRun<F, B, E>,
    }
}

pin_project_lite::pin_project! {
    #[project = LanedProjected]
    enum LanedRun<F, B, E> {
        /// On the connection's worker.
        Inline {
            #[pin]
            future: F,
            // The application's name of the route.
            name: Option<String>,
        },
        /// On an executor.
        Queued { response: JobHandle<Result<Response<B>, E>> },
        /// The task queue had no room.
        Full,
    }
}

impl<F, B, E> From<LanedRun<F, B, E>> for LanedFuture<F, B, E> {
    fn from(run: LanedRun<F, B, E>) -> Self {
        Self { run }
    }
}

impl<F, B, E> Future for LanedFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Default,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().run.project() {
            LanedProjected::Inline { future, name } => {
                let _route = name.as_deref().map(OnRoute::named);
                future.poll(cx)
            }
            LanedProjected::Queued { response } => match ready!(Pin::new(response).poll(cx)) {
                Ok(outcome) => Poll::Ready(outcome),
                Err(JobError::Expired) => Poll::Ready(Ok(busy())),
                // As if it had panicked here: what stands around the layer may want to know.
                Err(JobError::Panicked) => {
                    std::panic::resume_unwind(Box::new("a queued handler panicked"))
                }
            },
            LanedProjected::Full => Poll::Ready(Ok(busy())),
        }
    }
}

/// The answer where the queue has no room.
fn busy<B: Default>() -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(http::header::RETRY_AFTER, crate::refusal::SOON);
    response
}

/// A handler that says, wherever it is polled, what it is about.
struct OnExecutor<F> {
    future: Pin<Box<F>>,
    asked: Asked,
    name: Option<String>,
    /// A drain waits for it, also when nobody else does any more.
    _held: Running,
}

impl<F: Future> Future for OnExecutor<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _at_work = this.asked.at_work();
        let _route = this.name.as_deref().map(OnRoute::named);
        this.future.as_mut().poll(cx)
    }
}
