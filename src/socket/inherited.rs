//! Sockets that were opened outside: by the operator, or by a service manager.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::net::{SocketAddrAny, SocketType, sockopt};

use super::held::{Binding, BoundAt, Made};
use super::lease::set_nonblocking;
use super::unix::{self, Held};
use super::{Datagram, Domain, Endpoint, Family, Kind, Socket, Stream, sockaddr};
use crate::address::Address;
use crate::error::Errno;

/// What a socket from outside is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// Its family.
    pub family: Family,
    /// What kind of messages it carries.
    pub kind: Kind,
    /// Its own address. A name is the host's, of which a guest knows nothing.
    pub local: Address,
    /// Its peer, where it is connected.
    pub peer: Option<Address>,
    /// Is it listening?
    pub is_listening: bool,
    /// May others have it too: another process, or the embedder?
    pub is_shared: bool,
}

impl Inherited {
    /// Inspects `fd`.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` where it is no socket, `EPROTOTYPE` for a kind that no guest can have (raw),
    /// `EAFNOSUPPORT` for another family than IPv4, IPv6 and `AF_UNIX`, `EINVAL` for a stream,
    /// or one of messages in order, that neither listens nor is connected.
    pub fn inspect(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let socket_type = sockopt::socket_type(fd)?;
        let local = rustix::net::getsockname(fd)?;
        let family = sockaddr::family(&local)?;
        let kind = match socket_type {
            SocketType::STREAM => Kind::Stream,
            SocketType::DGRAM => Kind::Datagram,
            SocketType::SEQPACKET if family == Family::Unix => Kind::SeqPacket,
            _ => return Err(Errno::EPROTOTYPE),
        };
        let local = address(family, local)?;
        let is_listening = sockopt::socket_acceptconn(fd)?;
        let peer = match rustix::net::getpeername(fd) {
            Ok(Some(peer)) => Some(address(family, peer)?),
            _ => None,
        };
        if kind != Kind::Datagram && !is_listening && peer.is_none() {
            return Err(Errno::EINVAL);
        }
        // Whether it is in nonblocking mode says nothing: some other user may have set that,
        // or have left it behind.
        Ok(Self { family, kind, local, peer, is_listening, is_shared: true })
    }

    /// May whoever knows its address reach it: does it listen, or receive from any sender?
    pub fn is_open_to_all(&self) -> bool {
        self.is_listening || (self.kind == Kind::Datagram && self.peer.is_none())
    }

    /// The socket `fd`, which this describes, for a service that holds it; guests know it as
    /// `local`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a connection, and for one without an address; what the host reports.
    pub fn to_be_held(&self, fd: OwnedFd, local: Address) -> Result<Made, Errno> {
        if !self.is_open_to_all() {
            return Err(Errno::EINVAL);
        }
        let (mut only_v6, mut name) = (false, None);
        let at = match &self.local {
            Address::Inet(at) => {
                if matches!(at, SocketAddr::V6(at) if at.ip().is_unspecified()) {
                    only_v6 = sockopt::ipv6_v6only(&fd)?;
                }
                BoundAt::Inet(*at)
            }
            Address::Unix(path) => {
                let held = Held::known(Path::new(path.path().ok_or(Errno::EINVAL)?))?;
                BoundAt::Name(name.insert(Arc::new(held)).id()?)
            }
        };
        if !self.is_shared {
            set_nonblocking(&fd, true)?;
        }
        let binding = Binding { family: self.family, kind: self.kind, only_v6, at };
        Ok(Made { binding, local, is_chosen: false, fd: Arc::new(fd), name })
    }
}

