//! Two sockets that are connected to each other, of every kind that carries data.

use crate::descriptor::close;
#[cfg(not(feature = "front"))]
use crate::socket::SEQPACKET;
use crate::socket::{self, DGRAM, INET4, INET6, STREAM, TCP, UDP, UNIX};
use crate::{Fd, Result, unix, wait};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// A kind of socket: its family, its type, and whether it was born as a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub name: &'static str,
    pub family: u32,
    pub socktype: u32,
    pub is_pair: bool,
}

const fn kind(name: &'static str, family: u32, socktype: u32, is_pair: bool) -> Kind {
    Kind { name, family, socktype, is_pair }
}

/// All of them.
pub const KINDS: &[Kind] = &[
    kind("tcp4", INET4, STREAM, false),
    kind("tcp6", INET6, STREAM, false),
    kind("udp4", INET4, DGRAM, false),
    kind("udp6", INET6, DGRAM, false),
    kind("unix_stream", UNIX, STREAM, false),
    #[cfg(not(feature = "front"))]
    kind("unix_seqpacket", UNIX, SEQPACKET, false),
    kind("unix_datagram", UNIX, DGRAM, false),
    #[cfg(not(feature = "front"))]
    kind("pair_stream", UNIX, STREAM, true),
    #[cfg(not(feature = "front"))]
    kind("pair_seqpacket", UNIX, SEQPACKET, true),
    #[cfg(not(feature = "front"))]
    kind("pair_datagram", UNIX, DGRAM, true),
];

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Network(SocketAddr),
    Name(String),
}

impl Place {
    pub fn bind(&self, fd: Fd) -> Result<()> {
        match self {
            Self::Network(addr) => socket::bind(fd, *addr),
            Self::Name(path) => unix::bind(fd, path),
        }
    }

    pub fn connect(&self, fd: Fd) -> Result<()> {
        match self {
            Self::Network(addr) => socket::connect(fd, *addr),
            Self::Name(path) => unix::connect(fd, path),
        }
    }

    pub fn send_to(&self, fd: Fd, buf: &[u8]) -> Result<usize> {
        match self {
            Self::Network(addr) => socket::send_to(fd, buf, 0, *addr),
            Self::Name(path) => unix::send_to(fd, buf, 0, path),
        }
    }

    /// Is it where the peer of `fd` is?
    pub fn is_peer_of(&self, fd: Fd) -> bool {
        match self {
            Self::Network(addr) => socket::addr_peer(fd) == Ok(*addr),
            Self::Name(path) => unix::peer(fd).as_ref() == Ok(path),
        }
    }
}

/// Where a server is to be, as its operator writes it: `127.0.0.1:80`, `[::1]:80`,
/// `unix:/run/s`, `seqpacket:/run/s` or `datagram:/run/s`.
pub fn place(text: &str) -> (Kind, Place) {
    for (scheme, name) in
        [("unix:", "unix_stream"), ("seqpacket:", "unix_seqpacket"), ("datagram:", "unix_datagram")]
    {
        if let Some(path) = text.strip_prefix(scheme) {
            return (Kind::named(name).expect("a kind"), Place::Name(path.to_owned()));
        }
    }
    let addr: SocketAddr = text.parse().expect("an address");
    let name = if addr.is_ipv4() { "tcp4" } else { "tcp6" };
    (Kind::named(name).expect("a kind"), Place::Network(addr))
}

/// A socket that listens at `place`; one for datagrams only has that address.
pub fn serve_at(text: &str) -> Result<(Kind, Fd)> {
    let (kind, place) = place(text);
    let fd = kind.open()?;
    place.bind(fd)?;
    if kind.is_connection() {
        socket::listen(fd, 128)?;
    }
    Ok((kind, fd))
}

