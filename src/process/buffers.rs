//! The operator's limit to the buffers of sockets.

use super::{SocketRef, Thread, TraceAnnotation};
use crate::address::{Address, UnixName};
use crate::error::Errno;
use crate::observe::Limit;
use crate::socket::{SizeOption, Socket};

impl Thread {
    /// Holds the buffers of a socket to the operator's limit: of one that is
    /// [fresh](Socket::limit_buffers), or of one that was accepted.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub(crate) fn limit_buffers(&self, socket: &Socket, is_fresh: bool) -> Result<(), Errno> {
        match self.process().service().max_socket_buffer() {
            Some(most) => socket.limit_buffers(most, is_fresh),
            None => Ok(()),
        }
    }

    /// Sets a number of a socket. Of a buffer that is too large for the operator it gets
    /// what it may have, and hears nothing of it: as the kernel does with its own
    /// limit. The trace does.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::set_size`].
    pub(crate) fn set_size(
        &self,
        at: &SocketRef,
        option: SizeOption,
        size: u64,
    ) -> Result<Option<TraceAnnotation>, Errno> {
        let Some(most) = self.process().service().max_socket_buffer() else {
            return at.socket.set_size(option, size).map(|()| None);
        };
        if at.socket.set_size_within(most, option, size)? {
            let local = at.socket.local_address();
            let local = local.unwrap_or_else(|_| Address::Unix(UnixName::unnamed()));
            self.process().report().report_buffer(at.fd, local, most);
            return Ok(Some(TraceAnnotation { name: Limit::SocketBuffer.name(), value: most.into() }));
        }
        Ok(None)
    }
}
