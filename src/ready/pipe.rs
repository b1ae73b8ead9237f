//! Pipes, in memory: bytes between two ends.
//!
//! Each end can be waited for by itself. What one end does wakes the waiters at
//! the other: bytes, free space, and closing. The lock is held for a copy only.

mod end;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::task::coop::consume_budget;

use super::interrupt::interruptible;
use super::time_slice::TimeSlice;
use crate::error::Errno;
use crate::io::{Events, Pollable, Watchers};

pub use end::{PipeEnd, pipe_ends};

/// How many bytes wait in a pipe: as on Linux, "16 pages" - pipe(7).
const CAPACITY: usize = 64 * 1024;

/// "POSIX.1 says that writes of less than PIPE_BUF bytes must be atomic" - pipe(7),
/// where it is 4096. A writer is writable from there on.
const ATOMIC: usize = 4096;

#[derive(Debug)]
struct Pipe {
    state: Mutex<PipeState>,
    /// How many bytes may wait in it. It is charged for these from its start: so a write never lacks memory.
    capacity: usize,
    readers: Watchers,
    writers: Watchers,
}

#[derive(Debug)]
struct PipeState {
    bytes: VecDeque<u8>,
    has_reader: bool,
    has_writer: bool,
}

impl PipeState {
    /// Reserves memory for `more` bytes, and never for more than a pipe holds: by itself a queue
    /// takes twice as much as before.
    fn make_room(&mut self, more: usize, most: usize) {
        let needed = self.bytes.len().saturating_add(more);
        if needed > self.bytes.capacity() {
            let capacity = if needed > ATOMIC { most } else { ATOMIC };
            self.bytes.reserve_exact(capacity.saturating_sub(self.bytes.len()));
        }
    }
}

/// A pipe: where it is read, and where it is written.
#[cfg(test)]
pub fn pipe() -> (PipeReader, PipeWriter) {
    pipe_of(CAPACITY)
}

