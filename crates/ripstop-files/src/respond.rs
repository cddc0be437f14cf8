//! From a representation and a request to the response.
//!
//! Owns the statuses 200, 206, 304, 412 and 416 and their headers. It runs for every file that
//! is sent, and for those in memory it is all that runs: it neither waits nor reads.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::body::{FileBody, Segment};
use crate::coding::Accepted;
use crate::compress::Compression;
use crate::conditions::{self, Verdict};
use crate::entry::Wish;
use crate::range::{Selection, Span, select};
use crate::representation::{Content, NOSNIFF, Representation};
use crate::stamp::wall_seconds;

/// What a `304` repeats of a `200` (RFC 9110, section 15.4.5).
const NOT_MODIFIED_FIELDS: [http::HeaderName; 4] = [ETAG, LAST_MODIFIED, VARY, CACHE_CONTROL];

/// Whether the response has a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
}

impl Method {
    pub(crate) fn of(method: &http::Method) -> Option<Self> {
        match *method {
            http::Method::GET => Some(Self::Get),
            http::Method::HEAD => Some(Self::Head),
            _ => None,
        }
    }
}

/// Which of the fields that matter here a request has: one pass over the header is cheaper than
/// looking for each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    accept_encoding: bool,
    range: bool,
    conditional: bool,
}

impl Traits {
    pub(crate) fn of(method: Method, headers: &HeaderMap) -> Self {
        let mut traits = Self::default();
        for name in headers.keys() {
            match *name {
                ACCEPT_ENCODING => traits.accept_encoding = true,
                // It has a meaning for GET only (RFC 9110, section 14.2).
                RANGE => traits.range = method == Method::Get,
                IF_MATCH | IF_NONE_MATCH | IF_MODIFIED_SINCE | IF_UNMODIFIED_SINCE => {
                    traits.conditional = true;
                }
                _ => {}
            }
        }
        traits
    }

    pub(crate) fn wish(self, headers: &HeaderMap) -> Wish {
        let accepted = if self.accept_encoding {
            Accepted::parse(headers.get_all(ACCEPT_ENCODING))
        } else {
            Accepted::PLAIN
        };
        Wish { accepted, range: self.range }
    }
}

/// The response to a request for `file`.
pub(crate) fn respond(
    file: &Representation,
    method: Method,
    traits: Traits,
    headers: &HeaderMap,
) -> Response<FileBody> {
    if traits.conditional {
        match conditions::evaluate(headers, file.validators()) {
            Verdict::Proceed => {}
            Verdict::NotModified => return not_modified(file),
            Verdict::Failed => return short(StatusCode::PRECONDITION_FAILED, method),
        }
    }
    if traits.range && file.ranges {
        let field = conditions::range(headers, file.validators(), wall_seconds);
        if let (Some(field), Some(len)) = (field, file.content.len()) {
            match select(field, len) {
                Selection::Whole => {}
                Selection::Spans(spans) => return partial(file, &spans, len),
                Selection::Unsatisfiable => return unsatisfiable(len),
            }
        }
    }
    whole(file, method)
}

/// A response with the whole of `file`.
pub(crate) fn whole(file: &Representation, method: Method) -> Response<FileBody> {
    let mut response = Response::new(FileBody::empty());
    if method == Method::Get {
        match body(&file.content) {
            Ok(body) => *response.body_mut() = body,
            Err(error) => {
                log::debug!(error:% = error; "compressor not started");
                return short(StatusCode::INTERNAL_SERVER_ERROR, method);
            }
        }
    }
    *response.headers_mut() = file.headers.clone();
    response
}

fn body(content: &Content) -> std::io::Result<FileBody> {
    Ok(match content {
        Content::Memory(bytes) => FileBody::memory(bytes.clone()),
        Content::File(file, len) => {
            let whole = (*len > 0).then_some(Segment::File(Span { start: 0, len: *len }));
            FileBody::segments(Vec::from_iter(whole), Some(Arc::clone(file)))
        }
        Content::Compress { file, size, coding, permit } => {
            let (file, permit) = (Arc::clone(file), Arc::clone(permit));
            FileBody::compressed(Compression::new(file, *size, *coding, permit)?)
        }
    })
}

