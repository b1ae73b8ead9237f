//! Bytes between the guest's buffers and a place in a file.

use std::io::IoSlice;
use std::sync::Arc;

use wiggle::GuestMemory;

use super::copy::SharedCopy;
use super::{MAX_COPY, Written, count, is_last, tried, try_from, try_into};
use crate::abi::call::Tried;
use crate::abi::memory::Buffers;
use crate::error::{Errno, Error};
use crate::file::File;
use crate::process::Thread;
use crate::ready::TimeSlice;

/// Reads from a file at `offset` into the guest's buffers.
///
/// # Errors
///
/// Those of [`Thread::read_file`], where nothing was read before.
pub(crate) async fn read_at(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    file: &Arc<File>,
    offset: u64,
) -> Result<u32, Error> {
    if let Some(buffer) = buffers.single_mut(memory)? {
        return count(thread.read_file(file, Some(offset), buffer, false).await?);
    }
    let (mut done, mut slice) = (0, TimeSlice::new());
    for piece in buffers.pieces(MAX_COPY) {
        if done > 0 && slice.step().await.is_err() {
            break;
        }
        let mut copy = SharedCopy::take(thread, piece.total())?;
        let received = match offset.checked_add(done.into()) {
            Some(at) => thread.read_file(file, Some(at), copy.domain(), done > 0).await,
            None => Err(Errno::EINVAL.into()),
        };
        let moved = received.and_then(|received| copy.scatter(memory, &piece, received));
        copy.give_back(thread);
        if is_last(&mut done, moved, piece.total())? {
            break;
        }
    }
    Ok(done)
}

/// Reads from a file at `offset` into the guest's buffers, where that may stop the thread.
///
/// # Errors
///
/// As for [`read_at`].
pub(crate) fn try_read_at(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    file: &File,
    offset: u64,
) -> Result<Tried<u32>, Error> {
    let attempt = |thread: &Thread, buffer: &mut [u8]| thread.read_here(file, Some(offset), buffer);
    let read = try_into(thread, memory, buffers, attempt, |read| *read)?;
    Ok(match tried(read, !file.flags().nonblock)? {
        Tried::Done(read) => Tried::Done(count(read)?),
        Tried::Waits { has_polled } => Tried::Waits { has_polled },
    })
}

/// Writes the guest's buffers to a file at `offset`, where that may stop the thread.
///
/// # Errors
///
/// As for [`write_at`].
pub(crate) fn try_write_at(
    thread: &Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    file: &File,
    offset: u64,
) -> Result<Written, Error> {
    let waits = !file.flags().nonblock;
    try_from(memory, buffers, waits, |data| thread.write_here(file, Some(offset), data))
}

/// Writes what is left of the guest's buffers after `done` bytes, and returns how much is written
/// in all.
///
/// # Errors
///
/// Those of [`write_at`], where nothing was written before.
pub(crate) async fn write_at_rest(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    buffers: &Buffers,
    done: u32,
    file: &Arc<File>,
    offset: u64,
) -> Result<u32, Error> {
    if done == 0 {
        return write_at(thread, memory, buffers, file, offset).await;
    }
    let Some(at) = offset.checked_add(done.into()) else { return Ok(done) };
    match write_at(thread, memory, &buffers.after(done), file, at).await {
        Ok(more) => Ok(done.saturating_add(more)),
        Err(Error::Errno(_)) => Ok(done),
        Err(error) => Err(error),
    }
}

/// Writes the guest's buffers to a file, at `offset`.
///
/// # Errors
///
/// Those of [`Thread::write_file`], where nothing was written before.
pub(crate) async fn write_at(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    buffers: &Buffers,
    file: &Arc<File>,
    offset: u64,
) -> Result<u32, Error> {
    if let Some(mut slices) = buffers.slices(memory)? {
        return count(thread.write_file(file, Some(offset), &mut slices).await?);
    }
    let (mut done, mut slice) = (0, TimeSlice::new());
    for piece in buffers.pieces(MAX_COPY) {
        if done > 0 && slice.step().await.is_err() {
            break;
        }
        let copy = piece.gather(memory, MAX_COPY)?;
        let written = match offset.checked_add(done.into()) {
            Some(at) => thread.write_file(file, Some(at), &mut [IoSlice::new(&copy)]).await,
            None => Err(Errno::EINVAL.into()),
        };
        if is_last(&mut done, written.and_then(count), piece.total())? {
            break;
        }
    }
    Ok(done)
}
