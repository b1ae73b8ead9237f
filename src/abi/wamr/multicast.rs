//! Groups of multicast. To be in one is as to have its address, and asks the same right.

use std::net::{IpAddr, Ipv4Addr};

use wiggle::{GuestMemory, GuestPtr};

use super::address::read_ip;
use super::bindings::types;
use super::bindings::wamr_multicast::WamrMulticast;
use crate::abi::call::Call;
use crate::error::Error;
use crate::fd::Rights;
use crate::socket::{FlagOption, Membership, SizeOption};

impl WamrMulticast for Call<'_> {
    fn sock_set_ip_multicast_ttl(
        &mut self,
        _: &mut GuestMemory<'_>,
        fd: u32,
        hops: u32,
    ) -> Result<(), Error> {
        self.set_number(fd, SizeOption::MulticastTimeToLiveV4, hops)
    }

    fn sock_get_ip_multicast_ttl(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u8, Error> {
        self.small_number(fd, SizeOption::MulticastTimeToLiveV4)
    }

    fn sock_set_ip_multicast_loop(
        &mut self,
        _: &mut GuestMemory<'_>,
        fd: u32,
        is_ipv6: u32,
        flag: u32,
    ) -> Result<(), Error> {
        self.set_option(fd, loop_of(is_ipv6), flag)
    }

    fn sock_get_ip_multicast_loop(
        &mut self,
        _: &mut GuestMemory<'_>,
        fd: u32,
        is_ipv6: u32,
    ) -> Result<u8, Error> {
        self.option(fd, loop_of(is_ipv6))
    }

    fn sock_set_ip_add_membership(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        group: GuestPtr<types::AddrIp>,
        interface: u32,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        let group = membership(read_ip(memory, group)?, interface);
        let outcome = socket.socket.join(group, self.process().policy());
        self.process().answer("sock_set_ip_add_membership", outcome)
    }

    fn sock_set_ip_drop_membership(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        group: GuestPtr<types::AddrIp>,
        interface: u32,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        let group = membership(read_ip(memory, group)?, interface);
        Ok(socket.socket.leave(group)?)
    }
}

fn loop_of(is_ipv6: u32) -> FlagOption {
    if is_ipv6 == 0 { FlagOption::MulticastLoopV4 } else { FlagOption::MulticastLoopV6 }
}

/// An interface is an IPv4 address in network order, or else an index.
fn membership(group: IpAddr, interface: u32) -> Membership {
    match group {
        IpAddr::V4(group) => Membership::V4(group, Ipv4Addr::from(interface.to_le_bytes())),
        IpAddr::V6(group) => Membership::V6(group, interface),
    }
}
