//! Sockets by the calls of WAMR, in the way of its C library: what that asks the host for, and no more.

use std::io::{Error, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub mod raw {
    //! The imports.

    use super::{Addr, AddrInfo, Buffer, Event, Hints, Subscription};

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub fn fd_close(fd: u32) -> u32;
        pub fn fd_fdstat_set_flags(fd: u32, flags: u32) -> u32;
        pub fn poll_oneoff(wanted: *const Subscription, events: *mut Event, count: u32, ret: *mut u32)
        -> u32;
        pub fn sock_open(pool: u32, family: u32, kind: u32, ret: *mut u32) -> u32;
        pub fn sock_bind(fd: u32, addr: *const Addr) -> u32;
        pub fn sock_listen(fd: u32, backlog: u32) -> u32;
        pub fn sock_accept(fd: u32, flags: u32, ret: *mut u32) -> u32;
        pub fn sock_connect(fd: u32, addr: *const Addr) -> u32;
        pub fn sock_close(fd: u32) -> u32;
        pub fn sock_shutdown(fd: u32, how: u32) -> u32;
        pub fn sock_recv(
            fd: u32,
            buffers: *const Buffer,
            count: u32,
            flags: u32,
            ret: *mut u32,
            ret_flags: *mut u16,
        ) -> u32;
        pub fn sock_send(fd: u32, buffers: *const Buffer, count: u32, flags: u32, ret: *mut u32) -> u32;
        pub fn sock_recv_from(
            fd: u32,
            buffers: *const Buffer,
            count: u32,
            flags: u32,
            from: *mut Addr,
            ret: *mut u32,
        ) -> u32;
        pub fn sock_send_to(
            fd: u32,
            buffers: *const Buffer,
            count: u32,
            flags: u32,
            to: *const Addr,
            ret: *mut u32,
        ) -> u32;
        pub fn sock_addr_local(fd: u32, ret: *mut Addr) -> u32;
        pub fn sock_addr_remote(fd: u32, ret: *mut Addr) -> u32;
        pub fn sock_addr_resolve(
            host: *const u8,
            service: *const u8,
            hints: *const Hints,
            found: *mut AddrInfo,
            room: u32,
            ret: *mut u32,
        ) -> u32;
        pub fn sock_set_recv_timeout(fd: u32, micros: u64) -> u32;
        pub fn sock_get_recv_timeout(fd: u32, ret: *mut u64) -> u32;
        pub fn sock_set_linger(fd: u32, on: u32, seconds: i32) -> u32;
        pub fn sock_get_linger(fd: u32, ret_on: *mut u8, ret_seconds: *mut i32) -> u32;
        pub fn sock_set_tcp_quick_ack(fd: u32, on: u32) -> u32;
        pub fn sock_get_tcp_quick_ack(fd: u32, ret: *mut u8) -> u32;
        pub fn sock_set_tcp_fastopen_connect(fd: u32, on: u32) -> u32;
        pub fn sock_get_tcp_fastopen_connect(fd: u32, ret: *mut u8) -> u32;
        pub fn sock_set_tcp_keep_idle(fd: u32, seconds: u32) -> u32;
        pub fn sock_get_tcp_keep_idle(fd: u32, ret: *mut u32) -> u32;
        pub fn sock_set_tcp_keep_intvl(fd: u32, seconds: u32) -> u32;
        pub fn sock_get_tcp_keep_intvl(fd: u32, ret: *mut u32) -> u32;
    }
}

/// A number that a call answered.
pub fn outcome(errno: u32) -> Result<()> {
    if errno == 0 { Ok(()) } else { Err(Error::from_raw_os_error(errno as i32)) }
}

/// An address: the kind, and words of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Addr {
    kind: u32,
    halves: [u16; 10],
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        let mut halves = [0; 10];
        match addr {
            SocketAddr::V4(four) => {
                let [a, b, c, d] = four.ip().octets();
                halves[..3].copy_from_slice(&[
                    u16::from_le_bytes([a, b]),
                    u16::from_le_bytes([c, d]),
                    four.port(),
                ]);
                Self { kind: 0, halves }
            }
            SocketAddr::V6(six) => {
                halves[..8].copy_from_slice(&six.ip().segments());
                halves[8] = six.port();
                Self { kind: 1, halves }
            }
        }
    }
}

impl From<Addr> for SocketAddr {
    fn from(Addr { kind, halves }: Addr) -> Self {
        if kind == 0 {
            let ([a, b], [c, d]) = (halves[0].to_le_bytes(), halves[1].to_le_bytes());
            return (Ipv4Addr::new(a, b, c, d), halves[2]).into();
        }
        let segments: [u16; 8] = std::array::from_fn(|at| halves[at]);
        (IpAddr::from(Ipv6Addr::from(segments)), halves[8]).into()
    }
}

/// An address that was found, and the kind of sockets that it is for.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct AddrInfo {
    pub addr: Addr,
    pub kind: i32,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Hints {
    pub kind: i32,
    pub family: i32,
    pub enabled: u8,
}

/// Bytes of this program's.
#[repr(C)]
pub struct Buffer(*const u8, usize);

/// A wait for data on a descriptor.
#[repr(C)]
pub struct Subscription {
    userdata: u64,
    tag: u64,
    fd: u32,
    rest: [u64; 3],
}

