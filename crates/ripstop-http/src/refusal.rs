//! Refusals: what a server answers by itself, in place of the handler.

use http::{HeaderValue, Method, Response, StatusCode, header};

/// Why a request is not handled, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// The request's framing or head breaks RFC 9112.
    BadMessage = 1,
    /// The request target is of no form that RFC 9112 section 3.2 knows.
    BadTarget,
    /// `Host` is missing, doubled, not valid, or disagrees with the target's authority.
    BadHost,
    /// `CONNECT`, and the handler does not take it.
    NoConnect,
    /// The peer took too long to send the request.
    PeerTimeout,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// The request target is longer than the limit.
    UriTooLong,
    /// An expectation other than `100-continue`.
    BadExpectation,
    /// The head is larger, or has more fields, than the limit.
    HeadTooLarge,
    /// The handler failed: it panicked or returned an error.
    HandlerFailed,
    /// A method that is not registered.
    UnknownMethod,
    /// A transfer coding other than `chunked`.
    UnknownCoding,
    /// The handler took too long.
    HandlerTimeout,
    /// As much waits in the task queue as may.
    QueueFull,
    /// The client, or whoever it is counted by, comes too often.
    TooManyRequests,
    /// Requests like it have crashed the server.
    Quarantined,
}

impl Refusal {
    const ALL: [Self; 16] = [
        Self::BadMessage,
        Self::BadTarget,
        Self::BadHost,
        Self::NoConnect,
        Self::PeerTimeout,
        Self::BodyTooLarge,
        Self::UriTooLong,
        Self::BadExpectation,
        Self::HeadTooLarge,
        Self::HandlerFailed,
        Self::UnknownMethod,
        Self::UnknownCoding,
        Self::HandlerTimeout,
        Self::QueueFull,
        Self::TooManyRequests,
        Self::Quarantined,
    ];

    /// The refusal of this number (see `as u8`), if there is one.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The status it is answered with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadMessage | Self::BadTarget | Self::BadHost => StatusCode::BAD_REQUEST,
            Self::NoConnect => StatusCode::METHOD_NOT_ALLOWED,
            Self::PeerTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::BadExpectation => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HandlerFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::UnknownMethod | Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::HandlerTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::QueueFull | Self::Quarantined => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// What the peer is told, in one line.
    pub fn text(self) -> &'static str {
        match self {
            Self::BadMessage => "the request is not well-formed\n",
            Self::BadTarget => "the request target is not valid\n",
            Self::BadHost => "exactly one valid Host that agrees with the target is needed\n",
            Self::NoConnect => "CONNECT is not supported here\n",
            Self::PeerTimeout => "the request took too long to arrive\n",
            Self::BodyTooLarge => "the request body is too large\n",
            Self::UriTooLong => "the request target is too long\n",
            Self::BadExpectation => "the only expectation supported is 100-continue\n",
            Self::HeadTooLarge => "the request head is too large\n",
            Self::HandlerFailed => "the server failed to handle the request\n",
            Self::UnknownMethod => "the method is unknown\n",
            Self::UnknownCoding => "the only transfer coding supported is chunked\n",
            Self::HandlerTimeout => "the server took too long to handle the request\n",
            Self::QueueFull => "the server has too much to do\n",
            Self::TooManyRequests => "too many requests\n",
            Self::Quarantined => "requests like this have crashed the server\n",
        }
    }

    /// Whether the HTTP/1 connection can go on: only where the request was read whole and
    /// understood, so that nothing of it could be read a second time as another request.
    pub(crate) fn keeps_connection(self) -> bool {
        matches!(
            self,
            Self::HandlerFailed
                | Self::HandlerTimeout
                | Self::QueueFull
                | Self::TooManyRequests
                | Self::Quarantined
        )
    }

    /// The response, without a body.
    pub(crate) fn response(self, http1: bool) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, TEXT);
        if self == Self::NoConnect {
            headers.insert(header::ALLOW, METHODS);
        }
        if self == Self::QueueFull {
            headers.insert(header::RETRY_AFTER, SOON);
        }
        if http1 && !self.keeps_connection() {
            headers.insert(header::CONNECTION, CLOSE);
        }
        response
    }

    /// The whole response as bytes of HTTP/1.1, for a connection that ends with it.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let (status, text) = (self.status(), self.text());
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: text/plain; \
             charset=utf-8\r\ncontent-length: {}\r\n\r\n{text}",
            text.len(),
        )
        .into_bytes()
    }
}

/// Seconds.
pub(crate) const SOON: HeaderValue = HeaderValue::from_static("1");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(crate) const CLOSE: HeaderValue = HeaderValue::from_static("close");
const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// Whether the method is one of the IANA registry (as of RFC 9110 and later).
pub(crate) fn is_registered(method: &Method) -> bool {
    // The library names the common ones; only others are text.
    matches!(
        *method,
        Method::GET
            | Method::POST
            | Method::HEAD
            | Method::PUT
            | Method::DELETE
            | Method::OPTIONS
            | Method::PATCH
            | Method::CONNECT
            | Method::TRACE
    ) || REGISTERED.binary_search(&method.as_str()).is_ok()
}

/// Sorted, for the binary search.
const REGISTERED: [&str; 31] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PROPFIND",
    "PROPPATCH",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
    "VIEW",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_number() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::from_number(refusal as u8), Some(refusal));
        }
        assert_eq!(Refusal::from_number(0), None);
        assert_eq!(Refusal::from_number(200), None);
    }

    #[test]
    fn registered_methods_are_sorted_and_found() {
        assert!(REGISTERED.is_sorted());
        for (method, known) in [("GET", true), ("PROPFIND", true), ("get", false), ("FOO", false)] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(is_registered(&method), known, "{method}");
        }
    }
}
