//! The site: which route answers a request, and how.
//!
//! One tower service over all routes of a configuration, without boxes and without
//! locks. A reload swaps the whole site; a request keeps the one it began with, and a rate limit
//! that stays the same its counts.
//! Owns dispatch and the fixed answers. The order of routes is `pattern.rs`',
//! files are the library's.

#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use ripstop::{
    Exceeded, Facts, LaneLayer, LanedFuture, RateLimit, RateLimiter, Standing,
    files::{BodyError, FileBody, FileCache, Files, FilesFuture},
};
use tower_service::Service;

use crate::{
    config::{self, Action, Config, Faults},
    error::chain,
    pattern::{HostPattern, PathPattern, normal},
    redirect::{Asked, Template},
    welcome,
};

/// All routes of a configuration, in the order in which they are looked at.
#[derive(Debug)]
pub(crate) struct Site {
    routes: Vec<Route>,
    not_found: Fixed,
}

#[derive(Debug)]
struct Route {
    host: HostPattern,
    path: PathPattern,
    /// A lane of its own, if it has one.
    lane: Option<LaneLayer>,
    /// How often it may be asked.
    rates: Vec<Arc<RateLimiter>>,
    answer: Arc<Answer>,
}

/// What a route answers.
#[derive(Debug)]
enum Answer {
    Files(Files),
    Constant(Constant),
}

/// What needs no file.
#[derive(Debug)]
enum Constant {
    Fixed(Fixed),
    Redirect { to: Template, status: StatusCode },
}

/// A response that is the same for everybody.
#[derive(Clone, Debug)]
struct Fixed {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Site {
    /// Opens what the routes of a configuration name; a route that can't be opened is
    /// left out, after its fault was told.
    pub(crate) fn open(config: &Config, cache: &Arc<FileCache>, faults: &mut Faults) -> Self {
        let open = |route| Route::open(route, cache, faults);
        let routes: Vec<_> = config.routes.iter().filter_map(open).collect();
        if config.routes.is_empty() {
            let said = config.listen.iter().map(|listen| listen.address.to_string());
            return Self::welcome(&welcome::page(config, &said.collect::<Vec<_>>(), &[]));
        }
        Self::new(routes)
    }

    /// The site that has nothing but a page on `/`.
    pub(crate) fn welcome(page: &str) -> Self {
        let mut page = Fixed::text(StatusCode::OK, page.to_owned());
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        page.headers.insert(header::CONTENT_TYPE, html);
        let path = PathPattern::parse("/").expect("the root is a path");
        let answer = Arc::new(Answer::Constant(Constant::Fixed(page)));
        Self::new(vec![Route {
            host: HostPattern::Any,
            path,
            lane: None,
            rates: Vec::new(),
            answer,
        }])
    }

    fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| (route.host.rank(), route.path.rank()));
        Self { routes, not_found: Fixed::text(StatusCode::NOT_FOUND, "404 Not Found\n") }
    }

    /// Goes on with what the limits of `before` have counted, where they stay the same.
    fn keep_counts(&mut self, before: &Self) {
        for route in self.routes.iter_mut().filter(|route| !route.rates.is_empty()) {
            let same = |other: &&Route| other.host == route.host && other.path == route.path;
            if let Some(same) = before.routes.iter().find(same) {
                let limits: Vec<_> = route.rates.iter().map(|it| it.limit().clone()).collect();
                route.rates = RateLimiter::renewed(&same.rates, &limits);
            }
        }
    }

    /// Answers a request by the first route that is for it.
    fn answer<B: Send + 'static>(&self, req: Request<B>) -> SiteFuture {
        let path = normal(req.uri().path());
        let host = host(&req);
        let chosen = self.routes.iter().find_map(|route| {
            let rest = if route.host.matches(host) { route.path.matches(&path) } else { None };
            rest.map(|rest| (route, rest))
        });
        let Some((route, rest)) = chosen else {
            return SiteFuture::ready(self.not_found.answer(req.method()));
        };
        let standing = match route.admit(&req) {
            Ok(standing) => standing,
            Err(exceeded) => return SiteFuture::ready(exceeded.response()),
        };
        let answer = match &route.lane {
            None => SiteFuture::Here(match &*route.answer {
                Answer::Constant(constant) => constant.answer(rest, &req),
                Answer::Files(files) => AnswerFuture::Files(files.clone().call(req)),
            }),
            Some(lane) => {
                let one = OneRoute { answer: route.answer.clone(), rest: rest.to_owned() };
                SiteFuture::InLane(Box::pin(lane.around(one).call(req)))
            }
        };
        match standing {
            None => answer,
            Some(standing) => SiteFuture::Rated(Box::new((answer, Some(standing)))),
        }
    }
}

