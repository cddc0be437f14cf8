//! Escaping of what a peer sent.

use std::io::Write;

/// Appends `bytes` as the inside of a JSON string: quotes, backslashes and control characters (C1
/// and DEL too, for the sake of terminals) are escaped, what is not UTF-8 becomes U+FFFD.
pub(super) fn append_json(bytes: &[u8], line: &mut Vec<u8>) {
    if bytes.iter().all(|&byte| is_plain(byte)) {
        line.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            append_json_char(character, line);
        }
        if !chunk.invalid().is_empty() {
            line.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn append_json_char(character: char, line: &mut Vec<u8>) {
    if matches!(character, '"' | '\\') {
        line.push(b'\\');
    }
    if character.is_control() {
        // A vector takes all that is written to it.
        write!(line, "\\u{:04x}", u32::from(character)).unwrap_or_default();
    } else {
        line.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Appends `bytes` with `\xHH` for each that is a quote, a backslash or not printable ASCII.
pub(super) fn append_hex(bytes: &[u8], line: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if bytes.iter().all(|&byte| is_plain(byte)) {
        line.extend_from_slice(bytes);
        return;
    }
    for &byte in bytes {
        if is_plain(byte) {
            line.push(byte);
        } else {
            let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
            line.extend_from_slice(&[b'\\', b'x', high, low]);
        }
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}
