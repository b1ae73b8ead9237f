//! Sockets of any kind, for programs that do the same with each of them.

use crate::descriptor::{SOCKET_DGRAM, SOCKET_SEQPACKET, SOCKET_STREAM};
use crate::socket::{
    AddrPort, DGRAM, INET4, INET6, IoVec, SEQPACKET, STREAM, TCP, UDP, UNIX, bind_raw, connect_raw, listen,
    open,
};
use crate::{Fd, Result, address_of, address_of_mut, outcome, raw, unix};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A kind of socket, with the name that the tests have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub name: &'static str,
    pub family: u32,
    pub kind: u32,
    pub protocol: u32,
}

const fn kind(name: &'static str, family: u32, kind: u32, protocol: u32) -> Kind {
    Kind { name, family, kind, protocol }
}

pub const KINDS: [Kind; 7] = [
    kind("tcp_v4", INET4, STREAM, TCP),
    kind("tcp_v6", INET6, STREAM, TCP),
    kind("udp_v4", INET4, DGRAM, UDP),
    kind("udp_v6", INET6, DGRAM, UDP),
    kind("unix_stream", UNIX, STREAM, 0),
    kind("unix_datagram", UNIX, DGRAM, 0),
    kind("unix_seqpacket", UNIX, SEQPACKET, 0),
];

/// An address, as the host wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addr {
    Inet(SocketAddr),
    /// Empty for none.
    Name(unix::Name),
}

impl Addr {
    pub fn raw(&self) -> AddrPort {
        match self {
            Self::Inet(addr) => AddrPort::from(*addr),
            Self::Name(name) => unix::addr(name),
        }
    }

    pub fn read(addr: &AddrPort) -> Self {
        if u32::from(addr.0[0]) == UNIX { Self::Name(unix::name(addr)) } else { Self::Inet(addr.decode()) }
    }
}

impl Kind {
    /// The kind of this name.
    pub fn named(name: &str) -> Self {
        *KINDS.iter().find(|kind| kind.name == name).expect("a kind of socket")
    }

    pub fn open(&self) -> Result<Fd> {
        open(self.family, self.kind, self.protocol)
    }

    /// Does it connect, rather than have a peer at most?
    pub fn connects(&self) -> bool {
        self.kind != DGRAM
    }

    /// Does each send arrive as one message?
    pub fn keeps_boundaries(&self) -> bool {
        self.kind != STREAM
    }

    pub fn filetype(&self) -> u8 {
        match self.kind {
            STREAM => SOCKET_STREAM,
            DGRAM => SOCKET_DGRAM,
            _ => SOCKET_SEQPACKET,
        }
    }

    /// A free address: port 0 of the loopback, or a new name in `/run`.
    pub fn free_address(&self) -> Addr {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        match self.family {
            INET4 => Addr::Inet("127.0.0.1:0".parse().unwrap()),
            INET6 => Addr::Inet("[::1]:0".parse().unwrap()),
            _ => Addr::Name(format!("/run/{}", NAMES.fetch_add(1, Relaxed))),
        }
    }

    /// A socket with an address of its own.
    pub fn bound(&self) -> Result<(Fd, Addr)> {
        let fd = self.open()?;
        bind_raw(fd, &self.free_address().raw())?;
        Ok((fd, local(fd)?))
    }

    /// A socket that listens.
    pub fn listener(&self, backlog: u32) -> Result<(Fd, Addr)> {
        let (fd, addr) = self.bound()?;
        listen(fd, backlog)?;
        Ok((fd, addr))
    }

    /// Two that are each other's peer, each with an address.
    pub fn two(&self) -> Result<(Fd, Fd)> {
        let (near, from) = self.bound()?;
        if self.connects() {
            let (listener, at) = self.listener(4)?;
            connect_raw(near, &at.raw())?;
            let (far, _) = accept(listener, 0)?;
            crate::descriptor::close(listener)?;
            return Ok((near, far));
        }
        let (far, to) = self.bound()?;
        connect_raw(near, &to.raw())?;
        connect_raw(far, &from.raw())?;
        Ok((near, far))
    }
}

/// `sock_addr_local`.
pub fn local(fd: Fd) -> Result<Addr> {
    let mut addr = AddrPort::unwritten();
    outcome(unsafe { raw::wasix::sock_addr_local(fd, address_of_mut(&mut addr)) })?;
    Ok(Addr::read(&addr))
}

/// `sock_addr_peer`.
pub fn peer(fd: Fd) -> Result<Addr> {
    let mut addr = AddrPort::unwritten();
    outcome(unsafe { raw::wasix::sock_addr_peer(fd, address_of_mut(&mut addr)) })?;
    Ok(Addr::read(&addr))
}

/// `sock_accept_v2`.
pub fn accept(fd: Fd, flags: u32) -> Result<(Fd, Addr)> {
    accept_by(raw::wasix::sock_accept_v2, fd, flags)
}

/// `sock_accept` of `wasix_32v1`.
pub fn accept_v1(fd: Fd, flags: u32) -> Result<(Fd, Addr)> {
    accept_by(raw::wasix::sock_accept, fd, flags)
}

fn accept_by(
    call: unsafe extern "C" fn(u32, u32, u32, u32) -> i32,
    fd: Fd,
    flags: u32,
) -> Result<(Fd, Addr)> {
    let mut accepted: Fd = u32::MAX;
    let mut addr = AddrPort::unwritten();
    outcome(unsafe { call(fd, flags, address_of_mut(&mut accepted), address_of_mut(&mut addr)) })?;
    Ok((accepted, Addr::read(&addr)))
}

/// `sock_recv_from`: how much, and from which sender?
pub fn recv_from(fd: Fd, buf: &mut [u8], flags: u32) -> Result<(usize, Addr)> {
    let (mut len, mut roflags) = (0u32, 0u16);
    let mut addr = AddrPort::unwritten();
    let iovs = [IoVec::reading(buf)];
    outcome(unsafe {
        raw::wasix::sock_recv_from(
            fd,
            address_of(&iovs),
            1,
            flags,
            address_of_mut(&mut len),
            address_of_mut(&mut roflags),
            address_of_mut(&mut addr),
        )
    })?;
    Ok((len as usize, Addr::read(&addr)))
}

/// `sock_send_to`.
pub fn send_to(fd: Fd, buf: &[u8], flags: u32, to: &Addr) -> Result<usize> {
    send_to_raw(fd, buf, flags, &to.raw())
}

pub fn send_to_raw(fd: Fd, buf: &[u8], flags: u32, addr: &AddrPort) -> Result<usize> {
    let mut len = 0u32;
    let iovs = [IoVec::writing(buf)];
    outcome(unsafe {
        raw::wasix::sock_send_to(fd, address_of(&iovs), 1, flags, address_of(addr), address_of_mut(&mut len))
    })?;
    Ok(len as usize)
}

/// `sock_send_file`.
pub fn send_file(out: Fd, file: Fd, offset: u64, count: u64) -> Result<u64> {
    let mut sent = 0u64;
    outcome(unsafe { raw::wasix::sock_send_file(out, file, offset, count, address_of_mut(&mut sent)) })?;
    Ok(sent)
}
