//! What this guest may do.
//!
//! The policy decides a named question, a [`Use`]: it allows it, or returns
//! a [`Denial`] that names the flag which would allow it. It is
//! pure: it opens nothing, looks nothing up and remembers nothing of the guest but what the host
//! has found for the [names](egress) to which the guest may connect.
//! Everything is refused until it is granted; only the peers that may connect to a granted
//! listener, or send to a granted address, are all of them until they are narrowed. What was denied
//! is refused whatever was granted, and so is what an embedder's check refuses.
//!
//! It is asked at every use, on the address in use: at bind and again at listen,
//! for each accepted peer, for each connect. An IPv4 rule holds for the
//! IPv4-mapped form of its addresses, so that no guest slips past a rule by
//! writing an address differently. A path is whole, without `.`, `..` and symbolic
//! links, for the same reason.
//!
//! Key types: [`Policy`], [`Use`], [`Grant`] (an address pattern as an operator
//! writes it), [`NamePattern`], [`Publish`] (a port of the host's for one of the guest's).

mod denial;
mod denied;
mod egress;
mod found_names;
mod grant;
mod named;
mod path;
mod path_use;
mod publish;
mod reserved;
mod special;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cap_primitives::ambient_authority;
use cap_primitives::net::Pool;

pub use denial::Denial;
use denied::Denied;
use found_names::FoundNames;
use grant::Addresses;
pub use grant::{Grant, NamePattern};
use named::NamedAddresses;
pub use path::PathParts;
use path::PathPattern;
pub use path_use::{PathRules, PathUse};
use publish::Protocol;
pub use publish::Publish;
pub use reserved::FileId;
use reserved::Reserved;

/// An IP network, as [`Policy::allow_accept_from`] takes it.
pub use ipnet::IpNet;

/// Something that a guest wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Use<'a> {
    /// Have a TCP socket at this address: bind, or listen.
    TcpListen(SocketAddr),
    /// Take a connection from this peer.
    TcpAccept(SocketAddr),
    /// Connect a TCP socket to this address.
    TcpConnect(SocketAddr),
    /// Have a UDP socket at this address.
    UdpBind(SocketAddr),
    /// Send a datagram to this address, or make it the peer. (Replies to earlier senders may need no grant:
    /// see [`lets_answer`](Policy::lets_answer).)
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

impl Use<'_> {
    /// The network address that is in use: the guest's own or the peer's.
    pub fn address(&self) -> Option<SocketAddr> {
        match *self {
            Self::TcpListen(address)
            | Self::TcpAccept(address)
            | Self::TcpConnect(address)
            | Self::UdpBind(address)
            | Self::UdpSend(address)
            | Self::UdpReceive(address) => Some(address),
            Self::UnixListen(_) | Self::UnixConnect(_) | Self::Resolve(_) => None,
        }
    }
}

/// A verb that takes addresses, each of which has grants of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// [`Use::TcpListen`] and [`Use::UnixListen`].
    Listen,
    /// [`Use::TcpConnect`] and [`Use::UnixConnect`].
    Connect,
    /// [`Use::UdpBind`].
    UdpBind,
    /// [`Use::UdpSend`].
    UdpSend,
}

