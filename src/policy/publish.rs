//! Ports of the host's for ports of the guest's, as an operator writes them:
//! `8080:80`, `127.0.0.1:8080:80`, `[::1]:5353:53/udp`.

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU16;
use std::str::FromStr;

use crate::error::ParseError;

/// A port of the host's at which the guest is, where it binds a port of its own.
///
/// ```
/// use wasock::{Publish, WasockCtx};
///
/// let publish: Publish = "127.0.0.1:8080:80".parse()?;
/// // Its guest binds port 80, and is at 127.0.0.1:8080.
/// let builder = WasockCtx::builder().publish(publish);
/// # Ok::<(), wasock::ParseError>(())
/// ```
///
/// With an address, the socket is there, whatever address the guest binds. Without one it
/// is at the guest's own, with another port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    at: Option<IpAddr>,
    host: u16,
    guest: NonZeroU16,
    protocol: Protocol,
}

/// What a published port carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Publish {
    /// The port `guest` of the guest's at the port `host` of the host's, at the address `at`.
    /// A `host` of 0 lets the host choose.
    fn new(at: Option<IpAddr>, host: u16, guest: NonZeroU16, protocol: Protocol) -> Self {
        Self { at: at.map(|ip| ip.to_canonical()), host, guest, protocol }
    }

    /// The host's port, where it is one of TCP. At 0 the host chooses.
    pub fn tcp_port(&self) -> Option<u16> {
        (self.protocol == Protocol::Tcp).then_some(self.host)
    }

    /// The host's address, where one was named.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.at
    }

    /// The host's address for the guest's address `asked`; `None` where this is another port,
    /// or an address of another family. A group of multicast is not published: joining one
    /// needs a grant.
    pub(super) fn place(&self, protocol: Protocol, asked: SocketAddr) -> Option<SocketAddr> {
        if protocol != self.protocol || asked.port() != self.guest.get() || asked.ip().is_multicast() {
            return None;
        }
        match (self.at, asked) {
            (None, _) => Some(SocketAddr::new(asked.ip(), self.host)),
            (Some(IpAddr::V4(four)), SocketAddr::V4(_)) => Some((four, self.host).into()),
            // A socket of IPv6 has the addresses of IPv4 in their mapped form.
            (Some(IpAddr::V4(four)), SocketAddr::V6(_)) => Some((four.to_ipv6_mapped(), self.host).into()),
            (Some(IpAddr::V6(six)), SocketAddr::V6(asked)) => {
                // The guest knows the interface of a link-local address; no other address needs it.
                Some(SocketAddrV6::new(six, self.host, 0, asked.scope_id()).into())
            }
            (Some(IpAddr::V6(_)), SocketAddr::V4(_)) => None,
        }
    }
}

/// Written as an operator would, so that it can be read again.
impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(IpAddr::V6(six)) => write!(f, "[{six}]:")?,
            Some(IpAddr::V4(four)) => write!(f, "{four}:")?,
            None => {}
        }
        write!(f, "{}:{}", self.host, self.guest)?;
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

fn expected(what: &str) -> ParseError {
    ParseError::new(format!(
        "{what}; expected [IP:]HOST:GUEST, as in 8080:80, 127.0.0.1:8080:80 or 5353:53/udp"
    ))
}

impl FromStr for Publish {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ports, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err(expected("the protocol is neither tcp nor udp")),
        };
        let (rest, guest) = ports.rsplit_once(':').ok_or_else(|| expected("the guest's port is missing"))?;
        let (ip, host) = match rest.rsplit_once(':') {
            Some((ip, host)) => (Some(ip), host),
            None => (None, rest),
        };
        let no_port = |_| expected("that is no port");
        let guest: u16 = guest.parse().map_err(no_port)?;
        let guest = NonZeroU16::new(guest).ok_or_else(|| expected("the guest's port can't be 0"))?;
        let host = host.parse().map_err(no_port)?;
        let at = ip.map(parse_ip).transpose()?;
        Ok(Self::new(at, host, guest, protocol))
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, ParseError> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match inner {
        Some(six) => six.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    };
    ip.ok_or_else(|| expected("that is no address of the host's (an IPv6 address needs brackets)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    fn place(publish: &str, asked: &str) -> Result<Option<String>, Box<dyn std::error::Error>> {
        let publish: Publish = publish.parse()?;
        Ok(publish.place(Protocol::Tcp, asked.parse()?).map(|there| there.to_string()))
    }

    #[test]
    fn a_port_of_the_guest_is_at_one_of_the_host() -> TestResult {
        for (publish, asked, there) in [
            ("8080:80", "0.0.0.0:80", Some("0.0.0.0:8080")),
            ("8080:80/tcp", "127.0.0.1:80", Some("127.0.0.1:8080")),
            ("8080:80", "[::]:80", Some("[::]:8080")),
            ("8080:80", "0.0.0.0:8080", None),
            ("8080:80", "0.0.0.0:0", None),
            ("8080:80/udp", "0.0.0.0:80", None),
            ("127.0.0.1:8080:80", "0.0.0.0:80", Some("127.0.0.1:8080")),
            ("127.0.0.1:8080:80", "10.0.0.1:80", Some("127.0.0.1:8080")),
            ("127.0.0.1:8080:80", "[::]:80", Some("[::ffff:127.0.0.1]:8080")),
            ("0.0.0.0:8080:80", "[::]:80", Some("[::ffff:0.0.0.0]:8080")),
            ("[::1]:8080:80", "[::]:80", Some("[::1]:8080")),
            ("[::1]:8080:80", "0.0.0.0:80", None),
            ("0:80", "0.0.0.0:80", Some("0.0.0.0:0")),
            ("8080:80", "239.1.2.3:80", None),
        ] {
            assert_eq!(place(publish, asked)?.as_deref(), there, "{publish} {asked}");
        }
        Ok(())
    }

    #[test]
    fn it_is_written_as_it_is_read() -> TestResult {
        for text in ["8080:80", "127.0.0.1:8080:80", "[::1]:5353:53/udp", "0:80"] {
            assert_eq!(text.parse::<Publish>()?.to_string(), text);
        }
        Ok(())
    }

    #[test]
    fn what_publishes_nothing_is_refused() {
        for text in [
            "",
            "80",
            ":80",
            "8080:",
            "8080:0",
            "8080:80/sctp",
            "8080:65536",
            "::1:8080:80",
            "localhost:8080:80",
            "[127.0.0.1]:8080:80",
            "8080:80:",
            "8080:80/",
        ] {
            assert!(text.parse::<Publish>().is_err(), "{text}");
        }
    }
}
