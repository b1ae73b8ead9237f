//! Bytes in and out of whatever stands behind a descriptor.

use std::io::IoSlice;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};

use super::{Open, OpenFile, Thread};
use crate::error::{Errno, Error};
use crate::file::File;
use crate::ready;
use crate::socket::RecvFlags;

/// The most that one operation on a file moves where it goes through a buffer of
/// the host's.
const MAX_FILE_COPY: usize = 64 * 1024;

impl Thread {
    /// Reads what is there into `buffer`; 0 is the end.
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
        flags: RecvFlags,
    ) -> Result<usize, Error> {
        if self.threads.are_many() {
            return open.unless_closed(self.read_alone(open, buffer, flags)).await;
        }
        self.read_alone(open, buffer, flags).await
    }

    /// [`read`](Self::read), where no other thread can close `open`.
    async fn read_alone(&self, open: &OpenFile, buffer: &mut [u8], flags: RecvFlags) -> Result<usize, Error> {
        let waits = !open.is_nonblocking();
        match &open.open {
            Open::Socket(socket) => Ok(ready::recv(socket, waits, buffer, flags).await?),
            Open::Input(input) => Ok(input.read(waits, buffer).await?),
            Open::File(file) => self.read_file(file, None, buffer).await,
            // "EISDIR: The fildes argument refers to a directory" - read(3p)
            Open::Directory(_) => Err(Errno::EISDIR.into()),
            // "EBADF: The fildes argument is not a valid file descriptor open for reading."
            Open::Output(_) => Err(Errno::EBADF.into()),
        }
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
    /// last descriptor meanwhile, and those of the thing.
    pub(crate) async fn write(
        &self,
        open: &OpenFile,
        data: &mut [IoSlice<'_>],
        dont_wait: bool,
    ) -> Result<usize, Error> {
        if self.threads.are_many() {
            return open.unless_closed(self.write_alone(open, data, dont_wait)).await;
        }
        self.write_alone(open, data, dont_wait).await
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
            Open::File(file) => self.write_file(file, None, data).await,
            Open::Directory(_) => Err(Errno::EISDIR.into()),
            Open::Input(_) => Err(Errno::EBADF.into()),
        }
    }

    /// Reads from a file, at its position or at `offset`.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub(crate) async fn read_file(
        &self,
        file: &Arc<File>,
        offset: Option<u64>,
        buffer: &mut [u8],
    ) -> Result<usize, Error> {
        if self.process().settings().blocks_on_files {
            return Ok(read_at(file, offset, buffer)?);
        }
        let length = buffer.len().min(MAX_FILE_COPY);
        let file = Arc::clone(file);
        let bytes = self.on_disk(move || {
            let mut bytes = vec![0; length];
            let count = read_at(&file, offset, &mut bytes)?;
            bytes.truncate(count);
            Ok(bytes)
        });
        let bytes = bytes.await?;
        for (to, from) in buffer.iter_mut().zip(&bytes) {
            *to = *from;
        }
        Ok(bytes.len())
    }

    /// Writes to a file, at its position or at `offset`.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub(crate) async fn write_file(
        &self,
        file: &Arc<File>,
        offset: Option<u64>,
        data: &[IoSlice<'_>],
    ) -> Result<usize, Error> {
        if self.process().settings().blocks_on_files {
            return Ok(write_at(file, offset, data)?);
        }
        let mut bytes = Vec::new();
        for slice in data {
            let room = MAX_FILE_COPY.saturating_sub(bytes.len());
            bytes.extend(slice.iter().take(room));
        }
        let file = Arc::clone(file);
        self.on_disk(move || write_at(&file, offset, &[IoSlice::new(&bytes)])).await
    }
}

fn read_at(file: &File, offset: Option<u64>, buffer: &mut [u8]) -> Result<usize, Errno> {
    waiting(file, PollFlags::IN, || match offset {
        Some(offset) => file.pread(buffer, offset),
        None => file.read(buffer),
    })
}

fn write_at(file: &File, offset: Option<u64>, data: &[IoSlice<'_>]) -> Result<usize, Errno> {
    waiting(file, PollFlags::OUT, || match offset {
        Some(offset) => file.pwrite(data, offset),
        None => file.write(data),
    })
}

/// Waits for a named pipe or a device, which the host opens nonblocking always, where
/// the guest did not ask for that. Stops its thread, as file operations may.
fn waiting(
    file: &File,
    events: PollFlags,
    mut attempt: impl FnMut() -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    loop {
        match attempt() {
            Err(Errno::EAGAIN) if !file.flags().nonblock => {
                rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(file, events)], None))?;
            }
            done => return done,
        }
    }
}
