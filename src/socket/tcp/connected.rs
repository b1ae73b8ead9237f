//! Connected: bytes both ways.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::net as host;

use super::{State, Status, Tcp};
use crate::error::Errno;
use crate::socket::Registered;

/// A connection. Cheap to clone: it is the same one.
#[derive(Clone, Debug)]
pub struct Connected {
    registered: Arc<Registered>,
    peer: SocketAddr,
}

/// How to receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecvFlags {
    /// Leave the data where it is.
    pub peek: bool,
    /// Wait until the buffer is full or the stream ends.
    pub wait_all: bool,
    /// Do not wait, whatever the descriptor says.
    pub dont_wait: bool,
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

impl Connected {
    pub(super) fn new(registered: Arc<Registered>, peer: SocketAddr) -> Self {
        Self { registered, peer }
    }

    /// The reactor's view of the connection.
    pub fn registered(&self) -> Arc<Registered> {
        Arc::clone(&self.registered)
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.registered.host_fd()
    }

    /// Receives what is there, up to the length of `buffer`; 0 is the end of the
    /// stream.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where nothing is there, `ECONNRESET` once after a reset.
    pub fn try_recv(&self, buffer: &mut [u8], peek: bool) -> Result<usize, Errno> {
        let flags = if peek { host::RecvFlags::PEEK } else { host::RecvFlags::empty() };
        let (received, _) = rustix::io::retry_on_intr(|| host::recv(self.fd(), &mut *buffer, flags))?;
        if !peek {
            self.registered.note_received(received);
        }
        Ok(received)
    }

    /// Sends what finds room, and tells how much that was.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where there is no room, `EPIPE` where this side has ended or the
    /// peer is gone, `ECONNRESET` once after a reset. No signal is raised.
    pub fn try_send(&self, data: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let flags = host::SendFlags::NOSIGNAL;
        let sent = match data {
            [one] => rustix::io::retry_on_intr(|| host::send(self.fd(), one, flags)),
            many => {
                rustix::io::retry_on_intr(|| host::sendmsg(self.fd(), many, &mut Default::default(), flags))
            }
        };
        Ok(sent?)
    }

    pub(super) fn status(&self) -> Status {
        match host::getpeername(self.fd()) {
            Ok(Some(_)) => Status::Opened,
            // The kernel forgets the peer when the connection is over.
            _ => Status::Closed,
        }
    }
}

impl Tcp {
    /// Ends one direction, or both.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` where the socket is not connected.
    pub fn shutdown(&self, how: ShutdownHow) -> Result<(), Errno> {
        let how = match how {
            ShutdownHow::Read => host::Shutdown::Read,
            ShutdownHow::Write => host::Shutdown::Write,
            ShutdownHow::Both => host::Shutdown::Both,
        };
        let connected = self.look(|state| match state {
            State::Connected(connected) => Ok(connected.clone()),
            // "ENOTCONN: The socket is not connected." - shutdown(3p)
            _ => Err(Errno::ENOTCONN),
        })??;
        host::shutdown(connected.fd(), how)?;
        Ok(())
    }
}
