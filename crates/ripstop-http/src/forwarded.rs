//! Who the client is, where it comes through proxies: what `X-Forwarded-For` or `Forwarded`
//! (RFC 7239) say, believed only of proxies that are trusted.
//!
//! Each proxy adds whom it was asked by at the right end, so the way back begins there: as long as
//! an address is that of a trusted proxy, the one to its left is what that proxy has seen. What is
//! further left may have been made up by the client. Only one of the two fields is looked at: a
//! proxy that writes one of them passes the other on as the client sent it.
//!
//! Pure: addresses and fields go in, an address comes out.

use http::{HeaderMap, HeaderName, header};
use ripstop_balance::Networks;
use std::{net::IpAddr, str};

/// Proxies whose word on the client counts. By default none's does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Where they are. A peer that is not, or that a trusted one has named and that is not, is the
    /// client.
    pub networks: Networks,
    /// Whether the peers of Unix sockets are trusted.
    pub unix: bool,
    /// Which field they write.
    pub field: ForwardedField,
}

/// The field in which proxies say by whom they were asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedField {
    /// `X-Forwarded-For`: addresses with commas between them.
    #[default]
    XForwardedFor,
    /// `Forwarded` of RFC 7239: the `for` of each element.
    Forwarded,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl TrustedProxies {
    /// Whether nobody is trusted.
    pub(crate) fn is_nobody(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// The client of a request with these fields, which `peer` has sent; `peer` is `None` on Unix
    /// sockets. Where a proxy says nothing that can be understood, it is taken for the client.
    pub(crate) fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        if !peer.map_or(self.unix, |peer| self.networks.contains(peer)) {
            return peer;
        }
        let name = match self.field {
            ForwardedField::XForwardedFor => X_FORWARDED_FOR,
            ForwardedField::Forwarded => header::FORWARDED,
        };
        let mut client = peer;
        let values = headers.get_all(name).iter().rev().map(http::HeaderValue::as_bytes);
        for element in values.flat_map(|value| rsplit(value, b',')) {
            let Some(named) = self.address(element) else { break };
            client = Some(named);
            if !self.networks.contains(named) {
                break;
            }
        }
        client
    }

    /// The address that an element names.
    fn address(&self, element: &[u8]) -> Option<IpAddr> {
        match self.field {
            ForwardedField::XForwardedFor => node(element),
            ForwardedField::Forwarded => node(unquoted(node_of(element)?)?),
        }
    }
}

/// The parts of `text` between separators, from the right, and blanks around them taken off. What
/// is quoted is not separated. From the right, so that whatever a client has put to the left, a
/// quotation mark without an end above all, changes nothing of what proxies have added.
fn rsplit(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let at = text.iter().rposition(|&byte| {
            quoted ^= byte == b'"';
            byte == separator && !quoted
        });
        rest = at.map(|at| &text[..at]);
        Some(text[at.map_or(0, |at| at + 1)..].trim_ascii())
    })
}

/// The value of the one `for` of an element of `Forwarded`.
fn node_of(element: &[u8]) -> Option<&[u8]> {
    let mut nodes = rsplit(element, b';').filter_map(value_of_for);
    let node = nodes.next();
    node.filter(|_| nodes.next().is_none())
}

fn value_of_for(pair: &[u8]) -> Option<&[u8]> {
    let (name, value) = pair.split_at_checked(b"for=".len())?;
    name.eq_ignore_ascii_case(b"for=").then_some(value)
}

/// What stands between quotation marks, if there are any. No address needs an escape.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', inner @ .., b'"'] => Some(inner),
        [b'"', ..] => None,
        plain => Some(plain),
    }
}

/// The address of a node: `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`, the first and the last
/// also with a port. A proxy may hide the client as `unknown` or `_name`: those are no addresses.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let ip: Option<IpAddr> = if let Some(bracketed) = text.strip_prefix('[') {
        let (ip, port) = bracketed.split_once(']')?;
        let port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        ip.parse().ok().filter(|ip: &IpAddr| ip.is_ipv6() && port)
    } else if let Ok(ip) = text.parse() {
        Some(ip)
    } else {
        let (ip, port) = text.rsplit_once(':')?;
        ip.parse().ok().filter(|ip: &IpAddr| ip.is_ipv4() && is_port(port))
    };
    ip.map(|ip| ip.to_canonical())
}

/// A number, or what RFC 7239 calls an obfuscated port.
fn is_port(text: &str) -> bool {
    let hidden = text.strip_prefix('_').unwrap_or_default();
    let is_hidden = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let number = text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    !text.is_empty() && (number || !hidden.is_empty() && hidden.bytes().all(is_hidden))
}

#[cfg(test)]
mod tests;
