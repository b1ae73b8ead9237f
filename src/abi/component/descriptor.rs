//! The descriptor that the resources of a socket stand for.

use std::sync::{Arc, OnceLock};

use super::connection::Connection;
use crate::error::Errno;
use crate::observe::Closed;
use crate::process::{Process, SocketRef};
use crate::socket::{Family, Socket, Stream};

/// A socket of the guest, open for as long as a resource stands for it: the socket itself, or one of its
/// streams.
pub(crate) struct GuestSocket {
    process: Arc<Process>,
    reference: SocketRef,
    /// Once it is connected.
    connection: OnceLock<Arc<Connection>>,
}

impl GuestSocket {
    /// The socket that is the descriptor `fd`, which is a resource's from now on.
    ///
    /// # Errors
    ///
    /// `EBADF` and `ENOTSOCK` where it is none.
    pub(super) fn of(process: &Arc<Process>, fd: u32) -> Result<Arc<Self>, Errno> {
        let socket = Arc::clone(process.fds().get(fd)?.open.open.socket()?);
        let reference = SocketRef { fd, socket, waits: false, inherited: None };
        Ok(Arc::new(Self { process: Arc::clone(process), reference, connection: OnceLock::new() }))
    }

    /// The guest that it belongs to.
    pub(super) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Its number, by which the operator knows it.
    pub(super) fn fd(&self) -> u32 {
        self.reference.fd
    }

    /// What the calls of `process` take for it.
    pub(super) fn reference(&self) -> &SocketRef {
        &self.reference
    }

    /// The socket.
    pub(super) fn socket(&self) -> &Arc<Socket> {
        &self.reference.socket
    }

    /// The socket, for calls that only TCP has.
    ///
    /// # Errors
    ///
    /// `ENOTSUP` for a datagram socket.
    pub(super) fn stream(&self) -> Result<&Stream, Errno> {
        self.reference.socket.stream()
    }

    /// Its family.
    pub(super) fn family(&self) -> Family {
        self.reference.socket.family()
    }

    /// The connection, where it is connected.
    pub(super) fn connection(&self) -> Option<&Arc<Connection>> {
        self.connection.get()
    }

    /// The connection.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::connected`] where it is not connected.
    pub(super) fn connect(&self) -> Result<&Arc<Connection>, Errno> {
        if let Some(connection) = self.connection.get() {
            return Ok(connection);
        }
        let connection = Connection::new(self.stream()?.connected()?, &self.process);
        Ok(self.connection.get_or_init(|| Arc::new(connection)))
    }
}

/// The last resource that stands for it is gone: the guest closes it.
impl Drop for GuestSocket {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.get()
            && Arc::strong_count(connection) > 1
        {
            // A pollable has outlived both the socket and its streams.
            connection.end();
        }
        let closed = {
            let mut fds = self.process.fds();
            // At the guest's end all is closed already.
            let is_it = fds.get(self.fd()).is_ok_and(|descriptor| {
                descriptor.open.open.socket().is_ok_and(|socket| Arc::ptr_eq(socket, self.socket()))
            });
            if is_it { fds.remove(self.fd()).ok() } else { None }
        };
        if let Some(closed) = closed {
            self.process.close(self.fd(), closed, Closed::ByGuest);
        }
    }
}
