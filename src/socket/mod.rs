//! The one socket core, under every dialect.
//!
//! A guest's socket is one host socket, on which no call waits, and a state that says
//! which calls are legal. What the host opens is nonblocking; what came from outside stays as
//! others have it: see [`lease`]. Operations named `try_` never wait: they fail
//! with `EAGAIN` or `EINPROGRESS`, and the module `ready` turns that into waiting if
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
//! Over `AF_UNIX` the same states hold, for streams and for messages in order
//! (`SOCK_SEQPACKET`); there a connect is done or failed at once, and what addresses
//! mean is the business of [`unix`].
//!
//! A [datagram socket](Datagram) has less state: an address or none, a peer or none, the
//! [groups](Membership) that it joined. A [filter](ReceiveFilter) may decide whose messages it accepts.
//!
//! Connections to a listener wait in the kernel, or in a queue that the host owns,
//! where its profile asks for what no kernel does: see [`listen`].
//!
//! Key types: [`Socket`], [`Refusal`]. Neighbours: `io` has their descriptors watched; `policy` is
//! asked before the operating system; `ready` waits.

mod address;
mod buffer;
mod datagram;
mod endpoint;
pub(crate) mod held;
mod host_address;
mod inherited;
mod lease;
pub mod listen;
mod multicast;
mod option;
mod pollable;
mod receive_filter;
mod recent;
mod refusal;
mod resolve;
mod rights;
mod sockaddr;
mod stream;
mod transfer;
pub(crate) mod turnstile;
pub mod unix;
mod unsent;

use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::error::Errno;
use crate::io::{AsyncFd, Events, HostRuntime};
use crate::policy::{Policy, Use};

pub use address::{Domain, Family};
pub use datagram::{Datagram, Destination};
pub use host_address::HostAddress;
pub use inherited::Inherited;
pub(crate) use lease::put_back_all;
pub use multicast::Membership;
pub use option::{FlagOption, SizeOption, TimeOption};
pub use receive_filter::ReceiveFilter;
pub use refusal::Refusal;
pub use resolve::{LookUp, Resolver};
pub use rights::Ancillary;
pub use stream::{Accepted, Connected, Phase, Status, Stream, Traffic};
pub use transfer::{Received, RecvFlags, ShutdownHow};
pub use turnstile::AcceptRates;
pub(crate) use unsent::unsent;

use endpoint::Endpoint;
use held::{Claim, Keeper};
use option::SocketLimits;

/// What kind of messages a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes in order.
    Stream,
    /// Messages, each on its own.
    Datagram,
    /// Messages in order, between two that are connected.
    SeqPacket,
}

impl Kind {
    fn to_host(self) -> rustix::net::SocketType {
        match self {
            Self::Stream => rustix::net::SocketType::STREAM,
            Self::Datagram => rustix::net::SocketType::DGRAM,
            Self::SeqPacket => rustix::net::SocketType::SEQPACKET,
        }
    }
}

/// A socket of a guest.
#[derive(Debug)]
pub enum Socket {
    /// One that connects: TCP, and streams and messages in order over `AF_UNIX`.
    Stream(Stream),
    /// Messages, each on its own. Apart, for it is larger, and connections are many.
    Datagram(Box<Datagram>),
}

const PROTOCOL_TCP: u16 = 6;
const PROTOCOL_UDP: u16 = 17;

impl Socket {
    /// Opens a socket. `protocol` is an IANA number; 0 is the usual one of `kind`.
    ///
    /// # Errors
    ///
    /// `EPROTONOSUPPORT` for a protocol that this family and kind do not have, `ENOTSUP` for
    /// messages in order over a network, `ENFILE` where the host has no descriptor left,
    /// `EAFNOSUPPORT` where it lacks the family.
    pub fn open(domain: Domain, kind: Kind, protocol: u16) -> Result<Self, Errno> {
        if kind == Kind::SeqPacket && domain.family() != Family::Unix {
            return Err(Errno::ENOTSUP);
        }
        check_protocol(domain.family(), kind, protocol)?;
        Ok(match kind {
            Kind::Stream | Kind::SeqPacket => Self::Stream(Stream::open(domain, kind)?),
            Kind::Datagram => Self::Datagram(Box::new(Datagram::open(domain)?)),
        })
    }

