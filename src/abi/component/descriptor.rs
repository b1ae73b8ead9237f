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
    number: Arc<Number>,
    /// Once it is connected.
    connection: OnceLock<Arc<Connection>>,
}

/// The number of a socket in the table of the guest. The last that has it closes it.
pub(super) struct Number {
    process: Arc<Process>,
    reference: SocketRef,
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
        let number = Arc::new(Number { process: Arc::clone(process), reference });
        Ok(Arc::new(Self { number, connection: OnceLock::new() }))
    }

    /// The guest that it belongs to.
    pub(super) fn process(&self) -> &Arc<Process> {
        &self.number.process
    }

    /// Its number, by which the operator knows it.
    pub(super) fn fd(&self) -> u32 {
        self.number.reference.fd
    }

    /// What the calls of `process` take for it.
    pub(super) fn reference(&self) -> &SocketRef {
        &self.number.reference
    }

    /// The socket.
    pub(super) fn socket(&self) -> &Arc<Socket> {
        &self.number.reference.socket
    }

    /// The socket, for calls that only TCP has.
    ///
    /// # Errors
    ///
    /// `ENOTSUP` for a datagram socket.
    pub(super) fn stream(&self) -> Result<&Stream, Errno> {
        self.number.reference.socket.stream()
    }

    /// Its family.
    pub(super) fn family(&self) -> Family {
        self.number.reference.socket.family()
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
        let connection = Connection::new(self.stream()?.connected()?, self.socket(), &self.number.process);
        Ok(self.connection.get_or_init(|| Arc::new(connection)))
    }
}

/// The last resource that stands for it is gone: the guest closes it. It is open until what was written is
/// delivered, and counts for as long: docs/limits.md has a connection count until nothing is left of it.
impl Drop for GuestSocket {
    fn drop(&mut self) {
        let Some(connection) = self.connection.get() else { return };
        if let Some(remainder) = connection.last_remainder() {
            remainder.keep(&self.number);
        }
        if Arc::strong_count(connection) > 1 {
            // A pollable has outlived both the socket and its streams.
            connection.end();
        }
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let fd = self.reference.fd;
        let closed = {
            let mut fds = self.process.fds();
            // At the guest's end all is closed already.
            let is_it = fds.get(fd).is_ok_and(|descriptor| {
                let socket = descriptor.open.open.socket();
                socket.is_ok_and(|socket| Arc::ptr_eq(socket, &self.reference.socket))
            });
            if is_it { fds.remove(fd).ok() } else { None }
        };
        if let Some(closed) = closed {
            self.process.close(fd, closed, Closed::ByGuest);
        }
    }
}
