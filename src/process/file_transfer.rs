//! Bytes in and out of files, which may take a thread of the host's.

use std::io::IoSlice;
use std::sync::Arc;
use std::task::Poll;

use super::Thread;
use crate::error::{Errno, Error};
use crate::file::File;
use crate::io::{AsyncFd, Events, yield_now};
use crate::ready::{TimeSlice, interruptible};

/// The most that one operation on a file moves where it goes through a buffer of
/// the host's.
const MAX_FILE_COPY: usize = 64 * 1024;

/// The most that one system call on a file moves in place: a fraction of a millisecond.
const PIECE: usize = 1 << 20;

impl Thread {
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
                Ok(None) => until_ready(file, Events::READ).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// As [`read_file`](Self::read_file), once and without a future: `Pending` where there is nothing to
    /// read yet, `None` where that was not looked for, since it may not stop the thread or takes its time.
    ///
    /// # Errors
    ///
    /// Those of [`read_file`](Self::read_file).
    pub(crate) fn read_here(
        &self,
        file: &File,
        offset: Option<u64>,
        buffer: &mut [u8],
    ) -> Option<Poll<Result<usize, Errno>>> {
        if !self.blocks_on_files() || buffer.len() > PIECE {
            return None;
        }
        Some(read_at(file, offset, buffer).transpose().map_or(Poll::Pending, Poll::Ready))
    }

    /// As [`write_file`](Self::write_file), once and without a future: `Pending` where the file is
    /// full, `None` where that was not tried, since it may not stop the thread or takes its time.
    ///
    /// # Errors
    ///
    /// Those of [`write_file`](Self::write_file).
    pub(crate) fn write_here(
        &self,
        file: &File,
        offset: Option<u64>,
        data: &[IoSlice<'_>],
    ) -> Option<Poll<Result<usize, Errno>>> {
        if !self.blocks_on_files() || data.iter().map(|slice| slice.len()).sum::<usize>() > PIECE {
            return None;
        }
        Some(write_at(file, offset, data).transpose().map_or(Poll::Pending, Poll::Ready))
    }

    /// How much of `length` bytes one operation on a file moves.
    fn most_at_once(&self, length: usize) -> usize {
        if self.blocks_on_files() { length } else { length.min(MAX_FILE_COPY) }
    }

    /// `None` where there is nothing to read yet.
    async fn try_read_file(
        &self,
        file: &Arc<File>,
        offset: Option<u64>,
        buffer: &mut [u8],
    ) -> Result<Option<usize>, Error> {
        if self.blocks_on_files() {
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
                Ok(None) => until_ready(file, Events::WRITE).await.map(|()| None).map_err(Error::from),
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
        if self.blocks_on_files() {
            return Ok(write_in_pieces(file, offset, data).await?);
        }
        let bytes = first_bytes(data, MAX_FILE_COPY);
        let file = Arc::clone(file);
        self.on_disk(move || write_at(&file, offset, &[IoSlice::new(&bytes)])).await
    }
}

/// A copy of the first bytes of `data`, `most` of them or less.
fn first_bytes(data: &[IoSlice<'_>], most: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(data.iter().map(|slice| slice.len()).sum::<usize>().min(most));
    for slice in data {
        bytes.extend(slice.iter().take(most - bytes.len()));
    }
    bytes
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
async fn until_ready(file: &File, mask: Events) -> Result<(), Errno> {
    let fd = rustix::io::fcntl_dupfd_cloexec(file, 0)?;
    let watched = AsyncFd::new(Arc::new(fd))?;
    interruptible(watched.ready(mask)).await?
}
