//! Admission of a request by its head: what bare hyper leaves open of RFC 9110 and 9112.
//!
//! Pure: a head goes in, `Ok` or the refusal comes out, before anybody waits for a body.

use crate::{Limits, Refusal, X_REQUEST_ID, refusal::is_registered};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header, uri::Authority};

/// The fields that a server looks at by itself, found in one pass: a few comparisons for each
/// field cost less than a hash for each of these.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OwnFields<'a> {
    /// The first `Host`.
    host: Option<&'a HeaderValue>,
    more_hosts: bool,
    expect: Option<&'a HeaderValue>,
    /// `Connection` says that no request follows.
    pub(crate) is_last: bool,
    pub(crate) request_id: Option<&'a HeaderValue>,
}

impl<'a> OwnFields<'a> {
    pub(crate) fn find(headers: &'a HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            match *name {
                header::HOST => {
                    found.more_hosts = found.host.is_some();
                    found.host = found.host.or(Some(value));
                }
                header::CONNECTION => {
                    found.is_last |= value.as_bytes().eq_ignore_ascii_case(b"close");
                }
                header::EXPECT => found.expect = found.expect.or(Some(value)),
                _ if *name == X_REQUEST_ID => {
                    found.request_id = found.request_id.or(Some(value));
                }
                _ => {}
            }
        }
        found
    }
}

/// Checks the head of a request.
pub(crate) fn admit<B>(
    request: &Request<B>,
    own: &OwnFields<'_>,
    body_length: Option<u64>,
    limits: &Limits,
    connect: bool,
) -> Result<(), Refusal> {
    if !is_registered(request.method()) {
        return Err(Refusal::UnknownMethod);
    }
    check_target(request.method(), request.uri(), connect)?;
    check_host(own, request.uri(), request.version())?;
    if request.version() == Version::HTTP_2 {
        check_size(request.uri(), request.headers(), limits)?;
    }
    check_expectation(own)?;
    match (body_length, limits.body) {
        (Some(length), Some(limit)) if length > limit => Err(Refusal::BodyTooLarge),
        _ => Ok(()),
    }
}

/// RFC 9112 section 3.2: the four forms of a request target.
fn check_target(method: &Method, uri: &Uri, connect: bool) -> Result<(), Refusal> {
    if *method == Method::CONNECT {
        return if connect { Ok(()) } else { Err(Refusal::NoConnect) };
    }
    let path = uri.path();
    let valid = match (uri.scheme_str(), uri.authority()) {
        // Origin form, or asterisk form for OPTIONS alone.
        (None, None) => path.starts_with('/') || (path == "*" && *method == Method::OPTIONS),
        // Absolute form; HTTP/2 always looks like it.
        (Some("http" | "https"), Some(_)) => path.starts_with('/') || path == "*",
        _ => false,
    };
    let asterisk = path == "*" && *method != Method::OPTIONS;
    if valid && !asterisk { Ok(()) } else { Err(Refusal::BadTarget) }
}

/// RFC 9110 section 7.2 and RFC 9112 section 3.2: exactly one valid `Host`, or in HTTP/2 an
/// `:authority`, and where both are there they agree. HTTP/1.0 knows no `Host`, but may send it.
fn check_host(own: &OwnFields<'_>, uri: &Uri, version: Version) -> Result<(), Refusal> {
    if own.more_hosts {
        return Err(Refusal::BadHost);
    }
    let valid = match (own.host.map(HeaderValue::as_bytes), uri.authority()) {
        (Some(host), None) => is_host(host),
        (Some(host), Some(authority)) => is_host(host) && agree(host, authority, uri),
        (None, Some(authority)) if version == Version::HTTP_2 => {
            is_host(authority.as_str().as_bytes())
        }
        (None, _) => version == Version::HTTP_10,
    };
    if valid { Ok(()) } else { Err(Refusal::BadHost) }
}

/// Whether `Host` and the target's authority name the same, ports of the scheme being optional.
fn agree(host: &[u8], authority: &Authority, uri: &Uri) -> bool {
    let default_port: &[u8] = match uri.scheme_str() {
        Some("https") => b":443",
        Some("http") => b":80",
        _ => b"",
    };
    let bare = |name: &[u8]| -> Vec<u8> {
        name.strip_suffix(default_port).unwrap_or(name).to_ascii_lowercase()
    };
    let authority = authority.as_str().as_bytes();
    host.eq_ignore_ascii_case(authority) || bare(host) == bare(authority)
}

/// `uri-host [ ":" port ]` of RFC 3986 section 3.2.2, without userinfo and not empty.
fn is_host(text: &[u8]) -> bool {
    let (name, port) = match text {
        [b'[', rest @ ..] => match rest.iter().position(|&byte| byte == b']') {
            Some(end) if is_ip_literal(&rest[..end]) => (&rest[..end], &rest[end + 1..]),
            _ => return false,
        },
        _ => {
            let end = memchr::memchr(b':', text).unwrap_or(text.len());
            if !text[..end].iter().all(|&byte| NAME_BYTES[usize::from(byte)]) {
                return false;
            }
            text.split_at(end)
        }
    };
    !name.is_empty() && is_port(port)
}

fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn is_ip_literal(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Bytes of a `reg-name`: unreserved, sub-delims but the comma, and the percent sign.
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+;=%";
    let mut i = 0;
    while i < allowed.len() {
        table[allowed[i] as usize] = true;
        i += 1;
    }
    table
};

/// What the raw head of HTTP/1 was measured for already.
fn check_size(uri: &Uri, headers: &HeaderMap, limits: &Limits) -> Result<(), Refusal> {
    if uri.path_and_query().is_some_and(|target| target.as_str().len() > limits.uri) {
        return Err(Refusal::UriTooLong);
    }
    if headers.len() > limits.fields { Err(Refusal::HeadTooLarge) } else { Ok(()) }
}

/// RFC 9110 section 10.1.1: an expectation that cannot be met is answered 417.
fn check_expectation(own: &OwnFields<'_>) -> Result<(), Refusal> {
    match own.expect {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(Refusal::BadExpectation)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
