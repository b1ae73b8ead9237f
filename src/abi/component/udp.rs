//! UDP, as every version of WASI has it.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use super::address::{check_destination, is_of};
use super::descriptor::GuestSocket;
use super::failure::Failure;
use super::tcp::{bind_for_both, inet, open};
use crate::address::Address;
use crate::error::Errno;
use crate::process::{Process, Thread};
use crate::ready;
use crate::socket::{Datagram, Destination, Family, FlagOption, Kind, Refusal, Socket};

/// The largest datagram that there can be; one of IP is smaller still.
pub(super) const MAX_DATAGRAM: usize = 65_535;

/// A datagram socket of the guest.
pub(crate) struct Udp {
    socket: Arc<GuestSocket>,
    /// Has it had a peer? Then it has an address for good, also where Linux takes back the one that it chose for that
    /// peer.
    was_connected: AtomicBool,
}

impl Udp {
    /// A fresh socket. The operator knows the call that receives as `receive`.
    ///
    /// # Errors
    ///
    /// As for [`Tcp::open`](super::tcp::Tcp::open).
    pub(super) fn open(thread: &Thread, family: Family, receive: &'static str) -> Result<Self, Failure> {
        let socket = open(thread, family, Kind::Datagram, receive)?;
        Ok(Self { socket, was_connected: AtomicBool::new(false) })
    }

    /// The descriptor.
    pub(super) fn socket(&self) -> &Arc<GuestSocket> {
        &self.socket
    }

    /// Has it an address?
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub(super) fn is_bound(&self) -> Result<bool, Failure> {
        Ok(self.was_connected.load(Relaxed) || self.socket.socket().local_address()?.port() != Some(0))
    }

    /// Gives it an address.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where it has one, [`Failure::Argument`], and those of [`Datagram::bind`].
    pub(super) fn bind(&self, thread: &Thread, call: &'static str, to: SocketAddr) -> Result<(), Failure> {
        if self.is_bound()? {
            return Err(Failure::State);
        }
        if !is_of(to.ip(), self.socket.family()) {
            return Err(Failure::Argument);
        }
        let (reference, address) = (self.socket.reference(), Address::Inet(to));
        let outcome = bind_for_both(thread, reference, &address)?;
        Ok(thread.bound_as(call, reference, address, outcome)?)
    }

    /// Makes `to` its peer. A name of the grants that may have the address is looked up first.
    ///
    /// # Errors
    ///
    /// [`Failure::Argument`], and those of [`Datagram::connect`].
    pub(super) async fn connect(
        &self,
        process: &Process,
        call: &'static str,
        to: SocketAddr,
    ) -> Result<(), Failure> {
        check_to(&self.socket, to)?;
        let (socket, address) = (self.socket.socket(), Address::Inet(to));
        let mut outcome = socket.try_connect(&address, process.policy());
        if matches!(outcome, Err(Refusal::Denied(_)))
            && !process.names_to_look_up(socket, &address).is_empty()
        {
            process.look_up_for(socket, &address).await?;
            outcome = socket.try_connect(&address, process.policy());
        }
        if outcome == Err(Errno::EINVAL.into()) {
            // Linux keeps the interface of the peer before, where it has chosen one.
            socket.dissolve()?;
            outcome = socket.try_connect(&address, process.policy());
        }
        process.answer(call, outcome)?;
        self.was_connected.store(true, Relaxed);
        Ok(())
    }

    /// The address that it has, as the guest knows it.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where it has none, and what the host reports.
    pub(super) fn local_address(&self) -> Result<SocketAddr, Failure> {
        if !self.is_bound()? {
            return Err(Failure::State);
        }
        inet(self.socket.socket().shown_address()?)
    }

    /// Its peer.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where it has none.
    pub(super) fn peer_address(&self) -> Result<SocketAddr, Failure> {
        inet(self.socket.socket().peer_address().map_err(|_| Failure::State)?)
    }
}

/// Checks an address to which a datagram of `socket` is to go. One of IPv4 that stands as one of IPv6 is that of
/// a peer where the socket is one for both families, which the host has held for the guest.
///
/// # Errors
///
/// [`Failure::Argument`].
pub(super) fn check_to(socket: &GuestSocket, to: SocketAddr) -> Result<(), Failure> {
    let inside = SocketAddr::new(to.ip().to_canonical(), to.port());
    if inside != to && !socket.socket().flag(FlagOption::OnlyV6).unwrap_or(true) {
        return check_destination(inside, Family::Inet4);
    }
    check_destination(to, socket.family())
}

