//! Bytes in and out of whatever stands behind a descriptor.

use std::io::IoSlice;
use std::sync::Arc;
use std::task::Poll;

use super::{Open, OpenFile, Thread};
use crate::address::Address;
use crate::error::{Errno, Error};
use crate::fd::{Descriptor, Rights};
use crate::ready::{self, EventFd, TimeSlice};
use crate::socket::{Kind, Received, RecvFlags, Refusal, Socket};

impl Thread {
    /// Opens two things as new descriptors, or none.
    ///
    /// # Errors
    ///
    /// `EMFILE` if the guest's table has no two free numbers.
    pub(crate) fn insert_two(&self, opens: [Arc<OpenFile>; 2], rights: Rights) -> Result<(u32, u32), Errno> {
        let [first, second] =
            opens.map(|open| Descriptor { open, rights, inheriting: rights, close_on_exec: false });
        let (first, second) = {
            let mut fds = self.process().fds();
            let first = fds.insert(first)?;
            match fds.insert(second) {
                Ok(second) => (first, second),
                Err(errno) => {
                    // Dropped when the lock is free again.
                    let unused = fds.remove(first);
                    drop(fds);
                    drop(unused);
                    return Err(errno);
                }
            }
        };
        self.process().note_change(first);
        self.process().note_change(second);
        Ok((first, second))
    }

    /// Reads what is there into `buffer`; 0 is the end. With `dont_wait` it waits for
    /// nothing, whatever the descriptor says. `has_polled` says that [`try_read`](Self::try_read)
    /// has just found nothing.
    ///
    /// # Cancel safety
    ///
    /// As for [`ready::recv`].
    ///
    /// # Errors
    ///
    /// `EISDIR` for a directory, `EBADF` for an output and where another thread closes the
    /// last descriptor meanwhile, and those of the thing.
    pub(crate) async fn read(
        &self,
        open: &OpenFile,
        buffer: &mut [u8],
        dont_wait: bool,
        has_polled: bool,
    ) -> Result<usize, Error> {
        if self.threads.are_many() {
            return open.unless_closed(self.read_alone(open, buffer, dont_wait, has_polled)).await;
        }
        self.read_alone(open, buffer, dont_wait, has_polled).await
    }