    /// Opens two that are connected to each other, without names, over `AF_UNIX`.
    ///
    /// # Errors
    ///
    /// `ENFILE` where the host has no descriptor left.
    pub fn pair(domain: &Domain, kind: Kind) -> Result<[Self; 2], Errno> {
        use rustix::net::{AddressFamily, SocketFlags, socketpair};
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let make = || socketpair(AddressFamily::UNIX, kind.to_host(), flags, None);
        let highest = |(near, far): &(OwnedFd, OwnedFd)| near.as_raw_fd().max(far.as_raw_fd());
        let (near, far) =
            HostRuntime::of_process().descriptors.for_guest(2, make, highest).map_err(Errno::from)?;
        let one = |fd| {
            let endpoint = Endpoint::new(fd, domain.clone(), kind);
            Ok::<_, Errno>(match kind {
                Kind::Datagram => Self::Datagram(Box::new(Datagram::of_pair(endpoint))),
                Kind::Stream | Kind::SeqPacket => Self::Stream(Stream::of_pair(endpoint)?),
            })
        };
        Ok([one(near)?, one(far)?])
    }

    /// The socket that connects, for the calls that only such a one knows.
    ///
    /// # Errors
    ///
    /// `ENOTSUP` for any other kind: WASI's number for `EOPNOTSUPP`.
    pub fn stream(&self) -> Result<&Stream, Errno> {
        match self {
            Self::Stream(stream) => Ok(stream),
            // "EOPNOTSUPP: The socket type of the specified socket does not support ..." - accept(3p)
            Self::Datagram(_) => Err(Errno::ENOTSUP),
        }
    }

