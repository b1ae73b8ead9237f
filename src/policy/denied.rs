//! What is refused whatever was granted.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::grant::Addresses;
use super::path::PathPattern;
use super::{Grant, NamePattern, Use, Verb};
use crate::address::{Address, UnixName};

/// The denials of one guest, in the order in which they were given.
#[derive(Clone, Default)]
pub(super) struct Denied {
    /// With the verb that each is for; all of them where there is none.
    addresses: Vec<(Option<Verb>, Grant)>,
    peers: Vec<IpNet>,
    names: Vec<NamePattern>,
}

impl Denied {
    pub(super) fn add(&mut self, verb: Option<Verb>, denied: Grant) {
        // Nobody knows all addresses that a name leads to, so none at its ports is let through.
        let denied = match denied.0 {
            Addresses::Named(named) => named.anywhere(),
            _ => denied,
        };
        self.addresses.push((verb, denied));
    }

    pub(super) fn add_peers(&mut self, network: IpNet) {
        self.peers.push(network);
    }

    pub(super) fn add_names(&mut self, pattern: NamePattern) {
        self.names.push(pattern);
    }

    /// The paths that are refused for `verb`.
    pub(super) fn paths(&self, verb: Verb) -> impl Iterator<Item = &PathPattern> {
        let is_for = move |it: &Option<Verb>| it.is_none_or(|it| it == verb);
        let denied = self.addresses.iter().filter(move |(verb, _)| is_for(verb));
        denied.filter_map(|(_, denied)| match &denied.0 {
            Addresses::Unix(pattern) => Some(pattern),
            Addresses::Inet { .. } | Addresses::Named(_) => None,
        })
    }

    /// Is any peer refused?
    pub(super) fn has_peers(&self) -> bool {
        !self.peers.is_empty()
    }

    /// The rule that refuses `wish`, as the operator wrote it.
    pub(super) fn find(&self, wish: Use<'_>) -> Option<String> {
        match wish {
            Use::TcpListen(address) => self.find_address(Verb::Listen, |it| it.takes_part_of(address)),
            Use::UdpBind(address) => self.find_address(Verb::UdpBind, |it| it.takes_part_of(address)),
            Use::TcpConnect(address) => self.find_inet(Verb::Connect, address),
            Use::UdpSend(address) => self.find_inet(Verb::UdpSend, address),
            Use::UnixListen(path) => self.find_path(Verb::Listen, path),
            Use::UnixConnect(path) => self.find_path(Verb::Connect, path),
            Use::TcpAccept(peer) | Use::UdpReceive(peer) => self.find_peer(peer.ip()),
            Use::Resolve(name) => {
                let found = self.names.iter().find(|pattern| pattern.matches(name));
                found.map(|pattern| format!("--deny-resolve {pattern}"))
            }
        }
    }

    fn find_inet(&self, verb: Verb, address: SocketAddr) -> Option<String> {
        self.find_address(verb, |it| it.covers(&Address::Inet(address)))
    }

    fn find_path(&self, verb: Verb, path: &str) -> Option<String> {
        if self.addresses.is_empty() {
            return None;
        }
        let name = Address::Unix(UnixName::new(path));
        self.find_address(verb, |it| it.covers(&name))
    }

    fn find_address(&self, verb: Verb, refuses: impl Fn(&Grant) -> bool) -> Option<String> {
        let is_for = |it: &Option<Verb>| it.is_none_or(|it| it == verb);
        let found = self.addresses.iter().find(|(verb, denied)| is_for(verb) && refuses(denied));
        found.map(|(verb, denied)| {
            let flag = match verb {
                None => "--deny",
                Some(Verb::Listen) => "--deny-listen",
                Some(Verb::Connect) => "--deny-connect",
                Some(Verb::UdpBind) => "--deny-udp-bind",
                Some(Verb::UdpSend) => "--deny-udp-send",
            };
            format!("{flag} {denied}")
        })
    }

    fn find_peer(&self, peer: IpAddr) -> Option<String> {
        let peer = peer.to_canonical();
        let found = self.peers.iter().find(|network| network.contains(&peer));
        found.map(|network| format!("--deny-from {network}"))
    }
}
