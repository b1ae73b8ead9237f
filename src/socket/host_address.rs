//! The addresses that the host has.

use std::net::IpAddr;

use if_addrs::{IfAddr, get_if_addrs};
use ipnet::IpNet;

use crate::error::Errno;

/// An address of one of the host's interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// The address, and how much of it names its network.
    pub network: IpNet,
    /// The number of the interface, for a link-local address of IPv6; else 0.
    pub scope: u32,
}

impl HostAddress {
    /// All of them, as they are now. Asks the kernel, and blocks until it has replied.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptor left, and what else it reports.
    pub fn all() -> Result<Vec<Self>, Errno> {
        let interfaces = get_if_addrs().map_err(Errno::from)?;
        let addresses = interfaces.into_iter().filter_map(|interface| {
            let (ip, prefix) = match &interface.addr {
                IfAddr::V4(four) => (IpAddr::V4(four.ip), four.prefixlen),
                IfAddr::V6(six) => (IpAddr::V6(six.ip), six.prefixlen),
            };
            let is_of_a_link = matches!(ip, IpAddr::V6(six) if six.is_unicast_link_local());
            let scope = if is_of_a_link { interface.index.unwrap_or(0) } else { 0 };
            Some(Self { network: IpNet::new(ip, prefix).ok()?, scope })
        });
        Ok(addresses.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_its_loopback_address() -> Result<(), Box<dyn std::error::Error>> {
        let loopback = HostAddress { network: "127.0.0.1/8".parse()?, scope: 0 };
        assert!(HostAddress::all()?.contains(&loopback));
        Ok(())
    }
}
