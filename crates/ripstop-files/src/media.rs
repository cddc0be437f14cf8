//! Media types by extension, and which of them are worth compressing.
//!
//! Owns the few types where the table of `mime_guess` is too old or says less than is true.

use http::HeaderValue;

/// The type of a file whose name says nothing.
const UNKNOWN: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What most sites are made of, as static values: they cost nothing to clone.
const COMMON: &[(&str, &str)] = &[
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml; charset=utf-8"),
    ("ts", "text/plain; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("xml", "text/xml; charset=utf-8"),
];

/// What is text although its type does not begin with `text/`.
const TEXT: &[&str] = &[
    "application/javascript",
    "application/json",
    "application/manifest+json",
    "application/rtf",
    "application/sql",
    "application/toml",
    "application/xml",
    "application/x-javascript",
    "application/x-ndjson",
    "application/x-sh",
    "application/yaml",
];

/// The `Content-Type` for a file of that name.
pub(crate) fn content_type(name: &str) -> HeaderValue {
    let Some(extension) = extension(name) else { return UNKNOWN };
    let common = COMMON.iter().find(|(known, _)| extension.eq_ignore_ascii_case(known));
    if let Some((_, value)) = common {
        return HeaderValue::from_static(value);
    }
    match mime_guess::from_ext(extension).first_raw() {
        Some(text) if text.starts_with("text/") => {
            HeaderValue::try_from(format!("{text}; charset=utf-8")).unwrap_or(UNKNOWN)
        }
        Some(other) => HeaderValue::from_static(other),
        None => UNKNOWN,
    }
}

/// Whether a file of that name is text that compression makes smaller.
pub(crate) fn is_text(name: &str, content_type: &HeaderValue) -> bool {
    // Its type is that of SVG, but it is gzip already.
    if extension(name).is_some_and(|e| e.eq_ignore_ascii_case("svgz")) {
        return false;
    }
    let value = content_type.to_str().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    essence.starts_with("text/")
        || essence.ends_with("+xml")
        || essence.ends_with("+json")
        || TEXT.contains(&essence)
}

fn extension(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, content_type: &str, text: bool) {
        let found = super::content_type(name);
        assert_eq!(found, content_type, "{name}");
        assert_eq!(is_text(name, &found), text, "{name}");
    }

    #[test]
    fn extensions_have_types_and_text_has_a_charset() {
        check("a.html", "text/html; charset=utf-8", true);
        check("A.JS", "text/javascript; charset=utf-8", true);
        check("a.rs", "text/x-rust; charset=utf-8", true);
        check("a.json", "application/json", true);
        check("a.svg", "image/svg+xml; charset=utf-8", true);
        check("a.atom", "application/atom+xml", true);
        check("a.png", "image/png", false);
        check("a.woff2", "font/woff2", false);
        check("a.tar.gz", "application/gzip", false);
        check("a.svgz", "image/svg+xml", false);
        check("Makefile", "application/octet-stream", false);
        check("a.zzz", "application/octet-stream", false);
    }
}