impl Constant {
    /// Answers a request; `rest` is what the first star of the path stands for.
    fn answer<B>(&self, rest: &str, req: &Request<B>) -> AnswerFuture {
        AnswerFuture::Ready(Some(match self {
            Self::Fixed(fixed) => fixed.answer(req.method()),
            Self::Redirect { to, status } => redirect(to, *status, req.uri(), host(req), rest),
        }))
    }
}

/// The answer of one route, as a service to be put into a lane.
#[derive(Clone)]
struct OneRoute {
    answer: Arc<Answer>,
    /// What the first star of the path stands for.
    rest: String,
}

impl<B> Service<Request<B>> for OneRoute {
    type Response = Response<SiteBody>;
    type Error = Infallible;
    type Future = AnswerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Request<B>) -> AnswerFuture {
        match &*self.answer {
            Answer::Constant(constant) => constant.answer(&self.rest, &req),
            Answer::Files(files) => AnswerFuture::Files(files.clone().call(req)),
        }
    }
}

impl Route {
    fn open(route: &config::Route, cache: &Arc<FileCache>, faults: &mut Faults) -> Option<Self> {
        let (host, path) = (route.host.clone(), route.path.clone());
        let lane = route.lane.map(|lane| LaneLayer::new(lane).named(&format!("{host}{path}")));
        let answer = match &route.action {
            Action::Files(files) => Answer::Files(open_files(files, &path, cache, faults)?),
            Action::Respond(respond) => Answer::Constant(Constant::Fixed(Fixed::new(respond))),
            Action::Redirect(redirect) => {
                let (to, status) = (redirect.to.clone(), redirect.status);
                Answer::Constant(Constant::Redirect { to, status })
            }
        };
        let new = |limit: &RateLimit| Arc::new(RateLimiter::new(limit.clone()));
        let rates = route.rates.iter().map(new).collect();
        Some(Self { host, path, lane, rates, answer: Arc::new(answer) })
    }

    /// Counts a request, up to the first limit that it exceeds.
    fn admit<B>(&self, req: &Request<B>) -> Result<Option<Standing>, Exceeded> {
        let client = req.extensions().get::<Facts>().and_then(Facts::client);
        RateLimiter::check_all(&self.rates, client, req.headers())
    }
}

fn open_files(
    files: &config::Files,
    path: &PathPattern,
    cache: &Arc<FileCache>,
    faults: &mut Faults,
) -> Option<Files> {
    let options = ripstop::files::FilesOptions {
        strip_prefix: path.prefix().trim_end_matches('/').to_owned(),
        cache: Arc::clone(cache),
        ..files.options.clone()
    };
    let told = |err| faults.add(files.place, format!("files: {}", chain(&err)));
    Files::open(options).map_err(told).ok()
}

impl Fixed {
    fn new(respond: &config::Respond) -> Self {
        let mut fixed = Self::text(respond.status, respond.body.clone());
        fixed.headers.insert(header::CONTENT_TYPE, respond.content_type.clone());
        fixed.headers.extend(respond.headers.iter().cloned());
        fixed
    }

    fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let mut headers = HeaderMap::new();
        // Said here, so that the answer to HEAD has it too; these two never have a body.
        if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            headers.insert(header::CONTENT_LENGTH, body.len().into());
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            headers.insert(header::CONTENT_TYPE, text);
        }
        Self { status, headers, body }
    }

    fn answer(&self, method: &Method) -> Response<SiteBody> {
        let body = if *method == Method::HEAD { Bytes::new() } else { self.body.clone() };
        let mut response = Response::new(SiteBody::Whole(Full::new(body)));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

fn redirect(
    to: &Template,
    status: StatusCode,
    uri: &Uri,
    host: &str,
    rest: &str,
) -> Response<SiteBody> {
    let target = to.fill(&Asked { host, path: uri.path(), query: uri.query(), rest });
    let mut response = Response::new(SiteBody::Whole(Full::default()));
    match HeaderValue::try_from(target) {
        Ok(target) => {
            *response.status_mut() = status;
            response.headers_mut().insert(header::LOCATION, target);
        }
        // A request may hold bytes that no header may; then there is nothing to go to.
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// The host that a request is for, without its port; empty if it names none.
fn host<B>(req: &Request<B>) -> &str {
    if let Some(host) = req.uri().host() {
        return host;
    }
    let value = req.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let host = value.unwrap_or_default();
    match host.rfind([':', ']']) {
        Some(colon) if host.as_bytes()[colon] == b':' => &host[..colon],
        _ => host,
    }
}

/// The site that answers now, as a service. Clones answer by the same site.
#[derive(Clone, Debug)]
pub(crate) struct CurrentSite {
    site: Arc<ArcSwap<Site>>,
}

impl CurrentSite {
    /// A service that answers by `site`.
    pub(crate) fn new(site: Site) -> Self {
        Self { site: Arc::new(ArcSwap::from_pointee(site)) }
    }

    /// Has requests that come from now on answered by `site`.
    pub(crate) fn swap(&self, mut site: Site) {
        site.keep_counts(&self.site.load());
        self.site.store(Arc::new(site));
    }
}

impl<B: Send + 'static> Service<Request<B>> for CurrentSite {
    type Response = Response<SiteBody>;
    type Error = Infallible;
    type Future = SiteFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Request<B>) -> SiteFuture {
        self.site.load().answer(req)
    }
}

/// The answer of a [`CurrentSite`] while it is made.
pub(crate) enum SiteFuture {
    /// As the server handles it.
    Here(AnswerFuture),
    /// In the lane of its route.
    InLane(Pin<Box<LanedFuture<AnswerFuture, SiteBody, Infallible>>>),
    /// Either, and how the request stands with the rates of its route.
    Rated(Box<(SiteFuture, Option<Standing>)>),
}

impl SiteFuture {
    fn ready(response: Response<SiteBody>) -> Self {
        Self::Here(AnswerFuture::Ready(Some(response)))
    }
}

impl Future for SiteFuture {
    type Output = Result<Response<SiteBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Here(answer) => Pin::new(answer).poll(ctx),
            Self::InLane(answer) => answer.as_mut().poll(ctx),
            Self::Rated(rated) => {
                let (answer, standing) = &mut **rated;
                let Ok(mut response) = ready!(Pin::new(answer).poll(ctx));
                if let Some(standing) = standing.take() {
                    standing.tell(response.headers_mut());
                }
                Poll::Ready(Ok(response))
            }
        }
    }
}

/// The answer of a route while it is made.
pub(crate) enum AnswerFuture {
    /// It is made; `None` once it was given.
    Ready(Option<Response<SiteBody>>),
    /// A file is looked for.
    Files(FilesFuture),
}

impl Future for AnswerFuture {
    type Output = Result<Response<SiteBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(response) => {
                Poll::Ready(Ok(response.take().expect("a future is not polled after its end")))
            }
            Self::Files(files) => {
                Pin::new(files).poll(ctx).map(|resp| resp.map(|resp| resp.map(SiteBody::File)))
            }
        }
    }
}

/// The body of an answer.
pub(crate) enum SiteBody {
    /// All of it, in memory.
    Whole(Full<Bytes>),
    /// From a file.
    File(FileBody),
}

impl Default for SiteBody {
    fn default() -> Self {
        Self::Whole(Full::default())
    }
}

impl Body for SiteBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(body) => {
                Pin::new(body).poll_frame(ctx).map_err(|never: Infallible| match never {})
            }
            Self::File(body) => Pin::new(body).poll_frame(ctx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::File(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::File(body) => body.size_hint(),
        }
    }
}
