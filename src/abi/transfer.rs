//! Bytes between the guest's buffers and the host, for every dialect.
//!
//! In a memory of one thread the host reads and writes in place. In a shared one,
//! and for several buffers to fill, the bytes go through a bounded copy, piece by piece:
//! the guest sees one call that moves all of it, as it would in place. A message goes
//! whole or not at all, so its copy holds all of it.

mod copy;
mod file;
mod message;

use std::io::IoSlice;
use std::task::Poll;

use wiggle::GuestMemory;

use super::call::Tried;
use super::memory::Buffers;
use crate::address::Address;
use crate::error::{Errno, Error};
use crate::process::{OpenFile, Thread};
use crate::ready::{self, TimeSlice};
use crate::socket::{Family, Received, RecvFlags, SizeOption, Socket};
pub(crate) use copy::MAX_COPY;
use copy::{SharedCopy, charge_message};
pub(crate) use file::{read_at, try_read_at, try_write_at, write_at_rest};
pub(crate) use message::{receive_message, send_message};

/// The most bytes of a message that are copied. Linux takes no message that is larger than
/// the sender's buffer, by default at most 416 KiB: "the `wmem_max` limit" - socket(7),
/// `SO_SNDBUF`.
const MAX_MESSAGE: u32 = 4 * 1024 * 1024;

/// As many bytes of a shared memory are copied one by one: what is written to an event descriptor.
const WORD: usize = 8;

/// The flag of a receive that a message was longer than the buffers.
const DATA_TRUNCATED: u16 = 1;

/// What a receive returns.
pub(crate) struct Answer {
    /// How many bytes.
    pub(crate) length: u32,
    /// The flags.
    pub(crate) flags: u16,
    /// The sender, if each message carries one.
    pub(crate) from: Option<Address>,
}

impl Answer {
    /// Who has sent what was received on `open`: of a connection its peer, as long as it is known.
    pub(crate) fn sender(self, open: &OpenFile) -> Option<Address> {
        self.from.or_else(|| open.open.socket().ok()?.peer_address().ok())
    }
}

/// Makes one of the tries of `attempt` with the guest's buffers: in place, or by a copy that is
/// not large, of which `moved` bytes are new. `None` where neither is possible, or nothing was
/// tried.
#[inline]
fn try_into<T>(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    attempt: impl FnOnce(&Thread, &mut [u8]) -> Option<Poll<Result<T, Errno>>>,
    moved: impl FnOnce(&T) -> usize,
) -> Result<Option<Poll<Result<T, Errno>>>, Error> {
    if let Some(buffer) = buffers.single_mut(memory)? {
        return Ok(attempt(thread, buffer));
    }
    if buffers.total() > MAX_COPY {
        return Ok(None);
    }
    let mut copy = SharedCopy::take(thread, buffers.total())?;
    let tried = attempt(thread, copy.domain());
    let written = match &tried {
        Some(Poll::Ready(Ok(done))) => copy.scatter(memory, buffers, moved(done)),
        _ => Ok(0),
    };
    copy.give_back(thread);
    written?;
    Ok(tried)
}

/// What a try means for a call that `waits`, or does not.
///
/// # Errors
///
/// `EAGAIN` where it would wait and may not.
#[inline]
fn tried<T>(polled: Option<Poll<Result<T, Errno>>>, waits: bool) -> Result<Tried<T>, Error> {
    match polled {
        Some(Poll::Ready(Ok(done))) => Ok(Tried::Done(done)),
        Some(Poll::Ready(Err(errno))) => Err(errno.into()),
        Some(Poll::Pending) if waits => Ok(Tried::Waits { has_polled: true }),
        Some(Poll::Pending) => Err(Errno::EAGAIN.into()),
        None => Ok(Tried::UNTRIED),
    }
}

