//! A descriptor of the host that the reactor watches.

use std::io::{Error, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use super::reactor::reactor;
use crate::error::Errno;

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Data, a connection, or the end of the stream.
    Read,
    /// Room to send, or the end of a connection attempt.
    Write,
}

impl Interest {
    fn to_tokio(self) -> tokio::io::Interest {
        match self {
            Self::Read => tokio::io::Interest::READABLE,
            Self::Write => tokio::io::Interest::WRITABLE,
        }
    }
}

/// A host socket, or a timer, with its place in the reactor.
///
/// A socket is registered once, when it first has something to wait for (it
/// listens, connects, or was accepted), because a fresh TCP socket reports a
/// hang-up that the reactor never forgets.
///
/// The reactor remembers that it heard of the socket; it does not know what was
/// done since. Whoever is about to look therefore [forgets](Self::forget) first:
/// what comes after that is kept, so no wake-up is lost, and what came before is
/// found by looking.
#[derive(Debug)]
pub struct Registered {
    io: AsyncFd<Arc<OwnedFd>>,
}

impl Registered {
    /// Registers `fd` with the caller's reactor.
    ///
    /// # Errors
    ///
    /// What the operating system's event queue answers: `ENOSPC`, `ENOMEM`.
    pub(crate) fn new(fd: Arc<OwnedFd>) -> Result<Arc<Self>, Errno> {
        Self::with(&reactor()?, fd)
    }

    /// Registers `fd` with this reactor.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub(crate) fn with(reactor: &Handle, fd: Arc<OwnedFd>) -> Result<Arc<Self>, Errno> {
        let _inside = reactor.enter();
        // Deprecated because an arbitrary type could close or swap its descriptor while
        // it is registered. A shared `OwnedFd` can do neither.
        #[expect(
            deprecated,
            reason = "its replacement is an unsafe function, and this type meets its contract"
        )]
        let io = AsyncFd::new(fd)?;
        Ok(Arc::new(Self { io }))
    }

    /// The host's descriptor.
    pub fn host_fd(&self) -> BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }

    /// Waits until the reactor has heard of the descriptor since it was last
    /// [forgotten](Self::forget).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EIO` where the reactor has ended.
    pub async fn ready(&self, interest: Interest) -> Result<(), Errno> {
        self.io.ready(interest.to_tokio()).await?.retain_ready();
        Ok(())
    }

    /// As [`ready`](Self::ready), for one waiter a direction: only the last one to ask
    /// is woken. It is not held while the caller waits.
    ///
    /// # Errors
    ///
    /// `EIO` where the reactor has ended.
    pub(crate) fn poll_ready(
        &self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<(), Errno>> {
        let ready = match interest {
            Interest::Read => self.io.poll_read_ready(context),
            Interest::Write => self.io.poll_write_ready(context),
        };
        ready.map(|ready| {
            ready?.retain_ready();
            Ok(())
        })
    }

    /// Forgets what the reactor has heard so far, without a system call.
    pub fn forget(&self, interest: Interest) {
        let forgotten: Result<(), Error> =
            self.io.try_io(interest.to_tokio(), |_| Err(ErrorKind::WouldBlock.into()));
        debug_assert!(forgotten.is_err());
    }
}
