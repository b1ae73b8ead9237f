//! Bytes between the guest's buffers and the host, for every dialect.
//!
//! In a memory of one thread the host reads and writes in place. In a shared one,
//! and for several buffers to fill, the bytes go through one bounded copy.

use std::io::IoSlice;

use wiggle::GuestMemory;

use super::memory::Buffers;
use crate::address::Address;
use crate::error::{Errno, Error};
use crate::process::{OpenFile, Thread};
use crate::socket::{Received, RecvFlags};

/// The most that one call moves through a copy.
pub(crate) const MAX_COPY: u32 = 64 * 1024;

/// The flag of a receive that a message was longer than the buffers.
const DATA_TRUNCATED: u16 = 1;

/// What a receive answers.
pub(crate) struct Answer {
    /// How many bytes.
    pub(crate) length: u32,
    /// The flags.
    pub(crate) flags: u16,
    /// Who sent it, where each message says so.
    pub(crate) from: Option<Address>,
}

/// Reads from `open` into the guest's buffers.
///
/// # Errors
///
/// Those of [`Thread::read`].
pub(crate) async fn read(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    open: &OpenFile,
) -> Result<u32, Error> {
    if let Some(buffer) = buffers.single_mut(memory)? {
        return count(thread.read(open, buffer).await?);
    }
    let (mut copy, length) = scratch(thread, buffers)?;
    let room = copy.get_mut(..length).unwrap_or_default();
    let received = thread.read(open, room).await;
    let moved = match received {
        Ok(received) => buffers.scatter(memory, room.get(..received).unwrap_or(room)),
        Err(error) => Err(error),
    };
    thread.scratch = copy;
    moved
}

/// Receives from the socket `open` into the guest's buffers.
///
/// # Errors
///
/// Those of [`Thread::receive`].
pub(crate) async fn receive(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    open: &OpenFile,
    flags: RecvFlags,
) -> Result<Answer, Error> {
    let received = match buffers.single_mut(memory)? {
        Some(buffer) => thread.receive(open, buffer, flags).await?,
        None => {
            let (mut copy, length) = scratch(thread, buffers)?;
            let room = copy.get_mut(..length).unwrap_or_default();
            let received = thread.receive(open, room, flags).await;
            let moved = match &received {
                Ok(received) => buffers.scatter(memory, room.get(..received.count).unwrap_or(room)).map(drop),
                Err(_) => Ok(()),
            };
            thread.scratch = copy;
            moved?;
            received?
        }
    };
    let is_cut = received.is_cut();
    let Received { count: bytes, length, from } = received;
    // "MSG_TRUNC: return the real length of the packet or datagram, even when it was
    // longer than the passed buffer" - recv(2)
    let length = count(if flags.whole_length { length } else { bytes })?;
    Ok(Answer { length, flags: if is_cut { DATA_TRUNCATED } else { 0 }, from })
}

/// Writes the guest's buffers to `open`: to `to`, where a socket has no connection.
///
/// # Errors
///
/// Those of [`Thread::write`] and [`Thread::send_to`].
pub(crate) async fn write(
    thread: &Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    open: &OpenFile,
    dont_wait: bool,
    to: Option<&Address>,
) -> Result<u32, Error> {
    if let Some(buffer) = buffers.single_mut(memory)? {
        return write_slices(thread, &mut [IoSlice::new(buffer)], open, dont_wait, to).await;
    }
    if let Some(mut slices) = buffers.slices(memory)? {
        return write_slices(thread, &mut slices, open, dont_wait, to).await;
    }
    if buffers.total() > MAX_COPY && open.open.socket().is_ok_and(|socket| socket.keeps_boundaries()) {
        // "EMSGSIZE: The message is too large to be sent all at once" - send(3p): half of
        // one is none.
        return Err(Errno::EMSGSIZE.into());
    }
    let copy = buffers.gather(memory, MAX_COPY)?;
    write_slices(thread, &mut [IoSlice::new(&copy)], open, dont_wait, to).await
}

async fn write_slices(
    thread: &Thread,
    slices: &mut [IoSlice<'_>],
    open: &OpenFile,
    dont_wait: bool,
    to: Option<&Address>,
) -> Result<u32, Error> {
    count(match to {
        None => thread.write(open, slices, dont_wait).await?,
        Some(to) => thread.send_to(open, slices, dont_wait, to).await?,
    })
}

/// The thread's own buffer, and how much of it a call that fills `buffers` may use. The
/// caller gives it back.
fn scratch(thread: &mut Thread, buffers: &Buffers) -> Result<(Vec<u8>, usize), Error> {
    let length = usize::try_from(buffers.total().min(MAX_COPY)).map_err(|_| Errno::EINVAL)?;
    let mut copy = std::mem::take(&mut thread.scratch);
    if copy.len() < length {
        copy.resize(length, 0);
    }
    Ok((copy, length))
}

/// A number of bytes as the guest counts them; no call moves more than fits.
pub(crate) fn count(bytes: usize) -> Result<u32, Error> {
    u32::try_from(bytes).map_err(|_| Errno::EOVERFLOW.into())
}
