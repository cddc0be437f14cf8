//! Networks of addresses, written as in `10.0.0.0/8` and `2001:db8::/32` (CIDR, RFC 4632 and
//! 4291), sets of them, and who may come by an allow and a deny list.
//!
//! The longest prefix decides: of all networks of both lists that have the address, the smallest
//! one says whether it may come, in whatever order they were written.

use std::{
    cmp::Reverse,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A network of IPv4 or IPv6 addresses.
///
/// ```
/// use ripstop_balance::Network;
///
/// let network: Network = "192.0.2.0/24".parse()?;
/// assert_eq!(network.to_string(), "192.0.2.0/24");
/// let one: Network = "2001:db8::1".parse()?;
/// assert_eq!(one.to_string(), "2001:db8::1/128");
/// assert_eq!(
///     "10.1.2.3/8".parse::<Network>().unwrap_err().to_string(),
///     "\"10.1.2.3/8\" has bits beyond its prefix, write 10.0.0.0/8"
/// );
/// # Ok::<(), ripstop_balance::ParseNetworkError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseNetworkError {
    /// It has no address.
    Address(String),
    /// Its prefix is no number, or more than an address has bits.
    Prefix {
        /// The text.
        text: String,
        /// How many bits the address has.
        bits: u8,
    },
    /// Its address is not the first of its network.
    HostBits {
        /// The text.
        text: String,
        /// The network that has the address.
        meant: Network,
    },
}

impl fmt::Display for ParseNetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text) => write!(
                f,
                "{text:?} is no network, it must be like \"192.0.2.0/24\" or \"2001:db8::/32\""
            ),
            Self::Prefix { text, bits } => {
                write!(f, "{text:?} has a bad prefix, it must be a number from 0 to {bits}")
            }
            Self::HostBits { text, meant } => {
                write!(f, "{text:?} has bits beyond its prefix, write {meant}")
            }
        }
    }
}

impl std::error::Error for ParseNetworkError {}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address = address.parse().map_err(|_| ParseNetworkError::Address(text.to_owned()))?;
        let bits = bits_of(address);
        let prefix = match prefix {
            None => bits,
            Some(prefix) => parse_prefix(prefix, bits)
                .ok_or_else(|| ParseNetworkError::Prefix { text: text.to_owned(), bits })?,
        };
        let meant = Self { first: masked(address, prefix), prefix };
        if meant.first != address {
            return Err(ParseNetworkError::HostBits { text: text.to_owned(), meant });
        }
        Ok(meant.canonical())
    }
}

fn parse_prefix(text: &str, bits: u8) -> Option<u8> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|prefix| digits && *prefix <= bits)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl Network {
    /// IPv4 addresses written as IPv6 ones (`::ffff:0:0/96`) are IPv4 addresses.
    fn canonical(self) -> Self {
        match (self.first, self.first.to_canonical()) {
            (IpAddr::V6(_), first @ IpAddr::V4(_)) if self.prefix >= MAPPED => {
                Self { first, prefix: self.prefix - MAPPED }
            }
            _ => self,
        }
    }
}

/// The prefix of IPv4 addresses within IPv6.
const MAPPED: u8 = 96;

fn bits_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The first address of the network that has `address`.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let first = aligned(address) & mask(prefix);
    match address {
        IpAddr::V4(_) => Ipv4Addr::from_bits((first >> MAPPED) as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(first).into(),
    }
}

/// The bits of an address, the first of them on top.
fn aligned(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << MAPPED,
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

/// A set of networks. To look an address up costs a binary search for each length of prefix that
/// the set has, however many networks it has.
///
/// ```
/// use ripstop_balance::{Network, Networks};
///
/// let networks: Networks = ["10.0.0.0/8".parse::<Network>()?].into_iter().collect();
/// assert!(networks.contains("10.1.2.3".parse().unwrap()));
/// assert!(networks.contains("::ffff:10.1.2.3".parse().unwrap()));
/// assert!(!networks.contains("11.1.2.3".parse().unwrap()));
/// # Ok::<(), ripstop_balance::ParseNetworkError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Vec<Level>,
    v6: Vec<Level>,
}

/// The networks of one family that have the same prefix length.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Level {
    prefix: u8,
    /// First addresses as by [`aligned`], sorted.
    firsts: Vec<u128>,
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        let mut all: Vec<_> = networks.into_iter().collect();
        // The longest prefix first, since it decides.
        all.sort_by_key(|network| (Reverse(network.prefix), aligned(network.first)));
        all.dedup();
        let mut set = Self::default();
        for network in all {
            set.push(network);
        }
        set
    }
}

impl Networks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether one of them has `address`. IPv4 addresses in the form of IPv6 ones are what they
    /// are: no network of IPv6 has them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.longest(address).is_some()
    }

    /// The length of the longest prefix of those that have `address`.
    fn longest(&self, address: IpAddr) -> Option<u8> {
        let address = address.to_canonical();
        let (levels, bits) = (self.levels(address), aligned(address));
        let has = |level: &&Level| level.firsts.binary_search(&(bits & mask(level.prefix))).is_ok();
        levels.iter().find(has).map(|level| level.prefix)
    }

    fn levels(&self, address: IpAddr) -> &[Level] {
        match address {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        }
    }

    /// Adds a network that comes behind all others in the order of the set.
    fn push(&mut self, network: Network) {
        let levels = match network.first {
            IpAddr::V4(_) => &mut self.v4,
            IpAddr::V6(_) => &mut self.v6,
        };
        let (prefix, first) = (network.prefix, aligned(network.first));
        match levels.last_mut() {
            Some(level) if level.prefix == prefix => level.firsts.push(first),
            _ => levels.push(Level { prefix, firsts: vec![first] }),
        }
    }
}

/// Who may come, by address.
///
/// ```
/// use ripstop_balance::{Network, NetworkRules};
///
/// let network = |text: &str| text.parse::<Network>();
/// let rules = NetworkRules {
///     allow: [network("10.1.0.0/16")?].into_iter().collect(),
///     deny: [network("10.0.0.0/8")?].into_iter().collect(),
/// };
/// assert!(rules.admit("10.1.2.3".parse().unwrap()));
/// assert!(!rules.admit("10.2.2.3".parse().unwrap()));
/// # Ok::<(), ripstop_balance::ParseNetworkError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkRules {
    /// Who may come. Where it has any, those whom neither list has may not; without any, they may.
    pub allow: Networks,
    /// Who may not. A network that both have is denied.
    pub deny: Networks,
}

impl NetworkRules {
    /// Whether `address` may come.
    pub fn admit(&self, address: IpAddr) -> bool {
        match (self.allow.longest(address), self.deny.longest(address)) {
            (Some(allowed), Some(denied)) => allowed > denied,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => self.allow.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests;
