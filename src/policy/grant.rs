//! Grants as an operator writes them: `127.0.0.1:8080`, `10.0.0.0/8:*`,
//! `[::1]:80-90`, `*:443`, and names: `example.com`, `*.example.com`, `*`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A set of networks with a range of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    networks: Vec<IpNet>,
    first_port: u16,
    last_port: u16,
}

impl Grant {
    /// The networks; `*` is both families.
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// Is this address among them? An IPv4-mapped address is its IPv4 address.
    pub fn covers(&self, address: &SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        (self.first_port..=self.last_port).contains(&address.port())
            && self.networks.iter().any(|network| network.contains(&ip))
    }

    /// The lowest port, itself included.
    pub fn first_port(&self) -> u16 {
        self.first_port
    }

    /// The highest port, itself included.
    pub fn last_port(&self) -> u16 {
        self.last_port
    }
}

/// Why a text is no grant. It says what would be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseGrantError(String);

impl fmt::Display for ParseGrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseGrantError {}

fn expected(what: &str) -> ParseGrantError {
    ParseGrantError(format!(
        "{what}; expected HOST:PORT, as in 127.0.0.1:8080, 10.0.0.0/8:*, [::1]:80-90 or *:443"
    ))
}

impl From<SocketAddr> for Grant {
    /// Grants this address and no other.
    fn from(address: SocketAddr) -> Self {
        let network = IpNet::from(address.ip().to_canonical());
        Self { networks: vec![network], first_port: address.port(), last_port: address.port() }
    }
}

impl FromStr for Grant {
    type Err = ParseGrantError;

    fn from_str(text: &str) -> Result<Self, ParseGrantError> {
        let (host, port) = split_port(text)?;
        let (first_port, last_port) = parse_ports(port)?;
        Ok(Self { networks: parse_host(host)?, first_port, last_port })
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

/// Reads an address or a network in prefix form.
fn parse_network(text: &str) -> Option<IpNet> {
    if text.contains('/') {
        return text.parse().ok();
    }
    text.parse::<IpAddr>().ok().map(IpNet::from)
}

fn parse_ports(text: &str) -> Result<(u16, u16), ParseGrantError> {
    if text == "*" {
        return Ok((0, u16::MAX));
    }
    let port = |text: &str| text.parse::<u16>().map_err(|_| expected(&format!("{text:?} is no port")));
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if first > last {
        return Err(expected(&format!("the range {text} ends before it begins")));
    }
    Ok((first, last))
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

    #[test]
    fn every_documented_form_is_read() {
        for text in
            ["127.0.0.1:8080", "10.0.0.0/8:*", "[::1]:80-90", "*:443", "*:*", "[fd00::]/8:1", "[fd00::/8]:1"]
        {
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
        ] {
            assert!(text.parse::<Grant>().is_err(), "{text}");
        }
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
