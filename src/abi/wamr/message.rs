//! Messages: what names an address with each of them.

use wiggle::{GuestMemory, GuestPtr};

use super::address;
use super::bindings::types;
use super::bindings::wamr_message::WamrMessage;
use crate::abi::call::Call;
use crate::abi::flags;
use crate::abi::memory::{Buffers, check_out_value};
use crate::error::Error;
use crate::fd::Rights;

impl WamrMessage for Call<'_> {
    fn sock_recv_from(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::IovecArray,
        flags: u32,
        addr: GuestPtr<types::Addr>,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let open = self.open_socket(fd, Rights::SOCK_RECV_FROM)?;
        check_out_value(memory, ret_n)?;
        let place = address::place(memory, addr)?;
        let buffers = Buffers::read(memory, iovs)?;
        let flags = flags::receive(flags)?;
        self.receive_as(memory, open, buffers, flags, move |memory, open, received| {
            memory.write(ret_n, received.length)?;
            match place {
                Some(place) => address::write_sender(memory, place, received.sender(open).as_ref()),
                None => Ok(()),
            }
        })
    }

    fn sock_send_to(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::CiovecArray,
        flags: u32,
        addr: GuestPtr<types::Addr>,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let open = self.open_socket(fd, Rights::SOCK_SEND_TO)?;
        check_out_value(memory, ret_n)?;
        let buffers = Buffers::read(memory, iovs)?;
        let to = address::read(memory, addr)?;
        let dont_wait = flags::send(flags)?;
        self.write_as(memory, open, buffers, dont_wait, Some(to), ret_n)
    }
}
