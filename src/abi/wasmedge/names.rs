//! The addresses of a socket.

use wiggle::{GuestMemory, GuestPtr};

use super::address;
use super::bindings::types;
use super::bindings::wasmedge_address::WasmedgeAddress;
use crate::abi::call::Call;
use crate::abi::memory::Region;
use crate::address::Address;
use crate::error::Error;
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
