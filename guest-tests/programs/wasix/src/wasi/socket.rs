//! Sockets, by the imports.

use crate::{Fd, Result, address_of, address_of_mut, outcome, raw};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An address in the memory layout of the calls: 110 bytes, align 2.
#[derive(Clone, Copy)]
#[repr(C, align(2))]
pub struct AddrPort(pub [u8; 110]);

impl AddrPort {
    /// Space for the host to write to. The pattern shows which bytes it wrote.
    pub fn unwritten() -> Self {
        Self([0xaa; 110])
    }

    /// The address with this family's tag and nothing else.
    pub fn of_family(tag: u8) -> Self {
        let mut bytes = [0; 110];
        bytes[0] = tag;
        Self(bytes)
    }

    /// The address that these bytes hold.
    pub fn decode(&self) -> SocketAddr {
        let bytes = &self.0;
        let port = u16::from_le_bytes([bytes[2], bytes[3]]);
        match bytes[0] {
            1 => {
                let ip: [u8; 4] = bytes[4..8].try_into().unwrap();
                SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port)
            }
            2 => {
                let ip: [u8; 16] = bytes[4..20].try_into().unwrap();
                SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, 0))
            }
            tag => panic!("an address of family {tag}"),
        }
    }

    /// The IPv6 address with the flow and the scope that a host writes where it knows that
    /// the program has room for them: one that imports what came later.
    pub fn decode_wide(&self) -> SocketAddrV6 {
        let half = |at: usize| u32::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]));
        match self.decode() {
            SocketAddr::V6(six) => {
                let (flow, scope) = (half(20) << 16 | half(22), half(24) << 16 | half(26));
                SocketAddrV6::new(*six.ip(), six.port(), flow, scope)
            }
            SocketAddr::V4(four) => panic!("an IPv4 address: {four}"),
        }
    }
}

impl From<SocketAddrV6> for AddrPort {
    fn from(addr: SocketAddrV6) -> Self {
        let mut bytes = Self::from(SocketAddr::V6(addr));
        for (at, value) in [(20, addr.flowinfo()), (24, addr.scope_id())] {
            let [b0, b1, b2, b3] = value.to_le_bytes();
            bytes.0[at..at + 4].copy_from_slice(&[b2, b3, b0, b1]);
        }
        bytes
    }
}

impl From<SocketAddr> for AddrPort {
    fn from(addr: SocketAddr) -> Self {
        let mut bytes = [0; 110];
        bytes[2..4].copy_from_slice(&addr.port().to_le_bytes());
        match addr.ip() {
            IpAddr::V4(ip) => {
                bytes[0] = 1;
                bytes[4..8].copy_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                bytes[0] = 2;
                bytes[4..20].copy_from_slice(&ip.octets());
            }
        }
        Self(bytes)
    }
}

/// A vector of `sock_recv`, `sock_send`, `fd_read` and `fd_write`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct IoVec {
    pub buf: u32,
    pub len: u32,
}

impl IoVec {
    pub fn reading(bytes: &mut [u8]) -> Self {
        Self { buf: address_of_mut(bytes), len: bytes.len() as u32 }
    }

    pub fn writing(bytes: &[u8]) -> Self {
        Self { buf: address_of(bytes), len: bytes.len() as u32 }
    }
}

pub fn open(family: u32, kind: u32, protocol: u32) -> Result<Fd> {
    let mut fd: Fd = u32::MAX;
    outcome(unsafe { raw::wasix::sock_open(family, kind, protocol, address_of_mut(&mut fd)) })?;
    Ok(fd)
}

pub fn bind(fd: Fd, addr: SocketAddr) -> Result<()> {
    bind_raw(fd, &AddrPort::from(addr))
}

pub fn bind_raw(fd: Fd, addr: &AddrPort) -> Result<()> {
    outcome(unsafe { raw::wasix::sock_bind(fd, address_of(addr)) })
}

pub fn listen(fd: Fd, backlog: u32) -> Result<()> {
    outcome(unsafe { raw::wasix::sock_listen(fd, backlog) })
}

/// `sock_accept` of `wasix_32v1`, the form of 2022, with the peer's address.
pub fn accept(fd: Fd, flags: u32) -> Result<(Fd, SocketAddr)> {
    accept_by(raw::wasix::sock_accept, fd, flags)
}

