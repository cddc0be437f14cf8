//! Addresses: where a listener listens, as one writes it on a command line.
//!
//! Owns the text form and its faults. Opens nothing; `listener.rs` does.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustix::net::SocketAddrUnix;

use crate::error::AddressError;

/// The first descriptor that a service manager passes (`SD_LISTEN_FDS_START`).
pub(crate) const DESCRIPTOR_MIN: usize = 3;

/// Where a listener listens.
///
/// ```
/// use ripstop_net::Address;
///
/// let everywhere: Address = ":8080".parse()?;
/// assert_eq!(everywhere.to_string(), "[::]:8080");
/// let file: Address = "unix:/run/ripstop.sock".parse()?;
/// assert_eq!(file.to_string(), "unix:/run/ripstop.sock");
/// assert_eq!(
///     "8080".parse::<Address>().unwrap_err().to_string(),
///     "`8080` is a port alone: write `:8080` for all addresses or `127.0.0.1:8080` for this \
///      machine only"
/// );
/// # Ok::<(), ripstop_net::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP at this address; port 0 lets the kernel choose. `:8080` is `[::]:8080`, which takes
    /// IPv4 too, and `localhost:8080` is `127.0.0.1:8080`.
    Tcp(SocketAddr),
    /// A Unix stream socket at this path: `unix:/run/ripstop.sock`.
    Unix(PathBuf),
    /// A socket inherited from a service manager: `fd:web`, `fd:3`.
    Inherited(Descriptor),
}

/// How an inherited descriptor is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Descriptor {
    /// By its name in `LISTEN_FDNAMES`.
    Name(Arc<str>),
    /// By its number, from 3 on.
    Number(usize),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return parse_path(text, path);
        }
        if let Some(name) = text.strip_prefix("fd:") {
            return parse_descriptor(text, name);
        }
        match text.parse() {
            Ok(addr) => Ok(Self::Tcp(addr)),
            Err(_) => parse_host_and_port(text),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited(Descriptor::Name(name)) => write!(f, "fd:{name}"),
            Self::Inherited(Descriptor::Number(number)) => write!(f, "fd:{number}"),
        }
    }
}

fn parse_path(text: &str, path: &str) -> Result<Address, AddressError> {
    if path.is_empty() {
        return Err(AddressError::NoPath(text.into()));
    }
    match SocketAddrUnix::new(Path::new(path)) {
        Ok(_) => Ok(Address::Unix(path.into())),
        Err(_) => Err(AddressError::LongPath(text.into())),
    }
}

fn parse_descriptor(text: &str, name: &str) -> Result<Address, AddressError> {
    match name.parse::<usize>() {
        Ok(number) if number >= DESCRIPTOR_MIN => {
            Ok(Address::Inherited(Descriptor::Number(number)))
        }
        Err(_) if !name.is_empty() => Ok(Address::Inherited(Descriptor::Name(name.into()))),
        Ok(_) | Err(_) => Err(AddressError::BadDescriptor(text.into())),
    }
}

/// Parses what is no plain socket address: the short forms, or a fault to be named.
fn parse_host_and_port(text: &str) -> Result<Address, AddressError> {
    let bare_ip = text.trim_start_matches('[').trim_end_matches(']');
    if bare_ip.parse::<Ipv6Addr>().is_ok() && bare_ip.len() == text.len() {
        return Err(AddressError::NoBrackets(text.into()));
    }
    let Some((host, port)) = text.rsplit_once(':').filter(|_| !text.ends_with(']')) else {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let fault = if digits { AddressError::OnlyPort } else { AddressError::NoPort };
        return Err(fault(text.into()));
    };
    let ip: IpAddr = match host {
        "" => Ipv6Addr::UNSPECIFIED.into(),
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        _ if host.starts_with('[')
            && host.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_err() =>
        {
            return Err(AddressError::BadIp(text.into()));
        }
        _ if host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok() => {
            return Err(AddressError::BadPort(text.into()));
        }
        _ if host.contains(':') => return Err(AddressError::NoBrackets(text.into())),
        _ => return Err(AddressError::Name(text.into())),
    };
    match port.parse() {
        Ok(port) => Ok(Address::Tcp(SocketAddr::new(ip, port))),
        Err(_) => Err(AddressError::BadPort(text.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_printed() {
        let cases = [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]:80", "[::1]:80"),
            (":8080", "[::]:8080"),
            ("localhost:0", "127.0.0.1:0"),
            ("0.0.0.0:443", "0.0.0.0:443"),
            ("unix:/run/a b.sock", "unix:/run/a b.sock"),
            ("unix:web.sock", "unix:web.sock"),
            ("fd:web", "fd:web"),
            ("fd:3", "fd:3"),
        ];
        for (text, printed) in cases {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), printed, "{text}");
            assert_eq!(printed.parse::<Address>().unwrap(), address, "{printed}");
        }
    }

    #[test]
    fn every_fault_has_its_name() {
        let long = format!("unix:/{}", "x".repeat(108));
        type Fault = fn(String) -> AddressError;
        let cases: [(&str, Fault); 18] = [
            ("127.0.0.1", AddressError::NoPort),
            ("[::1]", AddressError::NoPort),
            ("localhost", AddressError::NoPort),
            ("", AddressError::NoPort),
            ("8080", AddressError::OnlyPort),
            ("127.0.0.1:65536", AddressError::BadPort),
            ("127.0.0.1:", AddressError::BadPort),
            ("localhost:http", AddressError::BadPort),
            (":", AddressError::BadPort),
            ("[::1]:x", AddressError::BadPort),
            ("::1", AddressError::NoBrackets),
            ("2001:db8::1:80", AddressError::NoBrackets),
            ("[::g]:80", AddressError::BadIp),
            ("example.org:80", AddressError::Name),
            ("unix:", AddressError::NoPath),
            (&long, AddressError::LongPath),
            ("fd:", AddressError::BadDescriptor),
            ("fd:2", AddressError::BadDescriptor),
        ];
        for (text, fault) in cases {
            assert_eq!(text.parse::<Address>(), Err(fault(text.into())), "{text}");
        }
    }
}
