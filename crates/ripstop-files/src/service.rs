//! The service: a request in, a response out.
//!
//! Owns the short way of a request whose file is in memory: no lock, no system call but for the
//! clock's page, no allocation but for the response's header. Everything else goes the long way,
//! `answer.rs`.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response, Uri};
use tower_service::Service;

use crate::answer::answer;
use crate::body::FileBody;
use crate::entry::{Entry, Freshness};
use crate::error::OpenError;
use crate::options::FilesOptions;
use crate::representation::Representation;
use crate::respond::{Method, Traits, respond};
use crate::site::Site;

/// Serves the files of one directory. A clone serves the same one, from the same memory.
///
/// It answers every request, `GET` and `HEAD` with a file, others with `405`, and never fails.
/// It must be called on a worker of `ripstop-work` or another tokio runtime.
#[derive(Clone, Debug)]
pub struct Files(Arc<Site>);

impl Files {
    /// Opens a directory to serve it, and checks the options. Waits for the disk.
    ///
    /// # Errors
    /// Where the directory cannot be opened, or an option cannot work with it.
    pub fn open(options: FilesOptions) -> Result<Self, OpenError> {
        Site::open(options).map(|site| Self(Arc::new(site)))
    }
}

impl<B> Service<Request<B>> for Files {
    type Response = Response<FileBody>;
    type Error = Infallible;
    type Future = FilesFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// The body of the request is dropped.
    fn call(&mut self, req: Request<B>) -> FilesFuture {
        if let Some(response) = from_memory(&self.0, req.method(), req.uri(), req.headers()) {
            return FilesFuture(State::Ready(Some(response)));
        }
        let (parts, _) = req.into_parts();
        FilesFuture(State::Waiting(Box::pin(answer(Arc::clone(&self.0), parts))))
    }
}

/// The response if it needs nothing that is not in memory.
fn from_memory(
    site: &Site,
    method: &http::Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Option<Response<FileBody>> {
    let method = Method::of(method)?;
    let path = uri.path().strip_prefix(site.prefix.as_str())?;
    // Entries go by the decoded path. Without escapes it is the same, and what may not be served
    // is not in memory.
    if memchr::memchr(b'%', path.as_bytes()).is_some() {
        return None;
    }
    let shard = site.index.shard(path);
    let entry = shard.get(path)?;
    let traits = Traits::of(method, headers);
    let file = entry.pick(traits.wish(headers))?;
    if entry.freshness(site.cache.now_ms()) == Freshness::Stale {
        return None;
    }
    entry.note_use();
    Some(respond(nearest(site, entry, file), method, traits, headers))
}

/// The copy of `file` that only this thread uses; of what is not hot there is none.
fn nearest<'a>(site: &Site, entry: &Arc<Entry>, file: &'a Representation) -> &'a Representation {
    if let Some(replica) = file.replicas.mine() {
        return replica;
    }
    if entry.is_hot() && site.cache.admit_replica(&site.index, entry) {
        return file.replicas.make(file);
    }
    file
}

/// The response of [`Files`], which is ready at once if it comes from memory.
///
/// # Cancel safety
/// It can be dropped at any time. A file that is being read for it is kept in memory then.
pub struct FilesFuture(State);

enum State {
    Ready(Option<Response<FileBody>>),
    Waiting(Pin<Box<dyn Future<Output = Response<FileBody>> + Send>>),
}

impl Future for FilesFuture {
    type Output = Result<Response<FileBody>, Infallible>;

    /// # Panics
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(response) => {
                Poll::Ready(Ok(response.take().expect("not polled after it was ready")))
            }
            State::Waiting(future) => future.as_mut().poll(cx).map(Ok),
        }
    }
}

impl fmt::Debug for FilesFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesFuture").finish_non_exhaustive()
    }
}
