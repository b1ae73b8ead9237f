//! What stands between a held socket and what waits for it.

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll;

use crate::error::Errno;
use crate::io::HostRuntime;

/// An epoll of the kernel's whose member is one socket, and what says that a connection is parked before it.
#[derive(Debug)]
pub(super) struct Gate(pub(super) Arc<OwnedFd>);

impl Gate {
    pub(super) fn before(socket: &OwnedFd, is_open: bool) -> Result<Self, Errno> {
        let make = || epoll::create(epoll::CreateFlags::CLOEXEC);
        let gate = HostRuntime::of_process().descriptors.for_guest(1, make, |fd| fd.as_raw_fd())?;
        let gate = Self(Arc::new(gate));
        if is_open {
            gate.add(socket)?;
        }
        Ok(gate)
    }

    fn add(&self, socket: &OwnedFd) -> Result<(), Errno> {
        Ok(epoll::add(&self.0, socket, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?)
    }

    pub(super) fn open_before(&self, socket: &OwnedFd) {
        // It fails where the host has no memory left, or the member is there already.
        if let Err(errno) = self.add(socket) {
            tracing::debug!("a listener is still retired: {errno}");
        }
    }

    pub(super) fn close_before(&self, socket: &OwnedFd) {
        // It is there, unless the socket was retired from the start.
        let _gone = epoll::delete(&self.0, socket);
    }

    /// It is readable while `wake` is, too.
    pub(super) fn watch(&self, wake: BorrowedFd<'_>) {
        // It may be there already.
        let _known = epoll::add(&self.0, wake, epoll::EventData::new_u64(1), epoll::EventFlags::IN);
    }

    pub(super) fn forget(&self, wake: BorrowedFd<'_>) {
        let _gone = epoll::delete(&self.0, wake);
    }
}