/// The datagram socket behind a descriptor.
///
/// # Errors
///
/// `ENOTSUP` for any other.
fn datagram(socket: &GuestSocket) -> Result<&Datagram, Failure> {
    match socket.socket().as_ref() {
        Socket::Datagram(datagram) => Ok(datagram),
        Socket::Stream(_) => Err(Errno::ENOTSUP.into()),
    }
}

/// Sends one datagram: to `to`, or to `peer`, which is the socket's. A name of the grants that may have the address
/// is looked up first.
///
/// # Errors
///
/// [`Failure::Argument`] for an address of no use, for another one than the peer's, and without any; `EMSGSIZE`;
/// `EAGAIN` where there is no room; those of [`Datagram::destination`] and of [`Datagram::try_send`].
pub(super) async fn send(
    process: &Process,
    call: &'static str,
    socket: &GuestSocket,
    data: &[u8],
    to: Option<SocketAddr>,
    peer: Option<SocketAddr>,
) -> Result<(), Failure> {
    let datagram = datagram(socket)?;
    if data.len() > MAX_DATAGRAM {
        return Err(Errno::EMSGSIZE.into());
    }
    if let Some(to) = to {
        check_to(socket, to)?;
    }
    let slices = &[IoSlice::new(data)];
    let sent = match (to, peer) {
        // "The socket is in "connected" mode and `remote-address` is `some` value that does not match"
        (Some(to), Some(peer)) if to != peer => return Err(Failure::Argument),
        // "The socket is not "connected" and no value for `remote-address` was provided. (EDESTADDRREQ)"
        (None, None) => return Err(Failure::Argument),
        // The policy is asked at every use.
        (_, Some(peer)) => {
            destination(process, call, socket, datagram, peer).await?;
            ready::try_send(socket.socket(), slices)
        }
        (Some(to), None) => {
            let to = destination(process, call, socket, datagram, to).await?;
            ready::try_send_to(datagram, slices, &to)
        }
    };
    match sent {
        Some(Poll::Ready(sent)) => {
            process.instance().usage().sent(sent?);
            Ok(())
        }
        // No room, or no reactor for the wait that it would take.
        Some(Poll::Pending) | None => Err(Errno::EAGAIN.into()),
    }
}

async fn destination(
    process: &Process,
    call: &'static str,
    socket: &GuestSocket,
    datagram: &Datagram,
    to: SocketAddr,
) -> Result<Destination, Failure> {
    let address = Address::Inet(to);
    let mut found = datagram.destination(&address, process.policy());
    if matches!(found, Err(Refusal::Denied(_)))
        && !process.names_to_look_up(socket.socket(), &address).is_empty()
    {
        process.look_up_for(socket.socket(), &address).await?;
        found = datagram.destination(&address, process.policy());
    }
    Ok(process.answer(call, found)?)
}

/// Receives one datagram into `buffer`, and returns its length and its sender; nothing where none is there, or
/// where so many came that may not come in that others have their turn first. One of another
/// sender than `peer`, which had come in before it was the peer, is dropped.
///
/// # Errors
///
/// What the host reports of an earlier one.
pub(super) fn receive(
    process: &Process,
    socket: &GuestSocket,
    buffer: &mut [u8],
    peer: Option<SocketAddr>,
) -> Result<Option<(usize, SocketAddr)>, Failure> {
    /// How many of others are dropped in one call.
    const MOST: usize = 64;
    let datagram = datagram(socket)?;
    for _ in 0..MOST {
        let received = match ready::try_recv_message(datagram, buffer, false) {
            Some(Poll::Ready(received)) => received?,
            Some(Poll::Pending) | None => return Ok(None),
        };
        let from = received.from.and_then(|from| from.inet()).ok_or(Errno::EIO)?;
        if peer.is_none_or(|peer| is_same(peer, from)) {
            process.instance().usage().received(received.count);
            return Ok(Some((received.count, from)));
        }
    }
    Ok(None)
}

/// The same place: what labels a flow does not count.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let scopes = match (one, other) {
        (SocketAddr::V6(one), SocketAddr::V6(other)) => {
            one.scope_id() == 0 || other.scope_id() == 0 || one.scope_id() == other.scope_id()
        }
        _ => true,
    };
    one.ip() == other.ip() && one.port() == other.port() && scopes
}