    /// What kind of messages it carries.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Stream(stream) => stream.kind(),
            Self::Datagram(_) => Kind::Datagram,
        }
    }

    /// Does each send arrive as one message, whole?
    pub fn keeps_boundaries(&self) -> bool {
        self.kind() != Kind::Stream
    }

    /// The address family.
    pub fn family(&self) -> Family {
        match self {
            Self::Stream(stream) => stream.domain().family(),
            Self::Datagram(datagram) => datagram.domain().family(),
        }
    }

    /// The descriptor on the host for polling its readiness.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stream(stream) => stream.poll_fd(),
            Self::Datagram(datagram) => datagram.host_fd(),
        }
    }

    /// The host's socket whose options are the guest's.
    fn option_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stream(stream) => stream.option_fd(),
            Self::Datagram(datagram) => datagram.option_fd(),
        }
    }

    /// Set where the service holds the socket, which then goes on when the guest closes it.
    pub fn claim(&self) -> Option<&Arc<Claim>> {
        match self {
            Self::Stream(stream) => stream.claim(),
            Self::Datagram(datagram) => datagram.claim(),
        }
    }

    /// Gives the socket an address.
    ///
    /// # Errors
    ///
    /// As for [`Stream::bind`] and [`Datagram::bind`].
    pub fn bind(
        &self,
        address: Address,
        policy: &Policy,
        keeper: Option<&dyn Keeper>,
    ) -> Result<(), Refusal> {
        match self {
            Self::Stream(stream) => stream.bind(address, policy, keeper)?,
            Self::Datagram(datagram) => datagram.bind(&address, policy, keeper)?,
        }
        self.set_on_adopted();
        Ok(())
    }

    /// Begins to connect, or gives the socket its peer.
    ///
    /// # Errors
    ///
    /// As for [`Stream::try_connect`] and [`Datagram::connect`].
    pub fn try_connect(&self, address: &Address, policy: &Policy) -> Result<(), Refusal> {
        match self {
            Self::Stream(stream) => stream.try_connect(address, policy),
            Self::Datagram(datagram) => {
                let was_held = datagram.claim().is_some();
                datagram.connect(address, policy)?;
                if was_held {
                    self.set_again();
                }
                Ok(())
            }
        }
    }

    /// What connecting or sending to the network address `to` is to the policy.
    pub(crate) fn use_of(&self, to: SocketAddr) -> Use<'static> {
        let there = address::destination(to);
        match self {
            Self::Stream(_) => Use::TcpConnect(there),
            Self::Datagram(_) => Use::UdpSend(there),
        }
    }

    /// Dissolves the peer: there is no default destination, and messages from any sender are received again.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` for a socket that connects; what the host reports.
    pub fn dissolve(&self) -> Result<(), Errno> {
        match self {
            // "EAFNOSUPPORT: The specified address is not a valid address for the address
            // family of the specified socket." - connect(3p), of a connection.
            Self::Stream(_) => Err(Errno::EAFNOSUPPORT),
            Self::Datagram(datagram) => datagram.dissolve(),
        }
    }

    /// The address that the socket has.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn local_address(&self) -> Result<Address, Errno> {
        match self {
            Self::Stream(stream) => stream.local_address(),
            Self::Datagram(datagram) => datagram.local_address(),
        }
    }

    /// Where the host has what the guest binds to `address`, if that port is
    /// [published](Policy::publish).
    pub(crate) fn published_at(&self, address: &Address, policy: &Policy) -> Option<SocketAddr> {
        let address = address.inet()?;
        policy.published_at(match self {
            Self::Stream(_) => Use::TcpListen(address),
            Self::Datagram(_) => Use::UdpBind(address),
        })
    }

    /// The address that the guest is shown: the same, but for a port that is
    /// [published](Policy::publish), where it is the guest's own.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn shown_address(&self) -> Result<Address, Errno> {
        match self {
            Self::Stream(stream) => stream.shown_address(),
            Self::Datagram(datagram) => datagram.shown_address(),
        }
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` where there is none.
    pub fn peer_address(&self) -> Result<Address, Errno> {
        match self {
            Self::Stream(stream) => stream.peer_address(),
            Self::Datagram(datagram) => datagram.peer_address(),
        }
    }

    /// Ends one direction, or both.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` where the socket is not connected.
    pub fn shutdown(&self, how: ShutdownHow) -> Result<(), Errno> {
        match self {
            Self::Stream(stream) => stream.shutdown(how),
            Self::Datagram(datagram) => datagram.shutdown(how),
        }
    }

    /// What `sock_status` reports.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn status(&self) -> Result<Status, Errno> {
        match self {
            Self::Stream(stream) => stream.status(),
            Self::Datagram(datagram) => Ok(datagram.status()),
        }
    }

    /// Installs `receive_filter`, which decides whose messages are received, if the socket receives from
    /// a network. For a socket that cannot have received anything yet.
    pub fn set_receive_filter(&self, receive_filter: Arc<dyn ReceiveFilter>) {
        if let Self::Datagram(datagram) = self
            && self.family() != Family::Unix
        {
            datagram.set_receive_filter(receive_filter);
        }
    }

    /// Lets the socket reply to recent senders, if it carries datagrams over a network: also
    /// to addresses that were not granted.
    pub fn let_answer(&self) {
        if let Self::Datagram(datagram) = self
            && self.family() != Family::Unix
        {
            datagram.let_answer();
        }
    }

    /// Is it open when the guest has closed it: was it opened outside, or does the service hold
    /// it?
    pub fn outlives_guest(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.outlives_guest(),
            Self::Datagram(datagram) => datagram.outlives_guest(),
        }
    }

    /// May others have it too: another process, or the embedder?
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.is_shared(),
            Self::Datagram(datagram) => datagram.is_shared(),
        }
    }

    /// The registration of its descriptor for the direction of `mask`, where it has something to
    /// wait for.
    pub fn async_fd(&self, mask: Events) -> Option<Arc<AsyncFd>> {
        match self {
            Self::Stream(stream) => stream.async_fd(),
            Self::Datagram(datagram) => datagram.registration(mask).ok(),
        }
    }

    /// Ends the socket: its last descriptor is closed. A call of another thread that
    /// waits in it is woken, and fails with `EBADF`.
    pub fn close(&self) {
        match self {
            Self::Stream(stream) => stream.close(),
            Self::Datagram(datagram) => datagram.close(),
        }
    }

    fn limits(&self) -> &SocketLimits {
        match self {
            Self::Stream(stream) => stream.limits(),
            Self::Datagram(datagram) => datagram.limits(),
        }
    }

    /// How long a blocking call of this kind may wait; `None` is forever.
    pub fn timeout(&self, option: TimeOption) -> Option<Duration> {
        self.limits().time(option)
    }

    /// How many bytes of a stream a blocking receive waits for.
    pub fn receive_low_water(&self) -> usize {
        self.limits().receive_low_water()
    }
}

/// Does a socket of this family and kind have the protocol with this IANA number?
///
/// # Errors
///
/// `EPROTONOSUPPORT` where it has not.
pub fn check_protocol(family: Family, kind: Kind, protocol: u16) -> Result<(), Errno> {
    match (family, kind, protocol) {
        // "0 ... causes socket() to use an unspecified default protocol" - socket(3p)
        (_, _, 0) | (Family::Inet4 | Family::Inet6, Kind::Stream, PROTOCOL_TCP) => Ok(()),
        (Family::Inet4 | Family::Inet6, Kind::Datagram, PROTOCOL_UDP) => Ok(()),
        // A C library of WASIX turns 0 into TCP or UDP before it looks at the family: it has
        // no other way to ask for the one protocol that there is here.
        (Family::Unix, _, PROTOCOL_TCP | PROTOCOL_UDP) => Ok(()),
        // "EPROTONOSUPPORT: The protocol type or the specified protocol is not supported
        // within this domain." - socket(2). Linux says so of TCP for datagrams too, where
        // POSIX has EPROTOTYPE.
        _ => Err(Errno::EPROTONOSUPPORT),
    }
}