/// An embedder's own check.
type Check = Arc<dyn Fn(Use<'_>) -> bool + Send + Sync>;

/// The grants of one guest.
///
/// The default grants nothing: no listener, no connection, no name.
#[derive(Clone, Default)]
pub struct Policy {
    listen: Granted,
    /// `None`: any peer may connect to a granted listener, or send to a granted address.
    accept_from: Option<Pool>,
    connect: Granted,
    udp_bind: Granted,
    udp_send: Granted,
    /// May only granted addresses be sent to, and not those that have sent?
    is_udp_strict: bool,
    resolve: Vec<NamePattern>,
    /// What was found for the names of grants.
    found_names: Arc<FoundNames>,
    /// Ports of the guest's that are elsewhere on the host.
    published: Vec<Publish>,
    /// Refused whatever was granted.
    denied: Denied,
    /// The host's own.
    reserved: Reserved,
    /// Called after the grants.
    checks: Vec<Check>,
}

/// The addresses of the grants for one use.
#[derive(Clone, Default)]
struct Granted {
    networks: Pool,
    /// The same without their ports.
    hosts: Vec<IpNet>,
    /// What names lead to.
    named: Vec<NamedAddresses>,
    paths: Vec<PathPattern>,
}

impl Granted {
    fn insert(&mut self, grant: &Grant) {
        match &grant.0 {
            Addresses::Unix(pattern) => self.paths.push(pattern.clone()),
            Addresses::Named(named) => self.named.push(named.clone()),
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

    /// Grants connecting to the addresses of `grant`, and looking up its name if it has one.
    pub fn allow_connect(&mut self, grant: &Grant) {
        self.connect.insert(grant);
    }

    /// Grants UDP sockets at the addresses of `grant`. Datagrams come there from
    /// any sender.
    pub fn allow_udp_bind(&mut self, grant: &Grant) {
        self.udp_bind.insert(grant);
    }

    /// Grants sending datagrams to the addresses of `grant`, from a port that the host
    /// chooses where the guest did not, and looking up its name if it has one.
    pub fn allow_udp_send(&mut self, grant: &Grant) {
        self.udp_send.insert(grant);
    }

    /// Narrows who may connect to a listener, and whose datagrams reach the guest, to
    /// `network`, and to what earlier calls named.
    pub fn allow_accept_from(&mut self, network: IpNet) {
        let pool = self.accept_from.get_or_insert_with(Pool::new);
        pool.insert_ip_net_port_any(network, ambient_authority());
    }

    /// Are datagrams of some senders kept from the guest?
    pub fn narrows_senders(&self) -> bool {
        self.accept_from.is_some() || self.denied.has_peers() || !self.checks.is_empty()
    }

    /// Grants looking up the names of `pattern`. A name does not grant the
    /// address behind it.
    pub fn allow_resolve(&mut self, pattern: NamePattern) {
        self.resolve.push(pattern);
    }

    /// Has the guest's port that `publish` names be at the host's, and grants exactly that:
    /// of several for one port and family, the first counts.
    pub fn publish(&mut self, publish: Publish) {
        self.published.push(publish);
    }

    /// Refuses the addresses of `denied` for `verb`, or for all verbs that take addresses,
    /// whatever else is granted. A wildcard address is refused with any address of its
    /// family that is, and the wildcard of IPv6 with any of both.
    pub fn deny(&mut self, verb: Option<Verb>, denied: Grant) {
        self.denied.add(verb, denied);
    }

    /// Refuses connections and datagrams from the peers of `network`, whatever else is
    /// granted.
    pub fn deny_from(&mut self, network: IpNet) {
        self.denied.add_peers(network);
    }

    /// Refuses looking up the names of `pattern`, whatever else is granted.
    pub fn deny_resolve(&mut self, pattern: NamePattern) {
        self.denied.add_names(pattern);
    }

    /// Refuses a socket of the host's own at this address, whatever else is granted: to reach it, by any
    /// writing of its address, and to have it.
    pub fn reserve_address(&mut self, address: SocketAddr) {
        self.reserved.add_address(address);
    }

    /// Refuses a socket of the host's own that has its name in this file, by whatever name.
    pub fn reserve_file(&mut self, file: FileId) {
        self.reserved.add_file(file);
    }

    /// Is a [file](Self::check_file) to be asked for?
    pub(crate) fn reserves_files(&self) -> bool {
        self.reserved.has_files()
    }

    /// May `wish` lead to this file?
    ///
    /// # Errors
    ///
    /// As for [`check`](Self::check), which does not ask it.
    pub(crate) fn check_file(&self, wish: Use<'_>, file: FileId) -> Result<(), Denial> {
        match self.reserved.has_file(file) {
            true => Err(Denial::by_rule(wish, reserved::RULE)),
            false => Ok(()),
        }
    }

    /// Calls `check` for every use that the grants allow: if it returns `false`, or panics,
    /// the use is refused. With several checks, all are called.
    pub fn add_check(&mut self, check: impl Fn(Use<'_>) -> bool + Send + Sync + 'static) {
        self.checks.push(Arc::new(check));
    }

    /// Could the guest be shown any address of the host?
    pub(crate) fn shows_addresses(&self) -> bool {
        !self.listen.hosts.is_empty() || !self.udp_bind.hosts.is_empty() || !self.published.is_empty()
    }

    /// Does the guest see that the host has this address: may a socket of it be there, at
    /// some port? The wildcard address is all addresses of its family, and that of IPv6 of
    /// both.
    pub(crate) fn shows(&self, ip: IpAddr) -> bool {
        let six = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let wildcards = if ip.is_ipv4() { [Ipv4Addr::UNSPECIFIED.into(), six] } else { [six, six] };
        let is_published = |at: IpAddr| at == ip.to_canonical() || wildcards.contains(&at);
        self.published.iter().any(|publish| publish.ip().is_none_or(is_published))
            || [&self.listen, &self.udp_bind]
                .into_iter()
                .any(|granted| granted.has_host(ip) || wildcards.iter().any(|it| granted.has_host(*it)))
    }

    /// The networks that the guest may connect or send to, at some port.
    pub(crate) fn destinations(&self) -> Vec<IpNet> {
        let granted: Vec<_> = self.connect.hosts.iter().chain(&self.udp_send.hosts).copied().collect();
        IpNet::aggregate(&granted)
    }

    /// Puts those of `addresses` first to which the guest may connect or send: at `port`, or at
    /// some port where that is `None`. The order stays otherwise: it is the resolver's
    /// judgement of what is near. No [check](Self::add_check) is called.
    pub(crate) fn put_reachable_first(&self, addresses: &mut [IpAddr], port: Option<u16>) {
        addresses.sort_by_key(|address| !self.reaches(*address, port));
    }

    fn reaches(&self, ip: IpAddr, port: Option<u16>) -> bool {
        let Some(port) = port else {
            return self.connect.has_host(ip) || self.udp_send.has_host(ip) || self.has_named_host(ip);
        };
        let there = SocketAddr::new(ip, port);
        [Use::TcpConnect(there), Use::UdpSend(there)]
            .into_iter()
            .any(|wish| self.grants(wish) && self.denied.find(wish).is_none())
    }

    /// Where the host has what the guest wants to have at the address of `wish`, if that port
    /// is published; as a use of the host's address.
    fn published<'a>(&self, wish: Use<'a>) -> Option<Use<'a>> {
        let (protocol, address) = match wish {
            Use::TcpListen(address) => (Protocol::Tcp, address),
            Use::UdpBind(address) => (Protocol::Udp, address),
            _ => return None,
        };
        let there = self.published.iter().find_map(|publish| publish.place(protocol, address))?;
        Some(match protocol {
            Protocol::Tcp => Use::TcpListen(there),
            Protocol::Udp => Use::UdpBind(there),
        })
    }

    /// The host's address for that of `wish`, if that port is published.
    pub(crate) fn published_at(&self, wish: Use<'_>) -> Option<SocketAddr> {
        self.published(wish).and_then(|there| there.address())
    }

    /// May the guest do this? Having a socket at a port that is [published](Self::publish) is
    /// having one at the host's address.
    ///
    /// # Errors
    ///
    /// The refusal; a guest sees it as `EACCES`.
    pub fn check(&self, wish: Use<'_>) -> Result<(), Denial> {
        if let Some(there) = self.published(wish) {
            return self.narrow(there);
        }
        // First, because no grant would help.
        self.check_denied(wish)?;
        if !self.grants(wish) {
            return Err(self.ungranted(wish));
        }
        self.ask(wish)
    }

    /// May a datagram go to this address, to which the socket `may_answer` if it has sent there?
    /// Replies need no grant; an address that is denied, or that a check refuses, gets no reply either.
    ///
    /// # Errors
    ///
    /// As for [`check`](Self::check).
    pub fn check_send(&self, to: SocketAddr, may_answer: impl FnOnce() -> bool) -> Result<(), Denial> {
        let wish = Use::UdpSend(to);
        self.check_denied(wish)?;
        if !self.grants(wish) && !may_answer() {
            return Err(self.ungranted(wish));
        }
        self.ask(wish)
    }

    /// Has a UDP socket send to granted addresses only. Otherwise it may also answer: an
    /// address that has sent to it lately needs no grant.
    pub fn set_udp_strict(&mut self, is_strict: bool) {
        self.is_udp_strict = is_strict;
    }

    /// May a UDP socket that was bound under a grant reply to addresses without a grant to send?
    pub fn lets_answer(&self) -> bool {
        !self.is_udp_strict
    }

    /// Asks what can only refuse, for what is granted already: a port that the host chose,
    /// where the choice was.
    ///
    /// # Errors
    ///
    /// As for [`check`](Self::check).
    pub(crate) fn narrow(&self, wish: Use<'_>) -> Result<(), Denial> {
        self.check_denied(wish)?;
        self.ask(wish)
    }

    fn check_denied(&self, wish: Use<'_>) -> Result<(), Denial> {
        if self.reserved.has(wish) {
            return Err(Denial::by_rule(wish, reserved::RULE));
        }
        match self.denied.find(wish) {
            Some(rule) => Err(Denial::by_rule(wish, format!("{rule} forbids it"))),
            None => Ok(()),
        }
    }

    /// Is it granted?
    fn grants(&self, wish: Use<'_>) -> bool {
        match wish {
            Use::TcpListen(address) => holds(&self.listen.networks, address),
            Use::TcpAccept(peer) | Use::UdpReceive(peer) => {
                self.accept_from.as_ref().is_none_or(|pool| holds(pool, peer))
            }
            Use::TcpConnect(address) => holds(&self.connect.networks, address) || self.grants_by_name(wish),
            Use::UdpBind(address) => holds(&self.udp_bind.networks, address),
            Use::UdpSend(address) => holds(&self.udp_send.networks, address) || self.grants_by_name(wish),
            Use::UnixListen(path) => self.listen.has_path(path),
            Use::UnixConnect(path) => self.connect.has_path(path),
            Use::Resolve(name) => {
                self.resolve.iter().any(|pattern| pattern.matches(name)) || self.is_named(name)
            }
        }
    }

    /// Asks the embedder's own checks.
    fn ask(&self, wish: Use<'_>) -> Result<(), Denial> {
        for check in &self.checks {
            // An embedder's mistake must neither end the guest's thread nor let it through.
            match catch_unwind(AssertUnwindSafe(|| check(wish))) {
                Ok(true) => {}
                Ok(false) => return Err(Denial::by_rule(wish, "the host's own check refuses it")),
                Err(_) => return Err(Denial::by_rule(wish, "the host's own check panicked")),
            }
        }
        Ok(())
    }
}

fn holds(pool: &Pool, address: SocketAddr) -> bool {
    let canonical: IpAddr = address.ip().to_canonical();
    pool.check_addr(&SocketAddr::new(canonical, address.port())).is_ok()
}
