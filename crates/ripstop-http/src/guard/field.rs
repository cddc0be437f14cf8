//! The header fields that decide where a message ends (RFC 9112 section 6).

use super::chunk::is_token;
use crate::Refusal;

/// What the fields of a head say about the message's framing so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Framing {
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    /// `CONNECT`: what follows the head may be a tunnel.
    pub(super) connect: bool,
    /// `Upgrade`: what follows the message, its body included, may be a tunnel.
    pub(super) upgrade: bool,
}

impl Framing {
    /// Takes a field line in. Everything but framing is left to hyper.
    pub(super) fn take_in(&mut self, line: &[u8]) -> Result<(), Refusal> {
        match line.first() {
            Some(b'c' | b'C') => match value_of(line, b"content-length") {
                Some(value) => self.content_length(value),
                None => Ok(()),
            },
            Some(b't' | b'T') => match value_of(line, b"transfer-encoding") {
                Some(value) => self.transfer_encoding(value),
                None => Ok(()),
            },
            Some(b'u' | b'U') => {
                self.upgrade |= value_of(line, b"upgrade").is_some();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The whole head: a message has one framing.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.chunked && self.length.is_some() { Err(Refusal::BadMessage) } else { Ok(()) }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        // Nineteen digits fit into 64 bits whatever they are.
        let digits = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        if !digits || self.length.is_some() {
            return Err(Refusal::BadMessage);
        }
        let number = value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        self.length = Some(number);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.chunked || value.is_empty() {
            return Err(Refusal::BadMessage);
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
            return Ok(());
        }
        let is_chunked = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
        if value.split(|&byte| byte == b',').all(is_chunked) {
            return Err(Refusal::BadMessage);
        }
        Err(Refusal::UnknownCoding)
    }
}

/// Whether the line is a field to the letter (RFC 9112 section 5), as hyper asks of a head's fields
/// and not of a trailer's.
pub(super) fn is_well_formed(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else { return false };
    let (name, value) = line.split_at(colon);
    let is_text = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    !name.is_empty() && name.iter().all(|&byte| is_token(byte)) && value.iter().all(is_text)
}

/// The trimmed value of the field, if it bears this (lower case) name. Whitespace before the
/// colon makes another name of it, which hyper refuses.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}
