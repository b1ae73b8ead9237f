//! Options of TCP and of IP.

use wiggle::GuestMemory;

use super::bindings::wamr_tcp::WamrTcp;
use crate::abi::call::Call;
use crate::error::Error;
use crate::socket::{FlagOption, SizeOption};

impl WamrTcp for Call<'_> {
    fn sock_set_tcp_no_delay(&mut self, _: &mut GuestMemory<'_>, fd: u32, flag: u32) -> Result<(), Error> {
        self.set_option(fd, FlagOption::NoDelay, flag)
    }

    fn sock_get_tcp_no_delay(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u8, Error> {
        self.option(fd, FlagOption::NoDelay)
    }

    fn sock_set_tcp_quick_ack(&mut self, _: &mut GuestMemory<'_>, fd: u32, flag: u32) -> Result<(), Error> {
        self.set_option(fd, FlagOption::QuickAck, flag)
    }

    fn sock_get_tcp_quick_ack(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u8, Error> {
        self.option(fd, FlagOption::QuickAck)
    }

    fn sock_set_tcp_fastopen_connect(
        &mut self,
        _: &mut GuestMemory<'_>,
        fd: u32,
        flag: u32,
    ) -> Result<(), Error> {
        self.set_option(fd, FlagOption::FastOpenConnect, flag)
    }

    fn sock_get_tcp_fastopen_connect(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u8, Error> {
        self.option(fd, FlagOption::FastOpenConnect)
    }

    fn sock_set_tcp_keep_idle(
        &mut self,
        _: &mut GuestMemory<'_>,
        fd: u32,
        seconds: u32,
    ) -> Result<(), Error> {
        self.set_number(fd, SizeOption::KeepAliveIdle, seconds)
    }

    fn sock_get_tcp_keep_idle(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u32, Error> {
        self.number(fd, SizeOption::KeepAliveIdle)
    }

    fn sock_set_tcp_keep_intvl(
        &mut self,
        _: &mut GuestMemory<'_>,
        fd: u32,
        seconds: u32,
    ) -> Result<(), Error> {
        self.set_number(fd, SizeOption::KeepAliveInterval, seconds)
    }

    fn sock_get_tcp_keep_intvl(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u32, Error> {
        self.number(fd, SizeOption::KeepAliveInterval)
    }

    fn sock_set_ip_ttl(&mut self, _: &mut GuestMemory<'_>, fd: u32, hops: u32) -> Result<(), Error> {
        self.set_number(fd, SizeOption::TimeToLive, hops)
    }

    fn sock_get_ip_ttl(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u8, Error> {
        self.small_number(fd, SizeOption::TimeToLive)
    }

    fn sock_set_ipv6_only(&mut self, _: &mut GuestMemory<'_>, fd: u32, flag: u32) -> Result<(), Error> {
        self.set_option(fd, FlagOption::OnlyV6, flag)
    }

    fn sock_get_ipv6_only(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u8, Error> {
        self.option(fd, FlagOption::OnlyV6)
    }
}
