//! The two phases of the calls that every dialect has: to accept, to receive, to write.
//!
//! Each takes what was decoded, tries, and if that is not enough leaves the rest of the call to its
//! waiting half. The dialect decides how the results reach the guest: it passes the same function
//! to both halves.

use std::sync::Arc;
use std::task::Poll;

use wiggle::{GuestMemory, GuestPtr};

use super::call::{Call, Tried};
use super::memory::Buffers;
use super::transfer::{self, Answer, Written};
use crate::address::Address;
use crate::error::Error;
use crate::process::{OpenFile, SocketRef, TraceAnnotation};
use crate::socket::{RecvFlags, Refusal};

impl Call<'_> {
    /// Accepts a connection of `listener`; `write` returns it to the guest.
    ///
    /// # Errors
    ///
    /// Those of [`Thread::accept`](crate::process::Thread::accept) and of `write`.
    pub(super) fn accept_as(
        &mut self,
        memory: &mut GuestMemory<'_>,
        listener: SocketRef,
        nonblocking: bool,
        write: impl FnOnce(&mut GuestMemory<'_>, u32, &Address) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        match self.try_accept(&listener, nonblocking) {
            Poll::Ready(accepted) => {
                let (fd, peer) = accepted.map_err(|refusal| self.refused(&refusal))?;
                write(memory, fd, &peer)
            }
            Poll::Pending => Err(self.wait(move |call, memory| {
                Box::pin(async move {
                    let accepted = call.accept(&listener, nonblocking, true).await;
                    let (fd, peer) = accepted.map_err(|refusal| call.refused(&refusal))?;
                    write(memory, fd, &peer)
                })
            })),
        }
    }

    /// The guest's error for a refusal; the trace shows more.
    fn refused(&mut self, refusal: &Refusal) -> Error {
        if let Refusal::Limited(reached) = refusal {
            self.annotation =
                Some(TraceAnnotation { name: reached.limit.name(), value: reached.most.into() });
        }
        refusal.errno().into()
    }

    /// Receives from the socket `open`; `write` returns the result to the guest.
    ///
    /// # Errors
    ///
    /// Those of [`transfer::receive`] and of `write`.
    #[inline]
    pub(super) fn receive_as(
        &mut self,
        memory: &mut GuestMemory<'_>,
        open: Arc<OpenFile>,
        buffers: Buffers,
        flags: RecvFlags,
        write: impl FnOnce(&mut GuestMemory<'_>, &OpenFile, Answer) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        match transfer::try_receive(self, memory, &buffers, &open, flags)? {
            Tried::Done(received) => {
                self.annotation = self.dropped(&open);
                write(memory, &open, received)
            }
            Tried::Waits { has_polled } => Err(self.wait(move |call, memory| {
                Box::pin(async move {
                    let received =
                        transfer::receive(call, memory, &buffers, &open, flags, has_polled).await?;
                    call.annotation = call.dropped(&open);
                    write(memory, &open, received)
                })
            })),
        }
    }

    /// Writes to `open`, to the address `to` where a socket has no connection, and how much that
    /// was at `ret_n`.
    ///
    /// # Errors
    ///
    /// Those of [`transfer::write`].
    #[inline]
    pub(super) fn write_as(
        &mut self,
        memory: &mut GuestMemory<'_>,
        open: Arc<OpenFile>,
        buffers: Buffers,
        dont_wait: bool,
        to: Option<Address>,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        match transfer::try_write(self, memory, &buffers, &open, dont_wait, to.as_ref())? {
            Written::All(count) => Ok(memory.write(ret_n, count)?),
            Written::Some(done) => Err(self.wait(move |call, memory| {
                Box::pin(async move {
                    let rest =
                        transfer::write_rest(call, memory, &buffers, done, &open, dont_wait, to.as_ref());
                    let count = rest.await?;
                    Ok(memory.write(ret_n, count)?)
                })
            })),
        }
    }
}
