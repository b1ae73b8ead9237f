//! Sockets that the operator passes to the guest.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use wasock::WasockCtxBuilder;

use crate::args::{NamedSocket, SocketArgs, SocketSource};
use crate::passed;

/// How long a connection that the guest is to have may take. The guest does not run before.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How many clients may wait before the guest's own limit counts, which is from its start on.
const FIRST_BACKLOG: i32 = 128;

/// How often a port is chosen anew that is free at one loopback address, and not at the other.
const PORT_ATTEMPTS: u32 = 8;

/// Gives `builder` the sockets of --preopen-listen, --preopen-connect, --preopen-udp and
/// --listen-fds, in this order, and those of --adopt where the guest `adopts` them.
///
/// # Errors
///
/// Where an address can't be listened on, or connected to, or a socket that was passed is of
/// no use.
pub(crate) fn hand_over(
    mut builder: WasockCtxBuilder,
    args: &SocketArgs,
    adopts: bool,
) -> Result<WasockCtxBuilder> {
    if let Some(nonblocking) = args.preopen_nonblocking {
        builder = builder.preopened_nonblocking(nonblocking);
    }
    for NamedSocket { name, place } in &args.preopen_listen {
        let failed = || format!("cannot listen on {place} (--preopen-listen)");
        for listener in listen(place).with_context(failed)? {
            builder = builder.preopened_exclusive_socket(name, listener)?;
        }
    }
    for NamedSocket { name, place } in &args.preopen_connect {
        let failed = || format!("cannot connect to {place} (--preopen-connect)");
        let connection = connect(place).with_context(failed)?;
        builder = builder.preopened_exclusive_socket(name, connection)?;
    }
    for NamedSocket { name, place } in &args.preopen_udp {
        let failed = || format!("cannot have a UDP socket at {place} (--preopen-udp)");
        for socket in open(place, SocketType::DGRAM).with_context(failed)? {
            builder = builder.preopened_exclusive_socket(name, socket)?;
        }
    }
    if adopts {
        builder = adopt_passed(builder, "--adopt")?;
    }
    if args.listen_fds {
        for (name, socket) in passed::sockets("--listen-fds")? {
            builder = builder
                .preopened_socket(&name, socket)
                .with_context(|| format!("cannot use the socket {name:?} (--listen-fds)"))?;
        }
    }
    Ok(builder)
}

/// The same for a component, which has no descriptors that it could be given: it gets a socket where it binds
/// to its address.
///
/// # Errors
///
/// As for [`hand_over`].
pub(crate) fn hold(
    mut builder: WasockCtxBuilder,
    args: &SocketArgs,
    adopts: bool,
) -> Result<WasockCtxBuilder> {
    for NamedSocket { place, .. } in &args.preopen_listen {
        let failed = || format!("cannot listen on {place} (--preopen-listen)");
        for listener in listen(place).with_context(failed)? {
            builder = builder.adoptable_socket(listener)?;
        }
    }
    for NamedSocket { place, .. } in &args.preopen_udp {
        let failed = || format!("cannot have a UDP socket at {place} (--preopen-udp)");
        for socket in open(place, SocketType::DGRAM).with_context(failed)? {
            builder = builder.adoptable_socket(socket)?;
        }
    }
    match (adopts, args.listen_fds) {
        (true, _) => adopt_passed(builder, "--adopt"),
        (false, true) => adopt_passed(builder, "--listen-fds"),
        (false, false) => Ok(builder),
    }
}

/// Holds the sockets that this process was started with.
fn adopt_passed(mut builder: WasockCtxBuilder, flag: &str) -> Result<WasockCtxBuilder> {
    for (name, socket) in passed::sockets(flag)? {
        builder = builder
            .adoptable_socket(socket)
            .with_context(|| format!("cannot use the socket {name:?} ({flag})"))?;
    }
    Ok(builder)
}

/// Listeners at `place`.
///
/// # Errors
///
/// Where the address is in use, or not this machine's.
pub(crate) fn listen(place: &SocketSource) -> io::Result<Vec<OwnedFd>> {
    match place {
        SocketSource::Unix(path) => Ok(vec![UnixListener::bind(path)?.into()]),
        _ => open(place, SocketType::STREAM),
    }
}

/// The sockets of this kind at `place`: listeners, or for datagrams.
fn open(place: &SocketSource, kind: SocketType) -> io::Result<Vec<OwnedFd>> {
    match *place {
        SocketSource::Inet(address) => Ok(vec![open_at(address, kind)?]),
        SocketSource::Any(port) => match open_at((Ipv6Addr::UNSPECIFIED, port).into(), kind) {
            // A machine without IPv6.
            Err(error) if lacks_address(&error) => {
                Ok(vec![open_at((Ipv4Addr::UNSPECIFIED, port).into(), kind)?])
            }
            opened => Ok(vec![opened?]),
        },
        SocketSource::Localhost(port) => open_at_loopback(port, kind),
        SocketSource::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// A socket for each family, at one port.
fn open_at_loopback(port: u16, kind: SocketType) -> io::Result<Vec<OwnedFd>> {
    let mut attempts = 1;
    loop {
        let four = open_at((Ipv4Addr::LOCALHOST, port).into(), kind)?;
        let chosen = SocketAddr::try_from(rustix::net::getsockname(&four)?)?.port();
        match open_at((Ipv6Addr::LOCALHOST, chosen).into(), kind) {
            Ok(six) => return Ok(vec![four, six]),
            Err(error) if lacks_address(&error) => return Ok(vec![four]),
            Err(error) if port == 0 && is(&error, Errno::ADDRINUSE) && attempts < PORT_ATTEMPTS => {
                attempts += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// A socket at `address`. The wildcard of IPv6 is that of both families.
fn open_at(address: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    let listens = kind == SocketType::STREAM;
    if listens {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    if listens {
        rustix::net::listen(&socket, FIRST_BACKLOG)?;
    }
    Ok(socket)
}

fn connect(place: &SocketSource) -> io::Result<OwnedFd> {
    match place {
        SocketSource::Inet(address) => Ok(TcpStream::connect_timeout(address, CONNECT_LIMIT)?.into()),
        SocketSource::Unix(path) => Ok(UnixStream::connect(path)?.into()),
        SocketSource::Localhost(_) | SocketSource::Any(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Has this machine no such address, or not the family at all?
fn lacks_address(error: &io::Error) -> bool {
    is(error, Errno::ADDRNOTAVAIL) || is(error, Errno::AFNOSUPPORT)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}
