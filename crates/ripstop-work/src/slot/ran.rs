//! What a thread of another process was at, and fingerprints of requests.

use super::{
    SUBJECT_WORDS, Seen,
    subject::{HEAD, METHOD, METHOD_AT, REST, TARGET, TARGET_AT, WAITS, read_bytes, read_text},
};
use crate::Routes;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    sync::Arc,
};

/// A request that another process was at, as that one has left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The name of its route: the application's, or method and path with `{}` in place of what
    /// looks variable.
    pub route: Arc<str>,
    /// The request's id.
    pub request_id: String,
    /// Whose it was.
    pub peer: Option<SocketAddr>,
    /// It waited for something; as far as the process had come, no thread was in it.
    pub waits: bool,
    asked: Print,
}

impl Ran {
    /// What the words of a thread say; `None` if it was at no request.
    pub fn read(words: &[u64; SUBJECT_WORDS]) -> Option<Self> {
        let seen = Seen::read(words)?;
        let asked = Print {
            method: read_text(&words[METHOD_AT]),
            target: read_bytes(&words[TARGET_AT]),
            length: words[TARGET_AT.start],
            rest: words[REST],
        };
        let route = Routes::key(seen.route.as_name());
        let waits = words[HEAD] & WAITS != 0;
        Some(Self { route, request_id: seen.request, peer: seen.peer, waits, asked })
    }

    /// See [`fingerprint`].
    pub fn fingerprint(&self, key: u64) -> u64 {
        let Print { method, target, length, rest } = &self.asked;
        hash(key, method.as_bytes(), target, *length, *rest)
    }
}

/// What a fingerprint is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Print {
    method: String,
    target: Vec<u8>,
    length: u64,
    rest: u64,
}

/// A number for requests of this method, path and query; never 0. Whoever does not know the key
/// cannot find others of the same number.
pub fn fingerprint(key: u64, method: &str, target: &str) -> u64 {
    let kept = &target.as_bytes()[..target.len().min(TARGET)];
    let method = &method.as_bytes()[..method.len().min(METHOD)];
    hash(key, method, kept, target.len() as u64, rest_of(target))
}

fn hash(key: u64, method: &[u8], target: &[u8], length: u64, rest: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, method, target, length).hash(&mut hasher);
    if length > TARGET as u64 {
        rest.hash(&mut hasher);
    }
    hasher.finish().max(1)
}

/// A number for what of a target is cut off.
pub(super) fn rest_of(target: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    target.as_bytes().get(TARGET..).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::{RequestId, Subject, subject::Words};
    use super::*;

    /// What another process finds of this request.
    fn left(method: &str, target: &str) -> Ran {
        let words = Words::new();
        words.write(RequestId::Number(7), &Subject { method, target, peer: None });
        Ran::read(&words.copy()).expect("a request was written")
    }

    #[test]
    fn a_request_that_comes_again_has_the_fingerprint_of_the_one_that_was_left() {
        let long = format!("/{}?q=", "x".repeat(300));
        for target in ["/", "/users/7?x=1", "*", &long, &long[..256], &long[..257]] {
            for method in ["GET", "PROPPATCHPROPPATCH"] {
                let (one, other) = (left(method, target), fingerprint(1, method, target));
                assert_eq!(one.fingerprint(1), other, "{method} {target}");
                assert_ne!(one.fingerprint(2), other, "the key makes a difference");
            }
        }
    }

    #[test]
    fn every_part_of_a_target_makes_a_difference() {
        let long = "x".repeat(300);
        let targets =
            ["/a", "/a?", "/a?b", "/b", &long, &long[..299], &format!("{}y", &long[..299])];
        let mut all: Vec<_> = targets.iter().map(|target| fingerprint(1, "GET", target)).collect();
        all.push(fingerprint(1, "POST", "/a"));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn what_was_left_has_its_route_and_its_id() {
        let ran = left("GET", "/users/42?x");
        assert_eq!(&*ran.route, "GET /users/{}");
        assert_eq!(ran.request_id, format!("{:032x}", 7));
        assert_eq!(Ran::read(&[0; SUBJECT_WORDS]), None);
    }
}
