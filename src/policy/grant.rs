//! Grants as an operator writes them: `127.0.0.1:8080`, `10.0.0.0/8:*`,
//! `[::1]:80-90`, `*:443`, `unix:/run/app.sock`, and names: `example.com`,
//! `*.example.com`, `*`. [Addresses by their names](super::named) are elsewhere.

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::named::NamedAddresses;
use super::path::PathPattern;
use crate::address::Address;
use crate::error::ParseError;

/// A set of addresses: networks with a range of ports, those of a name, or paths of sockets.
///
/// ```
/// use wasock::Grant;
///
/// let grant: Grant = "10.0.0.0/8:8000-8099".parse()?;
/// assert!(grant.covers(&std::net::SocketAddr::from(([10, 1, 2, 3], 8080)).into()));
/// // Where a socket listens there are shorter forms.
/// assert_eq!(Grant::for_listening("localhost:80")?.to_string(), "localhost:80");
/// assert!("localhost:80".parse::<Grant>().is_err());
/// # Ok::<(), wasock::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant(pub(super) Addresses);

/// What a grant holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    /// Networks with a range of ports, both ends included; `*` is both families.
    Inet { networks: Vec<IpNet>, ports: RangeInclusive<u16> },
    /// What a name leads to.
    Named(NamedAddresses),
    /// Paths of the guest.
    Unix(PathPattern),
}

impl Grant {
    /// Is it one of paths?
    pub fn is_of_paths(&self) -> bool {
        matches!(self.0, Addresses::Unix(_))
    }

    /// Is it one of what names lead to?
    pub fn is_of_names(&self) -> bool {
        matches!(self.0, Addresses::Named(_))
    }

    /// The ports, both ends included; `None` for paths.
    pub fn ports(&self) -> Option<RangeInclusive<u16>> {
        match &self.0 {
            Addresses::Inet { ports, .. } => Some(ports.clone()),
            Addresses::Named(named) => Some(named.ports()),
            Addresses::Unix(_) => None,
        }
    }

    /// Is this address among them? An IPv4-mapped address is its IPv4 address.
    pub fn covers(&self, address: &Address) -> bool {
        match (&self.0, address) {
            (Addresses::Inet { networks, ports }, Address::Inet(address)) => {
                let ip = address.ip().to_canonical();
                ports.contains(&address.port()) && networks.iter().any(|network| network.contains(&ip))
            }
            (Addresses::Unix(pattern), Address::Unix(name)) => {
                name.path().is_some_and(|path| pattern.covers(path))
            }
            _ => false,
        }
    }

    /// Does it grant the addresses of this name at this port, as far as they may be granted by a
    /// name? Which ones these are is known when it is looked up.
    pub fn covers_name(&self, name: &str, port: u16) -> bool {
        matches!(&self.0, Addresses::Named(named) if named.has_port(port) && named.names.matches(name))
    }

    /// Would a socket at `address` have one of these? One at a wildcard address has all
    /// addresses of its family, and the wildcard of IPv6 may have those of both.
    pub(super) fn takes_part_of(&self, address: SocketAddr) -> bool {
        if self.covers(&Address::Inet(address)) {
            return true;
        }
        let Addresses::Inet { networks, ports } = &self.0 else { return false };
        let ip = address.ip().to_canonical();
        ip.is_unspecified()
            && ports.contains(&address.port())
            && networks.iter().any(|network| ip.is_ipv6() || network.addr().is_ipv4())
    }

    /// Reads an address for a verb that listens. Besides what [`from_str`](Self::from_str)
    /// reads, `localhost:8080` is the loopback address of both families, and `:8080` and
    /// `8080` are any address.
    ///
    /// # Errors
    ///
    /// What is wrong with `text`.
    pub fn for_listening(text: &str) -> Result<Self, ParseError> {
        let (host, port) = match text.rsplit_once(':') {
            Some(("localhost", port)) => (LOOPBACK.map(IpNet::from).to_vec(), port),
            Some(("", port)) => (any_address(), port),
            None if text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(['.', '/']) => {
                (any_address(), text)
            }
            _ => return text.parse(),
        };
        Ok(Self(Addresses::Inet { networks: host, ports: parse_ports(port)? }))
    }

