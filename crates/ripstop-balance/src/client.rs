//! Who counts as one client, where connections or requests are counted by address.

use std::{net::IpAddr, num::NonZeroU64};

/// An IPv4 address, or the /64 of an IPv6 one, which is what one customer of a network gets at
/// least.
///
/// ```
/// use ripstop_balance::Client;
///
/// let client = |ip: &str| Client::of(ip.parse().unwrap());
/// assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
/// assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(NonZeroU64);

/// Tells IPv4 addresses from prefixes of IPv6, none of which begins with so many zeros but that of
/// the unspecified address and `::1`.
const IPV4: u64 = 1 << 32;

impl Client {
    /// The client that has this address.
    pub fn of(ip: IpAddr) -> Self {
        let number = match ip.to_canonical() {
            IpAddr::V4(ip) => IPV4 | u64::from(ip.to_bits()),
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        };
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, other: &str, same: bool) {
        let client = |ip: &str| Client::of(ip.parse().unwrap());
        assert_eq!(client(one) == client(other), same, "{one} {other}");
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("2001:db8::1", "2001:db8::ffff:1", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
        check("::1", "0.0.0.1", false);
        check("::1", "0.0.0.0", false);
        check("::1", "127.0.0.1", false);
    }
}
