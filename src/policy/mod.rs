//! What this guest may do.
//!
//! The policy answers a named question, a [`Use`], with yes or with a
//! [`Denial`] that tells the operator which flag would change the answer. It is
//! pure: it opens nothing, looks nothing up and remembers nothing of the guest.
//! Everything is refused until it was granted; only who may connect to a granted
//! listener, or send to a granted address, is open until it was narrowed.
//!
//! It is asked at every use, on the address in use: at bind and again at listen,
//! for each accepted peer, for each connect. An IPv4 rule holds for the
//! IPv4-mapped form of its addresses, so that no guest slips past a rule by
//! writing an address differently. A path is whole, without `.`, `..` and symbolic
//! links, for the same reason.
//!
//! Key types: [`Policy`], [`Use`], [`Grant`] (an address pattern as an operator
//! writes it), [`NamePattern`].

mod grant;
mod path;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use cap_primitives::ambient_authority;
use cap_primitives::net::Pool;

use grant::Addresses;
pub use grant::{Grant, NamePattern, ParseGrantError};
use path::PathPattern;

/// An IP network, as [`Policy::allow_accept_from`] takes it.
pub use ipnet::IpNet;

use crate::address::UnixName;

/// Something that a guest wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use<'a> {
    /// Have a TCP socket at this address: bind, or listen.
    TcpListen(SocketAddr),
    /// Take a connection from this peer.
    TcpAccept(SocketAddr),
    /// Connect a TCP socket to this address.
    TcpConnect(SocketAddr),
    /// Have a UDP socket at this address.
    UdpBind(SocketAddr),
    /// Send a datagram to this address, or make it the peer.
    UdpSend(SocketAddr),
    /// Take a datagram from this sender.
    UdpReceive(SocketAddr),
    /// Have a Unix socket at this whole path of the guest's: bind, or listen.
    UnixListen(&'a str),
    /// Connect or send to the Unix socket at this whole path of the guest's.
    UnixConnect(&'a str),
    /// Look this name up.
    Resolve(&'a str),
}

/// A refusal, in the operator's words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Denial {
    /// The address or name that was asked for.
    pub what: String,
    /// The rule that decided.
    pub rule: &'static str,
    /// The flag that would allow exactly this.
    pub flag: String,
}

/// The grants of one guest.
///
/// The default grants nothing: no listener, no connection, no name.
#[derive(Clone, Default)]
pub struct Policy {
    listen: Granted,
    /// `None`: anyone may connect to a granted listener, or send to a granted address.
    accept_from: Option<Pool>,
    connect: Granted,
    udp_bind: Granted,
    udp_send: Granted,
    resolve: Vec<NamePattern>,
}

/// The addresses of the grants for one use.
#[derive(Clone, Default)]
struct Granted {
    networks: Pool,
    /// The same without their ports.
    hosts: Vec<IpNet>,
    paths: Vec<PathPattern>,
}

impl Granted {
    fn insert(&mut self, grant: &Grant) {
        match &grant.0 {
            Addresses::Unix(pattern) => self.paths.push(pattern.clone()),
            Addresses::Inet { networks, ports } => {
                self.hosts.extend(networks);
                for network in networks {
                    // The pool's range is half open; a range up to 65535 has no end.
                    let end = ports.end().checked_add(1);
                    let authority = ambient_authority();
                    self.networks.insert_ip_net_port_range(*network, *ports.start(), end, authority);
                }
            }
        }
    }

    /// Is there a port at this address?
    fn has_host(&self, ip: IpAddr) -> bool {
        self.hosts.iter().any(|network| network.contains(&ip.to_canonical()))
    }

    fn has_path(&self, path: &str) -> bool {
        self.paths.iter().any(|pattern| pattern.covers(path))
    }
}

impl Policy {
    /// Grants listening on the addresses of `grant`.
    pub fn allow_listen(&mut self, grant: &Grant) {
        self.listen.insert(grant);
    }

    /// Grants connecting to the addresses of `grant`.
    pub fn allow_connect(&mut self, grant: &Grant) {
        self.connect.insert(grant);
    }

    /// Grants UDP sockets at the addresses of `grant`. What comes there, comes from
    /// anybody.
    pub fn allow_udp_bind(&mut self, grant: &Grant) {
        self.udp_bind.insert(grant);
    }

    /// Grants sending datagrams to the addresses of `grant`, from a port that the host
    /// chooses where the guest did not.
    pub fn allow_udp_send(&mut self, grant: &Grant) {
        self.udp_send.insert(grant);
    }

    /// Narrows who may connect to a listener, and whose datagrams reach the guest, to
    /// `network`, and to what earlier calls named.
    pub fn allow_accept_from(&mut self, network: IpNet) {
        let pool = self.accept_from.get_or_insert_with(Pool::new);
        pool.insert_ip_net_port_any(network, ambient_authority());
    }

    /// Is there anybody whose datagrams may not reach the guest?
    pub fn narrows_senders(&self) -> bool {
        self.accept_from.is_some()
    }

    /// Grants looking up the names of `pattern`. A name does not grant the
    /// address behind it.
    pub fn allow_resolve(&mut self, pattern: NamePattern) {
        self.resolve.push(pattern);
    }

    /// Could the guest be shown any address of the host?
    pub(crate) fn shows_addresses(&self) -> bool {
        !self.listen.hosts.is_empty() || !self.udp_bind.hosts.is_empty()
    }

    /// Does the guest see that the host has this address: may a socket of it be there, at
    /// some port? The wildcard address is all addresses of its family, and that of IPv6 of
    /// both.
    pub(crate) fn shows(&self, ip: IpAddr) -> bool {
        let six = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let wildcards = if ip.is_ipv4() { [Ipv4Addr::UNSPECIFIED.into(), six] } else { [six, six] };
        [&self.listen, &self.udp_bind]
            .into_iter()
            .any(|granted| granted.has_host(ip) || wildcards.iter().any(|it| granted.has_host(*it)))
    }

    /// The networks that the guest may connect or send to, at some port.
    pub(crate) fn destinations(&self) -> Vec<IpNet> {
        let granted: Vec<_> = self.connect.hosts.iter().chain(&self.udp_send.hosts).copied().collect();
        IpNet::aggregate(&granted)
    }

    /// May the guest do this?
    ///
    /// # Errors
    ///
    /// The refusal; a guest sees it as `EACCES`.
    pub fn check(&self, wish: Use<'_>) -> Result<(), Denial> {
        let allowed = match wish {
            Use::TcpListen(address) => holds(&self.listen.networks, address),
            Use::TcpAccept(peer) | Use::UdpReceive(peer) => {
                self.accept_from.as_ref().is_none_or(|pool| holds(pool, peer))
            }
            Use::TcpConnect(address) => holds(&self.connect.networks, address),
            Use::UdpBind(address) => holds(&self.udp_bind.networks, address),
            Use::UdpSend(address) => holds(&self.udp_send.networks, address),
            Use::UnixListen(path) => self.listen.has_path(path),
            Use::UnixConnect(path) => self.connect.has_path(path),
            Use::Resolve(name) => self.resolve.iter().any(|pattern| pattern.matches(name)),
        };
        if allowed { Ok(()) } else { Err(Denial::of(wish)) }
    }
}

impl Denial {
    fn of(wish: Use<'_>) -> Self {
        let (what, rule, cure) = match wish {
            Use::TcpListen(address) => {
                (address.to_string(), "no --listen grant covers it", flag("--listen", address))
            }
            Use::TcpAccept(peer) => (
                peer.to_string(),
                "no --accept-from network has it",
                format!("--accept-from {}", peer.ip().to_canonical()),
            ),
            Use::TcpConnect(address) => {
                (address.to_string(), "no --connect grant covers it", flag("--connect", address))
            }
            Use::UdpBind(address) => {
                (address.to_string(), "no --udp-bind grant covers it", flag("--udp-bind", address))
            }
            Use::UdpSend(address) => {
                (address.to_string(), "no --udp-send grant covers it", flag("--udp-send", address))
            }
            // Whatever its port: the next one may come from another.
            Use::UdpReceive(from) => {
                let from = from.ip().to_canonical();
                (from.to_string(), "no --accept-from network has it", format!("--accept-from {from}"))
            }
            Use::UnixListen(path) => {
                let name = UnixName::new(path).to_string();
                (name.clone(), "no --listen grant covers it", format!("--listen {name}"))
            }
            Use::UnixConnect(path) => {
                let name = UnixName::new(path).to_string();
                (name.clone(), "no --connect grant covers it", format!("--connect {name}"))
            }
            // A guest chooses the name; what reaches a terminal is printable.
            Use::Resolve(name) => {
                let name = name.escape_default().to_string();
                (name.clone(), "no --resolve grant covers it", format!("--resolve {name}"))
            }
        };
        Self { what, rule, flag: cure }
    }
}

/// The flag that grants this address, as `holds` sees it.
fn flag(name: &str, address: SocketAddr) -> String {
    format!("{name} {}", SocketAddr::new(address.ip().to_canonical(), address.port()))
}

fn holds(pool: &Pool, address: SocketAddr) -> bool {
    let canonical: IpAddr = address.ip().to_canonical();
    pool.check_addr(&SocketAddr::new(canonical, address.port())).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn listening(grant: &str) -> Result<Policy, ParseGrantError> {
        let mut policy = Policy::default();
        policy.allow_listen(&grant.parse()?);
        Ok(policy)
    }

    fn may_listen(policy: &Policy, address: &str) -> Result<bool, std::net::AddrParseError> {
        Ok(policy.check(Use::TcpListen(address.parse()?)).is_ok())
    }

    #[test]
    fn nothing_is_granted_by_default() -> Outcome {
        let policy = Policy::default();
        assert!(!may_listen(&policy, "127.0.0.1:0")?);
        assert!(policy.check(Use::TcpConnect("127.0.0.1:1".parse()?)).is_err());
        assert!(policy.check(Use::Resolve("localhost")).is_err());
        Ok(())
    }

    #[test]
    fn anyone_may_connect_until_it_was_narrowed() -> Outcome {
        let mut policy = Policy::default();
        let stranger = Use::TcpAccept("192.0.2.1:5".parse()?);
        assert!(policy.check(stranger).is_ok());
        policy.allow_accept_from("10.0.0.0/8".parse()?);
        assert!(policy.check(stranger).is_err());
        assert!(policy.check(Use::TcpAccept("10.9.9.9:5".parse()?)).is_ok());
        assert!(policy.check(Use::UdpReceive("[::ffff:10.9.9.9]:5".parse()?)).is_ok());
        assert!(policy.check(Use::UdpReceive("[::ffff:192.0.2.1]:5".parse()?)).is_err());
        Ok(())
    }

    #[test]
    fn a_listen_grant_is_no_connect_grant() -> Outcome {
        let policy = listening("127.0.0.1:80")?;
        assert!(policy.check(Use::TcpConnect("127.0.0.1:80".parse()?)).is_err());
        Ok(())
    }

    #[test]
    fn port_ranges_hold_at_their_edges() -> Outcome {
        let policy = listening("127.0.0.1:80-82")?;
        assert!(!may_listen(&policy, "127.0.0.1:79")?);
        assert!(may_listen(&policy, "127.0.0.1:80")?);
        assert!(may_listen(&policy, "127.0.0.1:82")?);
        assert!(!may_listen(&policy, "127.0.0.1:83")?);
        let highest = listening("127.0.0.1:65535")?;
        assert!(may_listen(&highest, "127.0.0.1:65535")?);
        assert!(!may_listen(&highest, "127.0.0.1:65534")?);
        Ok(())
    }

    #[test]
    fn networks_hold_at_their_edges() -> Outcome {
        let policy = listening("10.1.0.0/16:80")?;
        assert!(may_listen(&policy, "10.1.255.255:80")?);
        assert!(!may_listen(&policy, "10.2.0.0:80")?);
        Ok(())
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() -> Outcome {
        let policy = listening("127.0.0.1:80")?;
        assert!(may_listen(&policy, "[::ffff:127.0.0.1]:80")?);
        assert!(!may_listen(&policy, "[::ffff:127.0.0.2]:80")?);
        let six_only = listening("[::]/0:80")?;
        assert!(!may_listen(&six_only, "[::ffff:127.0.0.1]:80")?);
        Ok(())
    }

    /// What is written after the flag is read as what was asked for, however the guest
    /// wrote it.
    #[test]
    fn the_flag_of_a_denial_cures_it() -> Outcome {
        for asked in ["127.0.0.1:80", "[::ffff:127.0.0.1]:80", "[fe80::1%2]:80", "[::1]:80"] {
            let asked: SocketAddr = asked.parse()?;
            let denial = Policy::default().check(Use::TcpListen(asked)).err().ok_or("granted")?;
            let grant = denial.flag.strip_prefix("--listen ").ok_or("no flag")?;
            assert!(listening(grant)?.check(Use::TcpListen(asked)).is_ok(), "{grant}");
        }
        assert!(
            listening("[::ffff:127.0.0.0/104]:80")?.check(Use::TcpListen("127.9.9.9:80".parse()?)).is_ok()
        );
        Ok(())
    }

    #[test]
    fn a_datagram_is_granted_by_its_own_grants() -> Outcome {
        let mut policy = listening("*:*")?;
        policy.allow_connect(&"*:*".parse()?);
        let address: SocketAddr = "127.0.0.1:53".parse()?;
        let (bind, send) = (Use::UdpBind(address), Use::UdpSend(address));
        assert!(policy.check(bind).is_err() && policy.check(send).is_err());
        policy.allow_udp_send(&"127.0.0.1:53".parse()?);
        assert!(policy.check(bind).is_err() && policy.check(send).is_ok());
        assert!(policy.check(Use::UdpSend("127.0.0.1:54".parse()?)).is_err());
        assert!(policy.check(Use::UdpSend("[::ffff:127.0.0.1]:53".parse()?)).is_ok());
        policy.allow_udp_bind(&"127.0.0.1:53".parse()?);
        assert!(policy.check(bind).is_ok());
        Ok(())
    }

    #[test]
    fn an_address_is_shown_where_a_socket_may_be() -> Outcome {
        let mut policy = Policy::default();
        let shown =
            |policy: &Policy, ip: &str| Ok::<_, Box<dyn std::error::Error>>(policy.shows(ip.parse()?));
        assert!(!policy.shows_addresses() && !shown(&policy, "127.0.0.1")?);
        policy.allow_connect(&"127.0.0.1:*".parse()?);
        policy.allow_listen(&"unix:*".parse()?);
        assert!(!policy.shows_addresses());
        policy.allow_udp_bind(&"10.0.0.0/8:53".parse()?);
        assert!(policy.shows_addresses() && shown(&policy, "10.1.2.3")?);
        assert!(!shown(&policy, "127.0.0.1")? && !shown(&policy, "::1")?);
        policy.allow_listen(&"0.0.0.0:80".parse()?);
        assert!(shown(&policy, "127.0.0.1")? && !shown(&policy, "::1")?);
        policy.allow_listen(&"[::]:80".parse()?);
        assert!(shown(&policy, "::1")?);
        Ok(())
    }

    #[test]
    fn a_path_is_granted_for_one_use() -> Outcome {
        let mut policy = listening("unix:/run/*")?;
        assert!(policy.check(Use::UnixListen("/run/a")).is_ok());
        assert!(policy.check(Use::UnixListen("/run/a/b")).is_err());
        assert!(policy.check(Use::UnixConnect("/run/a")).is_err());
        assert!(!may_listen(&policy, "127.0.0.1:0")?);
        policy.allow_connect(&"unix:/run/a".parse()?);
        assert!(policy.check(Use::UnixConnect("/run/a")).is_ok());
        let denial = policy.check(Use::UnixConnect("/run/b")).err().map(|denial| denial.flag);
        assert_eq!(denial.as_deref(), Some("--connect unix:/run/b"));
        Ok(())
    }

    #[test]
    fn a_denial_names_the_flag() -> Outcome {
        let denial = Policy::default().check(Use::TcpListen("[::1]:80".parse()?));
        let expected = Denial {
            what: "[::1]:80".into(),
            rule: "no --listen grant covers it",
            flag: "--listen [::1]:80".into(),
        };
        assert_eq!(denial, Err(expected));
        Ok(())
    }
}
