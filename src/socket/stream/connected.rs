//! Connected: bytes both ways.

use std::io::IoSlice;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net as host;

use super::{Status, Stream, StreamState};
use crate::address::Address;
use crate::error::Errno;
#[cfg(feature = "components")]
use crate::io::Took;
use crate::io::{AsyncFd, Events, Pollable as _};
use crate::socket::{Ancillary, Kind, Received, ShutdownHow, rights, transfer};

/// A connection. Cheap to clone: it is the same one.
#[derive(Clone, Debug)]
pub struct Connected {
    registration: Arc<AsyncFd>,
    kind: Kind,
}

/// The address of a peer, in few words: connections are many, and most have one of IPv4.
#[derive(Debug)]
pub(super) enum Peer {
    V4(SocketAddrV4),
    Other(Box<Address>),
}

impl Peer {
    pub(super) fn address(&self) -> Address {
        match self {
            Self::V4(address) => Address::Inet(SocketAddr::V4(*address)),
            Self::Other(address) => Address::clone(address),
        }
    }

    /// Is it one over `AF_UNIX`?
    pub(super) fn is_named(&self) -> bool {
        matches!(self, Self::Other(address) if matches!(**address, Address::Unix(_)))
    }
}

impl From<Address> for Peer {
    fn from(address: Address) -> Self {
        match address {
            Address::Inet(SocketAddr::V4(address)) => Self::V4(address),
            other => Self::Other(Box::new(other)),
        }
    }
}

impl Connected {
    pub(super) fn new(registration: Arc<AsyncFd>, kind: Kind) -> Self {
        Self { registration, kind }
    }

    /// The reactor's view of the connection.
    pub fn registration(&self) -> Arc<AsyncFd> {
        Arc::clone(&self.registration)
    }

    /// Calls `attempt`, as [`AsyncFd::try_io`] does.
    pub fn try_io<T>(&self, mask: Events, attempt: impl FnMut() -> Poll<T>) -> Poll<T> {
        self.registration.try_io(mask, attempt)
    }

    /// Makes `attempt`, as [`AsyncFd::poll_io`] does.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(feature = "components")]
    pub(crate) fn poll_io<T>(
        &self,
        mask: Events,
        context: &mut Context<'_>,
        is_spent: &mut bool,
        attempt: impl FnMut() -> Result<Took<T>, Errno>,
    ) -> Poll<Result<T, Errno>> {
        self.registration.poll_io(mask, context, is_spent, attempt)
    }

    /// Is there likely nothing to receive, as [`AsyncFd::is_slow`] guesses?
    pub fn is_slow(&self) -> bool {
        self.registration.is_slow()
    }

    /// Notes for that guess that there was nothing, as [`AsyncFd::note_slow`] does.
    pub fn note_slow(&self, is_slow: bool) {
        self.registration.note_slow(is_slow);
    }

    /// Has no reactor watched it yet?
    pub(crate) fn is_new_to_reactor(&self) -> bool {
        !self.registration.is_registered()
    }

    /// Clears the readiness, as [`AsyncFd::clear_ready`] does.
    pub(crate) fn clear_ready(&self, mask: Events) {
        self.registration.clear_ready(mask);
    }

    /// As [`Pollable::register`](crate::io::Pollable::register).
    pub(in crate::socket) fn register(&self, mask: Events, context: &mut Context<'_>) -> bool {
        self.registration.register(mask, context)
    }

    /// Does each send arrive as one message, whole?
    pub fn keeps_boundaries(&self) -> bool {
        self.kind != Kind::Stream
    }

