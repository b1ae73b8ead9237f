//! Bytes between the guest's buffers and the host, for every dialect.
//!
//! In a memory of one thread the host reads and writes in place. In a shared one,
//! and for several buffers to fill, the bytes go through one bounded copy.

use std::io::IoSlice;

use wiggle::GuestMemory;

use super::memory::Buffers;
use crate::error::{Errno, Error};
use crate::process::{OpenFile, Thread};
use crate::socket::RecvFlags;

/// The most that one call moves through a copy.
const MAX_COPY: u32 = 64 * 1024;

/// Reads from `open` into the guest's buffers.
///
/// # Errors
///
/// Those of [`Thread::read`].
pub(crate) async fn read(
    thread: &Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    open: &OpenFile,
    flags: RecvFlags,
) -> Result<u32, Error> {
    if let Some(buffer) = buffers.single_mut(memory)? {
        return count(thread.read(open, buffer, flags).await?);
    }
    let mut copy = vec![0; copied(buffers)?];
    let received = thread.read(open, &mut copy, flags).await?;
    buffers.scatter(memory, copy.get(..received).unwrap_or(&copy))
}

/// Writes the guest's buffers to `open`.
///
/// # Errors
///
/// Those of [`Thread::write`].
pub(crate) async fn write(
    thread: &Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    open: &OpenFile,
    dont_wait: bool,
) -> Result<u32, Error> {
    if let Some(buffer) = buffers.single_mut(memory)? {
        return count(thread.write(open, &mut [IoSlice::new(buffer)], dont_wait).await?);
    }
    if let Some(mut slices) = buffers.slices(memory)? {
        return count(thread.write(open, &mut slices, dont_wait).await?);
    }
    let copy = buffers.gather(memory, MAX_COPY)?;
    count(thread.write(open, &mut [IoSlice::new(&copy)], dont_wait).await?)
}

fn copied(buffers: &Buffers) -> Result<usize, Error> {
    usize::try_from(buffers.total().min(MAX_COPY)).map_err(|_| Errno::EINVAL.into())
}

/// A number of bytes as the guest counts them; no call moves more than fits.
pub(crate) fn count(bytes: usize) -> Result<u32, Error> {
    u32::try_from(bytes).map_err(|_| Errno::EOVERFLOW.into())
}