impl Subscription {
    pub fn read(fd: u32, userdata: u64) -> Self {
        Self { userdata, tag: 1, fd, rest: [0; 3] }
    }
}

/// What came of a wait.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Event {
    pub userdata: u64,
    pub error: u16,
    pub kind: u8,
    rest: [u64; 2],
}

pub fn poll(wanted: &[Subscription]) -> Result<Vec<Event>> {
    let mut events = vec![Event::default(); wanted.len()];
    let mut count = 0;
    outcome(unsafe {
        raw::poll_oneoff(wanted.as_ptr(), events.as_mut_ptr(), wanted.len() as u32, &mut count)
    })?;
    events.truncate(count as usize);
    Ok(events)
}

pub const DATAGRAM: u32 = 0;
pub const STREAM: u32 = 1;

/// A socket, which closes with it.
#[derive(Debug)]
pub struct Socket(pub u32);

impl Socket {
    pub fn new(addr: SocketAddr, kind: u32) -> Result<Self> {
        let mut fd = 0;
        // The library passes -1 for the pool of addresses.
        outcome(unsafe { raw::sock_open(u32::MAX, addr.is_ipv6().into(), kind, &mut fd) })?;
        Ok(Self(fd))
    }

    pub fn bind(&self, addr: SocketAddr) -> Result<()> {
        outcome(unsafe { raw::sock_bind(self.0, &addr.into()) })
    }

    pub fn listen(&self, backlog: u32) -> Result<()> {
        outcome(unsafe { raw::sock_listen(self.0, backlog) })
    }

    /// As `accept` of the library: the peer is asked for afterwards.
    pub fn accept(&self) -> Result<(Self, SocketAddr)> {
        let mut fd = 0;
        outcome(unsafe { raw::sock_accept(self.0, 0, &mut fd) })?;
        let accepted = Self(fd);
        let peer = accepted.remote()?;
        Ok((accepted, peer))
    }

    pub fn connect(&self, addr: SocketAddr) -> Result<()> {
        outcome(unsafe { raw::sock_connect(self.0, &addr.into()) })
    }

    pub fn local(&self) -> Result<SocketAddr> {
        let mut addr = Addr::default();
        outcome(unsafe { raw::sock_addr_local(self.0, &mut addr) })?;
        Ok(addr.into())
    }

    pub fn remote(&self) -> Result<SocketAddr> {
        let mut addr = Addr::default();
        outcome(unsafe { raw::sock_addr_remote(self.0, &mut addr) })?;
        Ok(addr.into())
    }

    pub fn set_nonblocking(&self) -> Result<()> {
        outcome(unsafe { raw::fd_fdstat_set_flags(self.0, 4) })
    }

    pub fn recv(&self, buf: &mut [u8]) -> Result<usize> {
        let (mut count, mut flags) = (0, 0);
        let buffer = Buffer(buf.as_mut_ptr(), buf.len());
        outcome(unsafe { raw::sock_recv(self.0, &buffer, 1, 0, &mut count, &mut flags) })?;
        Ok(count as usize)
    }

    pub fn send_all(&self, mut buf: &[u8]) -> Result<()> {
        while !buf.is_empty() {
            let mut count = 0;
            let buffer = Buffer(buf.as_ptr(), buf.len());
            outcome(unsafe { raw::sock_send(self.0, &buffer, 1, 0, &mut count) })?;
            buf = &buf[count as usize..];
        }
        Ok(())
    }

    pub fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr)> {
        let (mut addr, mut count) = (Addr::default(), 0);
        let buffer = Buffer(buf.as_mut_ptr(), buf.len());
        outcome(unsafe { raw::sock_recv_from(self.0, &buffer, 1, 0, &mut addr, &mut count) })?;
        Ok((count as usize, addr.into()))
    }

    pub fn send_to(&self, buf: &[u8], to: SocketAddr) -> Result<usize> {
        let mut count = 0;
        let buffer = Buffer(buf.as_ptr(), buf.len());
        outcome(unsafe { raw::sock_send_to(self.0, &buffer, 1, 0, &to.into(), &mut count) })?;
        Ok(count as usize)
    }

    pub fn end_sending(&self) -> Result<()> {
        outcome(unsafe { raw::sock_shutdown(self.0, 2) })
    }

    /// Closes by the call that is for sockets alone.
    pub fn close(self) -> Result<()> {
        let fd = self.0;
        std::mem::forget(self);
        outcome(unsafe { raw::sock_close(fd) })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        _ = unsafe { raw::fd_close(self.0) };
    }
}

/// As `getaddrinfo` of the library: with more room, as long as there is more.
pub fn look_up(host: &str, service: &str, hints: &Hints) -> Result<Vec<AddrInfo>> {
    let (host, service) = (host.to_owned() + "\0", service.to_owned() + "\0");
    let mut room = 1;
    loop {
        let mut found = vec![AddrInfo::default(); room];
        let mut count = 0;
        outcome(unsafe {
            raw::sock_addr_resolve(
                host.as_ptr(),
                service.as_ptr(),
                hints,
                found.as_mut_ptr(),
                room as u32,
                &mut count,
            )
        })?;
        if count as usize <= room {
            found.truncate(count as usize);
            return Ok(found);
        }
        room = count as usize;
    }
}
