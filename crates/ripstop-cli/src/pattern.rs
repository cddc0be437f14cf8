//! Patterns that routes match requests with: a host and a path.
//!
//! Pure: text in, answer out. Owns the rule which of two routes goes first:
//! an exact host before a wildcard before any host (of two wildcards the longer
//! one), then an exact path before a pattern, then the pattern with more text before
//! its first star, then the one with more text in all. Whoever keeps a list of routes sorts it by [`HostPattern::rank`]
//! and [`PathPattern::rank`] and takes the first that matches.

use std::{borrow::Cow, cmp::Reverse, fmt};

use percent_encoding::percent_decode_str;

/// Which hosts a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostPattern {
    /// Every host.
    Any,
    /// This host.
    Exact(String),
    /// Every host below this one; the text begins with its dot.
    Below(String),
}

impl HostPattern {
    /// `*`, `example.org` or `*.example.org`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let (name, below) = match lower.strip_prefix('*') {
            Some("") => return Ok(Self::Any),
            Some(rest) => (rest.strip_prefix('.').unwrap_or("*"), true),
            None => (lower.as_str(), false),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_ipv6 = !below && name.starts_with('[') && name.ends_with(']');
        if name.is_empty() || !(is_ipv6 || name.bytes().all(is_name)) {
            return Err(format!(
                "{text:?} is no host, such as \"example.org\", \"*.example.org\" or \"*\" \
                 (without scheme and port)"
            ));
        }
        Ok(if below { Self::Below(format!(".{name}")) } else { Self::Exact(lower) })
    }

    /// Whether a request for `host` (without its port) is meant.
    pub(crate) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name.eq_ignore_ascii_case(host),
            Self::Below(name) => {
                let start = host.len().saturating_sub(name.len());
                start > 0 && host.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(name))
            }
        }
    }

    /// Routes with a smaller rank are looked at first.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        match self {
            Self::Exact(_) => (0, Reverse(0)),
            Self::Below(name) => (1, Reverse(name.len())),
            Self::Any => (2, Reverse(0)),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*{name}"),
        }
    }
}

/// Which paths a route is for: literal text in which each `*` stands for any text,
/// slashes too. A `/*` at the end also matches the path without it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PathPattern {
    /// The literal parts; between each two stands a `*`.
    parts: Vec<String>,
}

impl PathPattern {
    /// `/about`, `/static/*`, `/*.css`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let fault = match text {
            _ if !text.starts_with('/') => "must begin with a slash",
            _ if text.contains(['?', '#']) => "is matched without its query, remove it",
            _ if text.contains("**") => "has two stars side by side, one matches slashes too",
            _ if *text != *normal(text) => "must be written plain: no %, no empty segment, no dots",
            _ => return Ok(Self { parts: text.split('*').map(str::to_owned).collect() }),
        };
        Err(format!("{text:?} {fault}, such as \"/about\" or \"/static/*\""))
    }

    /// What the first `*` stands for if `path` (in its [`normal`] form) matches; empty
    /// if the pattern has none.
    pub(crate) fn matches<'p>(&self, path: &'p str) -> Option<&'p str> {
        let [first, between @ .., last] = self.parts.as_slice() else {
            return (*path == self.parts[0]).then_some("");
        };
        if between.is_empty() && last.is_empty() && first.strip_suffix('/') == Some(path) {
            return Some("");
        }
        let rest = path.strip_prefix(first.as_str())?;
        let mut open = rest.strip_suffix(last.as_str())?;
        let mut star = None;
        for part in between {
            let (before, after) = open.split_once(part.as_str())?;
            star.get_or_insert(before);
            open = after;
        }
        Some(star.unwrap_or(open))
    }

    /// The folder part of the literal text before the first `*`, which a route to a
    /// folder of files takes off: `/static/` of `/static/*`, `/` of `/logo.svg`.
    pub(crate) fn prefix(&self) -> &str {
        let first = &self.parts[0];
        &first[..=first.rfind('/').unwrap_or(0)]
    }

    /// Routes with a smaller rank are looked at first.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let literal: usize = self.parts.iter().map(String::len).sum();
        (self.parts.len() > 1, Reverse(self.parts[0].len()), Reverse(literal))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts.join("*"))
    }
}

