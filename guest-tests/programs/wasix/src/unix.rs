//! Unix sockets: addresses that are names.

use crate::socket::{self, AddrPort, IoVec, UNIX};
use crate::{Fd, Result, address_of, address_of_mut, outcome, raw};

/// A name, as the host writes it; empty for none.
pub type Name = String;

/// The address with this path, as a C program lays it out.
pub fn addr(path: &str) -> AddrPort {
    let mut addr = AddrPort::of_family(UNIX as u8);
    // One that does not fit has no NUL, and is cut.
    for (to, from) in addr.0[2..].iter_mut().zip(path.bytes()) {
        *to = from;
    }
    addr
}

/// The name that the host wrote.
pub fn name(addr: &AddrPort) -> Name {
    assert_eq!(addr.0[0], UNIX as u8, "an address of family {}", addr.0[0]);
    let path = &addr.0[2..];
    let end = path.iter().position(|byte| *byte == 0).expect("a NUL");
    assert!(path[end + 1..].iter().all(|byte| *byte == 0xaa), "the host wrote behind the NUL");
    String::from_utf8(path[..end].to_vec()).expect("UTF-8")
}

pub fn open(kind: u32) -> Result<Fd> {
    socket::open(UNIX, kind, 0)
}

pub fn bind(fd: Fd, path: &str) -> Result<()> {
    socket::bind_raw(fd, &addr(path))
}

pub fn connect(fd: Fd, path: &str) -> Result<()> {
    socket::connect_raw(fd, &addr(path))
}

/// A socket that listens at `path`.
pub fn listener(kind: u32, path: &str, backlog: u32) -> Result<Fd> {
    let fd = open(kind)?;
    bind(fd, path)?;
    socket::listen(fd, backlog)?;
    Ok(fd)
}

/// A socket that is connected to `path`.
pub fn client(kind: u32, path: &str) -> Result<Fd> {
    let fd = open(kind)?;
    connect(fd, path)?;
    Ok(fd)
}

pub fn accept(fd: Fd, flags: u32) -> Result<(Fd, Name)> {
    let mut addr = AddrPort::unwritten();
    let accepted = socket::accept_raw(raw::wasix::sock_accept_v2, fd, flags, &mut addr)?;
    Ok((accepted, name(&addr)))
}

pub fn local(fd: Fd) -> Result<Name> {
    let mut addr = AddrPort::unwritten();
    outcome(unsafe { raw::wasix::sock_addr_local(fd, address_of_mut(&mut addr)) })?;
    Ok(name(&addr))
}

pub fn peer(fd: Fd) -> Result<Name> {
    let mut addr = AddrPort::unwritten();
    outcome(unsafe { raw::wasix::sock_addr_peer(fd, address_of_mut(&mut addr)) })?;
    Ok(name(&addr))
}

/// `sock_recv`: how much, and was there more?
pub fn recv(fd: Fd, buf: &mut [u8], flags: u32) -> Result<(usize, bool)> {
    let (mut len, mut roflags) = (0u32, 0u16);
    let iovs = [IoVec::reading(buf)];
    outcome(unsafe {
        raw::preview1::sock_recv(
            fd,
            address_of(&iovs),
            1,
            flags,
            address_of_mut(&mut len),
            address_of_mut(&mut roflags),
        )
    })?;
    Ok((len as usize, roflags != 0))
}

/// `sock_recv_from`: how much, was there more, and from which sender?
pub fn recv_from(fd: Fd, buf: &mut [u8], flags: u32) -> Result<(usize, bool, Name)> {
    let mut addr = AddrPort::unwritten();
    let (len, is_cut) = socket::recv_from_raw(fd, buf, flags, &mut addr)?;
    Ok((len, is_cut, name(&addr)))
}

pub fn send_to(fd: Fd, buf: &[u8], flags: u32, path: &str) -> Result<usize> {
    socket::send_to_raw(fd, buf, flags, &addr(path))
}