/// `sock_accept_v2`, with the peer's address.
pub fn accept_v2(fd: Fd, flags: u32) -> Result<(Fd, SocketAddr)> {
    accept_by(raw::wasix::sock_accept_v2, fd, flags)
}

fn accept_by(
    call: unsafe extern "C" fn(u32, u32, u32, u32) -> i32,
    fd: Fd,
    flags: u32,
) -> Result<(Fd, SocketAddr)> {
    let mut addr = AddrPort::unwritten();
    let accepted = accept_raw(call, fd, flags, &mut addr)?;
    Ok((accepted, addr.decode()))
}

/// An accept by this import, which writes the peer's address to `addr`.
pub fn accept_raw(
    call: unsafe extern "C" fn(u32, u32, u32, u32) -> i32,
    fd: Fd,
    flags: u32,
    addr: &mut AddrPort,
) -> Result<Fd> {
    let mut accepted: Fd = u32::MAX;
    outcome(unsafe { call(fd, flags, address_of_mut(&mut accepted), address_of_mut(addr)) })?;
    Ok(accepted)
}

/// `sock_accept` of preview 1, which says nothing of the peer.
pub fn accept_preview1(fd: Fd, flags: u32) -> Result<Fd> {
    let mut accepted: Fd = u32::MAX;
    outcome(unsafe { raw::preview1::sock_accept(fd, flags, address_of_mut(&mut accepted)) })?;
    Ok(accepted)
}

pub fn connect(fd: Fd, addr: SocketAddr) -> Result<()> {
    connect_raw(fd, &AddrPort::from(addr))
}

pub fn connect_raw(fd: Fd, addr: &AddrPort) -> Result<()> {
    outcome(unsafe { raw::wasix::sock_connect(fd, address_of(addr)) })
}

pub fn addr_local(fd: Fd) -> Result<SocketAddr> {
    let mut addr = AddrPort::unwritten();
    outcome(unsafe { raw::wasix::sock_addr_local(fd, address_of_mut(&mut addr)) })?;
    Ok(addr.decode())
}

pub fn addr_local_wide(fd: Fd) -> Result<SocketAddrV6> {
    let mut addr = AddrPort::unwritten();
    outcome(unsafe { raw::wasix::sock_addr_local(fd, address_of_mut(&mut addr)) })?;
    Ok(addr.decode_wide())
}

pub fn addr_peer_wide(fd: Fd) -> Result<SocketAddrV6> {
    let mut addr = AddrPort::unwritten();
    outcome(unsafe { raw::wasix::sock_addr_peer(fd, address_of_mut(&mut addr)) })?;
    Ok(addr.decode_wide())
}

pub fn addr_peer(fd: Fd) -> Result<SocketAddr> {
    let mut addr = AddrPort::unwritten();
    outcome(unsafe { raw::wasix::sock_addr_peer(fd, address_of_mut(&mut addr)) })?;
    Ok(addr.decode())
}

pub fn recv(fd: Fd, buf: &mut [u8], flags: u32) -> Result<usize> {
    recv_vectored(fd, &[IoVec::reading(buf)], flags)
}

pub fn recv_vectored(fd: Fd, iovs: &[IoVec], flags: u32) -> Result<usize> {
    let mut len = 0u32;
    let mut roflags = 0u16;
    outcome(unsafe {
        raw::preview1::sock_recv(
            fd,
            address_of(iovs),
            iovs.len() as u32,
            flags,
            address_of_mut(&mut len),
            address_of_mut(&mut roflags),
        )
    })?;
    Ok(len as usize)
}

pub fn send(fd: Fd, buf: &[u8], flags: u32) -> Result<usize> {
    send_vectored(fd, &[IoVec::writing(buf)], flags)
}

pub fn send_vectored(fd: Fd, iovs: &[IoVec], flags: u32) -> Result<usize> {
    let mut len = 0u32;
    outcome(unsafe {
        raw::preview1::sock_send(fd, address_of(iovs), iovs.len() as u32, flags, address_of_mut(&mut len))
    })?;
    Ok(len as usize)
}

/// `sock_recv_from`, without looking at the address.
pub fn recv_from(fd: Fd, buf: &mut [u8], flags: u32) -> Result<usize> {
    recv_from_raw(fd, buf, flags, &mut AddrPort::unwritten()).map(|(len, _)| len)
}

