//! The PROXY header's grammar, without I/O.
//!
//! Owns which bytes are a header, and their bounds: a version 1 line has at most 107 bytes, a
//! version 2 header at most [`V2_LEN_MAX`].

use std::net::{IpAddr, SocketAddr};

use super::Addresses;
use crate::error::ProxyError;

/// How long a version 2 header may be, with its TLVs. The specification allows 64 KiB; senders
/// are asked to stay far below.
pub(super) const V2_LEN_MAX: usize = 4096;

/// How long a version 1 line may be, with its end (section 2.1).
const V1_LEN_MAX: usize = 107;
const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_LEN: usize = 16;

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The beginning of a header.
    Incomplete,
    /// A header of `len` bytes, perhaps with others behind it.
    Complete { addresses: Option<Addresses>, len: usize },
}

/// Reads a header of either version from the beginning of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    if begins(bytes, V1_START) {
        parse_v1(bytes)
    } else if begins(bytes, V2_START) {
        parse_v2(bytes)
    } else {
        Err(ProxyError::NoHeader)
    }
}

/// Whether `bytes` begin like `start`, as far as both go.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let len = bytes.len().min(start.len());
    bytes[..len] == start[..len]
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    let head = &bytes[..bytes.len().min(V1_LEN_MAX)];
    let Some(end) = head.iter().position(|&byte| byte == b'\n') else {
        return match head.len() {
            V1_LEN_MAX => Err(ProxyError::Malformed("a version 1 line without an end")),
            _ => Ok(Parsed::Incomplete),
        };
    };
    let line = head[V1_START.len()..end].strip_suffix(b"\r");
    let line = line.ok_or(ProxyError::Malformed("a version 1 line that ends without CR"))?;
    let line = str::from_utf8(line)
        .map_err(|_| ProxyError::Malformed("a version 1 line that is not ASCII"))?;
    Ok(Parsed::Complete { addresses: parse_line(line)?, len: end + 1 })
}

/// Reads what is between `PROXY ` and the end of the line (section 2.1).
fn parse_line(line: &str) -> Result<Option<Addresses>, ProxyError> {
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let mut word =
        || words.next().ok_or(ProxyError::Malformed("a version 1 line with words missing"));
    let (source, destination) = (word()?, word()?);
    let (source_port, destination_port) = (word()?, word()?);
    if words.next().is_some() {
        return Err(ProxyError::Malformed("a version 1 line with words too many"));
    }
    Ok(Some(Addresses {
        source: SocketAddr::new(parse_ip(family, source)?, parse_port(source_port)?),
        destination: SocketAddr::new(parse_ip(family, destination)?, parse_port(destination_port)?),
    }))
}

fn parse_ip(family: &str, text: &str) -> Result<IpAddr, ProxyError> {
    let ip = match family {
        "TCP4" => text.parse().map(IpAddr::V4),
        "TCP6" => text.parse().map(IpAddr::V6),
        _ => return Err(ProxyError::Malformed("an unknown family in a version 1 line")),
    };
    ip.map_err(|_| ProxyError::Malformed("an address that is not of the line's family"))
}

fn parse_port(text: &str) -> Result<u16, ProxyError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    let port = text.parse().ok().filter(|_| canonical);
    port.ok_or(ProxyError::Malformed("a port that is no number from 0 to 65535"))
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    // Refused as soon as it is seen: a peer must not make us wait for the rest of nonsense.
    if bytes.get(12).is_some_and(|byte| byte >> 4 != 2) {
        return Err(ProxyError::Malformed("a version 2 signature with another version"));
    }
    let Some((fixed, rest)) = bytes.split_at_checked(V2_FIXED_LEN) else {
        return Ok(Parsed::Incomplete);
    };
    let body_len = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let len = V2_FIXED_LEN + body_len;
    if len > V2_LEN_MAX {
        return Err(ProxyError::TooLong(len));
    }
    let Some(body) = rest.get(..body_len) else {
        return Ok(Parsed::Incomplete);
    };
    let addresses = match fixed[12] & 0xf {
        // LOCAL: whatever follows is to be ignored (section 2.2).
        0 => None,
        1 => parse_body(fixed[13], body)?,
        _ => return Err(ProxyError::Malformed("an unknown command")),
    };
    Ok(Parsed::Complete { addresses, len })
}

/// Reads the address block; what is behind it are TLVs.
fn parse_body(family: u8, body: &[u8]) -> Result<Option<Addresses>, ProxyError> {
    match (family >> 4, family & 0xf) {
        (0..=3, 3..) | (4.., _) => Err(ProxyError::Malformed("an unknown family or transport")),
        (1, 1) => parse_block::<4>(body).map(Some),
        (2, 1) => parse_block::<16>(body).map(Some),
        // Unspecified, datagrams, Unix: nothing that could be the address of a TCP client.
        (0 | 3, _) | (1 | 2, 0 | 2) => Ok(None),
    }
}

/// Reads two addresses of `N` bytes each and two ports (section 2.2).
fn parse_block<const N: usize>(body: &[u8]) -> Result<Addresses, ProxyError>
where
    IpAddr: From<[u8; N]>,
{
    let short = ProxyError::Malformed("an address block that is too short");
    let Some((source, rest)) = body.split_first_chunk::<N>() else { return Err(short) };
    let Some((destination, rest)) = rest.split_first_chunk::<N>() else { return Err(short) };
    let Some((ports, _tlvs)) = rest.split_first_chunk::<4>() else { return Err(short) };
    let [s1, s2, d1, d2] = *ports;
    Ok(Addresses {
        source: SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes([s1, s2])),
        destination: SocketAddr::new(IpAddr::from(*destination), u16::from_be_bytes([d1, d2])),
    })
}
