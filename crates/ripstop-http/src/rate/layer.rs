//! A rate limit for a part of an application, as a tower layer.

use super::{Exceeded, RateCounts, RateLimit, RateLimiter, Standing};
use crate::Facts;
use http::{Request, Response};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_layer::Layer;
use tower_service::Service;

/// Limits how often a part of the application is called. All services of one layer, and its
/// clones, count together.
///
/// Outside of a server of this library nobody knows the client: then nothing is counted by it.
///
/// ```
/// use ripstop_balance::Rate;
/// use ripstop_http::{RateLayer, RateLimit};
/// use std::{num::NonZeroU32, time::Duration};
///
/// let (ten, three) = (NonZeroU32::new(10).unwrap(), NonZeroU32::new(3).unwrap());
/// let rate = Rate { requests: ten, window: Duration::from_secs(60), burst: three };
/// // An axum router would take it by `.route_layer(…)`.
/// let logins = RateLayer::new(RateLimit { name: "logins".into(), rate, ..RateLimit::default() });
/// assert_eq!(logins.counts().refused, 0);
/// ```
#[derive(Clone, Debug)]
pub struct RateLayer {
    limiter: Arc<RateLimiter>,
}

impl RateLayer {
    /// A layer that has counted nothing.
    pub fn new(limit: RateLimit) -> Self {
        Self { limiter: Arc::new(RateLimiter::new(limit)) }
    }

    /// What it has done.
    pub fn counts(&self) -> RateCounts {
        self.limiter.counts()
    }
}

impl<S> Layer<S> for RateLayer {
    type Service = Rated<S>;

    fn layer(&self, inner: S) -> Rated<S> {
        Rated { inner, limiter: self.limiter.clone() }
    }
}

/// A service that is not called too often; see [`RateLayer`].
#[derive(Clone, Debug)]
pub struct Rated<S> {
    inner: S,
    limiter: Arc<RateLimiter>,
}

impl<S, A, B> Service<Request<A>> for Rated<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: Default,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = RatedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let client = request.extensions().get::<Facts>().and_then(Facts::client);
        let run = match self.limiter.check(client, request.headers()) {
            Ok(standing) => Run::Called { future: self.inner.call(request), standing },
            Err(exceeded) => Run::Refused { exceeded: Some(exceeded) },
        };
        RatedFuture { run }
    }
}

pin_project_lite::pin_project! {
    /// The response of a [`Rated`] service.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped, the service's own future is too.
    #[derive(Debug)]
    pub struct RatedFuture<F> {
        #[pin]
        run: Run<F>,
    }
}

pin_project_lite::pin_project! {
    #[project = RunProjected]
    #[derive(Debug)]
    enum Run<F> {
        /// The service was called.
        Called { #[pin] future: F, standing: Option<Standing> },
        /// It was not, for that would have been too soon.
        Refused { exceeded: Option<Exceeded> },
    }
}

impl<F, B, E> Future for RatedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Default,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().run.project() {
            RunProjected::Called { future, standing } => {
                let mut answered = ready!(future.poll(cx));
                if let (Ok(response), Some(standing)) = (&mut answered, standing.take()) {
                    standing.tell(response.headers_mut());
                }
                Poll::Ready(answered)
            }
            RunProjected::Refused { exceeded } => {
                let exceeded = exceeded.take().expect("a future is not polled after its end");
                Poll::Ready(Ok(exceeded.response()))
            }
        }
    }
}
