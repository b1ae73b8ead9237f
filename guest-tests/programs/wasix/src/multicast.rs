//! Groups of multicast.

use crate::{Fd, Result, address_of, outcome, raw};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The 24 bytes of an address with its flow and scope.
fn addr_ip6(group: Ipv6Addr) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&group.octets());
    bytes
}

pub fn join_v4(fd: Fd, group: Ipv4Addr, interface: Ipv4Addr) -> Result<()> {
    let (group, interface) = (group.octets(), interface.octets());
    outcome(unsafe { raw::wasix::sock_join_multicast_v4(fd, address_of(&group), address_of(&interface)) })
}

pub fn leave_v4(fd: Fd, group: Ipv4Addr, interface: Ipv4Addr) -> Result<()> {
    let (group, interface) = (group.octets(), interface.octets());
    outcome(unsafe { raw::wasix::sock_leave_multicast_v4(fd, address_of(&group), address_of(&interface)) })
}

pub fn join_v6(fd: Fd, group: Ipv6Addr, interface: u32) -> Result<()> {
    outcome(unsafe { raw::wasix::sock_join_multicast_v6(fd, address_of(&addr_ip6(group)), interface) })
}

pub fn leave_v6(fd: Fd, group: Ipv6Addr, interface: u32) -> Result<()> {
    outcome(unsafe { raw::wasix::sock_leave_multicast_v6(fd, address_of(&addr_ip6(group)), interface) })
}
