//! What a thread works on, as words that another thread can read at any time.
//!
//! Plain atomics and no lock: a reader that comes while the thread writes may get a mixture. The
//! watchdog reads only what has stood still for a whole stall, and checks the mark again.

use std::{
    array,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// What a thread works on.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// By which route the request came.
    pub route: RouteName<'a>,
    /// Whose it is.
    pub peer: Option<SocketAddr>,
}

/// The name of a route: as the application says it, or to be made of method and path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteName<'a> {
    /// As the application says it.
    Named(&'a str),
    /// A method, and a path with all its variable parts.
    Target {
        /// The method.
        method: &'a str,
        /// The path.
        path: &'a str,
    },
}

/// A request's id.
#[derive(Clone, Copy, Debug)]
pub enum RequestId<'a> {
    /// A number, shown as 32 hexadecimal digits.
    Number(u128),
    /// A text, of which the first 128 bytes are kept.
    Text(&'a str),
}

/// What was read of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) route: SeenRoute,
    pub(crate) request: String,
    pub(crate) peer: Option<SocketAddr>,
}

/// A route as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SeenRoute {
    Named(String),
    Target { method: String, path: String },
}

impl SeenRoute {
    pub(crate) fn as_name(&self) -> RouteName<'_> {
        match self {
            Self::Named(name) => RouteName::Named(name),
            Self::Target { method, path } => RouteName::Target { method, path },
        }
    }

    /// Method and path; of a named route its name for the path.
    pub(crate) fn in_words(&self) -> (&str, &str) {
        match self {
            Self::Named(name) => ("-", name),
            Self::Target { method, path } => (method, path),
        }
    }
}

/// Bytes of a method that are kept.
const METHOD: usize = 16;
/// Bytes of a path or of a route's name that are kept.
const PATH: usize = 256;
/// Bytes of a request id that are kept.
const ID: usize = 128;

/// A subject in words.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// 0 while there is no subject.
    head: AtomicU64,
    /// The head of the subject that the words are still of; 0 where its request has no number.
    last: AtomicU64,
    number: [AtomicU64; 2],
    address: [AtomicU64; 2],
    method: Text<{ METHOD / 8 }>,
    path: Text<{ PATH / 8 }>,
    id: Text<{ ID / 8 }>,
    /// The application's name of the route; empty for none.
    name: Text<{ PATH / 8 }>,
}

/// The head of a subject that is hidden for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hidden(u64);

/// Bits of the head, above the sixteen of the peer's port.
const PRESENT: u64 = 1 << 16;
const V4: u64 = 1 << 17;
const V6: u64 = 1 << 18;
const NUMBERED: u64 = 1 << 19;

impl Words {
    /// Shows what was written last again, if it was this request.
    pub(super) fn write_again(&self, request: RequestId<'_>) -> bool {
        let last = self.last.load(Relaxed);
        let RequestId::Number(number) = request else { return false };
        let again = last != 0 && read_wide(&self.number) == number;
        if again {
            self.head.store(last, Relaxed);
        }
        again
    }

    pub(super) fn write(&self, request: RequestId<'_>, subject: &Subject<'_>) {
        let mut head = PRESENT | self.write_peer(subject.peer);
        match subject.route {
            RouteName::Named(name) => self.name.write(name),
            RouteName::Target { method, path } => {
                self.method.write(method);
                self.path.write(path);
            }
        }
        match request {
            RequestId::Number(number) => {
                head |= NUMBERED;
                write_wide(&self.number, number);
                // A name is cleared with the subject.
                let named = matches!(subject.route, RouteName::Named(_));
                self.last.store(if named { 0 } else { head }, Relaxed);
            }
            RequestId::Text(text) => {
                self.id.write(text);
                self.last.store(0, Relaxed);
            }
        }
        self.head.store(head, Relaxed);
    }

    fn write_peer(&self, peer: Option<SocketAddr>) -> u64 {
        let Some(peer) = peer else { return 0 };
        let (kind, bits) = match peer.ip() {
            IpAddr::V4(ip) => (V4, u128::from(ip.to_bits())),
            IpAddr::V6(ip) => (V6, ip.to_bits()),
        };
        write_wide(&self.address, bits);
        kind | u64::from(peer.port())
    }

    pub(super) fn name(&self, name: &str) {
        self.name.write(name);
    }

    /// Shows nothing until it is shown again.
    pub(super) fn hide(&self) -> Hidden {
        Hidden(self.head.swap(0, Relaxed))
    }

    pub(super) fn show(&self, hidden: Hidden) {
        self.head.store(hidden.0, Relaxed);
    }

    pub(super) fn clear(&self) {
        self.head.store(0, Relaxed);
        self.name.write("");
    }

    pub(super) fn is_there(&self) -> bool {
        self.head.load(Relaxed) & PRESENT != 0
    }

