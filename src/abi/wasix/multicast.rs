//! Groups of multicast. To be in one is as to have its address, and asks the same right.

use std::net::{Ipv4Addr, Ipv6Addr};

use wiggle::{GuestMemory, GuestPtr};

use super::address;
use super::bindings::types;
use super::bindings::wasix_multicast::WasixMulticast;
use crate::abi::call::Call;
use crate::error::Error;
use crate::fd::Rights;
use crate::socket::Membership;

impl WasixMulticast for Call<'_> {
    fn sock_join_multicast_v4(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        multiaddr: GuestPtr<types::AddrIp4>,
        interface: GuestPtr<types::AddrIp4>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        let group = Membership::V4(inet4(memory, multiaddr)?, inet4(memory, interface)?);
        let outcome = socket.socket.join(group, self.process().policy());
        self.process().answer("sock_join_multicast_v4", outcome)
    }

    fn sock_leave_multicast_v4(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        multiaddr: GuestPtr<types::AddrIp4>,
        interface: GuestPtr<types::AddrIp4>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        let group = Membership::V4(inet4(memory, multiaddr)?, inet4(memory, interface)?);
        Ok(socket.socket.leave(group)?)
    }

    fn sock_join_multicast_v6(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        multiaddr: GuestPtr<types::AddrIp6>,
        interface: u32,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        let group = Membership::V6(group(memory, multiaddr)?, interface);
        let outcome = socket.socket.join(group, self.process().policy());
        self.process().answer("sock_join_multicast_v6", outcome)
    }

    fn sock_leave_multicast_v6(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        multiaddr: GuestPtr<types::AddrIp6>,
        interface: u32,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        Ok(socket.socket.leave(Membership::V6(group(memory, multiaddr)?, interface))?)
    }
}

fn inet4(memory: &GuestMemory<'_>, at: GuestPtr<types::AddrIp4>) -> Result<Ipv4Addr, Error> {
    Ok(address::inet4(&memory.to_vec(GuestPtr::<u8>::new(at.offset()).as_array(4))?))
}

fn group(memory: &GuestMemory<'_>, at: GuestPtr<types::AddrIp6>) -> Result<Ipv6Addr, Error> {
    // The flow and the scope behind the address say nothing here.
    Ok(address::group(&memory.to_vec(GuestPtr::<u8>::new(at.offset()).as_array(24))?))
}