/// Reads from `open` into the guest's buffers what is there. `has_parked` says that the thread has
/// [parked](Thread::parks_to_receive) for it.
///
/// # Errors
///
/// As for [`read`]; `EAGAIN` where it would wait and the descriptor does not block.
pub(crate) fn try_read(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    open: &OpenFile,
    has_parked: bool,
) -> Result<Tried<u32>, Error> {
    let waits = !open.is_nonblocking();
    let attempt = |thread: &Thread, buffer: &mut [u8]| thread.try_read(open, waits, has_parked, buffer);
    let read = try_into(thread, memory, buffers, attempt, |read| *read)?;
    Ok(match tried(read, waits)? {
        Tried::Done(read) => Tried::Done(count(read)?),
        Tried::Waits { has_polled } => Tried::Waits { has_polled },
    })
}

/// Receives from the socket `open` into the guest's buffers what is there. `has_parked` says that the thread has
/// [parked](Thread::parks_to_receive) for it.
///
/// # Errors
///
/// As for [`receive`]; `EAGAIN` where it would wait and may not.
pub(crate) fn try_receive(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    open: &OpenFile,
    flags: RecvFlags,
    has_parked: bool,
) -> Result<Tried<Answer>, Error> {
    let waits = !open.is_nonblocking() && !flags.dont_wait;
    let socket = open.open.socket()?;
    if flags.wait_all && waits {
        return Ok(Tried::UNTRIED);
    }
    if let Socket::Datagram(datagram) = socket.as_ref() {
        let attempt = |_: &Thread, buffer: &mut [u8]| ready::try_recv_message(datagram, buffer, flags.peek);
        let received = try_into(thread, memory, buffers, attempt, |received| received.count)?;
        return Ok(match tried(received, waits)? {
            Tried::Done(received) => {
                if !flags.peek {
                    thread.note_received(received.count);
                }
                Tried::Done(Answer::of(received, flags)?)
            }
            Tried::Waits { has_polled } => Tried::Waits { has_polled },
        });
    }
    let attempt =
        |_: &Thread, buffer: &mut [u8]| ready::try_recv(socket, waits, has_parked, buffer, flags.peek);
    let received = try_into(thread, memory, buffers, attempt, |(count, _)| *count)?;
    Ok(match tried(received, waits)? {
        Tried::Done((count, length)) => {
            if !flags.peek {
                thread.note_received(count);
            }
            Tried::Done(Answer::of_bytes(count, length, flags)?)
        }
        Tried::Waits { has_polled } => Tried::Waits { has_polled },
    })
}

/// How far a try to write came.
pub(crate) enum Written {
    /// All that the call is to write.
    All(u32),
    /// So many bytes; the rest waits.
    Some(u32),
}

/// Writes the guest's buffers to `open` as far as they fit: to `to`, where a socket has no
/// connection.
///
/// # Errors
///
/// As for [`write`]; `EAGAIN` where it would wait and may not.
pub(crate) fn try_write(
    thread: &Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    open: &OpenFile,
    dont_wait: bool,
    to: Option<&Address>,
) -> Result<Written, Error> {
    let waits = !open.is_nonblocking() && !dont_wait;
    try_from(memory, buffers, waits, |data| match to {
        None => thread.try_write(open, data),
        Some(to) => thread.try_send_to(open, data, to),
    })
}

