//! Sockets.

use wiggle::{GuestMemory, GuestPtr};

use super::address;
use super::bindings::types;
use super::bindings::wamr_socket::WamrSocket;
use crate::abi::call::Call;
use crate::abi::memory::check_out_value;
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::socket::{Family, Kind};

const DATAGRAM: u32 = 0;
const STREAM: u32 = 1;

impl WamrSocket for Call<'_> {
    // What a socket may do at which address is granted to the program, and no matter of `pool`.
    fn sock_open(
        &mut self,
        memory: &mut GuestMemory<'_>,
        _pool: u32,
        af: u32,
        socktype: u32,
        ret_fd: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, ret_fd)?;
        let family = family(af)?.ok_or(Errno::EAFNOSUPPORT)?;
        let fd = self.open_new_socket(family, kind(socktype)?, 0)?;
        Ok(memory.write(ret_fd, fd)?)
    }

    fn sock_bind(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Addr>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        let address = address::read(memory, addr)?;
        self.bind_as(memory, socket, address)
    }

    fn sock_listen(&mut self, _: &mut GuestMemory<'_>, fd: u32, backlog: u32) -> Result<(), Error> {
        self.annotation = Some(self.listen(fd, backlog)?);
        Ok(())
    }

    fn sock_connect(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Addr>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_CONNECT)?;
        let address = address::read(memory, addr)?;
        self.connect_as(socket, Some(address))
    }

    fn sock_close(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<(), Error> {
        self.socket(fd, Rights::NONE)?;
        Ok(self.close_descriptor(fd)?)
    }
}

/// The family of a number, `None` for any.
///
/// # Errors
///
/// `EAFNOSUPPORT` for an unknown number.
pub(super) fn family(number: u32) -> Result<Option<Family>, Errno> {
    match number {
        0 => Ok(Some(Family::Inet4)),
        1 => Ok(Some(Family::Inet6)),
        2 => Ok(None),
        // "EAFNOSUPPORT: The implementation does not support the specified address
        // family." - socket(3p)
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// # Errors
///
/// `EINVAL` for an unknown number.
pub(super) fn kind(number: u32) -> Result<Kind, Errno> {
    match number {
        DATAGRAM => Ok(Kind::Datagram),
        STREAM => Ok(Kind::Stream),
        _ => Err(Errno::EINVAL),
    }
}

/// The number of a kind, as [`kind`] reads it.
pub(super) fn kind_number(kind: Kind) -> u32 {
    match kind {
        Kind::Datagram => DATAGRAM,
        Kind::Stream | Kind::SeqPacket => STREAM,
    }
}
