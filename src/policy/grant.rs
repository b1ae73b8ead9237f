//! Grants as an operator writes them: `127.0.0.1:8080`, `10.0.0.0/8:*`,
//! `[::1]:80-90`, `*:443`, `unix:/run/app.sock`, and names: `example.com`,
//! `*.example.com`, `*`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::path::PathPattern;
use crate::address::Address;

/// A set of addresses: networks with a range of ports, or paths of sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant(pub(super) Addresses);

/// What a grant holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    /// Networks with a range of ports, both ends included; `*` is both families.
    Inet { networks: Vec<IpNet>, ports: RangeInclusive<u16> },
    /// Paths of the guest.
    Unix(PathPattern),
}

impl Grant {
    /// Is it one of paths?
    pub(crate) fn is_of_paths(&self) -> bool {
        matches!(self.0, Addresses::Unix(_))
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
}

/// Why a text is no grant. It says what would be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseGrantError(pub(super) String);

impl fmt::Display for ParseGrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseGrantError {}

fn expected(what: &str) -> ParseGrantError {
    ParseGrantError(format!(
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
    type Err = ParseGrantError;

    fn from_str(text: &str) -> Result<Self, ParseGrantError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self(Addresses::Unix(path.parse()?)));
        }
        let (host, port) = split_port(text)?;
        let ports = parse_ports(port)?;
        Ok(Self(Addresses::Inet { networks: parse_host(host)?, ports }))
    }
}

/// Splits at the colon before the port: the last one, but none inside brackets.
fn split_port(text: &str) -> Result<(&str, &str), ParseGrantError> {
    let (host, port) = text.rsplit_once(':').ok_or_else(|| expected("the port is missing"))?;
    if port.contains(']') {
        return Err(expected("the port is missing"));
    }
    Ok((host, port))
}

fn parse_host(host: &str) -> Result<Vec<IpNet>, ParseGrantError> {
    if host == "*" {
        let four = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);
        let six = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0);
        return Ok(vec![four.into(), six.into()]);
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

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, ParseGrantError> {
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
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

fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl FromStr for NamePattern {
    type Err = ParseGrantError;

    fn from_str(text: &str) -> Result<Self, ParseGrantError> {
        let pattern = normal(text);
        let body = pattern.strip_prefix("*.").unwrap_or(&pattern);
        let is_any = text == "*";
        if !is_any && (body.is_empty() || body.contains(['*', ':', '/', ' '])) {
            return Err(ParseGrantError(format!("{text:?} is no name; expected NAME, *.DOMAIN or *")));
        }
        Ok(Self(pattern))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::UnixName;

    #[test]
    fn every_documented_form_is_read() {
        for text in [
            "127.0.0.1:8080",
            "10.0.0.0/8:*",
            "[::1]:80-90",
            "*:443",
            "*:*",
            "[fd00::]/8:1",
            "[fd00::/8]:1",
            "unix:/run/app.sock",
            "unix:/run/*",
            "unix:*",
        ] {
            assert!(text.parse::<Grant>().is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_grant_is_refused() {
        for text in [
            "",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:65536",
            "127.0.0.1:-1",
            "1.2.3:80",
            "::1:80",
            "[::1]",
            "[::1:80",
            "localhost:80",
            "10.0.0.0/33:1",
            "*:9-8",
            "*",
            "unix:",
            "unix:/run/",
        ] {
            assert!(text.parse::<Grant>().is_err(), "{text}");
        }
    }

    #[test]
    fn covers_its_own_kind_of_address() -> Result<(), Box<dyn std::error::Error>> {
        let inet = Address::Inet("127.0.0.1:80".parse()?);
        let unix = Address::Unix(UnixName::new("/run/a"));
        for (grant, covers) in [("*:80", [true, false]), ("unix:*", [false, true])] {
            let grant: Grant = grant.parse()?;
            assert_eq!([grant.covers(&inet), grant.covers(&unix)], covers, "{grant:?}");
        }
        let nameless = Address::Unix(UnixName::unnamed());
        assert!(!"unix:*".parse::<Grant>()?.covers(&nameless));
        Ok(())
    }

    #[test]
    fn names_match_as_whole_labels() -> Result<(), ParseGrantError> {
        let below: NamePattern = "*.example.com".parse()?;
        assert!(below.matches("www.example.com"));
        assert!(below.matches("WWW.Example.com."));
        assert!(!below.matches("example.com"));
        assert!(!below.matches("badexample.com"));
        let exact: NamePattern = "example.com".parse()?;
        assert!(exact.matches("EXAMPLE.com"));
        assert!(!exact.matches("www.example.com"));
        assert!("*".parse::<NamePattern>()?.matches("anything"));
        Ok(())
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "*.", "a*b", "a:80", "**"] {
            assert!(text.parse::<NamePattern>().is_err(), "{text}");
        }
    }
}