    /// As [`read`](Self::read), once and without a future: `Pending` where nothing is there,
    /// `None` where that was not looked for: by a call that `waits`, unless the thread
    /// [`has_parked`](Self::parks_to_receive) for it.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub(crate) fn try_read(
        &self,
        open: &OpenFile,
        waits: bool,
        has_parked: bool,
        buffer: &mut [u8],
    ) -> Option<Poll<Result<usize, Errno>>> {
        match &open.open {
            Open::Socket(socket) => {
                if let Socket::Datagram(datagram) = socket.as_ref() {
                    let received = ready::try_recv_message(datagram, buffer, false)?;
                    let received = received.map(|received| received.map(|received| received.count));
                    return Some(
                        received.map(|received| received.inspect(|count| self.note_received(*count))),
                    );
                }
                let received = ready::try_recv(socket, waits, has_parked, buffer, false)?;
                let received = received.map(|received| received.map(|(count, _)| count));
                Some(received.map(|received| received.inspect(|count| self.note_received(*count))))
            }
            Open::Pipe(end) => Some(unless_again(end.try_read(buffer))),
            Open::File(file) => self.read_here(file, None, buffer),
            Open::Event(event) => {
                // A smaller buffer is an error, which `read` knows.
                let word = buffer.first_chunk_mut()?;
                let taken = event.try_take().map(|counted| *word = counted.to_le_bytes());
                Some(unless_again(taken.map(|()| word.len())))
            }
            _ => None,
        }
    }

    /// [`read`](Self::read), where no other thread can close `open`.
    async fn read_alone(
        &self,
        open: &OpenFile,
        buffer: &mut [u8],
        dont_wait: bool,
        has_polled: bool,
    ) -> Result<usize, Error> {
        let waits = !open.is_nonblocking() && !dont_wait;
        match &open.open {
            Open::Socket(socket) => {
                let received = ready::recv(socket, waits, buffer, RecvFlags::default(), has_polled).await?;
                self.note_received(received.count);
                Ok(received.count)
            }
            Open::Input(input) => Ok(input.read(waits, buffer).await?),
            Open::Pipe(end) => Ok(end.read(waits, buffer).await?),
            Open::Event(event) => read_event(event, waits, buffer).await,
            Open::File(file) => self.read_file(file, None, buffer, dont_wait).await,
            // "EISDIR: The fildes argument refers to a directory" - read(3p)
            Open::Directory(_) | Open::Devices { .. } => Err(Errno::EISDIR.into()),
            Open::Device(device) => Ok(device.read(self.process(), waits, buffer).await?),
            // "EBADF: The fildes argument is not a valid file descriptor open for reading."
            Open::Output(_) => Err(Errno::EBADF.into()),
            // "EINVAL: fd is attached to an object which is unsuitable for reading" - read(2)
            Open::Epoll(_) => Err(Errno::EINVAL.into()),
        }
    }

    /// Receives from a socket into `buffer`. `has_polled` says that [`ready::try_recv`] has just
    /// found nothing.
    ///
    /// # Cancel safety
    ///
    /// As for [`ready::recv`].
    ///
    /// # Errors
    ///
    /// `EBADF` where another thread closes the last descriptor meanwhile, and those of
    /// [`ready::recv`].
    pub(crate) async fn receive(
        &self,
        open: &OpenFile,
        buffer: &mut [u8],
        flags: RecvFlags,
        has_polled: bool,
    ) -> Result<Received, Error> {
        let receive = async {
            let waits = !open.is_nonblocking();
            let received = ready::recv(open.open.socket()?, waits, buffer, flags, has_polled).await?;
            if !flags.peek {
                self.note_received(received.count);
            }
            Ok(received)
        };
        if self.threads.are_many() { open.unless_closed(receive).await } else { receive.await }
    }

    /// Sends `data` to `address`, where the socket has no connection.
    ///
    /// # Cancel safety
    ///
    /// The message is sent or it is not.
    ///
    /// # Errors
    ///
    /// `EBADF` where another thread closes the last descriptor meanwhile, and those of
    /// [`write`](Self::write) or of [`ready::send_to`].
    pub(crate) async fn send_to(
        &self,
        open: &OpenFile,
        data: &mut [IoSlice<'_>],
        dont_wait: bool,
        address: &Address,
    ) -> Result<usize, Error> {
        let socket = open.open.socket()?;
        let Socket::Datagram(datagram) = socket.as_ref() else {
            // "If the socket is connection-mode, dest_addr shall be ignored." - sendto(3p)
            return self.write(open, data, dont_wait).await;
        };
        let (finder, at, policy) = (Arc::clone(socket), address.clone(), Arc::clone(self.process().policy()));
        let find = move || match finder.as_ref() {
            Socket::Datagram(datagram) => Ok(datagram.destination(&at, &policy)),
            Socket::Stream(_) => Ok(Err(Refusal::from(Errno::ENOTSUP))),
        };
        let mut found = self.at_name(address, find).await?;
        if matches!(found, Err(Refusal::Denied(_))) {
            self.look_up_for(socket, address).await?;
            if let Address::Inet(_) = address {
                found = datagram.destination(address, self.process().policy());
            }
        }
        let to = self.process().answer("sock_send_to", found)?;
        let waits = !open.is_nonblocking() && !dont_wait;
        let send = async { Ok(self.note_sent(ready::send_to(socket, datagram, waits, data, &to).await?)) };
        if self.threads.are_many() { open.unless_closed(send).await } else { send.await }
    }

    /// As [`send_to`](Self::send_to), once and without a future: `Pending` where there is no
    /// room, `None` where that was not tried.
    ///
    /// # Errors
    ///
    /// Those of [`send_to`](Self::send_to).
    pub(crate) fn try_send_to(
        &self,
        open: &OpenFile,
        data: &[IoSlice<'_>],
        address: &Address,
    ) -> Option<Poll<Result<usize, Errno>>> {
        let Open::Socket(socket) = &open.open else { return None };
        match (socket.as_ref(), address) {
            // "If the socket is connection-mode, dest_addr shall be ignored." - sendto(3p)
            (Socket::Stream(_), _) => self.try_write(open, data),
            (Socket::Datagram(datagram), Address::Inet(_)) => {
                let found = datagram.destination(address, self.process().policy());
                if matches!(found, Err(Refusal::Denied(_)))
                    && !self.names_to_look_up(socket, address).is_empty()
                {
                    return None;
                }
                match self.process().answer("sock_send_to", found) {
                    Ok(to) => {
                        let sent = ready::try_send_to(datagram, data, &to)?;
                        Some(sent.map(|sent| sent.map(|count| self.note_sent(count))))
                    }
                    Err(Error::Errno(errno)) => Some(Poll::Ready(Err(errno))),
                    Err(_) => None,
                }
            }
            // A name is looked for where that may take its time.
            (Socket::Datagram(_), Address::Unix(_)) => None,
        }
    }

    /// As [`write`](Self::write), once and without a future: tells how much was taken, which may
    /// be less than all, `Pending` where nothing was, and `None` where that was not tried.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    pub(crate) fn try_write(
        &self,
        open: &OpenFile,
        data: &[IoSlice<'_>],
    ) -> Option<Poll<Result<usize, Errno>>> {
        let written = match &open.open {
            Open::Socket(socket) => {
                ready::try_send(socket, data)?.map(|sent| sent.map(|count| self.note_sent(count)))
            }
            Open::Pipe(end) => unless_again(end.try_write(data)),
            Open::File(file) => self.write_here(file, None, data)?,
            Open::Event(event) => {
                // More words than one are added one by one.
                let [word] = data else { return None };
                let word: &[u8; 8] = (**word).try_into().ok()?;
                unless_again(event.try_add(u64::from_le_bytes(*word)).map(|()| word.len()))
            }
            _ => return None,
        };
        if written == Poll::Ready(Err(Errno::EPIPE)) {
            self.signal_broken_pipe(open);
        }
        Some(written)
    }

    /// Writes `data`; tells how much was taken. With `dont_wait` a socket takes only
    /// what finds room, whatever the descriptor says.
    ///
    /// # Cancel safety
    ///
    /// What was written before the future is dropped is written.
    ///
    /// # Errors
    ///
    /// `EISDIR` for a directory, `EBADF` for an input and where another thread closes the
    /// last descriptor meanwhile, and those of the thing. With `EPIPE` comes a `SIGPIPE`, where
    /// the guest handles it.
    pub(crate) async fn write(
        &self,
        open: &OpenFile,
        data: &mut [IoSlice<'_>],
        dont_wait: bool,
    ) -> Result<usize, Error> {
        self.writing(open, self.write_alone(open, data, dont_wait)).await
    }

    /// Does `write`, which writes to `open`: with the end that another thread makes of it, and the signal.
    ///
    /// # Cancel safety
    ///
    /// That of `write`.
    ///
    /// # Errors
    ///
    /// `EBADF` where another thread closes the last descriptor meanwhile, and those of `write`. With `EPIPE` comes a
    /// `SIGPIPE`, where the guest handles it.
    pub(super) async fn writing(
        &self,
        open: &OpenFile,
        write: impl Future<Output = Result<usize, Error>>,
    ) -> Result<usize, Error> {
        let written = match self.threads.are_many() {
            true => open.unless_closed(write).await,
            false => write.await,
        };
        if matches!(written, Err(Error::Errno(Errno::EPIPE))) {
            self.signal_broken_pipe(open);
        }
        written
    }

    /// Counts bytes that came in by a socket.
    #[inline]
    pub(crate) fn note_received(&self, bytes: usize) {
        self.process().instance().usage().received(bytes);
    }

    /// Counts bytes that went out by a socket, and returns their number.
    #[inline]
    pub(super) fn note_sent(&self, bytes: usize) -> usize {
        self.process().instance().usage().sent(bytes);
        bytes
    }

    /// Sends the signal that goes with `EPIPE`. A datagram socket has none.
    #[cold]
    pub(super) fn signal_broken_pipe(&self, open: &OpenFile) {
        let is_datagram = open.open.socket().is_ok_and(|socket| socket.kind() == Kind::Datagram);
        if !is_datagram {
            self.pending_signals.broken_pipe();
        }
    }

    /// [`write`](Self::write), where no other thread can close `open`.
    async fn write_alone(
        &self,
        open: &OpenFile,
        data: &mut [IoSlice<'_>],
        dont_wait: bool,
    ) -> Result<usize, Error> {
        let waits = !open.is_nonblocking() && !dont_wait;
        match &open.open {
            Open::Socket(socket) => Ok(self.note_sent(ready::send(socket, waits, data).await?)),
            Open::Output(output) => Ok(output.write(data).await?),
            Open::Pipe(end) => Ok(end.write(waits, data).await?),
            Open::Event(event) => write_event(event, waits, data).await,
            Open::File(file) => self.write_file(file, None, data).await,
            Open::Directory(_) | Open::Devices { .. } => Err(Errno::EISDIR.into()),
            Open::Device(device) => Ok(device.write(data).await?),
            Open::Input(_) => Err(Errno::EBADF.into()),
            // "EINVAL: fd is attached to an object which is unsuitable for writing" - write(2)
            Open::Epoll(_) => Err(Errno::EINVAL.into()),
        }
    }
}

/// `EAGAIN` as `Pending`.
fn unless_again<T>(done: Result<T, Errno>) -> Poll<Result<T, Errno>> {
    if matches!(done, Err(Errno::EAGAIN)) { Poll::Pending } else { Poll::Ready(done) }
}

/// The counter, in 8 bytes.
///
/// # Errors
///
/// `EINVAL` for a smaller buffer, and those of [`EventFd::take`].
async fn read_event(event: &EventFd, waits: bool, buffer: &mut [u8]) -> Result<usize, Error> {
    // "A read(2) fails with the error EINVAL if the size of the supplied buffer is less
    // than 8 bytes." - eventfd(2)
    let Some(word) = buffer.first_chunk_mut() else { return Err(Errno::EINVAL.into()) };
    *word = event.take(waits).await?.to_le_bytes();
    Ok(word.len())
}

/// How many bytes of them are added between two readings of the clock.
const EVENT_STEP: usize = 1024;

/// Adds each whole word of 8 bytes to the counter.
///
/// # Errors
///
/// `EINVAL` for less than one, and those of [`EventFd::add`].
async fn write_event(event: &EventFd, waits: bool, data: &[IoSlice<'_>]) -> Result<usize, Error> {
    let mut bytes = data.iter().flat_map(|slice| slice.iter().copied());
    let mut written = 0;
    let mut slice = TimeSlice::new();
    loop {
        let mut word = [0; 8];
        let length = word.iter_mut().zip(&mut bytes).map(|(to, from)| *to = from).count();
        if length < word.len() {
            // "A write(2) fails with the error EINVAL if the size of the supplied buffer is
            // less than 8 bytes" - eventfd(2)
            return if written > 0 { Ok(written) } else { Err(Errno::EINVAL.into()) };
        }
        let added = match written > 0 && written.is_multiple_of(EVENT_STEP) {
            true => slice.step().await,
            false => Ok(()),
        };
        let added = match added {
            Ok(()) => event.add(waits, u64::from_le_bytes(word)).await,
            interrupted => interrupted,
        };
        match added {
            Ok(()) => written += word.len(),
            Err(_) if written > 0 => return Ok(written),
            Err(errno) => return Err(errno.into()),
        }
    }
}
