//! Data in and out of the host's sockets, of whatever kind.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

#[cfg(feature = "components")]
use rustix::buffer::spare_capacity;
use rustix::net as host;
use rustix::net::SocketAddrAny;
use rustix::net::addr::SocketAddrArg;

use super::Kind;
use crate::address::Address;
use crate::error::Errno;

/// How to receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecvFlags {
    /// Leave the data where it is.
    pub peek: bool,
    /// Wait until the buffer is full or the stream ends.
    pub wait_all: bool,
    /// Return the length of a message, rather than how much of it fitted.
    pub whole_length: bool,
    /// Do not wait, whatever the descriptor says.
    pub dont_wait: bool,
}

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes are in the buffer.
    pub count: usize,
    /// How long the message was. The rest of it is gone.
    pub length: usize,
    /// The sender, if each message carries one.
    pub from: Option<Address>,
}

/// Which direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownHow {
    /// No more is received.
    Read,
    /// No more is sent: the peer sees the end of the stream.
    Write,
    /// Both.
    Both,
}

impl Received {
    /// So many bytes of a stream.
    pub fn bytes(count: usize) -> Self {
        Self { count, length: count, from: None }
    }
}

/// Receives what is there, up to the length of `buffer`, from a socket that is connected.
pub(super) fn receive(
    fd: BorrowedFd<'_>,
    kind: Kind,
    buffer: &mut [u8],
    peek: bool,
) -> Result<Received, Errno> {
    let flags = flags(kind, peek);
    let (count, length) = rustix::io::retry_on_intr(|| host::recv(fd, &mut *buffer, flags))?;
    Ok(Received { count, length: if kind == Kind::Stream { count } else { length }, from: None })
}

/// Receives what is there of a stream, up to `length` bytes, into memory that need not be written to before.
#[cfg(feature = "components")]
pub(super) fn receive_new(fd: BorrowedFd<'_>, length: usize) -> Result<Vec<u8>, Errno> {
    let flags = flags(Kind::Stream, false);
    let mut bytes = Vec::with_capacity(length);
    if bytes.capacity() == length {
        rustix::io::retry_on_intr(|| host::recv(fd, spare_capacity(&mut bytes), flags))?;
    } else {
        // The kernel would fill what the allocator gave besides.
        bytes.resize(length, 0);
        let (count, _) = rustix::io::retry_on_intr(|| host::recv(fd, bytes.as_mut_slice(), flags))?;
        bytes.truncate(count);
    }
    Ok(bytes)
}

/// As [`receive`], with what the kernel calls the sender.
pub(super) fn receive_from(
    fd: BorrowedFd<'_>,
    kind: Kind,
    buffer: &mut [u8],
    peek: bool,
) -> Result<(Received, Option<SocketAddrAny>), Errno> {
    let flags = flags(kind, peek);
    let (count, length, from) = rustix::io::retry_on_intr(|| host::recvfrom(fd, &mut *buffer, flags))?;
    Ok((Received { count, length, from: None }, from))
}

/// In a stream, `TRUNC` would discard what it does not return. A shared socket may be in blocking
/// mode, which its other owners choose.
pub(super) fn flags(kind: Kind, peek: bool) -> host::RecvFlags {
    let mut flags = host::RecvFlags::DONTWAIT;
    flags.set(host::RecvFlags::PEEK, peek);
    flags.set(host::RecvFlags::TRUNC, kind != Kind::Stream);
    flags
}

/// How to send: no signal is raised, and the call never blocks, whatever mode the socket is in.
pub(super) const SEND: host::SendFlags = host::SendFlags::NOSIGNAL.union(host::SendFlags::DONTWAIT);

/// Sends as much as fits, and returns how much that was.
pub(super) fn send(fd: BorrowedFd<'_>, data: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let sent = match data {
        [one] => rustix::io::retry_on_intr(|| host::send(fd, one, SEND)),
        many => rustix::io::retry_on_intr(|| host::sendmsg(fd, many, &mut Default::default(), SEND)),
    };
    Ok(sent?)
}

/// Sends one message to `to`.
pub(super) fn send_to(
    fd: BorrowedFd<'_>,
    data: &[IoSlice<'_>],
    to: &impl SocketAddrArg,
) -> Result<usize, Errno> {
    let sent = match data {
        [one] => rustix::io::retry_on_intr(|| host::sendto(fd, one, SEND, to)),
        many => rustix::io::retry_on_intr(|| host::sendmsg_addr(fd, to, many, &mut Default::default(), SEND)),
    };
    Ok(sent?)
}

/// Ends one direction, or both.
pub(super) fn shutdown(fd: BorrowedFd<'_>, how: ShutdownHow) -> Result<(), Errno> {
    let how = match how {
        ShutdownHow::Read => host::Shutdown::Read,
        ShutdownHow::Write => host::Shutdown::Write,
        ShutdownHow::Both => host::Shutdown::Both,
    };
    Ok(host::shutdown(fd, how)?)
}
