//! Sockets.

use wiggle::{GuestMemory, GuestPtr};

use super::address::{self, Given};
use super::bindings::types;
use super::bindings::wasmedge_socket::WasmedgeSocket;
use crate::abi::call::Call;
use crate::abi::flags;
use crate::abi::memory::{Buffers, Region, check_out_value};
use crate::abi::transfer::Answer;
use crate::address::Address;
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::process::OpenFile;
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
        match address::read(memory, addr, port)? {
            Given::Address(address) => self.bind_as(memory, socket, address),
            Given::NoFamily => Err(Errno::EAFNOSUPPORT.into()),
            Given::Nothing => Err(Errno::EINVAL.into()),
        }
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
        match address::read(memory, addr, port)? {
            Given::Address(address) => self.connect_as(socket, Some(address)),
            Given::NoFamily => self.connect_as(socket, None),
            Given::Nothing => Err(Errno::EINVAL.into()),
        }
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

    fn sock_recv_from_v1(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::IovecArray,
        addr: GuestPtr<types::Address>,
        flags: u32,
        ret_n: GuestPtr<u32>,
        ret_roflags: GuestPtr<u16>,
    ) -> Result<(), Error> {
        self.receive_from(
            memory,
            fd,
            iovs,
            addr,
            flags,
            Results { port: Port::None, ret_n, ret_roflags: Some(ret_roflags) },
        )
    }

    fn sock_recv_from_v2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::IovecArray,
        addr: GuestPtr<types::Address>,
        flags: u32,
        ret_port: GuestPtr<types::NetPort>,
        ret_n: GuestPtr<u32>,
        ret_roflags: GuestPtr<u16>,
    ) -> Result<(), Error> {
        let port = Port::Network(ret_port);
        self.receive_from(
            memory,
            fd,
            iovs,
            addr,
            flags,
            Results { port, ret_n, ret_roflags: Some(ret_roflags) },
        )
    }

    fn sock_recv_from_port(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::IovecArray,
        addr: GuestPtr<types::Address>,
        flags: u32,
        ret_port: GuestPtr<u32>,
        ret_n: GuestPtr<u32>,
        ret_roflags: GuestPtr<u16>,
    ) -> Result<(), Error> {
        let port = Port::Host(ret_port);
        self.receive_from(
            memory,
            fd,
            iovs,
            addr,
            flags,
            Results { port, ret_n, ret_roflags: Some(ret_roflags) },
        )
    }

    fn sock_recv_from_v0(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::IovecArray,
        addr: GuestPtr<types::Address>,
        flags: u32,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        self.receive_from(
            memory,
            fd,
            iovs,
            addr,
            flags,
            Results { port: Port::None, ret_n, ret_roflags: None },
        )
    }

    fn sock_send_to(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::CiovecArray,
        addr: GuestPtr<types::Address>,
        port: u32,
        flags: u32,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let open = self.open_socket(fd, Rights::SOCK_SEND_TO)?;
        check_out_value(memory, ret_n)?;
        let buffers = Buffers::read(memory, iovs)?;
        let to = match address::read(memory, addr, port)? {
            Given::Address(address) => Some(address),
            Given::NoFamily => return Err(Errno::EAFNOSUPPORT.into()),
            Given::Nothing => None,
        };
        let dont_wait = flags::send(flags)?;
        self.write_as(memory, open, buffers, dont_wait, to, ret_n)
    }

    fn sock_send_to_v2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::CiovecArray,
        addr: GuestPtr<types::Address>,
        port: u32,
        flags: u32,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        self.sock_send_to(memory, fd, iovs, addr, port, flags, ret_n)
    }

    fn sock_send_to_v0(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::CiovecArray,
        addr: GuestPtr<types::Address>,
        flags: u32,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let open = self.open_socket(fd, Rights::SOCK_SEND_TO)?;
        check_out_value(memory, ret_n)?;
        let buffers = Buffers::read(memory, iovs)?;
        address::place(memory, addr)?;
        let dont_wait = flags::send(flags)?;
        self.write_as(memory, open, buffers, dont_wait, None, ret_n)
    }

    fn sock_getlocaladdr_v1(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Address>,
        ret_type: GuestPtr<u32>,
        ret_port: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_ADDR_LOCAL)?;
        let place = address::place(memory, addr)?;
        address::check_length(place)?;
        tell(memory, place, &socket.socket.shown_address()?, Some(ret_type), ret_port)
    }

    fn sock_getlocaladdr_v2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Address>,
        ret_port: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_ADDR_LOCAL)?;
        let place = address::place(memory, addr)?;
        address::check_is_storage(place)?;
        tell(memory, place, &socket.socket.shown_address()?, None, ret_port)
    }

    fn sock_getpeeraddr_v1(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Address>,
        ret_type: GuestPtr<u32>,
        ret_port: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_ADDR_REMOTE)?;
        let place = address::place(memory, addr)?;
        address::check_length(place)?;
        // "ENOTCONN: The socket is not connected" - getpeername(3p)
        tell(memory, place, &socket.socket.peer_address()?, Some(ret_type), ret_port)
    }

    fn sock_getpeeraddr_v2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Address>,
        ret_port: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_ADDR_REMOTE)?;
        let place = address::place(memory, addr)?;
        address::check_is_storage(place)?;
        tell(memory, place, &socket.socket.peer_address()?, None, ret_port)
    }
}

