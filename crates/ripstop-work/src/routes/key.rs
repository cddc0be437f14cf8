//! The key of a route: its name, or its method and path with `{}` in place of each segment that
//! looks variable.

use crate::RouteName;

/// Bytes of a key at most; what is longer is cut.
const BYTES: usize = 256;

/// Segments of a path that count; what follows is one more variable.
const SEGMENTS: usize = 8;

/// What stands for a variable segment.
const VARIABLE: &str = "{}";

/// A segment longer than this is no word of the application's.
const WORD: usize = 40;

/// A key, built without allocating.
pub(super) struct Key {
    bytes: [u8; BYTES],
    len: usize,
}

impl Key {
    pub(super) fn of(name: RouteName<'_>) -> Self {
        let mut key = Self { bytes: [0; BYTES], len: 0 };
        match name {
            RouteName::Named(name) => key.push(name),
            RouteName::Target { method, path } => {
                key.push(method);
                key.push(" ");
                key.push_path(path);
            }
        }
        key
    }

    pub(super) fn as_str(&self) -> &str {
        let kept = &self.bytes[..self.len];
        // Only whole characters are pushed.
        str::from_utf8(kept).expect("made of whole strings")
    }

    fn push_path(&mut self, path: &str) {
        let path = path.strip_prefix('/').unwrap_or(path);
        for (nth, segment) in path.split('/').enumerate() {
            self.push("/");
            if nth == SEGMENTS {
                return self.push(VARIABLE);
            }
            self.push(if is_variable(segment) { VARIABLE } else { segment });
        }
    }

    fn push(&mut self, text: &str) {
        let room = BYTES - self.len;
        let kept = text.floor_char_boundary(room.min(text.len()));
        self.bytes[self.len..self.len + kept].copy_from_slice(&text.as_bytes()[..kept]);
        self.len += kept;
    }
}

/// Whether a segment looks like a number, an id or a value rather than a word.
fn is_variable(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return bytes.len() > WORD || bytes.iter().any(|byte| b"%@=,;".contains(byte));
    }
    let is_hex = || bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let is_number = digits == bytes.len();
    let mixed = bytes.len() >= 4 && digits * 3 >= bytes.len();
    is_number || mixed || bytes.len() >= 20 || (bytes.len() >= 6 && is_hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, key: &str) {
        let made = Key::of(RouteName::Target { method: "GET", path });
        assert_eq!(made.as_str(), format!("GET {key}"), "{path}");
    }

    #[test]
    fn words_stay() {
        check("/", "/");
        check("", "/");
        check("/wedge", "/wedge");
        check("/api/v2/users/", "/api/v2/users/");
        check("/oauth2/s3/.well-known/x.html", "/oauth2/s3/.well-known/x.html");
    }

    #[test]
    fn what_looks_variable_is_collapsed() {
        check("/users/42/posts/7", "/users/{}/posts/{}");
        check("/o/123e4567-e89b-12d3-a456-426614174000", "/o/{}");
        check("/sha/da39a3ee5e6b", "/sha/{}");
        check("/d/2026-11-23", "/d/{}");
        check("/t/aGVsbG8gd29ybGQ9aGVsbG8", "/t/{}");
        check("/q/a%20b", "/q/{}");
        check(&format!("/{}", "x".repeat(41)), "/{}");
        check("/item-1234", "/{}");
    }

    #[test]
    fn a_deep_path_is_cut() {
        check("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/{}");
    }

    #[test]
    fn a_key_is_bounded_and_ends_with_a_whole_character() {
        let name = format!("x{}", "é".repeat(200));
        let key = Key::of(RouteName::Named(&name));
        assert_eq!(key.as_str().len(), BYTES - 1);
        assert!(name.starts_with(key.as_str()));
    }
}
