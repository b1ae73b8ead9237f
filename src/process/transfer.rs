//! Bytes in and out of whatever stands behind a descriptor.

use std::io::IoSlice;
use std::sync::Arc;
use std::task::Poll;

use super::{Open, OpenFile, Thread};
use crate::address::Address;
use crate::error::{Errno, Error};
use crate::fd::{Descriptor, Rights};
use crate::file::File;
use crate::io::{AsyncFd, Interest, yield_now};
use crate::ready::{self, EventFd, TimeSlice, interruptible};
use crate::socket::{Kind, Received, RecvFlags, Refusal, Socket};

/// The most that one operation on a file moves where it goes through a buffer of
/// the host's.
const MAX_FILE_COPY: usize = 64 * 1024;

/// The most that one system call on a file moves in place: a fraction of a millisecond.
const PIECE: usize = 1 << 20;

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
    /// `None` where that was not looked for.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub(crate) fn try_read(
        &self,
        open: &OpenFile,
        waits: bool,
        buffer: &mut [u8],
    ) -> Option<Poll<Result<usize, Errno>>> {
        match &open.open {
            Open::Socket(socket) => {
                if let Socket::Datagram(datagram) = socket.as_ref() {
                    let received = ready::try_recv_message(datagram, buffer, false)?;
                    return Some(received.map(|received| received.map(|received| received.count)));
                }
                let received = ready::try_recv(socket, waits, buffer, false)?;
                Some(received.map(|received| received.map(|(count, _)| count)))
            }
            Open::PipeReader(reader) => Some(unless_again(reader.try_read(buffer, false))),
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
                Ok(ready::recv(socket, waits, buffer, RecvFlags::default(), has_polled).await?.count)
            }
            Open::Input(input) => Ok(input.read(waits, buffer).await?),
            Open::PipeReader(reader) => Ok(reader.read(waits, buffer).await?),
            Open::Event(event) => read_event(event, waits, buffer).await,
            Open::File(file) => self.read_file(file, None, buffer, dont_wait).await,
            // "EISDIR: The fildes argument refers to a directory" - read(3p)
            Open::Directory(_) | Open::Devices { .. } => Err(Errno::EISDIR.into()),
            Open::Device(device) => Ok(device.read(self.process(), waits, buffer).await?),
            // "EBADF: The fildes argument is not a valid file descriptor open for reading."
            Open::Output(_) | Open::PipeWriter(_) => Err(Errno::EBADF.into()),
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
            Ok(ready::recv(open.open.socket()?, waits, buffer, flags, has_polled).await?)
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
        let found = self.at_name(address, find).await?;
        let to = self.process().answer("sock_send_to", found)?;
        let waits = !open.is_nonblocking() && !dont_wait;
        let send = async { Ok(ready::send_to(socket, datagram, waits, data, &to).await?) };
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
                match self.process().answer("sock_send_to", found) {
                    Ok(to) => ready::try_send_to(datagram, data, &to),
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
            Open::Socket(socket) => ready::try_send(socket, data)?,
            Open::PipeWriter(writer) => unless_again(writer.try_write(data)),
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
        let written = match self.threads.are_many() {
            true => open.unless_closed(self.write_alone(open, data, dont_wait)).await,
            false => self.write_alone(open, data, dont_wait).await,
        };
        if matches!(written, Err(Error::Errno(Errno::EPIPE))) {
            self.signal_broken_pipe(open);
        }
        written
    }

    /// Sends the signal that goes with `EPIPE`. A datagram socket has none.
    #[cold]
    fn signal_broken_pipe(&self, open: &OpenFile) {
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
            Open::Socket(socket) => Ok(ready::send(socket, waits, data).await?),
            Open::Output(output) => Ok(output.write(data).await?),
            Open::PipeWriter(writer) => Ok(writer.write(waits, data).await?),
            Open::Event(event) => write_event(event, waits, data).await,
            Open::File(file) => self.write_file(file, None, data).await,
            Open::Directory(_) | Open::Devices { .. } => Err(Errno::EISDIR.into()),
            Open::Device(device) => Ok(device.write(data).await?),
            Open::Input(_) | Open::PipeReader(_) => Err(Errno::EBADF.into()),
            // "EINVAL: fd is attached to an object which is unsuitable for writing" - write(2)
            Open::Epoll(_) => Err(Errno::EINVAL.into()),
        }
    }

    /// Reads from a file, at its position or at `offset`: as much as `buffer` holds, up to
    /// the end. Waits at a named pipe or a device without anything to read, unless the guest
    /// or the call asked not to wait.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost while it waits; a read that has begun on another thread is, and so is what
    /// was read before it.
    ///
    /// # Errors
    ///
    /// Those of the file, where nothing was read before; `EAGAIN` where it would wait and may
    /// not, or the host can't start a thread; `EINTR` where a signal ends the wait.
    pub(crate) async fn read_file(
        &self,
        file: &Arc<File>,
        offset: Option<u64>,
        buffer: &mut [u8],
        dont_wait: bool,
    ) -> Result<usize, Error> {
        let mut done = 0;
        loop {
            let rest = buffer.get_mut(done..).unwrap_or_default();
            let asked = self.most_at_once(rest.len());
            match self.try_read_file(file, further(offset, done)?, rest).await {
                Ok(Some(count)) => {
                    done += count;
                    // Only what is there already follows the first piece.
                    if count < asked || done >= buffer.len() {
                        return Ok(done);
                    }
                }
                Ok(None) | Err(_) if done > 0 => return Ok(done),
                Ok(None) if dont_wait || file.flags().nonblock => return Err(Errno::EAGAIN.into()),
                Ok(None) => until_ready(file, Interest::Read).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// How much of `length` bytes one operation on a file moves.
    fn most_at_once(&self, length: usize) -> usize {
        if self.process().settings().blocks_on_files { length } else { length.min(MAX_FILE_COPY) }
    }

    /// `None` where there is nothing to read yet.
    async fn try_read_file(
        &self,
        file: &Arc<File>,
        offset: Option<u64>,
        buffer: &mut [u8],
    ) -> Result<Option<usize>, Error> {
        if self.process().settings().blocks_on_files {
            return Ok(read_in_pieces(file, offset, buffer).await?);
        }
        let length = buffer.len().min(MAX_FILE_COPY);
        let file = Arc::clone(file);
        let bytes = self.on_disk(move || {
            let mut bytes = vec![0; length];
            let Some(count) = read_at(&file, offset, &mut bytes)? else { return Ok(None) };
            bytes.truncate(count);
            Ok(Some(bytes))
        });
        let Some(bytes) = bytes.await? else { return Ok(None) };
        for (to, from) in buffer.iter_mut().zip(&bytes) {
            *to = *from;
        }
        Ok(Some(bytes.len()))
    }

    /// Writes all of `data` to a file, at its position or at `offset`; returns how much of it was
    /// written, if that is not all. Waits for a full named pipe or device, unless the guest asked
    /// not to wait.
    ///
    /// # Cancel safety
    ///
    /// What was written before the future is dropped is written; a write that has begun on
    /// another thread ends there.
    ///
    /// # Errors
    ///
    /// Those of the file, where nothing was written before; `EAGAIN` where it would wait and may
    /// not, or the host can't start a thread; `EINTR` where a signal ends the wait.
    pub(crate) async fn write_file(
        &self,
        file: &Arc<File>,
        offset: Option<u64>,
        mut data: &mut [IoSlice<'_>],
    ) -> Result<usize, Error> {
        let mut done = 0;
        loop {
            let written = match self.try_write_file(file, further(offset, done)?, data).await {
                Ok(None) if file.flags().nonblock => Err(Errno::EAGAIN.into()),
                Ok(None) => until_ready(file, Interest::Write).await.map(|()| None).map_err(Error::from),
                written => written,
            };
            match written {
                Ok(Some(count)) => {
                    done += count;
                    IoSlice::advance_slices(&mut data, count);
                    if count == 0 || data.iter().all(|slice| slice.is_empty()) {
                        return Ok(done);
                    }
                    // A signal may have cut it short; a named pipe takes a part at a time.
                    if interruptible(yield_now()).await.is_err() {
                        return Ok(done);
                    }
                }
                Ok(None) => {}
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
        }
    }

    /// `None` if it is full.
    async fn try_write_file(
        &self,
        file: &Arc<File>,
        offset: Option<u64>,
        data: &[IoSlice<'_>],
    ) -> Result<Option<usize>, Error> {
        if self.process().settings().blocks_on_files {
            return Ok(write_in_pieces(file, offset, data).await?);
        }
        let bytes = first_bytes(data, MAX_FILE_COPY);
        let file = Arc::clone(file);
        self.on_disk(move || write_at(&file, offset, &[IoSlice::new(&bytes)])).await
    }
}

/// `EAGAIN` as `Pending`.
fn unless_again<T>(done: Result<T, Errno>) -> Poll<Result<T, Errno>> {
    if matches!(done, Err(Errno::EAGAIN)) { Poll::Pending } else { Poll::Ready(done) }
}

/// A copy of the first bytes of `data`, `most` of them or less.
fn first_bytes(data: &[IoSlice<'_>], most: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(data.iter().map(|slice| slice.len()).sum::<usize>().min(most));
    for slice in data {
        bytes.extend(slice.iter().take(most - bytes.len()));
    }
    bytes
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

/// Reads on the spot, and yields between large pieces; `None` where there is nothing to
/// read yet.
async fn read_in_pieces(file: &File, offset: Option<u64>, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
    if buffer.len() <= PIECE {
        return read_at(file, offset, buffer);
    }
    let mut slice = TimeSlice::new();
    let mut done = 0;
    for piece in buffer.chunks_mut(PIECE) {
        // What was read counts more than an interruption.
        if done > 0 && slice.step().await.is_err() {
            break;
        }
        let length = piece.len();
        match read_at(file, further(offset, done)?, piece) {
            Ok(Some(count)) => {
                done += count;
                if count < length {
                    break;
                }
            }
            Ok(None) | Err(_) if done > 0 => break,
            nothing => return nothing,
        }
    }
    Ok(Some(done))
}

/// Writes on the spot, and yields between large pieces; `None` if it is full.
async fn write_in_pieces(
    file: &File,
    offset: Option<u64>,
    data: &[IoSlice<'_>],
) -> Result<Option<usize>, Errno> {
    if data.iter().map(|slice| slice.len()).sum::<usize>() <= PIECE {
        return write_at(file, offset, data);
    }
    let mut slice = TimeSlice::new();
    let mut done = 0;
    for piece in data.iter().flat_map(|slice| slice.chunks(PIECE)) {
        if done > 0 && slice.step().await.is_err() {
            break;
        }
        match write_at(file, further(offset, done)?, &[IoSlice::new(piece)]) {
            Ok(Some(count)) => {
                done += count;
                if count < piece.len() {
                    break;
                }
            }
            Ok(None) | Err(_) if done > 0 => break,
            nothing => return nothing,
        }
    }
    Ok(Some(done))
}

/// An offset in a file, so many bytes further.
fn further(offset: Option<u64>, bytes: usize) -> Result<Option<u64>, Errno> {
    let Some(offset) = offset else { return Ok(None) };
    let bytes = u64::try_from(bytes).map_err(|_| Errno::EOVERFLOW)?;
    offset.checked_add(bytes).map(Some).ok_or(Errno::EOVERFLOW)
}

/// `None` where there is nothing to read yet.
fn read_at(file: &File, offset: Option<u64>, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
    unless_empty(match offset {
        Some(offset) => file.pread(buffer, offset),
        None => file.read(buffer),
    })
}

/// `None` if it is full.
fn write_at(file: &File, offset: Option<u64>, data: &[IoSlice<'_>]) -> Result<Option<usize>, Errno> {
    unless_empty(match offset {
        Some(offset) => file.pwrite(data, offset),
        None => file.write(data),
    })
}

/// The host opens named pipes and devices nonblocking always; their `EAGAIN` is distinguished from
/// that of a host which has no thread to run the call.
fn unless_empty(done: Result<usize, Errno>) -> Result<Option<usize>, Errno> {
    match done {
        Ok(count) => Ok(Some(count)),
        Err(Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Waits for a named pipe or a device as for a socket: no thread stops for it.
///
/// # Cancel safety
///
/// Nothing is lost when the future is dropped.
///
/// # Errors
///
/// `EINTR` where a signal ends it; `ENFILE` where the host has no descriptor for it; those
/// of the operating system's event queue.
async fn until_ready(file: &File, interest: Interest) -> Result<(), Errno> {
    let fd = rustix::io::fcntl_dupfd_cloexec(file, 0)?;
    let watched = AsyncFd::new(Arc::new(fd))?;
    interruptible(watched.ready(interest)).await?
}