/// Where a call that receives tells the port of the sender.
#[derive(Clone, Copy)]
enum Port {
    None,
    /// In network order.
    Network(GuestPtr<u16>),
    /// In the order of the guest.
    Host(GuestPtr<u32>),
}

/// Where a call that receives puts its results, besides the address.
struct Results {
    port: Port,
    ret_n: GuestPtr<u32>,
    ret_roflags: Option<GuestPtr<u16>>,
}

impl Port {
    fn check(self, memory: &GuestMemory<'_>) -> Result<(), Error> {
        match self {
            Self::None => Ok(()),
            Self::Network(at) => check_out_value(memory, at),
            Self::Host(at) => check_out_value(memory, at),
        }
    }

    fn write(self, memory: &mut GuestMemory<'_>, port: u16) -> Result<(), Error> {
        match self {
            Self::None => Ok(()),
            Self::Network(at) => Ok(memory.write(at, port.to_be())?),
            Self::Host(at) => Ok(memory.write(at, port.into())?),
        }
    }
}

impl Call<'_> {
    /// Receives, and tells from whom.
    fn receive_from(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::IovecArray,
        addr: GuestPtr<types::Address>,
        flags: u32,
        results: Results,
    ) -> Result<(), Error> {
        let open = self.open_socket(fd, Rights::SOCK_RECV_FROM)?;
        let Results { port, ret_n, ret_roflags } = results;
        check_out_value(memory, ret_n)?;
        if let Some(ret_roflags) = ret_roflags {
            check_out_value(memory, ret_roflags)?;
        }
        port.check(memory)?;
        let place = address::place(memory, addr)?;
        let buffers = Buffers::read(memory, iovs)?;
        let flags = flags::receive(flags)?;
        self.receive_as(memory, open, buffers, flags, move |memory, open, received| {
            memory.write(ret_n, received.length)?;
            if let Some(ret_roflags) = ret_roflags {
                memory.write(ret_roflags, received.flags)?;
            }
            match sender(open, received) {
                Some(from) => {
                    port.write(memory, from.port().unwrap_or(0))?;
                    // What was received is received, whether or not its sender fits.
                    match address::write(memory, place, &from) {
                        Err(Error::Errno(_)) => Ok(()),
                        written => written,
                    }
                }
                None => Ok(()),
            }
        })
    }
}

/// Who has sent what was received: of a connection its peer, as long as it is known.
fn sender(open: &OpenFile, received: Answer) -> Option<Address> {
    received.from.or_else(|| open.open.socket().ok()?.peer_address().ok())
}

/// Writes an address where one is asked for.
fn tell(
    memory: &mut GuestMemory<'_>,
    place: Region,
    address: &Address,
    ret_type: Option<GuestPtr<u32>>,
    ret_port: GuestPtr<u32>,
) -> Result<(), Error> {
    address::write(memory, place, address)?;
    if let Some(ret_type) = ret_type {
        memory.write(ret_type, address::type_of(address))?;
    }
    Ok(memory.write(ret_port, address.port().unwrap_or(0).into())?)
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
