//! Sockets that were opened outside: by the operator, or by a service manager.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::net::{SocketAddrAny, SocketType, sockopt};

use super::{Endpoint, Kind, Socket, Space, Stream};
use crate::error::Errno;

/// What a socket from outside is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    /// Its own address.
    pub local: SocketAddr,
    /// Its peer, where it is connected.
    pub peer: Option<SocketAddr>,
    /// Do connections come in?
    pub is_listening: bool,
    /// Is it in nonblocking mode? The guest's calls then begin so.
    pub is_nonblocking: bool,
}

impl Handed {
    /// Looks at `fd`.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` where it is no socket, `EPROTOTYPE` where it carries no stream,
    /// `EAFNOSUPPORT` where it is neither IPv4 nor IPv6, `EINVAL` where it neither listens
    /// nor is connected.
    pub fn look(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        if sockopt::socket_type(fd)? != SocketType::STREAM {
            return Err(Errno::EPROTOTYPE);
        }
        let local = inet(rustix::net::getsockname(fd)?)?;
        let is_listening = sockopt::socket_acceptconn(fd)?;
        let peer = match rustix::net::getpeername(fd) {
            Ok(Some(peer)) => Some(inet(peer)?),
            _ => None,
        };
        if !is_listening && peer.is_none() {
            return Err(Errno::EINVAL);
        }
        let is_nonblocking = rustix::fs::fcntl_getfl(fd)?.contains(OFlags::NONBLOCK);
        Ok(Self { local, peer, is_listening, is_nonblocking })
    }
}

impl Socket {
    /// Takes over a socket from outside that was `handed` over: it is bound, and `listen`
    /// makes it the guest's listener, or it is connected.
    ///
    /// # Errors
    ///
    /// What the reactor of the caller answers.
    pub fn take_over(fd: OwnedFd, handed: &Handed) -> Result<Self, Errno> {
        // The guest's own mode is ours; the host's sockets never block.
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        let space = if handed.local.is_ipv4() { Space::Inet4 } else { Space::Inet6 };
        let endpoint = Endpoint::new(fd, space, Kind::Stream);
        Ok(Self::Stream(Stream::take_over(endpoint, handed)?))
    }
}

fn inet(address: SocketAddrAny) -> Result<SocketAddr, Errno> {
    SocketAddr::try_from(address).map_err(|_| Errno::EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd as _;

    #[test]
    fn it_tells_what_was_handed_over() -> Result<(), Box<dyn std::error::Error>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let local = listener.local_addr()?;
        let listening = Handed { local, peer: None, is_listening: true, is_nonblocking: false };
        assert_eq!(Handed::look(listener.as_fd()), Ok(listening));
        let stream = TcpStream::connect(local)?;
        stream.set_nonblocking(true)?;
        let connected = Handed {
            local: stream.local_addr()?,
            peer: Some(local),
            is_listening: false,
            is_nonblocking: true,
        };
        assert_eq!(Handed::look(stream.as_fd()), Ok(connected));
        Ok(())
    }

    #[test]
    fn what_is_of_no_use_is_refused() -> Result<(), Box<dyn std::error::Error>> {
        assert_eq!(Handed::look(std::fs::File::open("/dev/null")?.as_fd()), Err(Errno::ENOTSOCK));
        assert_eq!(Handed::look(UdpSocket::bind("127.0.0.1:0")?.as_fd()), Err(Errno::EPROTOTYPE));
        let (unix, _other) = std::os::unix::net::UnixStream::pair()?;
        assert_eq!(Handed::look(unix.as_fd()), Err(Errno::EAFNOSUPPORT));
        let fresh = rustix::net::socket(rustix::net::AddressFamily::INET, SocketType::STREAM, None)?;
        assert_eq!(Handed::look(fresh.as_fd()), Err(Errno::EINVAL));
        Ok(())
    }
}
