//! A directory of files, a service for it, and a clock that stands still.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use ripstop_files::{FileBody, FileCache, Files, FilesOptions};
use tempfile::TempDir;
use tower_service::Service;

/// A clock that goes on only when told to.
#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub(crate) fn cache(&self, max_bytes: usize) -> Arc<FileCache> {
        let (start, ms) = (Instant::now(), Arc::clone(&self.0));
        let now = move || start + Duration::from_millis(ms.load(Ordering::Relaxed));
        Arc::new(FileCache::with_clock(max_bytes, now))
    }
}

/// The directory that is served, `root`, inside one that is not.
pub(crate) struct Tree {
    outer: TempDir,
}

impl Tree {
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let tree = Self { outer: TempDir::new().unwrap() };
        fs::create_dir(tree.root()).unwrap();
        for (path, content) in files {
            tree.write(path, content);
        }
        tree
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.outer.path().join("root")
    }

    pub(crate) fn outer(&self) -> &Path {
        self.outer.path()
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// What nearly every test wants: the defaults.
    pub(crate) fn options(&self) -> FilesOptions {
        FilesOptions { root: self.root(), ..FilesOptions::default() }
    }

    pub(crate) fn open(&self) -> Files {
        Files::open(self.options()).unwrap()
    }

    /// Without memory: every file is streamed.
    pub(crate) fn open_streaming(&self) -> Files {
        let cache = Arc::new(FileCache::new(0));
        Files::open(FilesOptions { cache, ..self.options() }).unwrap()
    }
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        value.to_str().unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) fn request(method: Method, target: &str, fields: &[(HeaderName, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(name, *value);
    }
    request.body(()).unwrap()
}

pub(crate) async fn respond(files: &Files, request: Request<()>) -> Response<FileBody> {
    files.clone().call(request).await.unwrap()
}

pub(crate) async fn get(files: &Files, target: &str) -> Answer {
    get_with(files, target, &[]).await
}

pub(crate) async fn get_with(files: &Files, target: &str, fields: &[(HeaderName, &str)]) -> Answer {
    send(files, Method::GET, target, fields).await
}

pub(crate) async fn send(
    files: &Files,
    method: Method,
    target: &str,
    fields: &[(HeaderName, &str)],
) -> Answer {
    let (parts, body) = respond(files, request(method, target, fields)).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Bytes that repeat nowhere soon, so that a wrong offset shows.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..len).map(|_| next()).collect()
}

/// Text that compresses, and is not the same everywhere.
pub(crate) fn prose(len: usize) -> Vec<u8> {
    let lines =
        (0..).flat_map(|n| format!("Line {n} of a text that nobody will read.\n").into_bytes());
    lines.take(len).collect()
}
