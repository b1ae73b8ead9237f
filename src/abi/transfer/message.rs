//! Messages with descriptors beside their bytes.

use std::io::IoSlice;

use wiggle::GuestMemory;

use super::copy::{SharedCopy, charge_message};
use super::{Answer, MAX_COPY, MAX_MESSAGE, count, largest_message, write_rest};
use crate::abi::memory::Buffers;
use crate::error::{Errno, Error};
use crate::process::{Installed, OpenFile, Passing, Thread};
use crate::socket::RecvFlags;

/// Sends the guest's buffers over `open`, with the descriptors of `passing` beside the first byte.
///
/// # Errors
///
/// Those of [`Thread::send_with`], where nothing was sent; `EMSGSIZE` for a message that is never sent at
/// once.
pub(crate) async fn send_message(
    thread: &Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    open: &OpenFile,
    dont_wait: bool,
    passing: Passing,
) -> Result<u32, Error> {
    let socket = open.open.socket()?;
    let sent = match buffers.slices(memory)? {
        Some(slices) => thread.send_with(open, &slices, dont_wait, passing).await?,
        None => {
            let most = if socket.keeps_boundaries() { largest_message(socket) } else { MAX_COPY };
            if socket.keeps_boundaries() && buffers.total() > most {
                return Err(Errno::EMSGSIZE.into());
            }
            let piece = buffers.pieces(most).next().unwrap_or_default();
            let _charge = charge_message(thread, piece.total())?;
            let copy = piece.gather(memory, most)?;
            thread.send_with(open, &[IoSlice::new(&copy)], dont_wait, passing).await?
        }
    };
    let sent = count(sent)?;
    let waits = !open.is_nonblocking() && !dont_wait;
    if sent == 0 || sent >= buffers.total() || !waits {
        return Ok(sent);
    }
    // The rest of a stream.
    write_rest(thread, memory, buffers, sent, open, dont_wait, None).await
}

/// Receives from the Unix socket `open` into the guest's buffers, and opens what comes beside the bytes:
/// `room` descriptors at most.
///
/// # Errors
///
/// Those of [`Thread::receive_with`].
pub(crate) async fn receive_message(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    open: &OpenFile,
    flags: RecvFlags,
    room: usize,
) -> Result<(Answer, Installed), Error> {
    let (received, ancillary) = match buffers.single_mut(memory)? {
        Some(buffer) => thread.receive_with(open, buffer, flags).await?,
        None => {
            let socket = open.open.socket()?;
            // A part of a stream is as good as all of it, but where it was asked for.
            let is_whole = socket.keeps_boundaries() || flags.wait_all;
            let most = if is_whole { MAX_MESSAGE } else { MAX_COPY };
            let piece = buffers.pieces(most).next().unwrap_or_default();
            let mut copy = SharedCopy::take(thread, piece.total())?;
            let found = thread.receive_with(open, copy.domain(), flags).await;
            let scattered = match &found {
                Ok((received, _)) => copy.scatter(memory, &piece, received.count),
                Err(_) => Ok(0),
            };
            copy.give_back(thread);
            scattered?;
            found?
        }
    };
    let installed = thread.install(open.open.socket()?, ancillary, room, flags.peek);
    Ok((Answer::of(received, flags)?, installed))
}
