//! Which bytes a `Range` asks for (RFC 9110, section 14).
//!
//! Owns the reading of the field and the bounds on what one request may ask for. What is not
//! valid, or asks for too much, is not an error but ignored: the client gets the whole file.

/// As many parts as one response may have. A player or a PDF viewer asks for a handful.
const SPANS_MAX: usize = 16;

/// A run of bytes, not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl Span {
    /// The last byte, as `Content-Range` counts.
    pub(crate) fn last(self) -> u64 {
        self.start + self.len - 1
    }
}

/// What to send for a `Range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The field does not count.
    Whole,
    /// At least one span, in the order in which they were asked for.
    Spans(Vec<Span>),
    /// The field is valid, but nothing it asks for is there.
    Unsatisfiable,
}

/// Reads the field for a file of `len` bytes.
pub(crate) fn select(field: &str, len: u64) -> Selection {
    let Some(set) = field
        .trim()
        .split_once('=')
        .and_then(|(unit, set)| unit.eq_ignore_ascii_case("bytes").then_some(set))
    else {
        return Selection::Whole;
    };
    if set.split(',').count() > SPANS_MAX {
        return Selection::Whole;
    }
    let mut spans = Vec::new();
    for element in set.split(',') {
        match parse_element(element.trim(), len) {
            Ok(span) => spans.extend(span),
            Err(Invalid) => return Selection::Whole,
        }
    }
    if spans.is_empty() {
        return Selection::Unsatisfiable;
    }
    if overlap(&spans) { Selection::Whole } else { Selection::Spans(spans) }
}

/// The element is not what the grammar allows.
struct Invalid;

/// One `first-last`, `first-` or `-suffix`; none if it lies behind the end.
fn parse_element(element: &str, len: u64) -> Result<Option<Span>, Invalid> {
    let (first, last) = element.split_once('-').ok_or(Invalid)?;
    if first.is_empty() {
        let suffix = parse_position(last)?.min(len);
        return Ok((suffix > 0).then_some(Span { start: len - suffix, len: suffix }));
    }
    let first = parse_position(first)?;
    let last = if last.is_empty() { u64::MAX } else { parse_position(last)? };
    if last < first {
        return Err(Invalid);
    }
    let end = last.saturating_add(1).min(len);
    Ok((first < end).then(|| Span { start: first, len: end - first }))
}

/// A number of any length; what is too large for a file is as good as the largest.
fn parse_position(digits: &str) -> Result<u64, Invalid> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Invalid);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

/// Whether any byte is asked for twice: no honest client does, and it would let a small request
/// ask for many times the file.
fn overlap(spans: &[Span]) -> bool {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable_by_key(|span| span.start);
    sorted.windows(2).any(|pair| pair[1].start <= pair[0].last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &str, len: u64, expected: &[(u64, u64)]) {
        let spans = expected.iter().map(|&(start, len)| Span { start, len }).collect();
        assert_eq!(select(field, len), Selection::Spans(spans), "{field}");
    }

    #[test]
    fn spans_are_cut_at_the_end() {
        check("bytes=0-0", 10, &[(0, 1)]);
        check("bytes=2-5", 10, &[(2, 4)]);
        check("bytes=5-", 10, &[(5, 5)]);
        check("bytes=-3", 10, &[(7, 3)]);
        check("bytes=-99", 10, &[(0, 10)]);
        check("bytes=8-99", 10, &[(8, 2)]);
        check("Bytes=0-18446744073709551615", 10, &[(0, 10)]);
        check("bytes=0-99999999999999999999999", 10, &[(0, 10)]);
        check("bytes=0-1, 4-5 ,-1", 10, &[(0, 2), (4, 2), (9, 1)]);
        check("bytes=8-9,0-1", 10, &[(8, 2), (0, 2)]);
        check("bytes=0-1,50-60", 10, &[(0, 2)]);
    }

    #[test]
    fn what_is_not_there_is_unsatisfiable() {
        for (field, len) in [
            ("bytes=10-", 10),
            ("bytes=10-20,30-", 10),
            ("bytes=-0", 10),
            ("bytes=0-", 0),
            ("bytes=-5", 0),
            ("bytes=99999999999999999999999-", 10),
        ] {
            assert_eq!(select(field, len), Selection::Unsatisfiable, "{field}");
        }
    }

    #[test]
    fn what_is_invalid_or_greedy_gets_the_whole() {
        let many = format!("bytes={}", vec!["0-0"; SPANS_MAX + 1].join(","));
        for field in [
            "",
            "bytes",
            "bytes=",
            "items=0-1",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=-",
            "bytes=1",
            "bytes=0-1,,2-3",
            "bytes=0x1-2",
            "bytes=0-5,5-9",
            "bytes=0-,0-",
            "bytes=0-,-1",
            &many,
        ] {
            assert_eq!(select(field, 10), Selection::Whole, "{field}");
        }
    }
}
