//! The long way of a request: whatever may wait, and every error.
//!
//! Owns the order in which things are tried: the file, the fallback, the error page, a line of
//! text. What touches the disk is `load.rs`'s, and runs off the worker.

use std::sync::Arc;

use http::header::{
    ACCEPT, ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG,
    LAST_MODIFIED, LOCATION, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::body::FileBody;
use crate::coding::{Coding, Supply};
use crate::compress;
use crate::entry::Wish;
use crate::failure::Failure;
use crate::listing;
use crate::load::{Found, load};
use crate::path::{Key, reference};
use crate::representation::{Representation, VARY_ENCODING};
use crate::respond::{Method, Traits, respond, short, text, whole};
use crate::site::Site;

/// What an error's page does not have of the file it comes from.
const FILE_FIELDS: [http::HeaderName; 4] = [ACCEPT_RANGES, CACHE_CONTROL, ETAG, LAST_MODIFIED];

/// A request, as far as it matters here.
struct Ask {
    method: Method,
    traits: Traits,
    wish: Wish,
    parts: Parts,
}

/// Answers a request.
pub(crate) async fn answer(site: Arc<Site>, parts: Parts) -> Response<FileBody> {
    let method = Method::of(&parts.method);
    // What is not GET gets the body of its error.
    let traits = Traits::of(method.unwrap_or(Method::Get), &parts.headers);
    let wish = traits.wish(&parts.headers);
    let ask = Ask { method: method.unwrap_or(Method::Get), traits, wish, parts };
    let result = match method {
        Some(_) => file(&site, &ask).await,
        None => Err(Failure::Method),
    };
    match result {
        Ok(response) => response,
        Err(failure) => error(&site, &ask, failure).await,
    }
}

async fn file(site: &Arc<Site>, ask: &Ask) -> Result<Response<FileBody>, Failure> {
    let path = ask.parts.uri.path().strip_prefix(site.prefix.as_str());
    let path = path.ok_or(Failure::NotFound)?;
    if path.is_empty() && !site.prefix.is_empty() {
        let name = site.prefix.rsplit('/').next().unwrap_or_default();
        return Ok(redirect(ask, name));
    }
    if !path.starts_with('/') && !site.prefix.is_empty() {
        return Err(Failure::NotFound);
    }
    let key = Key::from_request(path, site.dotfiles)?;
    match fetch(site, &key, ask.wish).await {
        Ok(Found::File(file)) => Ok(respond(&file, ask.method, ask.traits, &ask.parts.headers)),
        Ok(Found::Directory) => Ok(redirect(ask, key.last())),
        Ok(Found::Listing(page)) => listed(ask, page).await,
        Err(Failure::NotFound) => fallback(site, ask, &key).await,
        Err(failure) => Err(failure),
    }
}

/// Finds a file in memory or on disk. Of those who look for the same, one reads and the others
/// take from memory what he found.
async fn fetch(site: &Arc<Site>, key: &Key, wish: Wish) -> Result<Found, Failure> {
    let visit = site.gates.visit(key.as_str());
    let _turn = visit.turn().await;
    if let Some(entry) = site.index.get(key.as_str())
        && let Some(file) = entry.pick(wish)
        && entry.is_young(site.cache.now_ms())
    {
        entry.note_use();
        return Ok(Found::File(Arc::clone(file)));
    }
    let permit = Arc::clone(&site.loads).acquire_owned().await;
    let permit = permit.expect("nobody closes the semaphore");
    let (site, key) = (Arc::clone(site), key.clone());
    // The permit stays with the load, which goes on if the request is given up.
    let load = move || {
        let _permit = permit;
        load(&site, &key, wish)
    };
    ripstop_work::blocking(load).await
}

/// The page that stands in for all that are not there.
async fn fallback(site: &Arc<Site>, ask: &Ask, key: &Key) -> Result<Response<FileBody>, Failure> {
    let page = site.fallback.as_ref().filter(|_| is_page(key, &ask.parts.headers));
    let page = page.ok_or(Failure::NotFound)?;
    match fetch(site, page, ask.wish).await? {
        Found::File(file) => Ok(respond(&file, ask.method, ask.traits, &ask.parts.headers)),
        Found::Directory | Found::Listing(_) => Err(Failure::NotFound),
    }
}

/// Whether it was a page that was asked for, by its name or by what the client accepts. A
/// missing script must not be answered with a page.
fn is_page(key: &Key, headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    !key.last().contains('.') || accepted.any(|value| value.contains("text/html"))
}

/// To the path with a slash at its end. The reference is relative to the path that the client
/// knows, which need not be the one seen here, and can lead nowhere else.
fn redirect(ask: &Ask, name: &str) -> Response<FileBody> {
    let mut location = reference(name);
    location.push('/');
    if let Some(query) = ask.parts.uri.query() {
        location.push('?');
        location.push_str(query);
    }
    let mut response = short(StatusCode::MOVED_PERMANENTLY, ask.method);
    match HeaderValue::try_from(location) {
        Ok(location) => {
            response.headers_mut().insert(LOCATION, location);
            response
        }
        Err(_) => short(StatusCode::BAD_REQUEST, ask.method),
    }
}

async fn listed(ask: &Ask, page: String) -> Result<Response<FileBody>, Failure> {
    let supply = |coding| match coding {
        Coding::Identity => Supply::Stored,
        Coding::Brotli | Coding::Zstd | Coding::Gzip => Supply::Compressed,
    };
    let coding = ask.wish.accepted.choose(supply).ok_or(Failure::NotAcceptable)?;
    let page = ripstop_work::blocking(move || compress::whole(coding, page.as_bytes())).await;
    let page = page.map_err(|_| Failure::Disk(rustix::io::Errno::NOMEM))?;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let mut response = text(StatusCode::OK, ask.method, page, html);
    let headers = response.headers_mut();
    headers.insert(VARY, VARY_ENCODING);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let policy = HeaderValue::from_static(listing::CONTENT_SECURITY_POLICY);
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    if let Some(token) = coding.token() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(token));
    }
    Ok(response)
}

async fn error(site: &Arc<Site>, ask: &Ask, failure: Failure) -> Response<FileBody> {
    let status = failure.status();
    log::debug!(path = ask.parts.uri.path(), failure:? = failure; "request refused");
    let mut response = match error_page(site, ask, status).await {
        Some(page) => error_from(&page, ask.method, status),
        None => short(status, ask.method),
    };
    if failure == Failure::Method {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// The page of an error, if there is one that the client can read.
async fn error_page(
    site: &Arc<Site>,
    ask: &Ask,
    status: StatusCode,
) -> Option<Arc<Representation>> {
    let key = site.error_page(status)?;
    match fetch(site, key, ask.wish).await {
        Ok(Found::File(page)) => Some(page),
        Ok(Found::Directory | Found::Listing(_)) => None,
        Err(failure) => {
            log::debug!(page = key.as_str(), failure:? = failure; "error page not sent");
            None
        }
    }
}

fn error_from(page: &Representation, method: Method, status: StatusCode) -> Response<FileBody> {
    let mut response = whole(page, method);
    // Unless the page could not be sent, and the response is an error already.
    if response.status() == StatusCode::OK {
        *response.status_mut() = status;
    }
    for name in FILE_FIELDS {
        response.headers_mut().remove(name);
    }
    response
}
