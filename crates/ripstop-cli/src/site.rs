//! The site: which route answers a request, and how.
//!
//! One tower service over all routes of a configuration, without boxes and without
//! locks. A reload swaps the whole site; a request keeps the one it began with.
//! Owns dispatch and the fixed answers. The order of routes is `pattern.rs`',
//! files are the library's.

#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use ripstop::files::{BodyError, FileBody, FileCache, Files, FilesFuture};
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
    answer: Answer,
}

/// What a route answers.
#[derive(Debug)]
enum Answer {
    Files(Files),
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
        Self::new(vec![Route { host: HostPattern::Any, path, answer: Answer::Fixed(page) }])
    }

    fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| (route.host.rank(), route.path.rank()));
        Self { routes, not_found: Fixed::text(StatusCode::NOT_FOUND, "404 Not Found\n") }
    }

    /// Answers a request by the first route that is for it.
    fn answer<B>(&self, req: Request<B>) -> SiteFuture {
        let path = normal(req.uri().path());
        let host = host(&req);
        let chosen = self.routes.iter().find_map(|route| {
            let rest = if route.host.matches(host) { route.path.matches(&path) } else { None };
            rest.map(|rest| (&route.answer, rest))
        });
        match chosen {
            Some((Answer::Files(files), _)) => SiteFuture::Files(files.clone().call(req)),
            Some((Answer::Fixed(fixed), _)) => SiteFuture::ready(fixed.answer(req.method())),
            Some((Answer::Redirect { to, status }, rest)) => {
                SiteFuture::ready(redirect(to, *status, req.uri(), host, rest))
            }
            None => SiteFuture::ready(self.not_found.answer(req.method())),
        }
    }
}

impl Route {
    fn open(route: &config::Route, cache: &Arc<FileCache>, faults: &mut Faults) -> Option<Self> {
        let (host, path) = (route.host.clone(), route.path.clone());
        let answer = match &route.action {
            Action::Files(files) => Answer::Files(open_files(files, &path, cache, faults)?),
            Action::Respond(respond) => Answer::Fixed(Fixed::new(respond)),
            Action::Redirect(redirect) => {
                Answer::Redirect { to: redirect.to.clone(), status: redirect.status }
            }
        };
        Some(Self { host, path, answer })
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
    pub(crate) fn swap(&self, site: Site) {
        self.site.store(Arc::new(site));
    }
}

impl<B> Service<Request<B>> for CurrentSite {
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
    /// It is made; `None` once it was given.
    Ready(Option<Response<SiteBody>>),
    /// A file is looked for.
    Files(FilesFuture),
}

impl SiteFuture {
    fn ready(response: Response<SiteBody>) -> Self {
        Self::Ready(Some(response))
    }
}

impl Future for SiteFuture {
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
