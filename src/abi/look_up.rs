//! Names and services to addresses, as `getaddrinfo` of POSIX has it: for the dialects whose
//! programs leave that to the host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::{Errno, Error, LookUpError};
use crate::policy::Use;
use crate::process::Thread;
use crate::ready::interruptible;
use crate::socket::{Family, Kind};

/// What is looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LookUp {
    /// The name or address, where there is one.
    pub(crate) node: Option<String>,
    pub(crate) port: u16,
    /// That of all addresses, where only one is good.
    pub(crate) family: Option<Family>,
    /// The kinds of sockets, for each of which an address is returned.
    pub(crate) kinds: Vec<Kind>,
    /// Without a node: any address, to bind to, in place of the loopback.
    pub(crate) is_passive: bool,
    /// A node is an address, and no name.
    pub(crate) is_numeric: bool,
    /// Where only IPv6 is good: IPv4 as IPv6, if there is nothing else, or in any case.
    pub(crate) maps: Maps,
}

/// When IPv4 addresses are returned as IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Maps {
    #[default]
    Never,
    IfNothingElse,
    Always,
}

/// An address that was found, for a kind of sockets.
pub(crate) type Found = (SocketAddr, Kind);

impl Thread {
    /// Looks up what `look_up` says; `call` is what the operator reads of a refusal. What needs no resolver
    /// needs no grant.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EACCES` without a grant; a [`LookUpError`] where `getaddrinfo` has one; else those of
    /// [`Thread::look_up`].
    pub(crate) async fn look_up_as(&self, call: &'static str, look_up: LookUp) -> Result<Vec<Found>, Error> {
        let addresses = match &look_up.node {
            None => look_up.own_addresses(),
            Some(node) => match node.parse::<IpAddr>() {
                Ok(address) => vec![address],
                // "EAI_NONAME: ... AI_NUMERICHOST was specified and nodename is not an address."
                Err(_) if look_up.is_numeric => return Err(LookUpError::NoName.into()),
                Err(_) => {
                    if let Err(denial) = self.process().policy().check(Use::Resolve(node)) {
                        self.process().report().report_denial(call, denial);
                        return Err(Errno::EACCES.into());
                    }
                    let found = interruptible(self.look_up(node.clone())).await?;
                    let mut found = found.map_err(reason)?;
                    let port = Some(look_up.port).filter(|port| *port != 0);
                    self.process().policy().put_reachable_first(&mut found, port);
                    found
                }
            },
        };
        let found = look_up.answer(&addresses);
        // "EAI_NONAME: The name does not resolve for the supplied parameters."
        if found.is_empty() { Err(LookUpError::NoName.into()) } else { Ok(found) }
    }
}

impl LookUp {
    /// Those of this host.
    fn own_addresses(&self) -> Vec<IpAddr> {
        if self.is_passive {
            vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
        } else {
            vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]
        }
    }

    /// What of `addresses` is good, for each kind.
    fn answer(&self, addresses: &[IpAddr]) -> Vec<Found> {
        let is_good = |address: &&IpAddr| match self.family {
            Some(Family::Inet4) => address.is_ipv4(),
            Some(Family::Inet6) => address.is_ipv6(),
            Some(Family::Unix) => false,
            None => true,
        };
        let mut good: Vec<IpAddr> = addresses.iter().filter(is_good).copied().collect();
        let maps = self.maps == Maps::Always || self.maps == Maps::IfNothingElse && good.is_empty();
        if self.family == Some(Family::Inet6) && maps {
            good.extend(addresses.iter().filter_map(|address| match address {
                IpAddr::V4(four) => Some(IpAddr::V6(four.to_ipv6_mapped())),
                IpAddr::V6(_) => None,
            }));
        }
        let each = good.into_iter().map(|address| SocketAddr::new(address, self.port));
        each.flat_map(|address| self.kinds.iter().map(move |kind| (address, *kind))).collect()
    }
}

