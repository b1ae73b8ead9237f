//! Reaching out by name: which names may be looked up for it, and where they lead.
//!
//! The policy looks nothing up. It is told what was [found](Policy::note_found), and it says
//! [what to look up](Policy::names_to_look_up) before a refusal is final.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::grant::normal;
use super::named::NamedAddresses;
use super::{Denial, Policy, Use};
use crate::error::Errno;

impl Policy {
    /// Notes what the host has found for `name`, and for how long the resolver says that it counts.
    /// Only names of the grants are remembered.
    pub(crate) fn note_found(
        &self,
        name: &str,
        found: Result<&[IpAddr], Errno>,
        time_to_live: Option<Duration>,
    ) {
        if self.is_named(name) {
            self.found_names.note(&normal(name), found, time_to_live, Instant::now());
        }
    }

    /// The names to look up, one after the other until `wish` is [allowed](Self::check), before it
    /// is refused: those that may have its address, and of which that is not known. Mostly there are none.
    pub(crate) fn names_to_look_up(&self, wish: Use<'_>) -> Vec<String> {
        let Some((named, there)) = self.named_for(wish) else { return Vec::new() };
        if named.is_empty() || self.grants(wish) || self.check_denied(wish).is_err() {
            return Vec::new();
        }
        let now = Instant::now();
        let mut names = Vec::new();
        for named in named.iter().filter(|it| it.has_port(there.port()) && it.may_have(there.ip())) {
            for name in self.found_names.stale(&named.names, there.ip().to_canonical(), now) {
                if !names.contains(&name) && self.check(Use::Resolve(&name)).is_ok() {
                    names.push(name);
                }
            }
        }
        names
    }

    /// Does a grant to reach out have this name?
    pub(super) fn is_named(&self, name: &str) -> bool {
        let mut all = self.connect.named.iter().chain(&self.udp_send.named);
        all.any(|named| named.names.matches(name))
    }

    /// Does a name of the grants lead to the address of `wish`?
    pub(super) fn grants_by_name(&self, wish: Use<'_>) -> bool {
        self.named_for(wish).is_some_and(|(named, there)| {
            let mut fitting = named.iter().filter(|it| it.has_port(there.port()));
            fitting.any(|it| self.leads_to(it, there.ip()))
        })
    }

    /// Does a name of the grants lead to this address, at some port?
    pub(super) fn has_named_host(&self, ip: IpAddr) -> bool {
        let mut all = self.connect.named.iter().chain(&self.udp_send.named);
        all.any(|named| self.leads_to(named, ip))
    }

    fn leads_to(&self, named: &NamedAddresses, ip: IpAddr) -> bool {
        named.may_have(ip) && self.found_names.has(&named.names, ip.to_canonical(), Instant::now())
    }

    /// The grants by name that are for `wish`, and the address that it is about.
    fn named_for(&self, wish: Use<'_>) -> Option<(&[NamedAddresses], SocketAddr)> {
        match wish {
            Use::TcpConnect(there) => Some((&self.connect.named, there)),
            Use::UdpSend(there) => Some((&self.udp_send.named, there)),
            _ => None,
        }
    }

    /// The refusal of what no grant covers. Where a name of the grants has the address all the
    /// same, or where it is not known, it says why that is not enough.
    pub(super) fn ungranted(&self, wish: Use<'_>) -> Denial {
        let Some((named, there)) = self.named_for(wish) else { return Denial::ungranted(wish) };
        let (ip, now) = (there.ip().to_canonical(), Instant::now());
        let mut fitting = named.iter().filter(|it| it.has_port(there.port()));
        let found = fitting.clone().find_map(|it| self.found_names.name_of(&it.names, ip, now));
        if let Some(name) = found {
            return Denial::of_name_that_leads_inside(wish, &name, SocketAddr::new(ip, there.port()));
        }
        let failed = fitting.find_map(|it| Some((it, self.found_names.failure(&it.names)?)));
        match failed {
            Some((named, errno)) => Denial::of_name_without_address(wish, named, errno),
            None => Denial::ungranted(wish),
        }
    }
}
