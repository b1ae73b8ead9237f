//! Sockets of the families IPv4 and IPv6.

use super::{descriptor_of, errno, outcome};
use crate::descriptor::NONBLOCK;
use crate::errno::{EAFNOSUPPORT, EINVAL, ENOPROTOOPT};
use crate::socket::{DGRAM, INET4, INET6, RECV_DONT_WAIT, RECV_PEEK, RECV_WAITALL, SEND_DONT_WAIT};
use crate::socket::{RAW, SEQPACKET, SHUT_RD, SHUT_RDWR, SHUT_WR, STREAM, option};
use crate::{Fd, Result};
use libc::{c_int, c_void, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ptr::{from_mut, from_ref};

pub fn open(family: u32, kind: u32, protocol: u32) -> Result<Fd> {
    let family = match family {
        INET4 => libc::AF_INET,
        INET6 => libc::AF_INET6,
        _ => return Err(EAFNOSUPPORT),
    };
    let kind = match kind {
        STREAM => libc::SOCK_STREAM,
        DGRAM => libc::SOCK_DGRAM,
        RAW => libc::SOCK_RAW,
        SEQPACKET => libc::SOCK_SEQPACKET,
        _ => return Err(EINVAL),
    };
    descriptor_of(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol as c_int) })
}

/// An address as the kernel reads and writes it.
struct HostAddr {
    storage: sockaddr_storage,
    len: socklen_t,
}

impl HostAddr {
    /// Space for the kernel to write to.
    fn unwritten() -> Self {
        // SAFETY: an address of all zeros is one of no family.
        Self { storage: unsafe { std::mem::zeroed() }, len: size_of::<sockaddr_storage>() as socklen_t }
    }

    fn as_ptr(&self) -> *const sockaddr {
        from_ref(&self.storage).cast()
    }

    fn as_mut_ptr(&mut self) -> *mut sockaddr {
        from_mut(&mut self.storage).cast()
    }

    fn decode(&self) -> SocketAddr {
        match c_int::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that it is one.
                let four = unsafe { &*self.as_ptr().cast::<sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(four.sin_addr.s_addr));
                SocketAddr::from((ip, u16::from_be(four.sin_port)))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let six = unsafe { &*self.as_ptr().cast::<sockaddr_in6>() };
                let ip = Ipv6Addr::from(six.sin6_addr.s6_addr);
                SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(six.sin6_port), 0, 0))
            }
            family => panic!("an address of family {family}"),
        }
    }
}

impl From<SocketAddr> for HostAddr {
    fn from(addr: SocketAddr) -> Self {
        let mut host = Self::unwritten();
        match addr {
            SocketAddr::V4(addr) => {
                let four = sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: addr.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from(*addr.ip()).to_be() },
                    sin_zero: [0; 8],
                };
                host.len = size_of_val(&four) as socklen_t;
                // SAFETY: the storage is large enough and aligned for every address.
                unsafe { host.as_mut_ptr().cast::<sockaddr_in>().write(four) };
            }
            SocketAddr::V6(addr) => {
                let six = sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: addr.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr { s6_addr: addr.ip().octets() },
                    sin6_scope_id: 0,
                };
                host.len = size_of_val(&six) as socklen_t;
                // SAFETY: as above.
                unsafe { host.as_mut_ptr().cast::<sockaddr_in6>().write(six) };
            }
        }
        host
    }
}

pub fn bind(fd: Fd, addr: SocketAddr) -> Result<()> {
    let addr = HostAddr::from(addr);
    outcome(unsafe { libc::bind(fd as c_int, addr.as_ptr(), addr.len) }).map(drop)
}

/// The number of a guest is a C `int` to the kernel.
pub fn listen(fd: Fd, backlog: u32) -> Result<()> {
    outcome(unsafe { libc::listen(fd as c_int, backlog as c_int) }).map(drop)
}

pub fn accept(fd: Fd, flags: u32) -> Result<(Fd, SocketAddr)> {
    accept_v2(fd, flags)
}

