//! What a handler may know of the connection and of its request beside the message itself.

use crate::conn::Conn;
use http::{HeaderName, HeaderValue};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The field that carries a request's id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a peer.
const ID_MAX: usize = 128;

/// A connection, as handlers see it. The same for all its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The address of the peer: who connected, or whom the PROXY header named. `None` on Unix
    /// sockets. Behind proxies that are trusted it is one of these; see [`Facts::client`].
    pub peer: Option<SocketAddr>,
    /// The name of the listener that accepted it.
    pub listener: Arc<str>,
    /// What TLS agreed on; `None` in clear text.
    pub tls: Option<Tls>,
}

/// What a TLS handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The protocol version: `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite by its IANA name.
    pub cipher: &'static str,
    /// The name that the client asked for (SNI).
    pub server_name: Option<Arc<str>>,
    /// The subject of the client's certificate as an RFC 4514 string, verified.
    pub client_subject: Option<Arc<str>>,
    /// The client's certificate in DER, verified.
    pub client_certificate: Option<Arc<[u8]>>,
}

/// The facts of one request; an extension of every request.
///
/// ```
/// # fn handle<B>(request: http::Request<B>) {
/// let facts = request.extensions().get::<ripstop_http::Facts>().expect("every request has it");
/// println!("{} from {:?}", facts.request_id, facts.connection.peer);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Facts {
    /// The connection that the request came on.
    pub connection: Arc<Connection>,
    /// The request's id.
    pub request_id: RequestId,
    /// See [`Facts::client`].
    pub(crate) client: Option<IpAddr>,
    /// Whose executors a part of the application can be queued for.
    pub(crate) conn: Arc<Conn>,
}

impl Facts {
    /// The address of the client: the peer's, or the one that trusted proxies name
    /// ([`TrustedProxies`](crate::TrustedProxies)). `None` for a peer on a Unix socket of whom no
    /// such proxy says more.
    pub fn client(&self) -> Option<IpAddr> {
        self.client.map(|client| client.to_canonical())
    }
}

/// The id of a request: the peer's `x-request-id` if that is valid, else made here. It is
/// written out only when somebody asks for its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Id);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Id {
    Taken(HeaderValue),
    Made(u64),
}

impl RequestId {
    /// Takes the id that the peer sent, or makes one.
    pub(crate) fn of(sent: Option<&HeaderValue>, number: impl FnOnce() -> u64) -> Self {
        match sent {
            Some(value) if is_valid(value.as_bytes()) => Self(Id::Taken(value.clone())),
            _ => Self(Id::Made(number())),
        }
    }

    /// The id as the watchdog takes it.
    pub(crate) fn as_subject(&self) -> ripstop_work::RequestId<'_> {
        match &self.0 {
            Id::Taken(value) => ripstop_work::RequestId::Text(value.to_str().unwrap_or("-")),
            Id::Made(number) => {
                ripstop_work::RequestId::Number(u128::from(*PROCESS) << 64 | u128::from(*number))
            }
        }
    }

    /// The id as the value of a header field.
    pub fn to_header_value(&self) -> HeaderValue {
        match &self.0 {
            Id::Taken(value) => value.clone(),
            Id::Made(_) => {
                HeaderValue::try_from(self.to_string()).unwrap_or(HeaderValue::from_static("-"))
            }
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Id::Taken(value) => f.write_str(value.to_str().unwrap_or("-")),
            Id::Made(number) => write!(f, "{:016x}{number:016x}", *PROCESS),
        }
    }
}

/// Numbers the requests of a process: those of one connection follow each other, so that workers
/// do not share a counter that moves with every request.
#[derive(Debug)]
pub(crate) struct RequestNumbers(AtomicU64);

impl RequestNumbers {
    /// The numbers of one more connection.
    pub(crate) fn of_new_connection() -> Self {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
        // 2^36 connections, each with 2^28 requests, before a number could come twice.
        Self(AtomicU64::new(CONNECTIONS.fetch_add(1, Relaxed) << 28))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }
}

/// Tells the ids of one process from those of another: keys of the standard library's hasher,
/// which the operating system draws.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));

/// Visible ASCII without what would end a quoted string or a field of a log line.
fn is_valid(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\,;".contains(byte);
    (1..=ID_MAX).contains(&id.len()) && id.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: &str, taken: bool) {
        let value = HeaderValue::from_str(sent).unwrap();
        assert_eq!(RequestId::of(Some(&value), || 7).to_string() == sent, taken, "{sent:?}");
    }

    #[test]
    fn a_valid_id_is_taken_and_any_other_replaced() {
        check("7f3-a.B_9", true);
        check(&"x".repeat(128), true);
        check(&"x".repeat(129), false);
        check("", false);
        check("a b", false);
        check("a\"b", false);
    }

    #[test]
    fn made_ids_differ_and_are_32_hexadecimal_digits() {
        let numbers = [RequestNumbers::of_new_connection(), RequestNumbers::of_new_connection()];
        let made = |i: usize| RequestId::of(None, || numbers[i].next());
        let (one, two, three) = (made(0), made(0), made(1));
        assert!(one != two && one != three && two != three);
        assert_eq!(one.to_string().len(), 32);
        assert!(one.to_string().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(one.to_header_value(), one.to_string());
    }
}
