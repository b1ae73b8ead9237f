//! An end of a pipe as a guest has it.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Context;

use super::{ATOMIC, CAPACITY, PipeReader, PipeWriter, pipe_of};
use crate::error::Errno;
use crate::io::{Events, Pollable};

/// An end of a pipe: the first is there to be read, the second to be written.
///
/// "It is unspecified whether fildes\[0\] is also open for writing and whether fildes\[1\] is also open for reading." -
/// pipe(3p). In WASIX they are, and some of its programs write to the first. So what is written to the first comes out of
/// the second: by a way back with little room.
///
/// An end is gone for the other one when no descriptor of it is left, in both directions. So a reader of the first sees
/// the end of the stream when all of the second are closed, whoever may still write to the first, and a writer
/// to the second gets `EPIPE` when all of the first are, as with a pipe of one way. Readiness is that of a pipe of one way
/// too, until the way back is used.
#[derive(Debug)]
pub struct PipeEnd {
    reader: PipeReader,
    writer: PipeWriter,
    is_first: bool,
    /// Both ends have it.
    is_way_back_used: Arc<AtomicBool>,
}

/// Both ends of a new pipe.
pub fn pipe_ends() -> (PipeEnd, PipeEnd) {
    let (first_reads, second_writes) = pipe_of(CAPACITY);
    let (second_reads, first_writes) = pipe_of(ATOMIC);
    let is_way_back_used = Arc::new(AtomicBool::new(false));
    let first = PipeEnd {
        reader: first_reads,
        writer: first_writes,
        is_first: true,
        is_way_back_used: Arc::clone(&is_way_back_used),
    };
    (first, PipeEnd { reader: second_reads, writer: second_writes, is_first: false, is_way_back_used })
}

impl PipeEnd {
    /// How many bytes may wait to be read here.
    pub fn capacity(&self) -> u64 {
        u64::try_from(self.reader.pipe.capacity).unwrap_or(u64::MAX)
    }

    fn reader(&self) -> &PipeReader {
        if !self.is_first {
            self.is_way_back_used.store(true, SeqCst);
        }
        &self.reader
    }

    fn writer(&self) -> &PipeWriter {
        if self.is_first {
            self.is_way_back_used.store(true, SeqCst);
        }
        &self.writer
    }

    /// As [`PipeReader::read`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where it would wait and may not.
    pub async fn read(&self, waits: bool, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.reader().read(waits, buffer).await
    }

    /// As [`PipeReader::peek`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where it would wait and may not.
    pub async fn peek(&self, waits: bool, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.reader().peek(waits, buffer).await
    }

    /// As [`read`](Self::read), without waiting.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where it would wait.
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.reader().try_read(buffer, false)
    }

    /// As [`PipeWriter::write`].
    ///
    /// # Cancel safety
    ///
    /// What was written before the future is dropped is written.
    ///
    /// # Errors
    ///
    /// `EPIPE`, `EAGAIN`.
    pub async fn write(&self, waits: bool, data: &mut [IoSlice<'_>]) -> Result<usize, Errno> {
        self.writer().write(waits, data).await
    }

    /// As [`PipeWriter::try_write`].
    ///
    /// # Errors
    ///
    /// `EPIPE`, `EAGAIN`.
    pub fn try_write(&self, data: &[IoSlice<'_>]) -> Result<usize, Errno> {
        self.writer().try_write(data)
    }
}

impl Pollable for PipeEnd {
    fn register(&self, mask: Events, context: &mut Context<'_>) -> bool {
        self.reader.register(mask, context) | self.writer.register(mask, context)
    }

    fn look(&self) -> Events {
        if self.is_way_back_used.load(SeqCst) {
            return self.reader.look().or(self.writer.look());
        }
        if self.is_first { self.reader.look() } else { self.writer.look() }
    }

    fn readable_bytes(&self) -> u64 {
        self.reader.readable_bytes()
    }
}
