//! The four socket calls of preview 1.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::preview1_socket::Preview1Socket;
use super::bindings::types;
use crate::abi::flags;
use crate::abi::memory::{Buffers, check_out_value};
use crate::abi::transfer;
use crate::error::Error;
use crate::fd::Rights;
use crate::process::Thread;

impl Preview1Socket for Thread {
    async fn sock_accept(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        flags: u32,
        ret_fd: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let listener = self.socket(fd, Rights::SOCK_ACCEPT)?;
        check_out_value(memory, ret_fd)?;
        let nonblocking = flags::accept(flags)?;
        let (accepted, _) = self.accept(&listener, nonblocking).await?;
        Ok(memory.write(ret_fd, accepted)?)
    }

    async fn sock_recv(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::IovecArray,
        flags: u32,
    ) -> Result<(u32, u16), Error> {
        let open = self.open_socket(fd, Rights::SOCK_RECV)?;
        let buffers = Buffers::read(memory, iovs)?;
        let flags = flags::receive(flags)?;
        let received = transfer::receive(self, memory, &buffers, &open, flags).await?;
        self.annotate_dropped(&open);
        Ok((received.length, received.flags))
    }

    async fn sock_send(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::CiovecArray,
        flags: u32,
    ) -> Result<u32, Error> {
        let open = self.open_socket(fd, Rights::SOCK_SEND)?;
        let buffers = Buffers::read(memory, iovs)?;
        let dont_wait = flags::send(flags)?;
        transfer::write(self, memory, &buffers, &open, dont_wait, None).await
    }

    fn sock_shutdown(&mut self, _: &mut GuestMemory<'_>, fd: u32, how: u32) -> Result<(), Error> {
        let open = self.open_socket(fd, Rights::SOCK_SHUTDOWN)?;
        let how = flags::shutdown(how)?;
        Ok(open.open.socket()?.shutdown(how)?)
    }
}