/// What `getaddrinfo` calls an error of the resolver, if it has a name for it.
fn reason(errno: Errno) -> Error {
    match errno {
        Errno::ENOENT => LookUpError::NoName.into(),
        Errno::EAGAIN | Errno::ETIMEDOUT => LookUpError::Again.into(),
        Errno::EIO => LookUpError::Fail.into(),
        Errno::ENOMEM => LookUpError::Memory.into(),
        other => other.into(),
    }
}

/// The port of a service: a number, or one of the names below, unless only a number is good. The empty
/// text is port 0.
///
/// # Errors
///
/// `NoName` for a name where only a number is good; `Service` for what is neither.
pub(crate) fn port_of(service: &str, is_numeric: bool) -> Result<u16, LookUpError> {
    if service.is_empty() {
        return Ok(0);
    }
    if service.bytes().all(|byte| byte.is_ascii_digit()) {
        return service.parse().map_err(|_| LookUpError::Service);
    }
    if is_numeric {
        return Err(LookUpError::NoName);
    }
    let found = SERVICES.iter().find(|(name, _)| *name == service);
    found.map(|(_, port)| *port).ok_or(LookUpError::Service)
}

/// Services by the names that IANA has for them. The host's own list of them is not read: a guest means the
/// same everywhere.
const SERVICES: &[(&str, u16)] = &[
    ("domain", 53),
    ("echo", 7),
    ("ftp", 21),
    ("http", 80),
    ("https", 443),
    ("imap", 143),
    ("imaps", 993),
    ("ldap", 389),
    ("mqtt", 1883),
    ("ntp", 123),
    ("pop3", 110),
    ("pop3s", 995),
    ("smtp", 25),
    ("ssh", 22),
    ("submission", 587),
    ("syslog", 514),
    ("telnet", 23),
    ("tftp", 69),
];

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn answers(family: Option<Family>, maps: Maps, addresses: &[IpAddr]) -> Vec<String> {
        let look_up = LookUp { family, maps, port: 80, kinds: vec![Kind::Stream], ..LookUp::default() };
        look_up.answer(addresses).iter().map(|(address, _)| address.to_string()).collect()
    }

    #[test]
    fn the_family_chooses_and_may_map() {
        let both = [FOUR, SIX];
        assert_eq!(answers(None, Maps::Never, &both), ["192.0.2.1:80", "[::1]:80"]);
        assert_eq!(answers(Some(Family::Inet4), Maps::Always, &both), ["192.0.2.1:80"]);
        assert_eq!(answers(Some(Family::Inet6), Maps::IfNothingElse, &both), ["[::1]:80"]);
        assert_eq!(answers(Some(Family::Inet6), Maps::IfNothingElse, &[FOUR]), ["[::ffff:192.0.2.1]:80"]);
        assert_eq!(answers(Some(Family::Inet6), Maps::Always, &both), ["[::1]:80", "[::ffff:192.0.2.1]:80"]);
        assert_eq!(answers(Some(Family::Inet6), Maps::Never, &[FOUR]), Vec::<String>::new());
    }

    #[test]
    fn each_kind_gets_each_address() {
        let kinds = vec![Kind::Stream, Kind::Datagram];
        let look_up = LookUp { kinds, ..LookUp::default() };
        let kinds: Vec<Kind> = look_up.answer(&[FOUR, SIX]).iter().map(|(_, kind)| *kind).collect();
        assert_eq!(kinds, [Kind::Stream, Kind::Datagram, Kind::Stream, Kind::Datagram]);
    }

    #[test]
    fn a_service_is_a_number_or_known() {
        assert_eq!(port_of("", false), Ok(0));
        assert_eq!(port_of("8080", true), Ok(8080));
        assert_eq!(port_of("https", false), Ok(443));
        assert_eq!(port_of("https", true), Err(LookUpError::NoName));
        for wrong in ["65536", "99999999999", "no-such-service", "-1"] {
            assert_eq!(port_of(wrong, false), Err(LookUpError::Service), "{wrong}");
        }
    }
}