    pub(super) fn read(&self) -> Option<Seen> {
        let head = self.head.load(Relaxed);
        if head & PRESENT == 0 {
            return None;
        }
        let route = match self.name.read() {
            name if name.is_empty() => {
                SeenRoute::Target { method: self.method.read(), path: self.path.read() }
            }
            name => SeenRoute::Named(name),
        };
        let request = if head & NUMBERED == 0 {
            self.id.read()
        } else {
            format!("{:032x}", read_wide(&self.number))
        };
        Some(Seen { route, request, peer: self.read_peer(head) })
    }

    fn read_peer(&self, head: u64) -> Option<SocketAddr> {
        let bits = read_wide(&self.address);
        let ip = if head & V4 != 0 {
            IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).ok()?))
        } else if head & V6 != 0 {
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        } else {
            return None;
        };
        Some(SocketAddr::new(ip, u16::try_from(head & 0xffff).ok()?))
    }
}

fn write_wide(words: &[AtomicU64; 2], number: u128) {
    // The low half, by a truncation that is meant.
    words[0].store(number as u64, Relaxed);
    words[1].store((number >> 64) as u64, Relaxed);
}

fn read_wide(words: &[AtomicU64; 2]) -> u128 {
    u128::from(words[0].load(Relaxed)) | u128::from(words[1].load(Relaxed)) << 64
}

/// A text of at most `8 * N` bytes.
#[derive(Debug)]
struct Text<const N: usize> {
    bytes: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self { bytes: AtomicU64::new(0), words: array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl<const N: usize> Text<N> {
    fn write(&self, text: &str) {
        let kept = text.len().min(8 * N);
        for (word, piece) in self.words.iter().zip(text.as_bytes()[..kept].chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..piece.len()].copy_from_slice(piece);
            word.store(u64::from_le_bytes(bytes), Relaxed);
        }
        self.bytes.store(kept as u64, Relaxed);
    }

    /// The text; what was cut in the middle of a character ends with a replacement.
    fn read(&self) -> String {
        let kept = usize::try_from(self.bytes.load(Relaxed)).unwrap_or(0).min(8 * N);
        let words = self.words.iter().take(kept.div_ceil(8));
        let mut bytes: Vec<u8> = words.flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
        bytes.truncate(kept);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: RequestId<'_>, subject: Subject<'_>, route: SeenRoute, request: &str) {
        let words = Words::default();
        words.write(id, &subject);
        let seen = words.read().expect("a subject was written");
        assert_eq!(seen, Seen { route, request: request.into(), peer: subject.peer });
        let hidden = words.hide();
        assert_eq!(words.read(), None);
        words.show(hidden);
        assert!(words.read().is_some());
        words.clear();
        assert_eq!(words.read(), None);
    }

    fn target(method: &str, path: &str) -> SeenRoute {
        SeenRoute::Target { method: method.into(), path: path.into() }
    }

    #[test]
    fn what_was_written_is_read() {
        let route = RouteName::Target { method: "GET", path: "/a/b?c" };
        let number = RequestId::Number(0xab << 64 | 7);
        let peer = Some("127.0.0.1:65535".parse().expect("an address"));
        let id = "00000000000000ab0000000000000007";
        check(number, Subject { route, peer }, target("GET", "/a/b?c"), id);
        let peer = Some("[2001:db8::1]:1".parse().expect("an address"));
        let text = RequestId::Text("mine");
        check(text, Subject { route, peer }, target("GET", "/a/b?c"), "mine");
        let named = RouteName::Named("users");
        let seen = SeenRoute::Named("users".into());
        check(text, Subject { route: named, peer: None }, seen, "mine");
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let (long, id) = ("x".repeat(1000), "y".repeat(200));
        let route = RouteName::Target { method: "PROPPATCHPROPPATCH", path: &long };
        let subject = Subject { route, peer: None };
        check(RequestId::Text(&id), subject, target("PROPPATCHPROPPAT", &long[..256]), &id[..128]);
    }

    #[test]
    fn a_name_of_the_application_goes_before_method_and_path() {
        let words = Words::default();
        let route = RouteName::Target { method: "GET", path: "/users/7" };
        words.write(RequestId::Number(0), &Subject { route, peer: None });
        words.name("/users/{id}");
        let named = SeenRoute::Named("/users/{id}".into());
        assert_eq!(words.read().map(|seen| seen.route), Some(named));
        words.name("");
        assert_eq!(words.read().map(|seen| seen.route), Some(target("GET", "/users/7")));
    }

    #[test]
    fn the_same_request_is_shown_again_and_no_other() {
        let (words, one) = (Words::default(), RequestId::Number(1));
        assert!(!words.write_again(RequestId::Number(0)), "nothing was written yet");
        let route = RouteName::Target { method: "GET", path: "/a" };
        words.write(one, &Subject { route, peer: None });
        let seen = words.read();
        words.clear();
        assert!(words.write_again(one) && words.read() == seen);
        assert!(!words.write_again(RequestId::Number(2)));
        words.write(RequestId::Text("mine"), &Subject { route, peer: None });
        assert!(!words.write_again(one) && !words.write_again(RequestId::Text("mine")));
    }
}
