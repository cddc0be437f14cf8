//! The line before a chunk (RFC 9112 section 7.1), to the letter.

/// Bytes of one such line, at most.
pub(super) const LINE_MAX: usize = 4 << 10;

/// Bytes of all chunk extensions of one message, at most.
pub(super) const EXTENSIONS_MAX: usize = 16 << 10;

/// The size that the line (without its end) gives; `None` if it breaks the grammar.
pub(super) fn size(line: &[u8]) -> Option<u64> {
    let digits = digits(line);
    if !(1..=16).contains(&digits) || line.len() > LINE_MAX {
        return None;
    }
    let number = std::str::from_utf8(&line[..digits]).ok()?;
    extensions(&line[digits..])?;
    u64::from_str_radix(number, 16).ok()
}

/// How much of the line is not the size.
pub(super) fn extension_bytes(line: &[u8]) -> usize {
    line.len() - digits(line)
}

fn digits(line: &[u8]) -> usize {
    line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count()
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`
fn extensions(mut text: &[u8]) -> Option<()> {
    while !text.is_empty() {
        text = space(space(text).strip_prefix(b";")?);
        text = token(text)?;
        if let Some(value) = space(text).strip_prefix(b"=") {
            let value = space(value);
            text = match value.strip_prefix(b"\"") {
                Some(quoted) => quoted_rest(quoted)?,
                None => token(value)?,
            };
        }
    }
    Some(())
}

fn space(text: &[u8]) -> &[u8] {
    let end = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[end..]
}

/// What follows a token of at least one byte.
fn token(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().take_while(|&&byte| is_token(byte)).count();
    (end > 0).then(|| &text[end..])
}

/// What follows the closing quote.
fn quoted_rest(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] if is_quotable(*byte) => text = rest,
            _ => return None,
        }
    }
}

/// A byte of a token (RFC 9110 section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_quotable(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_extensions_follow_the_grammar() {
        for (line, expected) in [
            ("0", Some(0)),
            ("1a", Some(26)),
            ("FFFF", Some(65535)),
            ("5;a", Some(5)),
            ("5;a=b", Some(5)),
            ("5 ; a = \"q;\\\"\"", Some(5)),
            ("5;a;b=c", Some(5)),
            ("", None),
            ("g", None),
            ("-5", None),
            ("+5", None),
            (" 5", None),
            ("5 ", None),
            ("0x5", None),
            ("5;", None),
            ("5;=b", None),
            ("5;a=", None),
            ("5;a\0", None),
            ("5;a=\"b", None),
            ("5;a=\"\0\"", None),
            ("5;a \x7f", None),
            ("5\r", None),
            ("12345678901234567", None),
        ] {
            assert_eq!(size(line.as_bytes()), expected, "{line:?}");
        }
    }
}