    /// Reads an address for a verb that reaches out: [`connect`](crate::WasockCtxBuilder::connect)
    /// and [`udp_send`](crate::WasockCtxBuilder::udp_send). Besides what [`from_str`](Self::from_str)
    /// reads, `api.example.com:443` and `*.example.com:443` are the addresses that the host finds
    /// for a name, for as long as they are known to be its own; those of them that are public. With
    /// `db.internal@10.0.0.0/8:5432` they are those in that network, public or not.
    ///
    /// As a grant to listen, or to have a UDP socket, it grants nothing. As a denial it takes every address
    /// at its ports, for what a name leads to changes: deny the address, or [looking the name
    /// up](crate::WasockCtxBuilder::deny_resolve).
    ///
    /// # Errors
    ///
    /// What is wrong with `text`.
    pub fn for_connecting(text: &str) -> Result<Self, ParseError> {
        match NamedAddresses::parse(text)? {
            Some(named) => Ok(Self(Addresses::Named(named))),
            None => text.parse(),
        }
    }
}

/// Written as an operator would, so that it can be read again.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Addresses::Unix(pattern) => write!(f, "unix:{pattern}"),
            Addresses::Named(named) => named.fmt(f),
            Addresses::Inet { networks, ports } => {
                write_networks(f, networks)?;
                write_ports(f, ports)
            }
        }
    }
}

pub(super) fn write_networks(f: &mut fmt::Formatter<'_>, networks: &[IpNet]) -> fmt::Result {
    match networks {
        [IpNet::V4(four)] if four.prefix_len() == 32 => write!(f, "{}", four.addr()),
        [IpNet::V4(four)] => write!(f, "{four}"),
        [IpNet::V6(six)] if six.prefix_len() == 128 => write!(f, "[{}]", six.addr()),
        [IpNet::V6(six)] => write!(f, "[{six}]"),
        both if both == LOOPBACK.map(IpNet::from) => f.write_str("localhost"),
        _ => f.write_str("*"),
    }
}

pub(super) fn write_ports(f: &mut fmt::Formatter<'_>, ports: &RangeInclusive<u16>) -> fmt::Result {
    match (*ports.start(), *ports.end()) {
        (0, u16::MAX) => f.write_str(":*"),
        (first, last) if first == last => write!(f, ":{first}"),
        (first, last) => write!(f, ":{first}-{last}"),
    }
}

/// What `localhost` is to a verb that listens.
pub(crate) const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// What `*` is: both families.
pub(super) fn any_address() -> Vec<IpNet> {
    let four = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);
    let six = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0);
    vec![four.into(), six.into()]
}

pub(super) fn expected(what: &str) -> ParseError {
    ParseError::new(format!(
        "{what}; expected HOST:PORT, as in 127.0.0.1:8080, 10.0.0.0/8:*, [::1]:80-90 or *:443, \
         or unix:PATH"
    ))
}

impl From<SocketAddr> for Grant {
    /// Grants this address and no other.
    fn from(address: SocketAddr) -> Self {
        let network = IpNet::from(address.ip().to_canonical());
        let ports = address.port()..=address.port();
        Self(Addresses::Inet { networks: vec![network], ports })
    }
}

impl From<&Address> for Grant {
    /// Grants this address and no other.
    fn from(address: &Address) -> Self {
        match address {
            Address::Inet(address) => Self::from(*address),
            Address::Unix(name) => {
                let path = name.path().unwrap_or_default().to_owned();
                Self(Addresses::Unix(PathPattern::One(path)))
            }
        }
    }
}