/// Makes one of the tries of `attempt` with the guest's buffers, in place, or with a copy that is not
/// large.
///
/// # Errors
///
/// Those of the try; `EAGAIN` where it would wait, and `waits` says that it may not.
#[inline]
fn try_from(
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    waits: bool,
    attempt: impl FnOnce(&[IoSlice<'_>]) -> Option<Poll<Result<usize, Errno>>>,
) -> Result<Written, Error> {
    let written = if let Some(buffer) = buffers.single_mut(memory)? {
        attempt(&[IoSlice::new(buffer)])
    } else if !memory.is_shared_memory() {
        attempt(&buffers.slices(memory)?.unwrap_or_default())
    } else if let Some((bytes, length)) = buffers.few::<WORD>(memory)? {
        attempt(&[IoSlice::new(bytes.get(..length).unwrap_or_default())])
    } else if buffers.total() <= MAX_COPY {
        attempt(&[IoSlice::new(&buffers.gather(memory, MAX_COPY)?)])
    } else {
        None
    };
    Ok(match tried(written, waits)? {
        Tried::Waits { .. } => Written::Some(0),
        Tried::Done(written) => {
            let written = count(written)?;
            let is_all = !waits || written >= buffers.total();
            if is_all { Written::All(written) } else { Written::Some(written) }
        }
    })
}

/// Writes what is left of the guest's buffers after `done` bytes, and returns how much is written
/// in all.
///
/// # Errors
///
/// Those of [`write`], where nothing was written before.
pub(crate) async fn write_rest(
    thread: &Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    done: u32,
    open: &OpenFile,
    dont_wait: bool,
    to: Option<&Address>,
) -> Result<u32, Error> {
    if done == 0 {
        return write(thread, memory, buffers, open, dont_wait, to).await;
    }
    match write(thread, memory, &buffers.after(done), open, dont_wait, to).await {
        Ok(more) => Ok(done.saturating_add(more)),
        // "If write() is interrupted by a signal after it successfully writes some data, it
        // shall return the number of bytes written." - write(3p), and so for any error.
        Err(Error::Errno(_)) => Ok(done),
        Err(error) => Err(error),
    }
}

/// Reads from `open` into the guest's buffers. `has_polled` says that [`try_read`] has just
/// found nothing.
///
/// # Errors
///
/// Those of [`Thread::read`], where nothing was read before.
pub(crate) async fn read(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    open: &OpenFile,
    has_polled: bool,
) -> Result<u32, Error> {
    if let Some(buffer) = buffers.single_mut(memory)? {
        return count(thread.read(open, buffer, false, has_polled).await?);
    }
    let (mut done, mut slice) = (0, TimeSlice::new());
    for piece in buffers.pieces(most_at_once(open, MAX_MESSAGE)) {
        if done > 0 && slice.step().await.is_err() {
            break;
        }
        let mut copy = SharedCopy::take(thread, piece.total())?;
        // What comes after the first piece is taken only if it is there: "the number of bytes
        // may be fewer if ... fewer bytes are immediately available" - read(3p)
        let received = thread.read(open, copy.domain(), done > 0, has_polled && done == 0).await;
        let moved = received.and_then(|received| copy.scatter(memory, &piece, received));
        copy.give_back(thread);
        if is_last(&mut done, moved, piece.total())? {
            break;
        }
    }
    Ok(done)
}

/// Receives from the socket `open` into the guest's buffers. `has_polled` says that
/// [`try_receive`] has just found nothing.
///
/// # Errors
///
/// Those of [`Thread::receive`], where nothing was received before.
pub(crate) async fn receive(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    open: &OpenFile,
    flags: RecvFlags,
    has_polled: bool,
) -> Result<Answer, Error> {
    let received = match buffers.single_mut(memory)? {
        Some(buffer) => thread.receive(open, buffer, flags, has_polled).await?,
        None => receive_by_copy(thread, memory, buffers, open, flags, has_polled).await?,
    };
    Answer::of(received, flags)
}

impl Answer {
    fn of(received: Received, flags: RecvFlags) -> Result<Self, Error> {
        let Received { count: bytes, length, from } = received;
        Ok(Self { from, ..Self::of_bytes(bytes, length, flags)? })
    }

    /// That of `bytes` in the buffers, of a message that had `length`, from nobody in particular.
    #[inline]
    fn of_bytes(bytes: usize, length: usize, flags: RecvFlags) -> Result<Self, Error> {
        let is_cut = length > bytes;
        // "MSG_TRUNC: return the real length of the packet or datagram, even when it was
        // longer than the passed buffer" - recv(2)
        let length = count(if flags.whole_length { length } else { bytes })?;
        Ok(Self { length, flags: if is_cut { DATA_TRUNCATED } else { 0 }, from: None })
    }
}

async fn receive_by_copy(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    buffers: &Buffers,
    open: &OpenFile,
    mut flags: RecvFlags,
    has_polled: bool,
) -> Result<Received, Error> {
    // What is only looked at is there the next time again.
    let most = if flags.peek { MAX_MESSAGE } else { most_at_once(open, MAX_MESSAGE) };
    let (mut done, mut slice) = (0, TimeSlice::new());
    for piece in buffers.pieces(most) {
        if done > 0 && slice.step().await.is_err() {
            break;
        }
        let mut copy = SharedCopy::take(thread, piece.total())?;
        let received = thread.receive(open, copy.domain(), flags, has_polled && done == 0).await;
        let moved = match &received {
            Ok(received) => copy.scatter(memory, &piece, received.count),
            Err(_) => Ok(0),
        };
        copy.give_back(thread);
        match received {
            Err(_) if done > 0 => break,
            Ok(received) if flags.peek || most > MAX_COPY => {
                moved?;
                return Ok(received);
            }
            received => {
                received?;
                if is_last(&mut done, moved, piece.total())? {
                    break;
                }
            }
        }
        // "This flag requests that the operation block until the full request is satisfied."
        // - recv(2), MSG_WAITALL. Without it, the rest is taken only if it is there.
        flags.dont_wait = flags.dont_wait || !flags.wait_all;
    }
    Ok(Received::bytes(usize::try_from(done).map_err(|_| Errno::EOVERFLOW)?))
}

/// Writes the guest's buffers to `open`: to `to`, where a socket has no connection.
///
/// # Errors
///
/// Those of [`Thread::write`] and [`Thread::send_to`], where nothing was written before.
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
    let most = match open.open.socket() {
        Ok(socket) if socket.keeps_boundaries() => largest_message(socket),
        _ => MAX_COPY,
    };
    if most > MAX_COPY && buffers.total() > most {
        // "EMSGSIZE: The message is too large to be sent all at once" - send(3p): a part of
        // one is none.
        return Err(Errno::EMSGSIZE.into());
    }
    let (mut done, mut slice) = (0, TimeSlice::new());
    for piece in buffers.pieces(most) {
        if done > 0 && slice.step().await.is_err() {
            break;
        }
        let _charge = charge_message(thread, piece.total())?;
        let copy = piece.gather(memory, most)?;
        let written = write_slices(thread, &mut [IoSlice::new(&copy)], open, dont_wait, to).await;
        if is_last(&mut done, written, piece.total())? {
            break;
        }
    }
    Ok(done)
}

/// Adds what one piece of `length` bytes has moved to `done`. Returns whether it was the last:
/// it moved less than there was, or it failed after others had moved something.
///
/// # Errors
///
/// Those of the piece, where nothing was moved before.
fn is_last(done: &mut u32, moved: Result<u32, Error>, length: u32) -> Result<bool, Error> {
    match moved {
        Ok(moved) => {
            *done = done.saturating_add(moved);
            Ok(moved < length)
        }
        // "If write() is interrupted by a signal after it successfully writes some data, it
        // shall return the number of bytes written." - write(3p), and so for any error.
        Err(Error::Errno(_)) if *done > 0 => Ok(true),
        Err(error) => Err(error),
    }
}

/// How many bytes one copy has to hold: a message comes whole, or its rest is gone.
fn most_at_once(open: &OpenFile, message: u32) -> u32 {
    match open.open.socket() {
        Ok(socket) if socket.keeps_boundaries() => message,
        _ => MAX_COPY,
    }
}

/// The largest message that the kernel may take of a socket, within [`MAX_MESSAGE`].
fn largest_message(socket: &Socket) -> u32 {
    // A datagram of UDP never has more than 65,535 bytes with its head; one of a Unix socket
    // never more than the sender's buffer.
    let most = match socket.family() {
        Family::Inet4 | Family::Inet6 => 0,
        Family::Unix => socket.size(SizeOption::SendBuffer).unwrap_or(0),
    };
    u32::try_from(most).unwrap_or(MAX_MESSAGE).clamp(MAX_COPY + 1, MAX_MESSAGE)
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

/// A number of bytes as the guest counts them; no call moves more than fits.
pub(crate) fn count(bytes: usize) -> Result<u32, Error> {
    u32::try_from(bytes).map_err(|_| Errno::EOVERFLOW.into())
}