/// With [`NONBLOCK`] neither this call waits nor those of the new socket: so the
/// flag of an accept is read in WASI. The kernel reads the listener's flag alone.
pub fn accept_v2(fd: Fd, flags: u32) -> Result<(Fd, SocketAddr)> {
    let mut addr = HostAddr::unwritten();
    let is_nonblocking = flags & NONBLOCK != 0;
    let host_flags = libc::SOCK_CLOEXEC | if is_nonblocking { libc::SOCK_NONBLOCK } else { 0 };
    if is_nonblocking && !is_ready_or_wrong(fd) {
        return Err(crate::errno::EAGAIN);
    }
    let answer = unsafe { libc::accept4(fd as c_int, addr.as_mut_ptr(), &raw mut addr.len, host_flags) };
    Ok((descriptor_of(answer)?, addr.decode()))
}

pub fn accept_preview1(fd: Fd, flags: u32) -> Result<Fd> {
    accept_v2(fd, flags).map(|(fd, _)| fd)
}

/// Would an accept answer at once, with a connection or with an error?
fn is_ready_or_wrong(fd: Fd) -> bool {
    if !flag(fd, option::LISTENING).unwrap_or(false) {
        return true;
    }
    let mut entry = libc::pollfd { fd: fd as c_int, events: libc::POLLIN, revents: 0 };
    // SAFETY: it is one entry.
    unsafe { libc::poll(&raw mut entry, 1, 0) > 0 }
}

pub fn connect(fd: Fd, addr: SocketAddr) -> Result<()> {
    let addr = HostAddr::from(addr);
    outcome(unsafe { libc::connect(fd as c_int, addr.as_ptr(), addr.len) }).map(drop)
}

pub fn addr_local(fd: Fd) -> Result<SocketAddr> {
    let mut addr = HostAddr::unwritten();
    outcome(unsafe { libc::getsockname(fd as c_int, addr.as_mut_ptr(), &raw mut addr.len) })?;
    Ok(addr.decode())
}

pub fn addr_peer(fd: Fd) -> Result<SocketAddr> {
    let mut addr = HostAddr::unwritten();
    outcome(unsafe { libc::getpeername(fd as c_int, addr.as_mut_ptr(), &raw mut addr.len) })?;
    Ok(addr.decode())
}

pub fn recv(fd: Fd, buf: &mut [u8], flags: u32) -> Result<usize> {
    let flags = receiving(flags);
    outcome(unsafe { libc::recv(fd as c_int, buf.as_mut_ptr().cast(), buf.len(), flags) } as i64)
}

/// `recvfrom`, for a stream: the kernel does not name the sender.
pub fn recv_from(fd: Fd, buf: &mut [u8], flags: u32) -> Result<usize> {
    let mut addr = HostAddr::unwritten();
    let (bytes, flags) = (buf.as_mut_ptr().cast(), receiving(flags));
    let addr_ptr = addr.as_mut_ptr();
    outcome(
        unsafe { libc::recvfrom(fd as c_int, bytes, buf.len(), flags, addr_ptr, &raw mut addr.len) } as i64
    )
}

fn receiving(flags: u32) -> c_int {
    let bit = |ours: u32, theirs: c_int| if flags & ours != 0 { theirs } else { 0 };
    bit(RECV_PEEK, libc::MSG_PEEK)
        | bit(RECV_WAITALL, libc::MSG_WAITALL)
        | bit(RECV_DONT_WAIT, libc::MSG_DONTWAIT)
}

pub fn send(fd: Fd, buf: &[u8], flags: u32) -> Result<usize> {
    let flags = sending(flags);
    outcome(unsafe { libc::send(fd as c_int, buf.as_ptr().cast(), buf.len(), flags) } as i64)
}

pub fn send_to(fd: Fd, buf: &[u8], flags: u32, addr: SocketAddr) -> Result<usize> {
    let (addr, bytes, flags) = (HostAddr::from(addr), buf.as_ptr().cast(), sending(flags));
    outcome(unsafe { libc::sendto(fd as c_int, bytes, buf.len(), flags, addr.as_ptr(), addr.len) } as i64)
}

/// A guest has no signals.
fn sending(flags: u32) -> c_int {
    libc::MSG_NOSIGNAL | if flags & SEND_DONT_WAIT != 0 { libc::MSG_DONTWAIT } else { 0 }
}

pub fn shutdown(fd: Fd, how: u32) -> Result<()> {
    let how = match how {
        SHUT_RD => libc::SHUT_RD,
        SHUT_WR => libc::SHUT_WR,
        SHUT_RDWR => libc::SHUT_RDWR,
        _ => return Err(EINVAL),
    };
    outcome(unsafe { libc::shutdown(fd as c_int, how) }).map(drop)
}

