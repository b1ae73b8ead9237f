//! The two phases of the calls that every dialect has: to bind, to connect, to accept, to receive, to
//! read and write, to work on a file.
//!
//! Each takes what was decoded, tries, and if that is not enough leaves the rest of the call to its
//! waiting half. The dialect decides how the results reach the guest: it passes the same function
//! to both halves.

use std::sync::Arc;
use std::task::Poll;

use wiggle::{GuestMemory, GuestPtr};

use super::call::{Call, Tried};
use super::memory::{Buffers, write_count};
use super::transfer::{self, Answer, Written};
use crate::address::Address;
use crate::error::{Errno, Error};
use crate::file::File;
use crate::observe::Closed;
use crate::process::{ConnectAttempt, OpenFile, SocketRef, Thread, TraceAnnotation};
use crate::socket::{Domain, Family, Kind, RecvFlags, Refusal, Socket};

impl Call<'_> {
    /// Opens a socket, and returns its descriptor. `protocol` is an IANA number, 0 the usual one.
    ///
    /// # Errors
    ///
    /// `EMFILE`, and those of [`Socket::open`].
    pub(super) fn open_new_socket(
        &mut self,
        family: Family,
        kind: Kind,
        protocol: u16,
    ) -> Result<u32, Error> {
        self.process().fds().check_room()?;
        let domain = match family {
            Family::Inet4 => Domain::Inet4,
            Family::Inet6 => Domain::Inet6,
            Family::Unix => self.names(),
        };
        Ok(self.insert_socket(Socket::open(domain, kind, protocol)?, false)?)
    }

    /// Closes the descriptor `fd`, for the guest.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub(super) fn close_descriptor(&self, fd: u32) -> Result<(), Errno> {
        let closed = self.process().fds().remove(fd)?;
        self.process().note_change(fd);
        // The table's lock is free again before anything is closed.
        self.process().close(fd, closed, Closed::ByGuest);
        Ok(())
    }

    /// Gives `socket` its address.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::bind`].
    pub(super) fn bind_as(
        &mut self,
        memory: &mut GuestMemory<'_>,
        socket: SocketRef,
        address: Address,
    ) -> Result<(), Error> {
        let bind = self.bind(&socket, &address);
        match address {
            Address::Inet(_) => self.bound(&socket, address, bind()?),
            // A name is looked for, and made, where that may take its time.
            Address::Unix(_) => self.file_call_as(memory, bind, move |thread, _, outcome| {
                thread.bound(&socket, address, outcome)
            }),
        }
    }

    /// Connects `socket` to `address`; without one, it dissolves its peer.
    ///
    /// # Errors
    ///
    /// Those of [`Thread::connect`] and of [`Socket::dissolve`].
    pub(super) fn connect_as(&mut self, socket: SocketRef, address: Option<Address>) -> Result<(), Error> {
        let Some(address) = address else {
            return Ok(socket.socket.dissolve()?);
        };
        let begun = match self.try_connect(&socket, &address) {
            ConnectAttempt::Done(connected) => return connected,
            ConnectAttempt::Begun => true,
            ConnectAttempt::ToBegin => false,
        };
        Err(self.wait(move |call, _| Box::pin(async move { call.connect(&socket, &address, begun).await })))
    }

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
        let mut tried = transfer::try_receive(self, memory, &buffers, &open, flags, false)?;
        while !flags.wait_all && !flags.dont_wait && self.parks_after(&tried, &open) {
            tried = transfer::try_receive(self, memory, &buffers, &open, flags, true)?;
            if tried.has_not_polled() {
                break;
            }
        }
        match tried {
            Tried::Done(received) => {
                if let Some(dropped) = self.dropped(&open) {
                    self.annotation = Some(dropped);
                }
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

    /// Parks this thread, where calls may, after a try to receive that would wait; returns whether there is something to be
    /// received now.
    #[inline]
    fn parks_after<T>(&self, tried: &Tried<T>, open: &OpenFile) -> bool {
        self.parks && matches!(tried, Tried::Waits { .. }) && self.parks_to_receive(open)
    }

    /// Reads from `open`, and writes how much that was at `ret_n`.
    ///
    /// # Errors
    ///
    /// Those of [`transfer::read`].
    #[inline]
    pub(super) fn read_as(
        &mut self,
        memory: &mut GuestMemory<'_>,
        open: Arc<OpenFile>,
        buffers: Buffers,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let mut tried = transfer::try_read(self, memory, &buffers, &open, false)?;
        while self.parks_after(&tried, &open) {
            tried = transfer::try_read(self, memory, &buffers, &open, true)?;
            if tried.has_not_polled() {
                break;
            }
        }
        match tried {
            Tried::Done(count) => write_count(memory, ret_n, count),
            Tried::Waits { has_polled } => Err(self.wait(move |call, memory| {
                Box::pin(async move {
                    let count = transfer::read(call, memory, &buffers, &open, has_polled).await?;
                    Ok(memory.write(ret_n, count)?)
                })
            })),
        }
    }

    /// Reads from `file` at `offset`, and writes how much that was at `ret_n`.
    ///
    /// # Errors
    ///
    /// Those of [`transfer::read_at`].
    pub(super) fn read_at_as(
        &mut self,
        memory: &mut GuestMemory<'_>,
        file: Arc<File>,
        buffers: Buffers,
        offset: u64,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        if let Tried::Done(count) = transfer::try_read_at(self, memory, &buffers, &file, offset)? {
            return Ok(memory.write(ret_n, count)?);
        }
        Err(self.wait(move |call, memory| {
            Box::pin(async move {
                let count = transfer::read_at(call, memory, &buffers, &file, offset).await?;
                Ok(memory.write(ret_n, count)?)
            })
        }))
    }

    /// Writes to `file` at `offset`, and how much that was at `ret_n`.
    ///
    /// # Errors
    ///
    /// Those of [`transfer::write_at`].
    pub(super) fn write_at_as(
        &mut self,
        memory: &mut GuestMemory<'_>,
        file: Arc<File>,
        buffers: Buffers,
        offset: u64,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        match transfer::try_write_at(self, memory, &buffers, &file, offset)? {
            Written::All(count) => Ok(memory.write(ret_n, count)?),
            Written::Some(done) => Err(self.wait(move |call, memory| {
                Box::pin(async move {
                    let rest = transfer::write_at_rest(call, memory, &buffers, done, &file, offset);
                    let count = rest.await?;
                    Ok(memory.write(ret_n, count)?)
                })
            })),
        }
    }

    /// Runs a file operation that has no result but its success.
    ///
    /// # Errors
    ///
    /// Those of [`Thread::on_disk`].
    pub(super) fn file_call(
        &mut self,
        memory: &mut GuestMemory<'_>,
        operation: impl FnOnce() -> Result<(), Errno> + Send + 'static,
    ) -> Result<(), Error> {
        self.file_call_as(memory, operation, |_, _, ()| Ok(()))
    }

    /// Runs a file operation, on the spot where it may stop the thread; `write` returns what it
    /// found to the guest.
    ///
    /// # Errors
    ///
    /// Those of [`Thread::on_disk`] and of `write`.
    pub(super) fn file_call_as<T: Send + 'static>(
        &mut self,
        memory: &mut GuestMemory<'_>,
        operation: impl FnOnce() -> Result<T, Errno> + Send + 'static,
        write: impl FnOnce(&Thread, &mut GuestMemory<'_>, T) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        if self.blocks_on_files() {
            return write(self, memory, operation()?);
        }
        Err(self.wait(move |call, memory| {
            Box::pin(async move {
                let found = call.on_disk(operation).await?;
                write(call, memory, found)
            })
        }))
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
            Written::All(count) => write_count(memory, ret_n, count),
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