    /// The host's descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.registration.host_fd()
    }

    /// Receives what is there, up to the length of `buffer`; 0 is the end of the
    /// stream. One message, or as much of it as fits.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where nothing is there, `ECONNRESET` once after a reset.
    pub fn try_recv(&self, buffer: &mut [u8], peek: bool) -> Result<Received, Errno> {
        let received = transfer::receive(self.fd(), self.kind, buffer, peek)?;
        if !peek {
            self.registration.note_received(received.length);
        }
        Ok(received)
    }

    /// As [`try_recv`](Self::try_recv) of a stream, into memory of its own, up to `length` bytes.
    ///
    /// # Errors
    ///
    /// As for [`try_recv`](Self::try_recv).
    #[cfg(feature = "components")]
    pub fn try_recv_new(&self, length: usize) -> Result<Vec<u8>, Errno> {
        let bytes = transfer::receive_new(self.fd(), length)?;
        self.registration.note_received(bytes.len());
        Ok(bytes)
    }

    /// As [`try_recv`](Self::try_recv), with what comes beside the data, over `AF_UNIX`.
    ///
    /// # Errors
    ///
    /// Those of [`try_recv`](Self::try_recv).
    pub fn try_recv_with_ancillary(
        &self,
        buffer: &mut [u8],
        peek: bool,
    ) -> Result<(Received, Ancillary), Errno> {
        let (received, _, ancillary) = rights::receive(self.fd(), self.kind, buffer, peek)?;
        if !peek {
            self.registration.note_received(received.length);
        }
        Ok((received, ancillary))
    }

    /// Are so many bytes there to be received, or has the stream ended?
    pub fn holds(&self, bytes: usize) -> bool {
        let ended = PollFlags::HUP | PollFlags::ERR | PollFlags::RDHUP;
        let mut fds = [PollFd::from_borrowed_fd(self.fd(), ended)];
        let count = rustix::io::ioctl_fionread(self.fd()).unwrap_or(0);
        usize::try_from(count).is_ok_and(|count| count >= bytes)
            || matches!(rustix::event::poll(&mut fds, Some(&Timespec::default())), Ok(1..))
    }

    /// Sends as much as fits, and returns how much that was; a message whole or not.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if the buffer is full, `EPIPE` where this side has ended or the
    /// peer is gone, `ECONNRESET` once after a reset, `EMSGSIZE` for a message that never
    /// fits. No signal is raised.
    pub fn try_send(&self, data: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let sent = transfer::send(self.fd(), data)?;
        self.registration.note_sent(sent);
        Ok(sent)
    }

    /// Has the kernel send at most `count` bytes of `file`, from `offset` on: as much as fits, and returns how much that
    /// was; 0 at the end of the file. For the connection of a stream that [takes files](Stream::takes_files).
    ///
    /// # Errors
    ///
    /// Those of [`try_send`](Self::try_send) and of the file; `EINVAL` for a file that the kernel cannot send so, and for
    /// what else it lacks `ENOMEM`, `ENOSYS`, `EOVERFLOW`, `EPERM`.
    pub fn try_send_file(&self, file: BorrowedFd<'_>, offset: u64, count: usize) -> Result<usize, Errno> {
        let sent = transfer::send_file(self.fd(), file, offset, count)?;
        self.registration.note_sent(sent);
        Ok(sent)
    }

    /// Ends one direction, or both.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn shutdown(&self, how: ShutdownHow) -> Result<(), Errno> {
        transfer::shutdown(self.fd(), how)
    }

    /// As [`try_send`](Self::try_send), with `token` beside the first byte, over `AF_UNIX`.
    ///
    /// # Errors
    ///
    /// Those of [`try_send`](Self::try_send); `ENFILE` where the host has too many on their way.
    pub fn try_send_with_token(&self, data: &[IoSlice<'_>], token: BorrowedFd<'_>) -> Result<usize, Errno> {
        let sent = rights::send(self.fd(), data, token)?;
        self.registration.note_sent(sent);
        Ok(sent)
    }

    /// What `sock_status` reports; the peer is one over `AF_UNIX` if it `is_named`.
    pub(super) fn status(&self, is_named: bool) -> Status {
        if is_named {
            // The kernel remembers such a peer. Both directions have ended when it goes.
            let mut fds = [PollFd::from_borrowed_fd(self.fd(), PollFlags::empty())];
            let has_ended = matches!(rustix::event::poll(&mut fds, Some(&Timespec::default())), Ok(1..));
            return if has_ended { Status::Closed } else { Status::Opened };
        }
        match host::getpeername(self.fd()) {
            Ok(Some(_)) => Status::Opened,
            // The kernel drops the peer's address when the connection is over.
            _ => Status::Closed,
        }
    }
}

impl Stream {
    /// Ends one direction, or both.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` where the socket is not connected.
    pub fn shutdown(&self, how: ShutdownHow) -> Result<(), Errno> {
        let connection = self.inspect(|state| match state {
            StreamState::Connected(_) => self.connection.get().ok_or(Errno::EIO),
            // "ENOTCONN: The socket is not connected." - shutdown(3p)
            _ => Err(Errno::ENOTCONN),
        })??;
        connection.shutdown(how)
    }

    /// The connection, for data.
    ///
    /// # Errors
    ///
    /// `EAGAIN` while connecting, `ENOTCONN` in any other state; once, why the
    /// last attempt to connect failed.
    pub fn connected(&self) -> Result<Connected, Errno> {
        let found = self.inspect(|state| match state {
            StreamState::Connected(_) => self.connection.get().cloned().ok_or(Errno::EIO),
            StreamState::Connecting(_) => Err(Errno::EAGAIN),
            _ => Err(Errno::ENOTCONN),
        })?;
        match found {
            Err(Errno::ENOTCONN) => Err(self.take_connect_error().unwrap_or(Errno::ENOTCONN)),
            other => other,
        }
    }

