//! Targets of redirects: text with `{host}`, `{path}`, `{query}` and `{rest}`.
//!
//! Pure. Owns the promise that a request can only choose what follows the
//! target's own authority: whatever a client sends, it is not led to a host
//! that the configuration does not name (or the one it asked for itself).

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What can't stand in a path as it is; `{rest}` was decoded when the route was matched.
const NOT_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A redirect's target with its gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Host,
    Path,
    Query,
    Rest,
}

/// What the gaps are filled with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The request's host without its port.
    pub(crate) host: &'a str,
    /// The request's path as it came.
    pub(crate) path: &'a str,
    /// The request's query without the question mark, if there is one.
    pub(crate) query: Option<&'a str>,
    /// What the first `*` of the route stands for.
    pub(crate) rest: &'a str,
}

impl Template {
    /// `https://example.org{path}{query}`, `/new/{rest}`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let fault = |why: &str| {
            format!("{text:?} {why}, such as \"https://{{host}}{{path}}{{query}}\" or \"/new/\"")
        };
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(fault("has characters that no URL may have, encode them with %"));
        }
        let template = Self { pieces: pieces(text).map_err(|why| fault(&why))? };
        if template.authority_is_fixed(text) {
            return Ok(template);
        }
        Err(fault("must begin with a slash, or with http:// or https:// and a host"))
    }

    /// The target of the redirect for one request.
    pub(crate) fn fill(&self, asked: &Asked<'_>) -> String {
        let mut target = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => target.push_str(text),
                Piece::Host => target.push_str(asked.host),
                Piece::Path => target.push_str(asked.path),
                Piece::Rest => target.extend(utf8_percent_encode(asked.rest, NOT_IN_PATH)),
                Piece::Query => {
                    target.extend(asked.query.into_iter().flat_map(|query| ["?", query]));
                }
            }
        }
        within_this_host(target)
    }

    /// Whether what the client sends stands behind the authority only.
    fn authority_is_fixed(&self, text: &str) -> bool {
        let after_scheme = ["http://", "https://"].iter().find_map(|s| text.strip_prefix(s));
        let Some(authority) = after_scheme else {
            return text.starts_with('/') && !text.starts_with("//") || text.starts_with("{path}");
        };
        let authority = authority.split("{path}").next().unwrap_or_default();
        let end = authority.find(['/', '?', '#', '\\']).unwrap_or(authority.len());
        let authority = &authority[..end];
        let plain = authority.replace("{host}", "host");
        !authority.is_empty() && !plain.contains(['{', '@'])
    }
}

/// A path that begins with two slashes would be another host to a browser.
fn within_this_host(target: String) -> String {
    if !target.starts_with(['/', '\\']) {
        return target;
    }
    format!("/{}", target.trim_start_matches(['/', '\\']))
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut open = text;
    while let Some((before, after)) = open.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return Err("has a { without its }".to_owned());
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(match name {
            "host" => Piece::Host,
            "path" => Piece::Path,
            "query" => Piece::Query,
            "rest" => Piece::Rest,
            _ => {
                let known = "{host}, {path}, {query} and {rest}";
                return Err(format!("has {{{name}}}, known are {known}"));
            }
        });
        open = after;
    }
    if !open.is_empty() {
        pieces.push(Piece::Text(open.to_owned()));
    }
    Ok(pieces)
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Host => f.write_str("{host}"),
            Piece::Path => f.write_str("{path}"),
            Piece::Query => f.write_str("{query}"),
            Piece::Rest => f.write_str("{rest}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_from_the_request() {
        let asked = Asked { host: "a.org", path: "/old/x", query: Some("q=1"), rest: "x y/é" };
        let cases = [
            ("https://{host}{path}{query}", "https://a.org/old/x?q=1"),
            ("https://www.{host}:8443{path}", "https://www.a.org:8443/old/x"),
            ("/new/{rest}", "/new/x%20y/%C3%A9"),
            ("/new/{query}", "/new/?q=1"),
            ("/", "/"),
            ("http://b.org", "http://b.org"),
            ("{path}/", "/old/x/"),
        ];
        for (text, target) in cases {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.fill(&asked), target, "{text}");
            assert_eq!(template.to_string(), text);
        }
    }

    #[test]
    fn without_a_query_there_is_no_question_mark() {
        let asked = Asked { host: "a.org", path: "/", query: None, rest: "" };
        let template = Template::parse("https://{host}{path}{query}").unwrap();
        assert_eq!(template.fill(&asked), "https://a.org/");
    }

    #[test]
    fn a_request_does_not_choose_the_host() {
        for rest in ["/evil.org", "//evil.org", "\\evil.org", "/\\evil.org"] {
            let path = &format!("/{rest}");
            let asked = Asked { host: "a.org", path, query: None, rest };
            for text in ["/{rest}", "{path}"] {
                let target = Template::parse(text).unwrap().fill(&asked);
                let second = target.as_bytes()[1];
                assert!(second != b'/' && second != b'\\', "{text} {rest} {target}");
            }
        }
    }

    #[test]
    fn line_breaks_in_a_path_stay_encoded() {
        let asked = Asked { host: "a.org", path: "/", query: None, rest: "x\r\nset-cookie: y" };
        let target = Template::parse("/{rest}").unwrap().fill(&asked);
        assert_eq!(target, "/x%0D%0Aset-cookie:%20y");
    }

    #[test]
    fn targets_a_request_could_turn_are_refused() {
        let cases = [
            "",
            "a",
            "//b.org",
            "https://",
            "https://{rest}",
            "https://a.org{rest}",
            "https://a{query}",
            "https://{host}@b.org/",
            "ftp://a",
            "{host}",
            "{rest}",
            "/{nothing}",
            "/{rest",
            "/ä",
            "/a b",
            "/a\r\n",
        ];
        for text in cases {
            assert!(Template::parse(text).is_err(), "{text:?}");
        }
    }
}
