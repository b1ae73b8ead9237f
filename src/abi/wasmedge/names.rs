//! The addresses of a socket.

use wiggle::{GuestMemory, GuestPtr};

use super::address;
use super::bindings::types;
use super::bindings::wasmedge_address::WasmedgeAddress;
use crate::abi::call::Call;
use crate::abi::memory::Region;
use crate::address::Address;
use crate::error::{Errno, Error};
use crate::fd::Rights;

impl WasmedgeAddress for Call<'_> {
    fn sock_getlocaladdr_v1(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Address>,
        ret_type: GuestPtr<u32>,
        ret_port: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let asked = self.asked(memory, fd, Side::Local, addr, address::check_length)?;
        tell(memory, asked, Some(ret_type), ret_port)
    }

    fn sock_getlocaladdr_v2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Address>,
        ret_port: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let asked = self.asked(memory, fd, Side::Local, addr, address::check_is_storage)?;
        tell(memory, asked, None, ret_port)
    }

    fn sock_getpeeraddr_v1(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Address>,
        ret_type: GuestPtr<u32>,
        ret_port: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let asked = self.asked(memory, fd, Side::Peer, addr, address::check_length)?;
        tell(memory, asked, Some(ret_type), ret_port)
    }

    fn sock_getpeeraddr_v2(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Address>,
        ret_port: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let asked = self.asked(memory, fd, Side::Peer, addr, address::check_is_storage)?;
        tell(memory, asked, None, ret_port)
    }
}

/// Whose address is asked for.
enum Side {
    Local,
    Peer,
}

impl Call<'_> {
    /// The place for an address, and the address that goes there.
    fn asked(
        &self,
        memory: &GuestMemory<'_>,
        fd: u32,
        side: Side,
        addr: GuestPtr<types::Address>,
        check: fn(Region) -> Result<(), Errno>,
    ) -> Result<(Region, Address), Error> {
        let right = match side {
            Side::Local => Rights::SOCK_ADDR_LOCAL,
            Side::Peer => Rights::SOCK_ADDR_REMOTE,
        };
        let socket = self.socket(fd, right)?;
        let place = address::place(memory, addr)?;
        check(place)?;
        let address = match side {
            Side::Local => socket.socket.shown_address()?,
            // "ENOTCONN: The socket is not connected" - getpeername(3p)
            Side::Peer => socket.socket.peer_address()?,
        };
        Ok((place, address))
    }
}

/// Writes an address where one is asked for.
fn tell(
    memory: &mut GuestMemory<'_>,
    (place, address): (Region, Address),
    ret_type: Option<GuestPtr<u32>>,
    ret_port: GuestPtr<u32>,
) -> Result<(), Error> {
    address::write(memory, place, &address)?;
    if let Some(ret_type) = ret_type {
        memory.write(ret_type, address::type_of(&address))?;
    }
    Ok(memory.write(ret_port, address.port().unwrap_or(0).into())?)
}
