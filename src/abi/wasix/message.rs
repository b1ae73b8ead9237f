//! Messages with control data: descriptors that are passed.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use super::bindings::wasix_message::WasixMessage;
use super::{address, control};
use crate::abi::call::Call;
use crate::abi::flags;
use crate::abi::memory::{Buffers, check_out, check_out_value};
use crate::abi::transfer::{self, Answer};
use crate::error::Error;
use crate::fd::Rights;
use crate::process::{OpenFile, TraceAnnotation};
use crate::socket::Family;

impl WasixMessage for Call<'_> {
    fn sock_send_msg(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::CiovecArray,
        flags: u32,
        addr: GuestPtr<u8>,
        control: GuestPtr<[u8]>,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let has_address = addr.offset() != 0;
        let rights = if has_address { Rights::SOCK_SEND_TO } else { Rights::SOCK_SEND };
        let open = self.open_socket(fd, rights)?;
        check_out_value(memory, ret_n)?;
        let buffers = Buffers::read(memory, iovs)?;
        let width = self.address_width();
        let to = has_address.then(|| address::read(memory, addr, width)).transpose()?;
        let fds = control::read(memory, control)?;
        let dont_wait = flags::send(flags)?;
        if fds.is_empty() {
            return self.write_as(memory, open, buffers, dont_wait, to, ret_n);
        }
        let passing = self.pass(open.open.socket()?, &fds, has_address)?;
        Err(self.wait(move |call, memory| {
            Box::pin(async move {
                let passed = TraceAnnotation { name: "passed", value: passing.count.into() };
                let sent = transfer::send_message(call, memory, &buffers, &open, dont_wait, passing).await?;
                call.annotation = Some(passed);
                Ok(memory.write(ret_n, sent)?)
            })
        }))
    }

    fn sock_recv_msg(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        iovs: types::IovecArray,
        flags: u32,
        addr: GuestPtr<u8>,
        control: GuestPtr<[u8]>,
        ret_n: GuestPtr<u32>,
        ret_roflags: GuestPtr<u16>,
        ret_control_len: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let has_address = addr.offset() != 0;
        let rights = if has_address { Rights::SOCK_RECV_FROM } else { Rights::SOCK_RECV };
        let open = self.open_socket(fd, rights)?;
        check_out_value(memory, ret_n)?;
        check_out_value(memory, ret_roflags)?;
        check_out_value(memory, ret_control_len)?;
        let (start, length) = control.offset();
        let capacity = control::capacity(control);
        if capacity > 0 {
            check_out(memory, start, length)?;
        }
        let family = open.open.socket()?.family();
        let width = self.address_width();
        if has_address {
            address::check(memory, addr, family, width)?;
        }
        let buffers = Buffers::read(memory, iovs)?;
        let flags = flags::receive(flags)?;
        let write = move |memory: &mut GuestMemory<'_>, open: &OpenFile, received: Answer| {
            memory.write(ret_n, received.length)?;
            memory.write(ret_roflags, received.flags)?;
            if !has_address {
                return Ok(());
            }
            let from = match received.from {
                Some(from) => from,
                None => open.open.socket()?.peer_address()?,
            };
            address::write(memory, addr, &from, width)
        };
        if family != Family::Unix {
            return self.receive_as(memory, open, buffers, flags, move |memory, open, received| {
                write(memory, open, received)?;
                Ok(memory.write(ret_control_len, 0)?)
            });
        }
        Err(self.wait(move |call, memory| {
            Box::pin(async move {
                let room = control::room(capacity);
                let received = transfer::receive_message(call, memory, &buffers, &open, flags, room);
                let (received, installed) = received.await?;
                let count = u64::try_from(installed.fds.len()).unwrap_or(u64::MAX);
                call.annotation = (count > 0).then_some(TraceAnnotation { name: "passed", value: count });
                let length = control::write(memory, control, &installed)?;
                memory.write(ret_control_len, length)?;
                write(memory, &open, received)
            })
        }))
    }
}