    /// Are both ends of the connection of this process? Not where it was opened outside: then others
    /// may have an end too.
    pub(in crate::socket) fn is_within_process(&self) -> bool {
        !self.endpoint.is_inherited && rights::is_within_process(self.endpoint.host_fd())
    }

    /// The connection, where it is there.
    pub fn known_connection(&self) -> Option<&Connected> {
        self.connection.get()
    }

    /// The connection, where the kernel may send files over it by itself: it carries bytes and no messages, nobody else can
    /// have put its socket into blocking mode, and this process survives the signal of a peer that is gone.
    pub fn takes_files(&self) -> Option<&Connected> {
        let connected = self.connection.get()?;
        (!connected.keeps_boundaries() && !self.endpoint.is_shared() && transfer::ignores_sigpipe())
            .then_some(connected)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail")]

    use std::os::fd::{AsFd as _, OwnedFd};
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::socket::{Domain, Inherited, Socket};

    fn of(socket: &Socket) -> Option<&Connected> {
        socket.stream().unwrap().takes_files()
    }

    fn pair() -> [Socket; 2] {
        Socket::pair(&Domain::Inet4, Kind::Stream).unwrap()
    }

    fn file_of(content: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, content).unwrap();
        file
    }

    fn received(socket: &Socket, most: usize) -> Vec<u8> {
        let mut buffer = vec![0; most];
        let received = socket.stream().unwrap().connected().unwrap().try_recv(&mut buffer, false).unwrap();
        buffer.truncate(received.count);
        buffer
    }

    #[test]
    fn a_file_is_sent_from_an_offset_up_to_its_end() {
        let [near, far] = pair();
        let (connected, file) = (of(&near).unwrap(), file_of(b"the content"));
        assert_eq!(connected.try_send_file(file.as_fd(), 4, 3), Ok(3));
        assert_eq!(connected.try_send_file(file.as_fd(), 7, 100), Ok(4));
        assert_eq!(connected.try_send_file(file.as_fd(), 11, 100), Ok(0));
        assert_eq!(received(&far, 100), b"content");
        assert_eq!(connected.registration().sent(), 7);
        assert_eq!(connected.try_send_file(file.as_fd(), u64::MAX, 1), Err(Errno::EINVAL));
        let folder = std::fs::File::open("/").unwrap();
        assert_eq!(connected.try_send_file(folder.as_fd(), 0, 1), Err(Errno::EINVAL));
    }

    #[test]
    fn what_is_full_takes_a_part_and_then_nothing() {
        let [near, far] = pair();
        let content: Vec<u8> = (0..4_000_000_u32).map(|n| (n ^ n >> 8).to_le_bytes()[0]).collect();
        let (connected, file) = (of(&near).unwrap(), file_of(&content));
        let (mut sent, mut came) = (0, Vec::new());
        loop {
            match connected.try_send_file(file.as_fd(), u64::try_from(sent).unwrap(), content.len()) {
                Ok(count) => sent += count,
                Err(errno) => {
                    assert_eq!(errno, Errno::EAGAIN);
                    break;
                }
            }
        }
        assert!(0 < sent && sent < content.len(), "{sent}");
        while came.len() < sent {
            came.extend(received(&far, sent));
        }
        assert!(content.starts_with(&came));
        drop(far);
        assert_eq!(connected.try_send_file(file.as_fd(), 0, 1), Err(Errno::EPIPE), "and this process lives");
    }

    #[test]
    fn messages_and_what_others_have_too_take_no_files() {
        let [near, _far] = Socket::pair(&Domain::Inet4, Kind::SeqPacket).unwrap();
        assert!(of(&near).is_none());
        let inherit = |is_shared| {
            let (near, far) = UnixStream::pair().unwrap();
            let inherited = Inherited { is_shared, ..Inherited::inspect(near.as_fd()).unwrap() };
            let socket = Socket::from_inherited(OwnedFd::from(near), inherited, Domain::Inet4, None).unwrap();
            (of(&socket).is_some(), far)
        };
        assert!(!inherit(true).0);
        assert!(inherit(false).0);
        let fresh = Socket::open(Domain::Inet4, Kind::Stream, 0).unwrap();
        assert!(of(&fresh).is_none(), "not connected");
    }
}