/// `sock_recv_from`: how much, was there more, and from which sender?
pub fn recv_whole(fd: Fd, buf: &mut [u8], flags: u32) -> Result<(usize, bool, SocketAddr)> {
    let mut addr = AddrPort::unwritten();
    let (len, is_cut) = recv_from_raw(fd, buf, flags, &mut addr)?;
    Ok((len, is_cut, addr.decode()))
}

/// `sock_recv_from`, which writes the sender's address to `addr`: how much, and was there
/// more?
pub fn recv_from_raw(fd: Fd, buf: &mut [u8], flags: u32, addr: &mut AddrPort) -> Result<(usize, bool)> {
    let (mut len, mut roflags) = (0u32, 0u16);
    let iovs = [IoVec::reading(buf)];
    outcome(unsafe {
        raw::wasix::sock_recv_from(
            fd,
            address_of(&iovs),
            1,
            flags,
            address_of_mut(&mut len),
            address_of_mut(&mut roflags),
            address_of_mut(addr),
        )
    })?;
    Ok((len as usize, roflags != 0))
}

pub fn send_to(fd: Fd, buf: &[u8], flags: u32, addr: SocketAddr) -> Result<usize> {
    send_to_raw(fd, buf, flags, &AddrPort::from(addr))
}

pub fn send_to_raw(fd: Fd, buf: &[u8], flags: u32, addr: &AddrPort) -> Result<usize> {
    let mut len = 0u32;
    let iovs = [IoVec::writing(buf)];
    outcome(unsafe {
        raw::wasix::sock_send_to(fd, address_of(&iovs), 1, flags, address_of(addr), address_of_mut(&mut len))
    })?;
    Ok(len as usize)
}

/// `sock_send_file`: how much of the file, from `offset` on, was sent.
pub fn send_file(out: Fd, file: Fd, offset: u64, count: u64) -> Result<u64> {
    let mut sent = u64::MAX;
    outcome(unsafe { raw::wasix::sock_send_file(out, file, offset, count, address_of_mut(&mut sent)) })?;
    Ok(sent)
}

pub fn shutdown(fd: Fd, how: u32) -> Result<()> {
    outcome(unsafe { raw::preview1::sock_shutdown(fd, how) })
}

pub fn status(fd: Fd) -> Result<u8> {
    let mut status = u8::MAX;
    outcome(unsafe { raw::wasix::sock_status(fd, address_of_mut(&mut status)) })?;
    Ok(status)
}

pub fn set_flag(fd: Fd, option: u32, flag: bool) -> Result<()> {
    outcome(unsafe { raw::wasix::sock_set_opt_flag(fd, option, u32::from(flag)) })
}

pub fn flag(fd: Fd, option: u32) -> Result<bool> {
    let mut flag = u8::MAX;
    outcome(unsafe { raw::wasix::sock_get_opt_flag(fd, option, address_of_mut(&mut flag)) })?;
    Ok(flag != 0)
}

pub fn set_size(fd: Fd, option: u32, size: u64) -> Result<()> {
    outcome(unsafe { raw::wasix::sock_set_opt_size(fd, option, size) })
}

pub fn size(fd: Fd, option: u32) -> Result<u64> {
    let mut size = u64::MAX;
    outcome(unsafe { raw::wasix::sock_get_opt_size(fd, option, address_of_mut(&mut size)) })?;
    Ok(size)
}

/// An optional time in memory: tag at 0, nanoseconds at 8.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct OptionTimestamp {
    pub tag: u8,
    pub value: u64,
}

impl From<Option<u64>> for OptionTimestamp {
    fn from(time: Option<u64>) -> Self {
        Self { tag: u8::from(time.is_some()), value: time.unwrap_or(0) }
    }
}

pub fn set_time(fd: Fd, option: u32, nanoseconds: Option<u64>) -> Result<()> {
    set_time_raw(fd, option, &OptionTimestamp::from(nanoseconds))
}

pub fn set_time_raw(fd: Fd, option: u32, time: &OptionTimestamp) -> Result<()> {
    outcome(unsafe { raw::wasix::sock_set_opt_time(fd, option, address_of(time)) })
}

pub fn time(fd: Fd, option: u32) -> Result<Option<u64>> {
    let mut time = OptionTimestamp { tag: u8::MAX, value: u64::MAX };
    outcome(unsafe { raw::wasix::sock_get_opt_time(fd, option, address_of_mut(&mut time)) })?;
    match time.tag {
        0 => Ok(None),
        1 => Ok(Some(time.value)),
        tag => panic!("an optional time with tag {tag}"),
    }
}
