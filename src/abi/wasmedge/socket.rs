//! Sockets.

use wiggle::{GuestMemory, GuestPtr};

use super::address;
use super::bindings::types;
use super::bindings::wasmedge_socket::WasmedgeSocket;
use crate::abi::call::Call;
use crate::abi::memory::check_out_value;
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::socket::{Family, Kind};

impl WasmedgeSocket for Call<'_> {
    fn sock_open(
        &mut self,
        memory: &mut GuestMemory<'_>,
        af: u32,
        socktype: u32,
        ret_fd: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, ret_fd)?;
        // No program of 0.10 or later opens a socket of no family: this is an older one, which imports
        // nothing that tells.
        let counts_from_zero = self.personality.counts_from_zero || af == 0;
        let (family, kind) = (family(af, counts_from_zero)?, kind(socktype, counts_from_zero)?);
        let fd = self.open_new_socket(family, kind, 0)?;
        Ok(memory.write(ret_fd, fd)?)
    }

    fn sock_open_v2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        af: u32,
        socktype: u32,
        ret_fd: GuestPtr<u32>,
    ) -> Result<(), Error> {
        self.sock_open(memory, af, socktype, ret_fd)
    }

    fn sock_bind(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Address>,
        port: u32,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        let address = address::read(memory, addr, port)?.known()?.ok_or(Errno::EAFNOSUPPORT)?;
        self.bind_as(memory, socket, address)
    }

    fn sock_bind_v2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Address>,
        port: u32,
    ) -> Result<(), Error> {
        self.sock_bind(memory, fd, addr, port)
    }

    fn sock_listen(&mut self, _: &mut GuestMemory<'_>, fd: u32, backlog: u32) -> Result<(), Error> {
        self.annotation = Some(self.listen(fd, backlog)?);
        Ok(())
    }

    fn sock_listen_v2(&mut self, memory: &mut GuestMemory<'_>, fd: u32, backlog: u32) -> Result<(), Error> {
        self.sock_listen(memory, fd, backlog)
    }

    fn sock_accept_v1(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        ret_fd: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let listener = self.socket(fd, Rights::SOCK_ACCEPT)?;
        check_out_value(memory, ret_fd)?;
        self.accept_as(
            memory,
            listener,
            false,
            move |memory, accepted, _| Ok(memory.write(ret_fd, accepted)?),
        )
    }

    fn sock_connect(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Address>,
        port: u32,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_CONNECT)?;
        let address = address::read(memory, addr, port)?.known()?;
        self.connect_as(socket, address)
    }

    fn sock_connect_v2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Address>,
        port: u32,
    ) -> Result<(), Error> {
        self.sock_connect(memory, fd, addr, port)
    }
}

/// # Errors
///
/// `EAFNOSUPPORT` for what is neither IPv4 nor IPv6 nor Unix.
pub(super) fn family(number: u32, counts_from_zero: bool) -> Result<Family, Errno> {
    match (number, counts_from_zero) {
        (0, true) | (1, false) => Ok(Family::Inet4),
        (1, true) | (2, false) => Ok(Family::Inet6),
        (3, _) => Ok(Family::Unix),
        // "EAFNOSUPPORT: The implementation does not support the specified address
        // family." - socket(3p)
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// # Errors
///
/// `EINVAL` for an unknown number, and for any kind.
fn kind(number: u32, counts_from_zero: bool) -> Result<Kind, Errno> {
    match (number, counts_from_zero) {
        (0, true) | (1, false) => Ok(Kind::Datagram),
        (1, true) | (2, false) => Ok(Kind::Stream),
        _ => Err(Errno::EINVAL),
    }
}

/// The number of a kind, as [`kind`] reads it.
pub(super) fn kind_number(kind: Kind, counts_from_zero: bool) -> i32 {
    let first = if counts_from_zero { 0 } else { 1 };
    match kind {
        Kind::Datagram => first,
        Kind::Stream | Kind::SeqPacket => first + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_with_0_before_0_10() {
        assert_eq!([family(0, true), family(1, true)], [Ok(Family::Inet4), Ok(Family::Inet6)]);
        assert_eq!([family(1, false), family(2, false)], [Ok(Family::Inet4), Ok(Family::Inet6)]);
        assert_eq!(family(0, false), Err(Errno::EAFNOSUPPORT));
        assert_eq!([kind(0, true), kind(1, true)], [Ok(Kind::Datagram), Ok(Kind::Stream)]);
        assert_eq!([kind(1, false), kind(2, false)], [Ok(Kind::Datagram), Ok(Kind::Stream)]);
        for (number, counts_from_zero) in [(0, false), (3, false), (2, true), (u32::MAX, true)] {
            assert_eq!(kind(number, counts_from_zero), Err(Errno::EINVAL), "{number}");
        }
        for kind_of in [Kind::Datagram, Kind::Stream] {
            for counts_from_zero in [false, true] {
                let number = u32::try_from(kind_number(kind_of, counts_from_zero)).unwrap_or(u32::MAX);
                assert_eq!(kind(number, counts_from_zero), Ok(kind_of));
            }
        }
    }
}
