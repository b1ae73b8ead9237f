//! Messages: what names an address with each of them.

use wiggle::{GuestMemory, GuestPtr};

use super::address::{self, Given};
use super::bindings::types;
use super::bindings::wasmedge_message::WasmedgeMessage;
use crate::abi::call::Call;
use crate::abi::flags;
use crate::abi::memory::{Buffers, check_out_value};
use crate::error::{Errno, Error};
use crate::fd::Rights;

impl WasmedgeMessage for Call<'_> {
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
        let results = Results { port: Port::None, ret_n, ret_roflags: Some(ret_roflags) };
        self.receive_from(memory, fd, iovs, addr, flags, results)
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
        let results = Results { port: Port::Network(ret_port), ret_n, ret_roflags: Some(ret_roflags) };
        self.receive_from(memory, fd, iovs, addr, flags, results)
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
        let results = Results { port: Port::Host(ret_port), ret_n, ret_roflags: Some(ret_roflags) };
        self.receive_from(memory, fd, iovs, addr, flags, results)
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
        let results = Results { port: Port::None, ret_n, ret_roflags: None };
        self.receive_from(memory, fd, iovs, addr, flags, results)
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
            match received.sender(open) {
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
