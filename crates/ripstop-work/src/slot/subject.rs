//! What a thread works on, as words that another thread can read at any time.
//!
//! Plain atomics and no lock: a reader that comes while the thread writes may get a mixture. The
//! watchdog reads only what has stood still for a whole stall, and checks the mark again.

use super::{memory::Memory, ran::rest_of};
use std::{
    array,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// What a thread works on.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The request's method.
    pub method: &'a str,
    /// Its path and query.
    pub target: &'a str,
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
pub(super) const METHOD: usize = 16;
/// Bytes of a path with its query, or of a route's name, that are kept.
pub(super) const TARGET: usize = 256;
/// Bytes of a request id that are kept.
const ID: usize = 128;

/// Words of a subject. Who changes what they say changes what processes say to each other, and the
/// version of that.
pub const SUBJECT_WORDS: usize = 96;

/// A subject in words.
pub type SubjectWords = [AtomicU64; SUBJECT_WORDS];

/// 0 while there is no subject.
pub(super) const HEAD: usize = 0;
/// The head of the subject that the words are still of; 0 where its request has no number.
const LAST: usize = 1;
const NUMBER_AT: Range<usize> = 2..4;
const ADDRESS_AT: Range<usize> = 4..6;
pub(super) const METHOD_AT: Range<usize> = text_after(ADDRESS_AT, METHOD);
pub(super) const TARGET_AT: Range<usize> = text_after(METHOD_AT, TARGET);
/// What of the target was cut off, as [`rest_of`] has it.
pub(super) const REST: usize = TARGET_AT.end;
const ID_AT: Range<usize> = text_after(REST..REST + 1, ID);
/// The application's name of the route; empty for none.
const NAME_AT: Range<usize> = text_after(ID_AT, TARGET);
const _: () = assert!(NAME_AT.end <= SUBJECT_WORDS);

/// The place of a text: its length, and so many bytes of it.
const fn text_after(before: Range<usize>, bytes: usize) -> Range<usize> {
    before.end..before.end + 1 + bytes / 8
}

/// What a thread says of itself, or what is said of a request that waits.
#[derive(Debug)]
pub(crate) struct Words {
    memory: Memory,
    /// Bits of every head.
    flags: u64,
}

/// The head of a subject that is hidden for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hidden(u64);

/// Bits of the head, above the sixteen of the peer's port.
const PRESENT: u64 = 1 << 16;
const V4: u64 = 1 << 17;
const V6: u64 = 1 << 18;
const NUMBERED: u64 = 1 << 19;
pub(super) const WAITS: u64 = 1 << 20;

impl Words {
    /// Words that other processes see, if there are any.
    pub(super) fn new() -> Self {
        Self { memory: Memory::take(), flags: 0 }
    }

    /// Words for requests that wait, if there is memory that other processes see.
    pub(crate) fn of_waiting() -> Option<Self> {
        Some(Self { memory: Memory::take_shared()?, flags: WAITS })
    }

    fn at(&self, word: usize) -> &AtomicU64 {
        &self.memory[word]
    }

    /// Shows what was written last again, if it was this request.
    pub(super) fn write_again(&self, request: RequestId<'_>) -> bool {
        let last = self.at(LAST).load(Relaxed);
        let RequestId::Number(number) = request else { return false };
        let half = |word: usize| u128::from(self.at(word).load(Relaxed));
        let again = last != 0 && half(NUMBER_AT.start) | half(NUMBER_AT.start + 1) << 64 == number;
        if again {
            self.at(HEAD).store(last, Relaxed);
        }
        again
    }

    pub(crate) fn write(&self, request: RequestId<'_>, subject: &Subject<'_>) {
        let mut head = PRESENT | self.flags | self.write_peer(subject.peer);
        write_text(&self.memory[METHOD_AT], subject.method);
        write_text(&self.memory[TARGET_AT], subject.target);
        if subject.target.len() > TARGET {
            self.at(REST).store(rest_of(subject.target), Relaxed);
        }
        match request {
            RequestId::Number(number) => {
                head |= NUMBERED;
                write_wide(&self.memory[NUMBER_AT], number);
                self.at(LAST).store(head, Relaxed);
            }
            RequestId::Text(text) => {
                write_text(&self.memory[ID_AT], text);
                self.at(LAST).store(0, Relaxed);
            }
        }
        self.at(HEAD).store(head, Relaxed);
    }

    fn write_peer(&self, peer: Option<SocketAddr>) -> u64 {
        let Some(peer) = peer else { return 0 };
        let (kind, bits) = match peer.ip() {
            IpAddr::V4(ip) => (V4, u128::from(ip.to_bits())),
            IpAddr::V6(ip) => (V6, ip.to_bits()),
        };
        write_wide(&self.memory[ADDRESS_AT], bits);
        kind | u64::from(peer.port())
    }

    pub(super) fn name(&self, name: &str) {
        write_text(&self.memory[NAME_AT], name);
    }

    /// Shows nothing until it is shown again.
    pub(super) fn hide(&self) -> Hidden {
        Hidden(self.at(HEAD).swap(0, Relaxed))
    }

    pub(super) fn show(&self, hidden: Hidden) {
        self.at(HEAD).store(hidden.0, Relaxed);
    }

    pub(crate) fn clear(&self) {
        self.at(HEAD).store(0, Relaxed);
        write_text(&self.memory[NAME_AT], "");
    }

    pub(super) fn is_there(&self) -> bool {
        self.at(HEAD).load(Relaxed) & PRESENT != 0
    }

    pub(super) fn read(&self) -> Option<Seen> {
        Seen::read(&self.copy())
    }

    /// All words as they are now.
    pub(super) fn copy(&self) -> [u64; SUBJECT_WORDS] {
        array::from_fn(|word| self.at(word).load(Relaxed))
    }

    /// Shows what was copied from another thread's words.
    pub(super) fn write_copy(&self, words: &[u64; SUBJECT_WORDS]) {
        let places = self.memory.iter().zip(words).skip(LAST);
        places.for_each(|(place, word)| place.store(*word, Relaxed));
        self.at(HEAD).store(words[HEAD], Relaxed);
    }
}

impl Seen {
    /// What the words say.
    pub(super) fn read(words: &[u64; SUBJECT_WORDS]) -> Option<Self> {
        let head = words[HEAD];
        if head & PRESENT == 0 {
            return None;
        }
        let target = read_text(&words[TARGET_AT]);
        let route = match read_text(&words[NAME_AT]) {
            name if name.is_empty() => {
                let path = target.split('?').next().unwrap_or_default().to_owned();
                SeenRoute::Target { method: read_text(&words[METHOD_AT]), path }
            }
            name => SeenRoute::Named(name),
        };
        let request = if head & NUMBERED == 0 {
            read_text(&words[ID_AT])
        } else {
            format!("{:032x}", read_wide(&words[NUMBER_AT]))
        };
        Some(Self { route, request, peer: read_peer(head, &words[ADDRESS_AT]) })
    }
}

fn read_peer(head: u64, address: &[u64]) -> Option<SocketAddr> {
    let bits = read_wide(address);
    let ip = if head & V4 != 0 {
        IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).ok()?))
    } else if head & V6 != 0 {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    } else {
        return None;
    };
    Some(SocketAddr::new(ip, u16::try_from(head & 0xffff).ok()?))
}