/// The path without percent-encoding, empty segments, `.` and `..`, so that a route
/// can't be passed by another spelling of its path.
pub(crate) fn normal(path: &str) -> Cow<'_, str> {
    let plain = !path.contains('%') && !path.contains("//") && !path.contains("/.");
    if plain { Cow::Borrowed(path) } else { Cow::Owned(normalize(path)) }
}

fn normalize(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let mut segments = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let folder = decoded.ends_with(['/']) || decoded.ends_with("/.") || decoded.ends_with("/..");
    let end = if folder && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_exactly_below_or_always() {
        let cases = [
            ("*", "anything", true),
            ("example.org", "example.org", true),
            ("Example.ORG", "eXample.org", true),
            ("example.org", "www.example.org", false),
            ("example.org", "", false),
            ("*.example.org", "www.example.org", true),
            ("*.example.org", "a.b.Example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("*.example.org", "badexample.org", false),
            ("*.example.org", "ä.example.org", true),
            ("*.ample.org", "exämple.org", false),
            ("[::1]", "[::1]", true),
        ];
        for (pattern, host, matches) in cases {
            let pattern = HostPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(host), matches, "{pattern} {host}");
        }
    }

    #[test]
    fn hosts_that_are_none_are_refused() {
        for text in ["", "http://a", "a:80", "*a", "a.*", "*.", "a b", "[::1", "*.[::1]"] {
            assert!(HostPattern::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn stars_stand_for_any_text() {
        let cases = [
            ("/", "/", Some("")),
            ("/", "/a", None),
            ("/about", "/about", Some("")),
            ("/about", "/about/", None),
            ("/*", "/", Some("")),
            ("/*", "/a/b", Some("a/b")),
            ("/static/*", "/static/a/b.css", Some("a/b.css")),
            ("/static/*", "/static/", Some("")),
            ("/static/*", "/static", Some("")),
            ("/static/*", "/statics", None),
            ("/static*", "/statics", Some("s")),
            ("/*.css", "/a/b.css", Some("a/b")),
            ("/*.css", "/.css", Some("")),
            ("/*.css", "/a.css.map", None),
            ("/users/*/avatar", "/users/7/avatar", Some("7")),
            ("/users/*/avatar", "/users/avatar", None),
            ("/users/*/avatar/*", "/users/7/avatar/x/y", Some("7")),
            ("/a*a", "/a", None),
        ];
        for (pattern, path, rest) in cases {
            let pattern = PathPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(path), rest, "{pattern} {path}");
        }
    }

    #[test]
    fn paths_that_are_none_are_refused() {
        for text in ["", "a", "*", "/a?b", "/a#b", "/**", "/a//b", "/a/../b", "/./a", "/%61"] {
            assert!(PathPattern::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn other_spellings_of_a_path_are_the_same_path() {
        let cases = [
            ("/a/b", "/a/b"),
            ("/%61dmin", "/admin"),
            ("//admin", "/admin"),
            ("/x/../admin/", "/admin/"),
            ("/x/%2e%2e/admin", "/admin"),
            ("/x%2f..%2fadmin", "/admin"),
            ("/./admin/.", "/admin/"),
            ("/..", "/"),
            ("/%2561", "/%61"),
            ("/%ff", "/\u{fffd}"),
            ("/.well-known/x", "/.well-known/x"),
        ];
        for (path, same) in cases {
            assert_eq!(normal(path), same, "{path}");
        }
    }

    #[test]
    fn the_more_special_route_goes_first() {
        let sorted = ["/static/a.css", "/static/a*", "/static/*.x", "/static/*", "/*.css", "/*"];
        let ranks = sorted.map(|text| PathPattern::parse(text).unwrap().rank());
        assert!(ranks.is_sorted());
        let sorted = ["a.b.c", "*.b.c", "*.c", "*"];
        let ranks = sorted.map(|text| HostPattern::parse(text).unwrap().rank());
        assert!(ranks.is_sorted());
    }

    #[test]
    fn files_take_the_folder_off() {
        let cases =
            [("/*", "/"), ("/static/*", "/static/"), ("/logo.svg", "/"), ("/css/m*.css", "/css/")];
        for (pattern, prefix) in cases {
            assert_eq!(PathPattern::parse(pattern).unwrap().prefix(), prefix);
        }
    }
}
