//! The four socket calls of preview 1.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::preview1_socket::Preview1Socket;
use super::bindings::types;
use crate::abi::call::Call;
use crate::abi::flags;
use crate::abi::memory::{Buffers, check_out_value, write_count, write_flags};
use crate::error::Error;
use crate::fd::Rights;

impl Preview1Socket for Call<'_> {
    fn sock_accept(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        flags: u32,
        ret_fd: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let listener = self.socket(fd, Rights::SOCK_ACCEPT)?;
        check_out_value(memory, ret_fd)?;
        let nonblocking = flags::accept(flags)?;
        self.accept_as(memory, listener, nonblocking, move |memory, accepted, _| {
            Ok(memory.write(ret_fd, accepted)?)
        })
    }

    fn sock_recv(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::IovecArray,
        flags: u32,
        ret_n: GuestPtr<u32>,
        ret_roflags: GuestPtr<u16>,
    ) -> Result<(), Error> {
        let open = self.open_socket(fd, Rights::SOCK_RECV)?;
        check_out_value(memory, ret_n)?;
        check_out_value(memory, ret_roflags)?;
        let buffers = Buffers::read(memory, iovs)?;
        let flags = flags::receive(flags)?;
        self.receive_as(memory, open, buffers, flags, move |memory, _, received| {
            write_count(memory, ret_n, received.length)?;
            write_flags(memory, ret_roflags, received.flags)
        })
    }

    fn sock_send(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::CiovecArray,
        flags: u32,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let open = self.open_socket(fd, Rights::SOCK_SEND)?;
        check_out_value(memory, ret_n)?;
        let buffers = Buffers::read(memory, iovs)?;
        let dont_wait = flags::send(flags)?;
        self.write_as(memory, open, buffers, dont_wait, None, ret_n)
    }

    fn sock_shutdown(&mut self, _: &mut GuestMemory<'_>, fd: u32, how: u32) -> Result<(), Error> {
        let open = self.open_socket(fd, Rights::SOCK_SHUTDOWN)?;
        let how = flags::shutdown(how)?;
        Ok(open.open.socket()?.shutdown(how)?)
    }
}
