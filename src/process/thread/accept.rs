//! Accepts a connection under a number that was reserved before it was taken.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::{SocketRef, Thread};
use crate::account::Charge;
use crate::address::Address;
use crate::error::Errno;
use crate::fd::{Descriptor, Rights};
use crate::observe::Event;
use crate::process::{Open, OpenFile, Process};
use crate::ready;
use crate::socket::{Accepted, Refusal};

/// A reserved number of the descriptor table, which no other call gets meanwhile.
struct FdReservation<'a> {
    process: Option<&'a Process>,
    /// The memory for what the number will stand for.
    reserved: Option<Charge>,
}

impl<'a> FdReservation<'a> {
    fn of(process: &'a Process) -> Result<Self, Errno> {
        let reserved = process.fds().reserve()?;
        Ok(Self { process: Some(process), reserved: Some(reserved) })
    }

    fn install(mut self, descriptor: Descriptor<OpenFile>) -> Result<u32, Errno> {
        match (self.process.take(), self.reserved.take()) {
            (Some(process), Some(reserved)) => process.fds().install(descriptor, reserved),
            _ => Err(Errno::EMFILE),
        }
    }
}

impl Drop for FdReservation<'_> {
    fn drop(&mut self) {
        if let Some(process) = self.process {
            process.fds().release();
        }
    }
}

impl Thread {
    /// Accepts the next connection of `listener` as a new descriptor. `has_polled` says that
    /// [`try_accept`](Self::try_accept) has just found none.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EMFILE` before anything is taken from the queue where the guest's table is
    /// full, or has as many connections as it may (docs/listen.md, rule 12), and those of
    /// [`ready::accept`].
    pub(crate) async fn accept(
        &self,
        listener: &SocketRef,
        nonblocking: bool,
        has_polled: bool,
    ) -> Result<(u32, Address), Refusal> {
        let mut accept = pin!(self.accept_and_open(listener, nonblocking, has_polled));
        poll_fn(|context| {
            let _accepting = self.process.instance().accepting();
            accept.as_mut().poll(context)
        })
        .await
    }

    async fn accept_and_open(
        &self,
        listener: &SocketRef,
        nonblocking: bool,
        has_polled: bool,
    ) -> Result<(u32, Address), Refusal> {
        let reservation = self.reserve_accept(listener)?;
        let waits = listener.waits && !nonblocking;
        let accept = ready::accept(&listener.socket, waits, has_polled);
        let accepted = match &listener.inherited {
            // Nothing that happens to the socket tells that another thread closes it.
            Some(open) if self.threads.are_many() => open.unless_closed(accept).await?,
            _ => accept.await?,
        };
        self.open_accepted(listener, accepted, nonblocking, reservation)
    }

    /// As [`accept`](Self::accept), once and without a future: `Pending` where it would wait and
    /// may.
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept).
    pub(crate) fn try_accept(
        &self,
        listener: &SocketRef,
        nonblocking: bool,
    ) -> Poll<Result<(u32, Address), Refusal>> {
        let _accepting = self.process.instance().accepting();
        let reservation = match self.reserve_accept(listener) {
            Ok(reservation) => reservation,
            Err(refusal) => return Poll::Ready(Err(refusal)),
        };
        match ready::try_accept(&listener.socket) {
            Poll::Pending if listener.waits && !nonblocking => Poll::Pending,
            Poll::Pending => Poll::Ready(Err(Errno::EAGAIN.into())),
            Poll::Ready(Err(refusal)) => Poll::Ready(Err(refusal)),
            Poll::Ready(Ok(accepted)) => {
                Poll::Ready(self.open_accepted(listener, accepted, nonblocking, reservation))
            }
        }
    }

    /// A number for the next connection of `listener`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for what does not listen, `EMFILE`.
    fn reserve_accept(&self, listener: &SocketRef) -> Result<FdReservation<'_>, Refusal> {
        // The kind and the state of the listener come first: docs/listen.md, rule 9.
        if !listener.socket.stream()?.is_listening() {
            return Err(Errno::EINVAL.into());
        }
        // Two threads that accept do not both count on the last number.
        Ok(FdReservation::of(&self.process)?)
    }

    /// Opens a connection of `listener` as the descriptor that was promised.
    fn open_accepted(
        &self,
        listener: &SocketRef,
        accepted: Accepted,
        nonblocking: bool,
        reservation: FdReservation<'_>,
    ) -> Result<(u32, Address), Refusal> {
        let Accepted { socket, peer } = accepted;
        let process = &self.process;
        // One that is gone already is the guest's all the same. Of a shared listener it has
        // no limit yet.
        let _gone = self.limit_buffers(&socket, listener.socket.is_shared());
        let local = || socket.local_address().ok();
        let told = process.report().wants_connections().then(local).flatten();
        // Only the flag of the call counts; the listener's is not inherited.
        // "O_NONBLOCK ... are not inherited" - accept(2)
        let open = OpenFile::with_nonblocking(Open::Socket(Arc::new(socket)), nonblocking);
        let fd = reservation.install(Descriptor {
            open,
            rights: Rights::SOCKET,
            inheriting: Rights::SOCKET,
            close_on_exec: false,
        })?;
        self.process.note_change(fd);
        if let Some(local) = told {
            process.report().tell(Event::Accepted { listener: listener.fd, fd, peer: peer.clone(), local });
        }
        Ok((fd, peer))
    }
}