impl Socket {
    /// Wraps an inherited socket, described by `inherited`: it is bound, and `listen`
    /// makes it the guest's listener, or it is connected, or it carries datagrams. `names`
    /// is what its addresses mean where they are names; `held` is the file of its own name,
    /// where that goes with the socket.
    ///
    /// # Errors
    ///
    /// Those of registering with the caller's reactor.
    pub fn from_inherited(
        fd: OwnedFd,
        inherited: Inherited,
        names: Domain,
        held: Option<Held>,
    ) -> Result<Self, Errno> {
        let Inherited { family, kind, local, peer, is_shared, .. } = inherited;
        if !is_shared {
            set_nonblocking(&fd, true)?;
        }
        let domain = match family {
            Family::Inet4 => Domain::Inet4,
            Family::Inet6 => Domain::Inet6,
            Family::Unix => names,
        };
        let endpoint = Endpoint::inherited(fd, domain, kind, &local, is_shared, held);
        Ok(match kind {
            Kind::Datagram => Self::Datagram(Box::new(Datagram::from_inherited(endpoint, peer))),
            Kind::Stream | Kind::SeqPacket => Self::Stream(Stream::from_inherited(endpoint, local, peer)?),
        })
    }
}

fn address(family: Family, address: SocketAddrAny) -> Result<Address, Errno> {
    if family == Family::Unix {
        return unix::as_told(&address).map(Address::Unix);
    }
    sockaddr::inet(address).map(Address::Inet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::UnixName;
    use rustix::net::AddressFamily;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    #[test]
    fn it_describes_what_was_inherited() -> Result<(), Box<dyn std::error::Error>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let local: Address = listener.local_addr()?.into();
        let (family, kind) = (Family::Inet4, Kind::Stream);
        let listening =
            Inherited { family, kind, local: local.clone(), peer: None, is_listening: true, is_shared: true };
        assert_eq!(Inherited::inspect(listener.as_fd()), Ok(listening));
        let stream = TcpStream::connect(listener.local_addr()?)?;
        let connected = Inherited {
            family,
            kind,
            local: stream.local_addr()?.into(),
            peer: Some(local),
            is_listening: false,
            is_shared: true,
        };
        assert_eq!(Inherited::inspect(stream.as_fd()), Ok(connected));
        Ok(())
    }

    #[test]
    fn names_are_the_hosts() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path)?;
        let found = Inherited::inspect(listener.as_fd())?;
        assert_eq!((found.family, found.kind, found.is_listening), (Family::Unix, Kind::Stream, true));
        assert_eq!(found.local.path(), path.to_str());
        let Address::Unix(name) = found.local else { return Err("no name".into()) };
        assert_eq!(name.given(), None, "the guest knows nothing of it");
        let client = Inherited::inspect(UnixStream::connect(&path)?.as_fd())?;
        assert_eq!(
            (client.local.path(), client.peer.as_ref().and_then(Address::path)),
            (None, path.to_str())
        );
        Ok(())
    }

    #[test]
    fn datagrams_and_pairs_are_of_use() -> Result<(), Box<dyn std::error::Error>> {
        let datagrams = Inherited::inspect(UdpSocket::bind("127.0.0.1:0")?.as_fd())?;
        assert_eq!((datagrams.kind, datagrams.peer), (Kind::Datagram, None));
        for (near, kind) in [
            (OwnedFd::from(UnixStream::pair()?.0), Kind::Stream),
            (UnixDatagram::pair()?.0.into(), Kind::Datagram),
        ] {
            let found = Inherited::inspect(near.as_fd())?;
            assert_eq!((found.kind, found.peer), (kind, Some(UnixName::unnamed().into())), "{kind:?}");
        }
        Ok(())
    }

    #[test]
    fn what_is_of_no_use_is_refused() -> Result<(), Box<dyn std::error::Error>> {
        let fresh = |family, kind| rustix::net::socket(family, kind, None);
        assert_eq!(Inherited::inspect(std::fs::File::open("/dev/null")?.as_fd()), Err(Errno::ENOTSOCK));
        for family in [AddressFamily::INET, AddressFamily::UNIX] {
            let neither = fresh(family, SocketType::STREAM)?;
            assert_eq!(Inherited::inspect(neither.as_fd()), Err(Errno::EINVAL), "{family:?}");
        }
        let messages = fresh(AddressFamily::UNIX, SocketType::SEQPACKET)?;
        assert_eq!(Inherited::inspect(messages.as_fd()), Err(Errno::EINVAL));
        let other = fresh(AddressFamily::NETLINK, SocketType::RAW)?;
        assert_eq!(Inherited::inspect(other.as_fd()), Err(Errno::EAFNOSUPPORT));
        Ok(())
    }
}
