//! Grants by name: `api.example.com:443`, `*.example.com:443`, `db.internal@10.0.0.0/8:5432`.
//!
//! A name has the addresses that the host finds for it, as [`FoundNames`] notes them. Whoever
//! may answer for a name chooses them, so a name alone leads to public addresses only.
//!
//! [`FoundNames`]: super::found_names::FoundNames

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::NamePattern;
use super::grant::{
    Addresses, Grant, any_address, expected, parse_host, parse_ports, split_port, write_networks, write_ports,
};
use super::special::is_public;
use crate::error::ParseError;

/// The longest name, and the longest part of one between its dots, in bytes. RFC 1035
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// The addresses of names, at some ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedAddresses {
    pub(super) names: NamePattern,
    /// Where the addresses may lie; `None` for all that are public.
    within: Option<Vec<IpNet>>,
    ports: RangeInclusive<u16>,
}

impl NamedAddresses {
    /// Reads `NAME:PORT` or `NAME@NETWORK:PORT`; `None` where `text` has no name.
    ///
    /// # Errors
    ///
    /// What is wrong with it besides.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, ParseError> {
        if text.starts_with("unix:") {
            return Ok(None);
        }
        let Ok((host, port)) = split_port(text) else { return Ok(None) };
        let (name, within) = match host.split_once('@') {
            Some((name, network)) => (name, Some(network)),
            None if host == "localhost" || host == "localhost." => return Ok(None),
            None => (host, None),
        };
        if !is_name(name) {
            let wrong = || expected(&format!("{name:?} is no name, and only a name has an @ after it"));
            return within.map_or(Ok(None), |_| Err(wrong()));
        }
        let within = within.map(parse_host).transpose()?;
        Ok(Some(Self { names: name.parse()?, within, ports: parse_ports(port)? }))
    }

    /// Is `ip` one of these addresses, where the name has it?
    pub(super) fn may_have(&self, ip: IpAddr) -> bool {
        match &self.within {
            None => is_public(ip),
            Some(networks) => networks.iter().any(|network| network.contains(&ip.to_canonical())),
        }
    }

    pub(super) fn ports(&self) -> RangeInclusive<u16> {
        self.ports.clone()
    }

    pub(super) fn has_port(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }

    /// Every address at these ports.
    pub(super) fn anywhere(self) -> Grant {
        Grant(Addresses::Inet { networks: any_address(), ports: self.ports })
    }
}

impl fmt::Display for NamedAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.names)?;
        if let Some(networks) = &self.within {
            f.write_str("@")?;
            write_networks(f, networks)?;
        }
        write_ports(f, &self.ports)
    }
}

/// Is this the name of a host, or `*.DOMAIN`? One whose last part is a number is an address, or a
/// mistake: the system's resolver takes `127.1` for the address that it is short for.
fn is_name(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with(|c: char| c.is_ascii_digit())
        && (last.bytes().all(|byte| byte.is_ascii_digit())
            || last.get(1..2).is_some_and(|x| x == "x" || x == "X"));
    name.len() <= LONGEST_NAME && name.split('.').all(is_label) && !is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_granted_where_it_is_one() -> Result<(), ParseError> {
        for text in [
            "api.example.com:443",
            "db:5432",
            "*.example.com:*",
            "_srv.example-1.com:8000-8099",
            "db.internal@10.0.0.0/8:5432",
            "db.internal@10.1.2.3:5432",
            "db.internal@[fd00::/8]:5432",
            "localhost@*:80",
            "xn--bcher-kva.example:443",
            "1.example:80",
        ] {
            let grant = Grant::for_connecting(text)?;
            assert_eq!(grant.to_string(), text);
            // What listens, and what is denied, has addresses.
            assert!(text.parse::<Grant>().is_err() && Grant::for_listening(text).is_err(), "{text}");
        }
        assert_eq!(Grant::for_connecting("API.Example.com.:443")?.to_string(), "api.example.com:443");
        Ok(())
    }

    #[test]
    fn what_is_no_name_is_an_address_or_refused() -> Result<(), ParseError> {
        for text in ["10.0.0.1:443", "10.0.0.0/8:*", "[::1]:80", "*:443", "unix:/run/app.sock"] {
            assert_eq!(Grant::for_connecting(text)?, text.parse()?);
        }
        for text in [
            "localhost:80",
            "localhost.:80",
            "10.0.0.300:80",
            "127.1:80",
            "0x7f.1:80",
            "a.0x7f000001:80",
            "2130706433:80",
            ":80",
            "example.com",
            "example.com:",
            "example.com:https",
            "a..b:80",
            ".a:80",
            "a b:80",
            "b\u{fc}cher.example:80",
            "*.*.example:80",
            "a.*:80",
            "@10.0.0.0/8:80",
            "*@10.0.0.0/8:80",
            "10.0.0.1@10.0.0.0/8:80",
            "db@:80",
            "db@other:80",
            "https://example.com:443",
        ] {
            assert!(Grant::for_connecting(text).is_err(), "{text}");
        }
        let long = format!("{}:80", ["a"; 128].join("."));
        assert!(Grant::for_connecting(&long).is_err());
        Ok(())
    }
}
