//! Bytes between the guest's buffers and a place in a file.

use std::io::IoSlice;
use std::sync::Arc;

use wiggle::GuestMemory;

use super::copy::SharedCopy;
use super::{MAX_COPY, count, is_last};
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