fn write_wide(words: &[AtomicU64], number: u128) {
    // The low half, by a truncation that is meant.
    words[0].store(number as u64, Relaxed);
    words[1].store((number >> 64) as u64, Relaxed);
}

fn read_wide(words: &[u64]) -> u128 {
    u128::from(words[0]) | u128::from(words[1]) << 64
}

/// Writes the length of a text, and as much of it as there is room for.
fn write_text(words: &[AtomicU64], text: &str) {
    let kept = text.len().min(8 * (words.len() - 1));
    for (word, piece) in words[1..].iter().zip(text.as_bytes()[..kept].chunks(8)) {
        let mut bytes = [0; 8];
        bytes[..piece.len()].copy_from_slice(piece);
        word.store(u64::from_le_bytes(bytes), Relaxed);
    }
    words[0].store(text.len() as u64, Relaxed);
}

/// What was kept of a text.
pub(super) fn read_bytes(words: &[u64]) -> Vec<u8> {
    let kept = usize::try_from(words[0]).unwrap_or(0).min(8 * (words.len() - 1));
    let words = words[1..].iter().take(kept.div_ceil(8));
    let mut bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
    bytes.truncate(kept);
    bytes
}

/// The text; what was cut in the middle of a character ends with a replacement.
pub(super) fn read_text(words: &[u64]) -> String {
    String::from_utf8_lossy(&read_bytes(words)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: RequestId<'_>, subject: Subject<'_>, route: SeenRoute, request: &str) {
        let words = Words::new();
        words.write(id, &subject);
        let seen = words.read().expect("a subject was written");
        assert_eq!(seen, Seen { route, request: request.into(), peer: subject.peer });
        let other = Words::new();
        other.write_copy(&words.copy());
        assert_eq!(other.read(), words.read());
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

    fn get(target: &str) -> Subject<'_> {
        Subject { method: "GET", target, peer: None }
    }

    #[test]
    fn what_was_written_is_read() {
        let number = RequestId::Number(0xab << 64 | 7);
        let peer = Some("127.0.0.1:65535".parse().expect("an address"));
        let id = "00000000000000ab0000000000000007";
        check(number, Subject { peer, ..get("/a/b") }, target("GET", "/a/b"), id);
        let peer = Some("[2001:db8::1]:1".parse().expect("an address"));
        let text = RequestId::Text("mine");
        check(text, Subject { peer, ..get("/a/b?c") }, target("GET", "/a/b"), "mine");
        check(text, Subject { method: "OPTIONS", ..get("*") }, target("OPTIONS", "*"), "mine");
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let (long, id) = ("x".repeat(1000), "y".repeat(200));
        let subject = Subject { method: "PROPPATCHPROPPATCH", ..get(&long) };
        check(RequestId::Text(&id), subject, target("PROPPATCHPROPPAT", &long[..256]), &id[..128]);
    }

    #[test]
    fn a_name_of_the_application_goes_before_method_and_path() {
        let words = Words::new();
        words.write(RequestId::Number(0), &get("/users/7?x"));
        words.name("/users/{id}");
        let named = SeenRoute::Named("/users/{id}".into());
        assert_eq!(words.read().map(|seen| seen.route), Some(named));
        words.name("");
        assert_eq!(words.read().map(|seen| seen.route), Some(target("GET", "/users/7")));
    }

    #[test]
    fn the_same_request_is_shown_again_and_no_other() {
        let (words, one) = (Words::new(), RequestId::Number(1));
        assert!(!words.write_again(RequestId::Number(0)), "nothing was written yet");
        words.write(one, &get("/a"));
        let seen = words.read();
        words.clear();
        assert!(words.write_again(one) && words.read() == seen);
        assert!(!words.write_again(RequestId::Number(2)));
        words.write(RequestId::Text("mine"), &get("/a"));
        assert!(!words.write_again(one) && !words.write_again(RequestId::Text("mine")));
    }
}
