//! Sockets.

use wiggle::{GuestMemory, GuestPtr};

use super::address;
use super::bindings::types;
use super::bindings::wasix_socket::WasixSocket;
use crate::abi::call::Call;
use crate::abi::flags;
use crate::abi::memory::{Buffers, check_out_value, write_count, write_flags};
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::process::Thread;
use crate::socket::{Family, Kind, Status};

impl WasixSocket for Call<'_> {
    fn sock_open(
        &mut self,
        memory: &mut GuestMemory<'_>,
        af: u32,
        socktype: u32,
        proto: u32,
        ret_fd: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, ret_fd)?;
        let (family, kind) = (family(af)?, kind(socktype, self.personality.is_first_generation)?);
        // "EPROTONOSUPPORT: The protocol is not supported" - socket(3p)
        let protocol = u16::try_from(proto).map_err(|_| Errno::EPROTONOSUPPORT)?;
        let fd = self.open_new_socket(family, kind, protocol)?;
        Ok(memory.write(ret_fd, fd)?)
    }

    fn sock_bind(&mut self, memory: &mut GuestMemory<'_>, fd: u32, addr: GuestPtr<u8>) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        let address = address::read(memory, addr, self.address_width())?;
        self.bind_as(memory, socket, address)
    }

    fn sock_listen(&mut self, _: &mut GuestMemory<'_>, fd: u32, backlog: u32) -> Result<(), Error> {
        self.annotation = Some(self.listen(fd, backlog)?);
        Ok(())
    }

    fn sock_accept(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        flags: u32,
        ret_fd: GuestPtr<u32>,
        addr: GuestPtr<u8>,
    ) -> Result<(), Error> {
        self.sock_accept_v2(memory, fd, flags, ret_fd, addr)
    }

    fn sock_accept_v2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        flags: u32,
        ret_fd: GuestPtr<u32>,
        addr: GuestPtr<u8>,
    ) -> Result<(), Error> {
        let listener = self.socket(fd, Rights::SOCK_ACCEPT)?;
        check_out_value(memory, ret_fd)?;
        let room = self.address_width();
        address::check(memory, addr, listener.socket.family(), room)?;
        let nonblocking = flags::accept(flags)?;
        self.accept_as(memory, listener, nonblocking, move |memory, accepted, peer| {
            memory.write(ret_fd, accepted)?;
            address::write(memory, addr, peer, room)
        })
    }

    fn sock_connect(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<u8>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_CONNECT)?;
        let address = address::read_peer(memory, addr, self.address_width())?;
        self.connect_as(socket, address)
    }

    fn sock_recv_from(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::IovecArray,
        flags: u32,
        ret_n: GuestPtr<u32>,
        ret_roflags: GuestPtr<u16>,
        addr: GuestPtr<u8>,
    ) -> Result<(), Error> {
        let open = self.open_socket(fd, Rights::SOCK_RECV_FROM)?;
        check_out_value(memory, ret_n)?;
        check_out_value(memory, ret_roflags)?;
        let room = self.address_width();
        address::check(memory, addr, open.open.socket()?.family(), room)?;
        let buffers = Buffers::read(memory, iovs)?;
        let flags = flags::receive(flags)?;
        self.receive_as(memory, open, buffers, flags, move |memory, open, received| {
            let from = match received.from {
                Some(from) => from,
                // The C library's `recvfrom` comes here for streams too: their data is from
                // the peer.
                None => open.open.socket()?.peer_address()?,
            };
            write_count(memory, ret_n, received.length)?;
            write_flags(memory, ret_roflags, received.flags)?;
            address::write(memory, addr, &from, room)
        })
    }

    fn sock_send_to(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::CiovecArray,
        flags: u32,
        addr: GuestPtr<u8>,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let open = self.open_socket(fd, Rights::SOCK_SEND_TO)?;
        check_out_value(memory, ret_n)?;
        let buffers = Buffers::read(memory, iovs)?;
        let to = address::read(memory, addr, self.address_width())?;
        let dont_wait = flags::send(flags)?;
        self.write_as(memory, open, buffers, dont_wait, Some(to), ret_n)
    }

    fn sock_send_file(
        &mut self,
        memory: &mut GuestMemory<'_>,
        out_fd: u32,
        in_fd: u32,
        offset: u64,
        count: u64,
        ret_n: GuestPtr<u64>,
    ) -> Result<(), Error> {
        let out = self.send_target(out_fd)?;
        let source = self.send_source(in_fd, offset)?;
        check_out_value(memory, ret_n)?;
        Err(self.wait(move |call, memory| {
            Box::pin(async move {
                let sent = call.send_file(&out, &source, count).await?;
                Ok(memory.write(ret_n, sent)?)
            })
        }))
    }

    fn sock_status(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u8, Error> {
        let socket = self.socket(fd, Rights::NONE)?;
        Ok(match socket.socket.status()? {
            Status::Opening => 0,
            Status::Opened => 1,
            Status::Closed => 2,
            Status::Failed => 3,
        })
    }

    fn sock_addr_local(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<u8>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_ADDR_LOCAL)?;
        let local = socket.socket.shown_address()?;
        address::write(memory, addr, &local, self.address_width())
    }

    fn sock_addr_peer(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<u8>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_ADDR_REMOTE)?;
        // "ENOTCONN: The socket is not connected" - getpeername(3p)
        let peer = socket.socket.peer_address()?;
        address::write(memory, addr, &peer, self.address_width())
    }
}

impl Thread {
    /// The size of the program's addresses.
    pub(super) fn address_width(&self) -> address::AddressWidth {
        if self.personality.wide_addresses {
            address::AddressWidth::Wide
        } else {
            address::AddressWidth::Narrow
        }
    }
}

/// # Errors
///
/// `EAFNOSUPPORT` for what is neither IPv4 (1) nor IPv6 (2) nor Unix (3).
pub(super) fn family(number: u32) -> Result<Family, Errno> {
    match number {
        1 => Ok(Family::Inet4),
        2 => Ok(Family::Inet6),
        3 => Ok(Family::Unix),
        // "EAFNOSUPPORT: The implementation does not support the specified address
        // family." - socket(3p)
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// # Errors
///
/// `ENOTSUP` for raw, `EINVAL` for an unknown number.
pub(super) fn kind(number: u32, is_first_generation: bool) -> Result<Kind, Errno> {
    match (number, is_first_generation) {
        (1, _) => Ok(Kind::Stream),
        (0, true) | (2, false) => Ok(Kind::Datagram),
        (3, true) | (4, false) => Ok(Kind::SeqPacket),
        // Raw.
        (2, true) | (3, false) => Err(Errno::ENOTSUP),
        _ => Err(Errno::EINVAL),
    }
}

/// The number of a kind, as [`kind`] reads it.
pub(super) fn kind_number(kind: Kind, is_first_generation: bool) -> u32 {
    match (kind, is_first_generation) {
        (Kind::Stream, _) => 1,
        (Kind::Datagram, true) => 0,
        (Kind::Datagram, false) => 2,
        (Kind::SeqPacket, true) => 3,
        (Kind::SeqPacket, false) => 4,
    }
}
