//! The one socket core, under every dialect.
//!
//! A guest's socket is one host socket, always nonblocking, and a state that says
//! which calls are legal. Operations named `try_` never wait: they answer
//! `EAGAIN` or `EINPROGRESS`, and the room `ready` turns that into waiting where
//! the guest's descriptor blocks. What the kernel knows better (addresses,
//! options, pending errors) is asked of the kernel each time.
//!
//! A stream socket:
//!
//! ```text
//!              bind                listen
//!   Unbound ---------> Bound --------------------> Listening --.  listen again:
//!      |                 |                           |   ^     |  new backlog
//!      | connect         | connect                   |   '-----'
//!      v                 v                           | accept
//!   Connecting <---------'                           v
//!      |  ^ '----- settled: connected ---------> Connected
//!      |  |
//!      '--+------- settled: failed ------------> Unbound or Bound, as it was before
//! ```
//!
//! A datagram socket can be opened, so that a program learns from `listen` and
//! `accept` what POSIX has to say about it; it carries no data yet.
//!
//! Connections to a listener wait in the kernel, or in a queue that the host owns,
//! where its profile asks for what no kernel does: see [`listen`].
//!
//! Key types: [`Socket`], [`Registered`], [`Refusal`]. Neighbours: `policy` is
//! asked before the operating system; `ready` waits.

mod address;
pub mod listen;
mod option;
mod reactor;
mod registered;
mod resolve;
mod tcp;
mod udp;
mod vigil;
mod watchable;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::Errno;
use crate::policy::Denial;

pub use address::Family;
pub use option::{FlagOption, SizeOption, TimeOption};
pub(crate) use reactor::own_reactor;
pub use reactor::reactor;
pub use registered::{Interest, Registered};
pub use resolve::resolve;
pub use tcp::{Accepted, Connected, Phase, RecvFlags, ShutdownHow, Status, Tcp};
pub use udp::Udp;
pub(crate) use vigil::Vigil;
pub use watchable::{Heard, Watchable, Watchers};

use option::Timeouts;

/// What kind of messages a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes in order.
    Stream,
    /// Datagrams.
    Datagram,
}

/// Why a call on a socket did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The state, the arguments or the operating system.
    Errno(Errno),
    /// The policy; the guest sees `EACCES`.
    Denied(Denial),
}

impl Refusal {
    /// The error number that the guest sees.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Errno(errno) => *errno,
            Self::Denied(_) => Errno::EACCES,
        }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<rustix::io::Errno> for Refusal {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Errno(errno.into())
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

/// What tells that a socket has news.
#[derive(Clone, Debug)]
pub enum News {
    /// Nothing: it never changes by itself.
    None,
    /// The reactor.
    Reactor(Arc<Registered>),
    /// The queue of a listener, where the host owns it.
    Queue(Arc<listen::Queue>),
}

/// A socket of a guest.
#[derive(Debug)]
pub enum Socket {
    /// Stream over IPv4 or IPv6.
    Tcp(Tcp),
    /// Datagrams over IPv4 or IPv6.
    Udp(Udp),
}

const PROTOCOL_TCP: u16 = 6;
const PROTOCOL_UDP: u16 = 17;

impl Socket {
    /// Opens a socket. `protocol` is an IANA number; 0 is the usual one of `kind`.
    ///
    /// # Errors
    ///
    /// `EPROTOTYPE` where protocol and kind do not go together,
    /// `EPROTONOSUPPORT` for an unknown protocol, `ENFILE` where the host has no
    /// descriptor left, `EAFNOSUPPORT` where it lacks the family.
    pub fn open(family: Family, kind: Kind, protocol: u16) -> Result<Self, Errno> {
        match (kind, protocol) {
            (Kind::Stream, 0 | PROTOCOL_TCP) => Ok(Self::Tcp(Tcp::open(family)?)),
            (Kind::Datagram, 0 | PROTOCOL_UDP) => Ok(Self::Udp(Udp::open(family)?)),
            // "EPROTOTYPE: The socket type is not supported by the protocol." - socket(3p)
            (_, PROTOCOL_TCP | PROTOCOL_UDP) => Err(Errno::EPROTOTYPE),
            // "EPROTONOSUPPORT: The protocol is not supported by the address family" - socket(3p)
            _ => Err(Errno::EPROTONOSUPPORT),
        }
    }

    /// The stream socket, for the calls that only such a one knows.
    ///
    /// # Errors
    ///
    /// `ENOTSUP` for any other kind: WASI's number for `EOPNOTSUPP`.
    pub fn stream(&self) -> Result<&Tcp, Errno> {
        match self {
            Self::Tcp(tcp) => Ok(tcp),
            // "EOPNOTSUPP: The socket type of the specified socket does not support ..." - accept(3p)
            Self::Udp(_) => Err(Errno::ENOTSUP),
        }
    }

    /// What kind of messages it carries.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Tcp(_) => Kind::Stream,
            Self::Udp(_) => Kind::Datagram,
        }
    }

    /// The address family.
    pub fn family(&self) -> Family {
        match self {
            Self::Tcp(tcp) => tcp.family(),
            Self::Udp(udp) => udp.family(),
        }
    }

    /// The host's socket, for a look at its readiness.
    pub fn host_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(tcp) => tcp.host_fd(),
            Self::Udp(udp) => udp.host_fd(),
        }
    }

    /// What tells that the socket has news.
    pub fn news(&self) -> News {
        match self {
            Self::Tcp(tcp) => tcp.news(),
            Self::Udp(_) => News::None,
        }
    }

    /// Has `context` woken by the next news of the socket, whatever its state: a call
    /// that makes it listen or connect is news too.
    pub fn poll_news(&self, interest: Interest, context: &mut Context<'_>) -> Poll<Heard> {
        match self {
            Self::Tcp(tcp) => tcp.poll_news(interest, context),
            Self::Udp(_) => Poll::Pending,
        }
    }

    /// Ends the socket: its last descriptor is closed. A call of another thread that
    /// waits in it is woken, and answers `EBADF`.
    pub fn close(&self) {
        match self {
            Self::Tcp(tcp) => tcp.close(),
            Self::Udp(_) => {}
        }
    }

    fn timeouts(&self) -> &Timeouts {
        match self {
            Self::Tcp(tcp) => tcp.timeouts(),
            Self::Udp(udp) => udp.timeouts(),
        }
    }

    /// How long a blocking call of this kind may wait; `None` is for ever.
    pub fn timeout(&self, option: TimeOption) -> Option<Duration> {
        self.timeouts().get(option)
    }
}

/// A new nonblocking host socket.
fn open_host(family: Family, kind: rustix::net::SocketType) -> Result<OwnedFd, Errno> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socket_with(family.to_host(), kind, flags, None).map_err(host_limit)
}

/// The host's own descriptor limit is `ENFILE` for a guest; `EMFILE` is the
/// guest's table (README, listen rule 12).
fn host_limit(errno: rustix::io::Errno) -> Errno {
    match errno.into() {
        Errno::EMFILE => Errno::ENFILE,
        other => other,
    }
}
