//! Sockets.

#[cfg(not(target_os = "wasi"))]
pub use crate::native::socket::*;
#[cfg(target_os = "wasi")]
pub use crate::wasi::socket::*;
use crate::{Fd, Result};
use std::net::{Ipv4Addr, SocketAddr};

pub const INET4: u32 = 1;
pub const INET6: u32 = 2;
pub const UNIX: u32 = 3;

pub const STREAM: u32 = 1;
pub const DGRAM: u32 = 2;
pub const RAW: u32 = 3;
pub const SEQPACKET: u32 = 4;

pub const TCP: u32 = 6;
pub const UDP: u32 = 17;

pub const RECV_PEEK: u32 = 1;
pub const RECV_WAITALL: u32 = 2;
pub const RECV_DATA_TRUNCATED: u32 = 4;
pub const RECV_DONT_WAIT: u32 = 8;
pub const SEND_DONT_WAIT: u32 = 1;

pub const SHUT_RD: u32 = 1;
pub const SHUT_WR: u32 = 2;
pub const SHUT_RDWR: u32 = 3;

/// Names of the socket options.
pub mod option {
    pub const REUSE_PORT: u32 = 1;
    pub const REUSE_ADDR: u32 = 2;
    pub const NO_DELAY: u32 = 3;
    pub const DONT_ROUTE: u32 = 4;
    pub const ONLY_V6: u32 = 5;
    pub const BROADCAST: u32 = 6;
    pub const MULTICAST_LOOP_V4: u32 = 7;
    pub const MULTICAST_LOOP_V6: u32 = 8;
    pub const PROMISCUOUS: u32 = 9;
    pub const LISTENING: u32 = 10;
    pub const LAST_ERROR: u32 = 11;
    pub const KEEP_ALIVE: u32 = 12;
    pub const LINGER: u32 = 13;
    pub const OOB_INLINE: u32 = 14;
    pub const RECV_BUF_SIZE: u32 = 15;
    pub const SEND_BUF_SIZE: u32 = 16;
    pub const RECV_LOWAT: u32 = 17;
    pub const SEND_LOWAT: u32 = 18;
    pub const RECV_TIMEOUT: u32 = 19;
    pub const SEND_TIMEOUT: u32 = 20;
    pub const CONNECT_TIMEOUT: u32 = 21;
    pub const ACCEPT_TIMEOUT: u32 = 22;
    pub const TTL: u32 = 23;
    pub const MULTICAST_TTL_V4: u32 = 24;
    pub const TYPE: u32 = 25;
    pub const PROTO: u32 = 26;
}

/// A TCP socket of the family of `addr`.
pub fn open_for(addr: SocketAddr) -> Result<Fd> {
    open(if addr.is_ipv4() { INET4 } else { INET6 }, STREAM, TCP)
}

/// Sends all of `buf` through a blocking socket.
pub fn send_all(fd: Fd, mut buf: &[u8]) -> Result<()> {
    while !buf.is_empty() {
        let sent = send(fd, buf, 0)?;
        buf = &buf[sent..];
    }
    Ok(())
}

/// The loopback address with this port.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A listener on a free loopback port, and its address.
pub fn listener() -> Result<(Fd, SocketAddr)> {
    let fd = open(INET4, STREAM, TCP)?;
    bind(fd, loopback(0))?;
    listen(fd, 16)?;
    Ok((fd, addr_local(fd)?))
}

/// Two ends of one connection through `listener`: the connecting end, then the
/// accepted one.
pub fn connected(listener: Fd) -> Result<(Fd, Fd)> {
    let near = open(INET4, STREAM, TCP)?;
    connect(near, addr_local(listener)?)?;
    let (far, _) = accept_v2(listener, 0)?;
    Ok((near, far))
}
