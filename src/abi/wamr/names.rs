//! The addresses of a socket.

use wiggle::{GuestMemory, GuestPtr};

use super::address;
use super::bindings::types;
use super::bindings::wamr_address::WamrAddress;
use crate::abi::call::Call;
use crate::abi::memory::check_out_value;
use crate::error::Error;
use crate::fd::Rights;

impl WamrAddress for Call<'_> {
    fn sock_addr_local(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Addr>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_ADDR_LOCAL)?;
        check_out_value(memory, addr)?;
        address::write(memory, addr, &socket.socket.shown_address()?)
    }

    fn sock_addr_remote(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        addr: GuestPtr<types::Addr>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_ADDR_REMOTE)?;
        check_out_value(memory, addr)?;
        // "ENOTCONN: The socket is not connected" - getpeername(3p)
        address::write(memory, addr, &socket.socket.peer_address()?)
    }
}
