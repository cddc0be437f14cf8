//! Conditional requests (RFC 9110, section 13).
//!
//! Owns the order of the preconditions and the comparison of validators. Builds no responses;
//! `respond.rs` does that with the verdict it gets here.

use http::header::{
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::stamp::parse_http_date;

/// What identifies the state of what would be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators<'a> {
    /// A strong entity tag, with its quotes.
    pub(crate) etag: &'a HeaderValue,
    /// Seconds since 1970.
    pub(crate) modified: u64,
}

/// Whether the request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Proceed,
    NotModified,
    Failed,
}

/// Evaluates the preconditions of a `GET` or `HEAD`, in the order of section 13.2.2.
pub(crate) fn evaluate(headers: &HeaderMap, now: Validators<'_>) -> Verdict {
    if headers.contains_key(IF_MATCH) {
        if !any_tag(headers, IF_MATCH, |tag| strong_match(tag, now.etag)) {
            return Verdict::Failed;
        }
    } else if date(headers, IF_UNMODIFIED_SINCE).is_some_and(|since| now.modified > since) {
        return Verdict::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if any_tag(headers, IF_NONE_MATCH, |tag| weak_match(tag, now.etag)) {
            return Verdict::NotModified;
        }
    } else if date(headers, IF_MODIFIED_SINCE).is_some_and(|since| now.modified <= since) {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// The `Range` that counts: only a single field does, and only if its `If-Range` holds.
/// `clock` is the present time in seconds since 1970.
pub(crate) fn range<'a>(
    headers: &'a HeaderMap,
    now: Validators<'_>,
    clock: impl FnOnce() -> u64,
) -> Option<&'a str> {
    let field = single(headers, RANGE)?.to_str().ok()?;
    if !headers.contains_key(IF_RANGE) {
        return Some(field);
    }
    let condition = single(headers, IF_RANGE)?;
    let holds = match parse_http_date(condition) {
        // A date is a strong validator only if the file cannot have changed again within the
        // second that the date stands for (section 8.8.2.2).
        Some(date) => date == now.modified && clock() > now.modified,
        None => strong_match(condition.as_bytes(), now.etag),
    };
    holds.then_some(field)
}

fn single(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    single(headers, name).and_then(parse_http_date)
}

fn any_tag(headers: &HeaderMap, name: HeaderName, matches: impl Fn(&[u8]) -> bool) -> bool {
    let mut lines = headers.get_all(name).iter();
    lines.any(|line| line.as_bytes() == b"*" || Tags(line.as_bytes()).any(&matches))
}

fn strong_match(tag: &[u8], etag: &HeaderValue) -> bool {
    tag == etag.as_bytes()
}

fn weak_match(tag: &[u8], etag: &HeaderValue) -> bool {
    strong_match(tag.strip_prefix(b"W/").unwrap_or(tag), etag)
}

/// The entity tags of a list, each with its quotes. A comma inside of quotes is part of a tag.
/// Ends at what is not a tag.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|b| !matches!(b, b' ' | b'\t' | b','))?;
        let list = &self.0[start..];
        let open = if list.starts_with(b"W/\"") { 3 } else { 1 };
        if list.get(open - 1) != Some(&b'"') {
            return None;
        }
        let end = open + list[open..].iter().position(|b| *b == b'"')? + 1;
        self.0 = &list[end..];
        Some(&list[..end])
    }
}

#[cfg(test)]
mod tests;