impl Kind {
    /// The next connection, from any client.
    pub fn accept(&self, listener: Fd, flags: u32) -> Result<Fd> {
        match self.is_unix() {
            true => unix::accept(listener, flags).map(|(fd, _)| fd),
            false => socket::accept_v2(listener, flags).map(|(fd, _)| fd),
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        KINDS.iter().find(|kind| kind.name == name).copied()
    }

    /// The one that the program's first argument names.
    pub fn of_args() -> Self {
        let name = std::env::args().nth(1).expect("a kind");
        Self::named(&name).expect("a kind that there is")
    }

    /// Does each send arrive as one message?
    pub fn has_messages(&self) -> bool {
        self.socktype != STREAM
    }

    /// Does a connection hold the two together?
    pub fn is_connection(&self) -> bool {
        self.socktype != DGRAM
    }

    pub fn is_unix(&self) -> bool {
        self.family == UNIX
    }

    /// Both ends. Names lie in `/run`, and are new each time.
    pub fn ends(&self) -> Result<(Fd, Fd)> {
        match (self.is_pair, self.family, self.socktype) {
            (true, ..) => wait::pair(UNIX, self.socktype, 0),
            (_, UNIX, DGRAM) => self.named_datagrams(),
            (_, UNIX, _) => {
                let path = fresh_name();
                let listener = unix::listener(self.socktype, &path, 4)?;
                let near = unix::client(self.socktype, &path)?;
                let (far, _) = unix::accept(listener, 0)?;
                close(listener)?;
                Ok((near, far))
            }
            (_, _, DGRAM) => self.bound_datagrams(),
            _ => {
                let listener = self.listener(4)?;
                let near = self.open()?;
                socket::connect(near, socket::addr_local(listener)?)?;
                let (far, _) = socket::accept_v2(listener, 0)?;
                close(listener)?;
                Ok((near, far))
            }
        }
    }

    /// A fresh one.
    pub fn open(&self) -> Result<Fd> {
        let protocol = match (self.family, self.socktype) {
            (UNIX, _) => 0,
            (_, DGRAM) => UDP,
            _ => TCP,
        };
        socket::open(self.family, self.socktype, protocol)
    }

    /// One with an address of its own, and where that is.
    pub fn somewhere(&self) -> Result<(Fd, Place)> {
        if self.is_unix() {
            let (fd, place) = (self.open()?, Place::Name(fresh_name()));
            place.bind(fd)?;
            return Ok((fd, place));
        }
        let fd = self.bound()?;
        Ok((fd, Place::Network(socket::addr_local(fd)?)))
    }

    /// One that listens at the loopback address.
    pub fn listener(&self, backlog: u32) -> Result<Fd> {
        let listener = self.bound()?;
        socket::listen(listener, backlog)?;
        Ok(listener)
    }

    /// One with an address over a network.
    pub fn bound(&self) -> Result<Fd> {
        let fd = self.open()?;
        let loopback: SocketAddr = match self.family {
            INET4 => (Ipv4Addr::LOCALHOST, 0).into(),
            _ => (Ipv6Addr::LOCALHOST, 0).into(),
        };
        socket::bind(fd, loopback)?;
        Ok(fd)
    }

    fn bound_datagrams(&self) -> Result<(Fd, Fd)> {
        let (near, far) = (self.bound()?, self.bound()?);
        socket::connect(near, socket::addr_local(far)?)?;
        socket::connect(far, socket::addr_local(near)?)?;
        Ok((near, far))
    }

    fn named_datagrams(&self) -> Result<(Fd, Fd)> {
        let names = [fresh_name(), fresh_name()];
        let (near, far) = (self.open()?, self.open()?);
        unix::bind(near, &names[0])?;
        unix::bind(far, &names[1])?;
        unix::connect(near, &names[1])?;
        unix::connect(far, &names[0])?;
        Ok((near, far))
    }
}

/// A name that no socket has.
pub fn fresh_name() -> String {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("/run/{}", NEXT.fetch_add(1, Relaxed))
}
