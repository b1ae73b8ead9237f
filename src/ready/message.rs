//! Messages with a token beside their data, over `AF_UNIX`.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::task::Poll;
use std::time::Duration;

use super::readiness::blocking;
use super::socket::{connection, limit, pending_on};
use super::time_slice::TimeSlice;
use crate::error::Errno;
use crate::io::Events;
use crate::socket::{Ancillary, Connected, Datagram, Received, RecvFlags, Socket, TimeOption};

/// As [`recv`](super::recv), with what comes beside the data. What does ends the call, as it does
/// in Linux, also where it waits for more data.
///
/// # Cancel safety
///
/// As for [`recv`](super::recv).
///
/// # Errors
///
/// Those of [`recv`](super::recv).
pub async fn recv_with_ancillary(
    socket: &Socket,
    waits: bool,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<(Received, Ancillary), Errno> {
    let waits = waits && !flags.dont_wait;
    let limit = limit(socket, waits, TimeOption::Receive);
    let stream = match socket {
        Socket::Datagram(datagram) => return recv_message(datagram, limit, buffer, flags.peek).await,
        Socket::Stream(stream) => stream,
    };
    let connected = connection(stream, limit).await?;
    let is_stream = !connected.keeps_boundaries();
    if is_stream && buffer.is_empty() {
        return Ok((Received::bytes(0), Ancillary::default()));
    }
    let low_water = if waits && is_stream { socket.receive_low_water() } else { 1 };
    let whole = (flags.wait_all || buffer.len() < low_water) && waits && !flags.peek && is_stream;
    recv_bytes(&connected, limit, buffer, flags.peek, low_water, whole).await
}

async fn recv_bytes(
    connected: &Connected,
    limit: Option<Duration>,
    buffer: &mut [u8],
    peek: bool,
    low_water: usize,
    whole: bool,
) -> Result<(Received, Ancillary), Errno> {
    let io = connected.registration();
    let room = buffer.len();
    let is_low = || low_water > 1 && room >= low_water && !connected.holds(low_water);
    let mut filled = 0;
    let mut slice = TimeSlice::new();
    loop {
        let rest = buffer.get_mut(filled..).unwrap_or_default();
        let attempt = || match is_low() {
            true => Poll::Pending,
            false => pending_on(Errno::EAGAIN, connected.try_recv_with_ancillary(&mut *rest, peek)),
        };
        let (received, ancillary) = match blocking(&io, Events::READ, limit, attempt, false).await.flatten() {
            Ok(found) if !whole => return Ok(found),
            Ok(found) => found,
            // What was received before counts more than what went wrong after.
            Err(_) if filled > 0 => return Ok((Received::bytes(filled), Ancillary::default())),
            Err(errno) => return Err(errno),
        };
        filled += received.count;
        if received.count == 0 || filled >= room || !ancillary.is_empty() || slice.step().await.is_err() {
            return Ok((Received::bytes(filled), ancillary));
        }
    }
}

async fn recv_message(
    datagram: &Datagram,
    limit: Option<Duration>,
    buffer: &mut [u8],
    peek: bool,
) -> Result<(Received, Ancillary), Errno> {
    let io = datagram.registration(Events::READ)?;
    let attempt = || match datagram.try_recv_with_ancillary(&mut *buffer, peek) {
        Err(Errno::EAGAIN) if datagram.is_deaf() => {
            Poll::Ready(Ok((Received::bytes(0), Ancillary::default())))
        }
        received => pending_on(Errno::EAGAIN, received),
    };
    blocking(&io, Events::READ, limit, attempt, false).await?
}

/// Sends what finds room of `data` to the peer, with `token` beside its first byte; a message whole or
/// not at all.
///
/// # Cancel safety
///
/// It is sent or it is not.
///
/// # Errors
///
/// Those of [`send`](super::send); `ENFILE` where the host has too many on their way.
pub async fn send_with_token(
    socket: &Socket,
    waits: bool,
    data: &[IoSlice<'_>],
    token: BorrowedFd<'_>,
) -> Result<usize, Errno> {
    let limit = limit(socket, waits, TimeOption::Send);
    match socket {
        Socket::Stream(stream) => {
            let connected = connection(stream, limit).await?;
            let io = connected.registration();
            let attempt = || pending_on(Errno::EAGAIN, connected.try_send_with_token(data, token));
            blocking(&io, Events::WRITE, limit, attempt, false).await?
        }
        Socket::Datagram(datagram) => {
            let io = datagram.registration(Events::WRITE)?;
            let attempt = || pending_on(Errno::EAGAIN, datagram.try_send_with_token(data, token));
            blocking(&io, Events::WRITE, limit, attempt, false).await?
        }
    }
}