/// A response whose body is a line of text that says the status.
pub(crate) fn short(status: StatusCode, method: Method) -> Response<FileBody> {
    text(
        status,
        method,
        format!("{status}\n"),
        HeaderValue::from_static("text/plain; charset=utf-8"),
    )
}

/// A response from a text that was made for it.
pub(crate) fn text(
    status: StatusCode,
    method: Method,
    text: impl Into<Bytes>,
    content_type: HeaderValue,
) -> Response<FileBody> {
    let text = text.into();
    let mut response = Response::new(FileBody::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CONTENT_LENGTH, text.len().into());
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if method == Method::Get {
        *response.body_mut() = FileBody::memory(text);
    }
    response
}

fn not_modified(file: &Representation) -> Response<FileBody> {
    let mut response = Response::new(FileBody::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    for name in NOT_MODIFIED_FIELDS {
        if let Some(value) = file.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn unsatisfiable(len: u64) -> Response<FileBody> {
    let mut response = short(StatusCode::RANGE_NOT_SATISFIABLE, Method::Get);
    let headers = response.headers_mut();
    headers.insert(CONTENT_RANGE, field(format!("bytes */{len}")));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

fn partial(file: &Representation, spans: &[Span], len: u64) -> Response<FileBody> {
    let mut headers = file.headers.clone();
    let segments = if let [span] = spans {
        headers.insert(CONTENT_RANGE, field(content_range(*span, len)));
        vec![cut(&file.content, *span)]
    } else {
        multipart(file, spans, len, &mut headers)
    };
    let body_len: u64 = segments.iter().map(Segment::len).sum();
    headers.insert(CONTENT_LENGTH, body_len.into());
    let source = match &file.content {
        Content::File(file, _) => Some(Arc::clone(file)),
        Content::Memory(_) | Content::Compress { .. } => None,
    };
    let mut response = Response::new(FileBody::segments(segments, source));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    *response.headers_mut() = headers;
    response
}

/// The parts with what goes between them (RFC 9110, section 14.6).
fn multipart(
    file: &Representation,
    spans: &[Span],
    len: u64,
    headers: &mut HeaderMap,
) -> Vec<Segment> {
    let boundary = boundary();
    let content_type = field(format!("multipart/byteranges; boundary={boundary}"));
    let part_type = headers.insert(CONTENT_TYPE, content_type);
    let part_type = part_type.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut segments = Vec::with_capacity(2 * spans.len() + 1);
    for span in spans {
        let range = content_range(*span, len);
        let head = format!(
            "\r\n--{boundary}\r\ncontent-type: {part_type}\r\ncontent-range: {range}\r\n\r\n"
        );
        segments.push(Segment::Memory(head.into()));
        segments.push(cut(&file.content, *span));
    }
    segments.push(Segment::Memory(format!("\r\n--{boundary}--\r\n").into()));
    segments
}

/// A part of the content. What is compressed on the way has no parts, and is not asked for any.
fn cut(content: &Content, span: Span) -> Segment {
    match content {
        Content::Memory(bytes) => {
            let index = |n: u64| usize::try_from(n).expect("a span lies in the memory it is of");
            Segment::Memory(bytes.slice(index(span.start)..index(span.start + span.len)))
        }
        Content::File(..) | Content::Compress { .. } => Segment::File(span),
    }
}

fn content_range(span: Span, len: u64) -> String {
    format!("bytes {}-{}/{len}", span.start, span.last())
}

/// A line that is in no file but by design of someone who knows this process's random state.
fn boundary() -> String {
    static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Relaxed);
    format!("{:016x}{:016x}", STATE.hash_one(count), STATE.hash_one(!count))
}

fn field(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits and letters are a header value")
}