impl FromStr for Grant {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self(Addresses::Unix(path.parse()?)));
        }
        if let Ok(Some(named)) = NamedAddresses::parse(text) {
            return Err(ParseError::new(format!(
                "{:?} is a name, and only --connect and --udp-send take one (--deny-resolve denies it)",
                named.names.to_string()
            )));
        }
        let (host, port) = split_port(text)?;
        let ports = parse_ports(port)?;
        Ok(Self(Addresses::Inet { networks: parse_host(host)?, ports }))
    }
}

/// Splits at the colon before the port: the last one, but none inside brackets.
pub(super) fn split_port(text: &str) -> Result<(&str, &str), ParseError> {
    let (host, port) = text.rsplit_once(':').ok_or_else(|| expected("the port is missing"))?;
    if port.contains(']') {
        return Err(expected("the port is missing"));
    }
    Ok((host, port))
}

pub(super) fn parse_host(host: &str) -> Result<Vec<IpNet>, ParseError> {
    if host == "*" {
        return Ok(any_address());
    }
    if host.is_empty() {
        return Err(expected("the host is missing (for any, write *)"));
    }
    if host == "localhost" {
        return Err(expected(
            "localhost stands for addresses only where a socket listens (write 127.0.0.1 or [::1])",
        ));
    }
    let network = match host.strip_prefix('[') {
        // [v6], [v6]/n and [v6/n] are all read.
        Some(rest) => {
            let (address, prefix) =
                rest.split_once(']').ok_or_else(|| expected("a bracket is not closed"))?;
            parse_network(&format!("{address}{prefix}"))
        }
        None if host.contains(':') => return Err(expected("an IPv6 address needs brackets")),
        None => parse_network(host),
    };
    network
        .map(|network| vec![network])
        .ok_or_else(|| expected(&format!("{host:?} is neither an address nor a network")))
}

/// Reads an address or a network in prefix form. One of IPv4-mapped addresses is that
/// of the IPv4 addresses.
fn parse_network(text: &str) -> Option<IpNet> {
    let network: IpNet =
        if text.contains('/') { text.parse().ok()? } else { text.parse::<IpAddr>().ok()?.into() };
    let mapped = match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (IpAddr::V4(four), Some(prefix)) if network.addr().is_ipv6() => Ipv4Net::new(four, prefix).ok(),
        _ => None,
    };
    Some(mapped.map_or(network, IpNet::from))
}

pub(super) fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, ParseError> {
    if text == "*" {
        return Ok(0..=u16::MAX);
    }
    let port = |text: &str| text.parse::<u16>().map_err(|_| expected(&format!("{text:?} is no port")));
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if first > last {
        return Err(expected(&format!("the range {text} ends before it begins")));
    }
    Ok(first..=last)
}

/// A name, `*.domain` for every name below a domain, or `*`.
///
/// ```
/// use wasock::NamePattern;
///
/// let pattern: NamePattern = "*.example.com".parse()?;
/// assert!(pattern.matches("www.Example.com.") && !pattern.matches("example.com"));
/// # Ok::<(), wasock::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    /// The one name that it is.
    pub(super) fn exact(&self) -> Option<&str> {
        (!self.0.starts_with('*')).then_some(self.0.as_str())
    }

    /// Does `name` fall under this pattern? Case and one closing dot do not count.
    pub fn matches(&self, name: &str) -> bool {
        let name = normal(name);
        match self.0.strip_prefix('*') {
            Some("") => true,
            // The suffix keeps its dot, so that "*.a.b" does not take in "xa.b".
            Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
            None => name == self.0,
        }
    }
}

/// A name as names are compared.
pub(super) fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NamePattern {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let pattern = normal(text);
        let body = pattern.strip_prefix("*.").unwrap_or(&pattern);
        let is_any = text == "*";
        if !is_any && (body.is_empty() || body.contains(['*', ':', '/', ' '])) {
            return Err(ParseError::new(format!("{text:?} is no name; expected NAME, *.DOMAIN or *")));
        }
        Ok(Self(pattern))
    }
}
