//! From the path of a request to the name of a file.
//!
//! Owns the decoding and the rules about which names may be asked for at all. It is the first
//! fence against leaving the root; the second, which holds even if this one fails, is `root.rs`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::failure::Failure;

/// Everything but RFC 3986 "unreserved", so that a colon cannot make a scheme of a name.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where names that begin with a dot are served without being asked for (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// A path in its one canonical spelling: decoded, with a slash at the front, and one at the end
/// exactly if it names a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// Decodes what came in a request line.
    ///
    /// # Errors
    /// [`Failure::BadPath`] where it cannot be decoded, [`Failure::Hidden`] where it is a name
    /// that is never served.
    pub(crate) fn from_request(raw: &str, dotfiles: bool) -> Result<Self, Failure> {
        Self::from_decoded(decode(raw)?, dotfiles)
    }

    /// Takes a path as an operator writes it, without a slash at the front.
    ///
    /// # Errors
    /// As [`Key::from_request`].
    pub(crate) fn from_option(path: &str, dotfiles: bool) -> Result<Self, Failure> {
        Self::from_decoded(format!("/{path}"), dotfiles)
    }

    fn from_decoded(path: String, dotfiles: bool) -> Result<Self, Failure> {
        if path.contains('\0') {
            return Err(Failure::BadPath);
        }
        let inner = path.strip_prefix('/').ok_or(Failure::BadPath)?;
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if path != "/" && !inner.split('/').enumerate().all(|(i, s)| served(i, s, dotfiles)) {
            return Err(Failure::Hidden);
        }
        Ok(Self(path))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The path below the root, without slashes at its ends: empty for the root itself.
    pub(crate) fn relative(&self) -> &str {
        self.0.trim_matches('/')
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.0.ends_with('/')
    }

    /// The last name in the path.
    pub(crate) fn last(&self) -> &str {
        self.relative().rsplit('/').next().unwrap_or_default()
    }
}

/// Whether a name may be asked for, as the segment at `depth` of a path.
pub(crate) fn served(depth: usize, name: &str, dotfiles: bool) -> bool {
    if name.is_empty() || name == "." || name == ".." {
        return false;
    }
    if name.bytes().any(|b| matches!(b, b'\\' | b'/' | 0)) {
        return false;
    }
    dotfiles || !name.starts_with('.') || (depth == 0 && name == WELL_KNOWN)
}

/// A reference to `name` that a browser resolves below the directory of the current page.
pub(crate) fn reference(name: &str) -> String {
    format!("./{}", utf8_percent_encode(name, RESERVED))
}

/// Takes the escapes off, once. An escaped slash is not a separator, and no name has one.
fn decode(raw: &str) -> Result<String, Failure> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (&[high, low], tail) = tail.split_first_chunk().ok_or(Failure::BadPath)?;
        rest = tail;
        match hex(high)? << 4 | hex(low)? {
            b'/' => return Err(Failure::Hidden),
            decoded => out.push(decoded),
        }
    }
    String::from_utf8(out).map_err(|_| Failure::BadPath)
}

fn hex(digit: u8) -> Result<u8, Failure> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(Failure::BadPath),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: Result<&str, Failure>) {
        let key = Key::from_request(raw, false);
        assert_eq!(key.as_ref().map(Key::as_str).map_err(|e| *e), expected, "{raw}");
    }

    #[test]
    fn paths_have_one_spelling() {
        check("/", Ok("/"));
        check("/a/b.css", Ok("/a/b.css"));
        check("/a/", Ok("/a/"));
        check("/%61%20b", Ok("/a b"));
        check("/a%2562", Ok("/a%62"));
        check("/%C3%A4", Ok("/ä"));
        check("/.well-known/x", Ok("/.well-known/x"));
    }

    #[test]
    fn paths_that_could_leave_are_hidden() {
        for raw in [
            "/..",
            "/../x",
            "/a/../b",
            "/%2e%2e/x",
            "/%2E./x",
            "/.",
            "/./a",
            "//",
            "//a",
            "/a//b",
            "/a%2fb",
            "/..%2fx",
            "/a%5c..%5cb",
            "/a\\b",
            "/.git/config",
            "/a/.well-known/x",
        ] {
            check(raw, Err(Failure::Hidden));
        }
    }

    #[test]
    fn paths_that_are_no_paths_are_bad() {
        for raw in ["", "a", "*", "/%", "/%4", "/%zz", "/%00", "/a%00b", "/%c0%ae%c0%ae/", "/%ff"] {
            check(raw, Err(Failure::BadPath));
        }
    }

    #[test]
    fn double_escapes_are_taken_off_once() {
        check("/%252e%252e/x", Ok("/%2e%2e/x"));
        check("/%252fx", Ok("/%2fx"));
    }

    #[test]
    fn a_reference_is_never_a_scheme_or_an_authority() {
        assert_eq!(reference("a:b"), "./a%3Ab");
        assert_eq!(reference("<\"&'>"), "./%3C%22%26%27%3E");
    }
}