fn set_option<T>(fd: Fd, (level, name): (c_int, c_int), value: &T) -> Result<()> {
    let (at, len) = (from_ref(value).cast::<c_void>(), size_of::<T>() as socklen_t);
    outcome(unsafe { libc::setsockopt(fd as c_int, level, name, at, len) }).map(drop)
}

fn get_option<T>(fd: Fd, (level, name): (c_int, c_int), mut value: T) -> Result<T> {
    let (at, mut len) = (from_mut(&mut value).cast::<c_void>(), size_of::<T>() as socklen_t);
    outcome(unsafe { libc::getsockopt(fd as c_int, level, name, at, &raw mut len) })?;
    Ok(value)
}

fn host_option(number: u32) -> Result<(c_int, c_int)> {
    Ok(match number {
        option::REUSE_PORT => (libc::SOL_SOCKET, libc::SO_REUSEPORT),
        option::REUSE_ADDR => (libc::SOL_SOCKET, libc::SO_REUSEADDR),
        option::NO_DELAY => (libc::IPPROTO_TCP, libc::TCP_NODELAY),
        option::LISTENING => (libc::SOL_SOCKET, libc::SO_ACCEPTCONN),
        option::LAST_ERROR => (libc::SOL_SOCKET, libc::SO_ERROR),
        option::KEEP_ALIVE => (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        option::LINGER => (libc::SOL_SOCKET, libc::SO_LINGER),
        option::RECV_BUF_SIZE => (libc::SOL_SOCKET, libc::SO_RCVBUF),
        option::SEND_BUF_SIZE => (libc::SOL_SOCKET, libc::SO_SNDBUF),
        option::RECV_TIMEOUT => (libc::SOL_SOCKET, libc::SO_RCVTIMEO),
        option::SEND_TIMEOUT => (libc::SOL_SOCKET, libc::SO_SNDTIMEO),
        option::TTL => (libc::IPPROTO_IP, libc::IP_TTL),
        _ => return Err(ENOPROTOOPT),
    })
}

pub fn set_flag(fd: Fd, option: u32, flag: bool) -> Result<()> {
    set_option(fd, host_option(option)?, &c_int::from(flag))
}

pub fn flag(fd: Fd, option: u32) -> Result<bool> {
    get_option::<c_int>(fd, host_option(option)?, 0).map(|flag| flag != 0)
}

pub fn set_size(fd: Fd, option: u32, size: u64) -> Result<()> {
    set_option(fd, host_option(option)?, &c_int::try_from(size).map_err(|_| EINVAL)?)
}

pub fn size(fd: Fd, option: u32) -> Result<u64> {
    let size: c_int = get_option(fd, host_option(option)?, 0)?;
    match option {
        option::LAST_ERROR if size != 0 => Ok(errno::of(size).0.into()),
        _ => Ok(size as u64),
    }
}

const NANOSECONDS: u64 = 1_000_000_000;

pub fn set_time(fd: Fd, option: u32, nanoseconds: Option<u64>) -> Result<()> {
    let time = nanoseconds.unwrap_or(0);
    if option == option::LINGER {
        let linger = libc::linger {
            l_onoff: c_int::from(nanoseconds.is_some()),
            l_linger: (time / NANOSECONDS) as c_int,
        };
        return set_option(fd, host_option(option)?, &linger);
    }
    let limit = libc::timeval {
        tv_sec: (time / NANOSECONDS) as libc::time_t,
        tv_usec: (time % NANOSECONDS / 1000) as libc::suseconds_t,
    };
    set_option(fd, host_option(option)?, &limit)
}

pub fn time(fd: Fd, option: u32) -> Result<Option<u64>> {
    if option == option::LINGER {
        let linger: libc::linger =
            get_option(fd, host_option(option)?, libc::linger { l_onoff: 0, l_linger: 0 })?;
        return Ok((linger.l_onoff != 0).then(|| linger.l_linger as u64 * NANOSECONDS));
    }
    let limit: libc::timeval = get_option(fd, host_option(option)?, libc::timeval { tv_sec: 0, tv_usec: 0 })?;
    let time = limit.tv_sec as u64 * NANOSECONDS + limit.tv_usec as u64 * 1000;
    Ok((time != 0).then_some(time))
}
