//! A descriptor of the host's beside the data of a message, over `AF_UNIX`.
//!
//! What a guest passes has no descriptor in the kernel that could travel, or one with more rights
//! than the guest has. So a message carries a token, a descriptor which the host makes for it, and
//! the host knows what each of its tokens stands for. The kernel keeps the token with the first byte
//! of the message, and drops it with that.
//!
//! A receive that does not ask for it, or only looks at the data, leaves it to the kernel, which
//! closes it: "any excess file descriptors are automatically closed in the receiving process" -
//! unix(7).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::cmsg_space;
use rustix::io::{Errno as Os, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SocketAddrAny, recvmsg, sendmsg,
};

use super::transfer::{SEND, flags};
use super::{Family, Kind, Received, Socket};
use crate::error::Errno;

/// What came beside the data.
#[derive(Debug, Default)]
pub struct Ancillary {
    /// The token of a message; or what a program outside has sent.
    pub token: Option<OwnedFd>,
    /// Was there more, which is closed by now?
    pub is_cut: bool,
}

impl Ancillary {
    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.token.is_none() && !self.is_cut
    }
}

/// Sends as much as fits, with `token` beside its first byte.
///
/// # Errors
///
/// What the host reports; `ENFILE` where too many descriptors of its user are on their way.
pub(super) fn send(fd: BorrowedFd<'_>, data: &[IoSlice<'_>], token: BorrowedFd<'_>) -> Result<usize, Errno> {
    let tokens = [token];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&tokens)) {
        return Err(Errno::ENOBUFS);
    }
    retry_on_intr(|| sendmsg(fd, data, &mut control, SEND)).map_err(|os| match os {
        // "ETOOMANYREFS: ... the number of "in-flight" file descriptors exceeds the RLIMIT_NOFILE
        // resource limit" - unix(7). WASI has no such number, and it is the host's limit.
        Os::TOOMANYREFS => Errno::ENFILE,
        os => os.into(),
    })
}

/// Receives what is there, up to the length of `buffer`, with what comes beside it and what the
/// kernel calls the sender.
///
/// # Errors
///
/// What the host reports.
pub(super) fn receive(
    fd: BorrowedFd<'_>,
    kind: Kind,
    buffer: &mut [u8],
    peek: bool,
) -> Result<(Received, Option<SocketAddrAny>, Ancillary), Errno> {
    let room = buffer.len();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = flags(kind, peek) | RecvFlags::CMSG_CLOEXEC;
    let message = retry_on_intr(|| recvmsg(fd, &mut slices, &mut control, flags))?;
    let mut ancillary = Ancillary { token: None, is_cut: message.flags.contains(ReturnFlags::CTRUNC) };
    for record in control.drain() {
        let RecvAncillaryMessage::ScmRights(descriptors) = record else { continue };
        for descriptor in descriptors {
            // The host sends one. What is replaced is closed here.
            ancillary.is_cut |= ancillary.token.replace(descriptor).is_some();
        }
    }
    let received = Received { count: message.bytes.min(room), length: message.bytes, from: None };
    Ok((received, message.address, ancillary))
}

/// Is the other end of the connection `fd` of this very process? That is who has connected, or who
/// listened.
pub(super) fn is_within_process(fd: BorrowedFd<'_>) -> bool {
    let own = i32::try_from(std::process::id());
    getsockopt(&fd, PeerCredentials).is_ok_and(|peer| Ok(peer.pid()) == own)
}

impl Socket {
    /// Is its other end of this process: may descriptors be passed over it? Certain for pairs, and for
    /// connections of which both ends were made here.
    pub fn is_within_process(&self) -> bool {
        match self {
            Self::Stream(stream) => self.family() == Family::Unix && stream.is_within_process(),
            Self::Datagram(datagram) => datagram.is_pair(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn receive_from(fd: &UnixStream, length: usize, peek: bool) -> Result<(usize, Ancillary), Errno> {
        let mut buffer = vec![0; length];
        let (received, _, ancillary) = receive(fd.as_fd(), Kind::Stream, &mut buffer, peek)?;
        Ok((received.count, ancillary))
    }

    #[test]
    fn a_token_comes_with_the_first_byte_and_no_read_goes_on_behind_it() -> Result<(), Errno> {
        let (near, far) = UnixStream::pair()?;
        let (_kept, token) = std::io::pipe()?;
        send(near.as_fd(), &[IoSlice::new(b"abc")], token.as_fd())?;
        rustix::net::send(&near, b"def", rustix::net::SendFlags::empty())?;
        let (count, ancillary) = receive_from(&far, 2, true)?;
        assert_eq!((count, ancillary.token.is_some()), (2, true));
        let (count, ancillary) = receive_from(&far, 2, false)?;
        assert_eq!((count, ancillary.token.is_some(), ancillary.is_cut), (2, true, false));
        let (count, ancillary) = receive_from(&far, 9, false)?;
        assert_eq!((count, ancillary.is_empty()), (4, true));
        Ok(())
    }

    #[test]
    fn a_receive_that_does_not_ask_drops_the_token() -> Result<(), Errno> {
        let (near, far) = UnixStream::pair()?;
        let (kept, token) = std::io::pipe()?;
        send(near.as_fd(), &[IoSlice::new(b"a")], token.as_fd())?;
        drop(token);
        let is_gone = || {
            let mut fds = [rustix::event::PollFd::new(&kept, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, Some(&rustix::event::Timespec::default()))
        };
        let mut buffer = [0];
        crate::socket::transfer::receive(far.as_fd(), Kind::Stream, &mut buffer, true)?;
        assert_eq!(is_gone(), Ok(0));
        crate::socket::transfer::receive(far.as_fd(), Kind::Stream, &mut buffer, false)?;
        assert_eq!(is_gone(), Ok(1));
        Ok(())
    }

    #[test]
    fn more_than_a_token_is_closed() -> Result<(), Errno> {
        let (near, far) = UnixStream::pair()?;
        let (kept, other) = std::io::pipe()?;
        let descriptors = [other.as_fd(); 40];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(40))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(&near, &[IoSlice::new(b"a")], &mut control, SEND)?;
        let (_, ancillary) = receive_from(&far, 1, false)?;
        assert!(ancillary.is_cut);
        drop((ancillary, other));
        let mut fds = [rustix::event::PollFd::new(&kept, rustix::event::PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut fds, Some(&rustix::event::Timespec::default())), Ok(1));
        Ok(())
    }

    #[test]
    fn a_pair_is_within_this_process_and_a_socket_without_peer_is_not() -> Result<(), Errno> {
        let (near, _far) = UnixStream::pair()?;
        assert!(is_within_process(near.as_fd()));
        let alone =
            rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None)?;
        assert!(!is_within_process(alone.as_fd()));
        Ok(())
    }
}