fn pipe_of(capacity: usize) -> (PipeReader, PipeWriter) {
    let state = PipeState { bytes: VecDeque::new(), has_reader: true, has_writer: true };
    let pipe = Arc::new(Pipe {
        state: Mutex::new(state),
        capacity,
        readers: Watchers::default(),
        writers: Watchers::default(),
    });
    (PipeReader { pipe: Arc::clone(&pipe) }, PipeWriter { pipe })
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, PipeState> {
        // Consistent whenever it is unlocked: nothing in here can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a pipe that is read.
#[derive(Debug)]
pub struct PipeReader {
    pipe: Arc<Pipe>,
}

/// The end of a pipe that is written.
#[derive(Debug)]
pub struct PipeWriter {
    pipe: Arc<Pipe>,
}

impl PipeReader {
    /// Reads what is there, up to the length of `buffer`; 0 is the end, which comes
    /// after the last writer has gone. Waits for the first byte, unless `waits` is
    /// false.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where it would wait and may not.
    pub async fn read(&self, waits: bool, buffer: &mut [u8]) -> Result<usize, Errno> {
        attempts(waits, &self.pipe.readers, || self.try_read(buffer, false)).await
    }

    /// As [`read`](Self::read), and leaves the bytes where they are.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where it would wait and may not.
    pub async fn peek(&self, waits: bool, buffer: &mut [u8]) -> Result<usize, Errno> {
        attempts(waits, &self.pipe.readers, || self.try_read(buffer, true)).await
    }

    /// As [`read`](Self::read), or [`peek`](Self::peek), without waiting.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where it would wait.
    pub fn try_read(&self, buffer: &mut [u8], peek: bool) -> Result<usize, Errno> {
        let mut state = self.pipe.lock();
        let count = buffer.len().min(state.bytes.len());
        if count == 0 {
            // "If no process has the pipe open for writing, read() shall return 0" and "If
            // some process has the pipe open for writing and O_NONBLOCK is set, read() shall
            // return -1 and set errno to [EAGAIN]." - read(3p)
            let is_over = buffer.is_empty() || !state.has_writer;
            return if is_over { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        for (to, from) in buffer.iter_mut().zip(state.bytes.iter()) {
            *to = *from;
        }
        if peek {
            return Ok(count);
        }
        state.bytes.drain(..count);
        drop(state);
        self.pipe.writers.wake_all();
        Ok(count)
    }

    /// Closes this end: later writes fail.
    fn end(&self) {
        let mut state = self.pipe.lock();
        state.has_reader = false;
        state.bytes = VecDeque::new();
        drop(state);
        self.pipe.writers.wake_all();
    }
}

impl PipeWriter {
    /// Writes `data`: all of it, or without waiting as much as fits.
    ///
    /// # Cancel safety
    ///
    /// What was written before the future is dropped is written.
    ///
    /// # Errors
    ///
    /// `EPIPE` if there is no reader any more, `EAGAIN` if the pipe is full and
    /// it may not wait. Neither where something was written before.
    pub async fn write(&self, waits: bool, mut data: &mut [IoSlice<'_>]) -> Result<usize, Errno> {
        let mut written = 0;
        let mut slice = TimeSlice::new();
        loop {
            match attempts(waits, &self.pipe.writers, || self.try_write(data)).await {
                Ok(count) => {
                    written += count;
                    IoSlice::advance_slices(&mut data, count);
                }
                Err(_) if written > 0 => return Ok(written),
                Err(errno) => return Err(errno),
            }
            // "if the O_NONBLOCK flag is clear ... on normal completion it shall return
            // nbyte" - write(3p)
            if !waits || data.iter().all(|slice| slice.is_empty()) || slice.step().await.is_err() {
                return Ok(written);
            }
        }
    }

    /// As [`write`](Self::write), without waiting: tells how much found room.
    ///
    /// # Errors
    ///
    /// `EPIPE`, `EAGAIN`.
    pub fn try_write(&self, data: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let total: usize = data.iter().map(|slice| slice.len()).sum();
        let mut state = self.pipe.lock();
        // "EPIPE: An attempt is made to write to a pipe or FIFO that is not open for
        // reading by any process" - write(3p)
        if !state.has_reader {
            return Err(Errno::EPIPE);
        }
        let room = self.pipe.capacity.saturating_sub(state.bytes.len());
        // "Write requests of {PIPE_BUF} bytes or less shall either: transfer all the data
        // and return the number of bytes requested, or [with O_NONBLOCK] transfer no data
        // and return -1 with errno set to [EAGAIN]." - write(3p)
        if total > 0 && (room == 0 || total <= ATOMIC && room < total) {
            return Err(Errno::EAGAIN);
        }
        let mut left = room.min(total);
        state.make_room(left, self.pipe.capacity);
        for slice in data {
            state.bytes.extend(slice.iter().take(left));
            left = left.saturating_sub(slice.len());
        }
        drop(state);
        if total > 0 {
            self.pipe.readers.wake_all();
        }
        Ok(room.min(total))
    }

    /// Closes this end: a reader sees the end after the last byte.
    fn end(&self) {
        self.pipe.lock().has_writer = false;
        self.pipe.readers.wake_all();
    }
}

/// Repeats `attempt` until it does not fail with `EAGAIN`, sleeping in between until
/// `watchers` are woken; without `waits` once.
pub(super) async fn attempts<T>(
    waits: bool,
    watchers: &Watchers,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    consume_budget().await;
    match attempt() {
        Err(Errno::EAGAIN) if waits => {}
        done => return done,
    }
    // Only now: a call that did not have to wait is not woken by later changes.
    let done = poll_fn(|context| {
        watchers.add(context.waker());
        match attempt() {
            Err(Errno::EAGAIN) => Poll::Pending,
            done => Poll::Ready(done),
        }
    });
    interruptible(done).await.flatten()
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.end();
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.end();
    }
}

impl Pollable for PipeReader {
    fn register(&self, _: Events, context: &mut Context<'_>) -> bool {
        self.pipe.readers.add(context.waker());
        false
    }

    fn look(&self) -> Events {
        let state = self.pipe.lock();
        // "POLLHUP: ... when reading from a channel such as a pipe or a stream socket,
        // this event merely indicates that the peer closed its end of the channel"
        // - poll(2)
        Events::IN.when(!state.bytes.is_empty()).or(Events::HUP.when(!state.has_writer))
    }

    fn readable_bytes(&self) -> u64 {
        u64::try_from(self.pipe.lock().bytes.len()).unwrap_or(u64::MAX)
    }
}

impl Pollable for PipeWriter {
    fn register(&self, _: Events, context: &mut Context<'_>) -> bool {
        // A writer is woken when its reader closes, whatever it waits for.
        self.pipe.writers.add(context.waker());
        false
    }

    fn look(&self) -> Events {
        let state = self.pipe.lock();
        let room = self.pipe.capacity.saturating_sub(state.bytes.len());
        // "POLLERR: ... This bit is also set for a file descriptor referring to the write
        // end of a pipe when the read end has been closed." - poll(2)
        Events::OUT.when(room >= ATOMIC || !state.has_reader).or(Events::ERR.when(!state.has_reader))
    }
}

#[cfg(test)]
#[path = "pipe/tests.rs"]
mod tests;
