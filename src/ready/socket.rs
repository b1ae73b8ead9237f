//! The calls of a socket that may wait.
//!
//! Each takes `waits`: does the guest's descriptor block? How long it may then
//! wait is the socket's own option.

use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::readiness::{blocking, receiving, retry_with_backoff, timeout};
use super::time_slice::TimeSlice;
use crate::address::Address;
use crate::error::Errno;
use crate::policy::Policy;
use crate::socket::{
    Accepted, Connected, Datagram, Destination, Interest, ReadinessSource, Received, RecvFlags, Refusal,
    Registration, Socket, Stream, TimeOption,
};

fn pending_on<T>(again: Errno, answer: Result<T, Errno>) -> Poll<Result<T, Errno>> {
    match answer {
        Err(errno) if errno == again => Poll::Pending,
        other => Poll::Ready(other),
    }
}

fn limit(socket: &Socket, waits: bool, option: TimeOption) -> Option<Duration> {
    if waits { socket.timeout(option) } else { Some(Duration::ZERO) }
}

/// Takes the next connection.
///
/// # Cancel safety
///
/// No connection is lost when the future is dropped.
///
/// # Errors
///
/// `ENOTSUP` for a datagram socket, `EINVAL` where the socket does not listen,
/// `EAGAIN` where no connection waits or the time is over, `ENFILE` where the host
/// has no descriptor left, `EBADF` where the last descriptor of the listener is closed
/// meanwhile; a limit to the number of connections where that keeps one waiting.
pub async fn accept(socket: &Socket, waits: bool) -> Result<Accepted, Refusal> {
    let stream = socket.stream()?;
    // "Timeouts only have effect for system calls that perform socket I/O (e.g.,
    // accept(2), ...)" - socket(7), SO_RCVTIMEO. A limit of its own goes first.
    let limit = limit(socket, waits, TimeOption::Accept).or(limit(socket, waits, TimeOption::Receive));
    match stream.readiness_source() {
        ReadinessSource::None => stream.try_accept(),
        ReadinessSource::Reactor(io) => {
            let attempt = || match stream.try_accept() {
                Err(Refusal::Errno(Errno::EAGAIN)) => Poll::Pending,
                answer => Poll::Ready(answer),
            };
            blocking(&io, Interest::Read, limit, attempt).await?
        }
        ReadinessSource::Queue(queue) => {
            timeout(limit, poll_fn(|context| stream.poll_accept(&queue, context))).await?
        }
    }
}

/// Connects to `address`. A name answers at once, and `EAGAIN` means that its queue is
/// full.
///
/// # Cancel safety
///
/// The attempt goes on when the future is dropped.
///
/// # Errors
///
/// `EINPROGRESS` where the descriptor does not block, `ETIMEDOUT` where the time is
/// over and `EINTR` where a signal is handled (the attempt goes on), and those of
/// [`Socket::try_connect`] and [`Stream::try_finish_connect`].
pub async fn connect(
    socket: &Socket,
    waits: bool,
    address: &Address,
    policy: &Policy,
) -> Result<(), Refusal> {
    match socket.try_connect(address, policy) {
        Err(Refusal::Errno(Errno::EINPROGRESS)) if waits => {}
        other => return other,
    }
    let stream = socket.stream()?;
    let ReadinessSource::Reactor(io) = stream.readiness_source() else { return Err(Errno::ENOTCONN.into()) };
    let limit = socket.timeout(TimeOption::Connect);
    let ended =
        blocking(&io, Interest::Write, limit, || pending_on(Errno::EINPROGRESS, stream.try_finish_connect()))
            .await;
    let ended = match ended {
        Ok(ended) => ended,
        // "EINTR: The attempt to establish a connection was interrupted by delivery of a
        // signal that was caught; the connection shall be established asynchronously."
        // - connect(3p)
        Err(Errno::EINTR) => Err(Errno::EINTR),
        // "ETIMEDOUT: The attempt to connect timed out before a connection was made."
        Err(_) => Err(Errno::ETIMEDOUT),
    };
    ended.map_err(Refusal::from)
}

/// The connection; a blocking descriptor waits for an attempt that is on its way.
async fn connection(stream: &Stream, limit: Option<Duration>) -> Result<Connected, Errno> {
    let waiting: Arc<Registration> = match stream.connected() {
        Err(Errno::EAGAIN) => match stream.readiness_source() {
            ReadinessSource::Reactor(io) => io,
            _ => return stream.connected(),
        },
        found => return found,
    };
    blocking(&waiting, Interest::Write, limit, || pending_on(Errno::EAGAIN, stream.connected())).await?
}

/// Receives into `buffer`: what is there of a stream, where 0 is its end, or one message.
///
/// # Cancel safety
///
/// With [`RecvFlags::wait_all`], what was received before is lost when the future
/// is dropped; otherwise nothing is.
///
/// # Errors
///
/// `ENOTCONN`, `EAGAIN` where nothing is there or the time is over, `ECONNRESET`
/// once after a reset.
pub async fn recv(
    socket: &Socket,
    waits: bool,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<Received, Errno> {
    let waits = waits && !flags.dont_wait;
    let limit = limit(socket, waits, TimeOption::Receive);
    let stream = match socket {
        Socket::Stream(stream) => stream,
        Socket::Datagram(datagram) => return recv_message(datagram, limit, buffer, flags.peek).await,
    };
    let connected = connection(stream, limit).await?;
    // Nothing was asked for, so there is nothing to wait for: what `read` says of a
    // length of 0, for every call. A message is there to be taken all the same.
    if buffer.is_empty() && !connected.keeps_boundaries() {
        return Ok(Received::bytes(0));
    }
    let io = connected.registration();
    let buffer_len = buffer.len();
    let is_stream = !connected.keeps_boundaries();
    // "Receive calls normally block until the smaller of the low-water mark value or the
    // requested amount is available" - setsockopt(3p), SO_RCVLOWAT
    let low_water = if waits && is_stream { socket.receive_low_water() } else { 1 };
    let is_low = || low_water > 1 && buffer_len >= low_water && !connected.holds(low_water);
    let whole = (flags.wait_all || buffer_len < low_water) && waits && !flags.peek && is_stream;
    let mut filled = 0;
    let mut slice = TimeSlice::new();
    loop {
        let rest = buffer.get_mut(filled..).unwrap_or_default();
        let attempt = || match is_low() {
            true => Poll::Pending,
            false => pending_on(Errno::EAGAIN, connected.try_recv(&mut *rest, flags.peek)),
        };
        let received = match whole || low_water > 1 {
            true => blocking(&io, Interest::Read, limit, attempt).await,
            false => receiving(&io, limit, attempt).await,
        };
        match received.flatten() {
            Ok(received) if !whole => {
                if received.count == buffer_len {
                    io.note_slow(false);
                }
                return Ok(received);
            }
            Ok(Received { count: 0, .. }) => return Ok(Received::bytes(filled)),
            Ok(received) => filled += received.count,
            // What was received before counts more than what went wrong after.
            Err(_) if filled > 0 => return Ok(Received::bytes(filled)),
            Err(errno) => return Err(errno),
        }
        if filled >= buffer.len() || slice.step().await.is_err() {
            return Ok(Received::bytes(filled));
        }
    }
}

/// Receives one message from a sender that may send. Whoever else sends, and however
/// fast, neither keeps the thread nor makes the limit longer.
async fn recv_message(
    datagram: &Datagram,
    limit: Option<Duration>,
    buffer: &mut [u8],
    peek: bool,
) -> Result<Received, Errno> {
    let io = datagram.registration()?;
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut left = limit;
    let mut slice = TimeSlice::new();
    loop {
        let attempt = || match datagram.try_recv(&mut *buffer, peek) {
            Err(Errno::EAGAIN) if datagram.is_deaf() => Poll::Ready(Ok(Some(Received::bytes(0)))),
            received => pending_on(Errno::EAGAIN, received),
        };
        if let Some(received) = blocking(&io, Interest::Read, left, attempt).await?? {
            return Ok(received);
        }
        left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            // A right message may be there, behind the wrong ones: who waits for it looks again.
            io.wake_all(Interest::Read);
            return Err(Errno::EAGAIN);
        }
        slice.yield_now().await?;
    }
}

/// Sends `data`. A blocking descriptor sends all of it; another one what finds room. A
/// message goes whole or not at all.
///
/// # Cancel safety
///
/// What was sent before the future is dropped is sent.
///
/// # Errors
///
/// `ENOTCONN`, `EAGAIN` where there is no room or the time is over, `EPIPE`,
/// `ECONNRESET`; `EMSGSIZE` for a message that never finds room; `EDESTADDRREQ` for a
/// datagram socket without a peer.
pub async fn send(socket: &Socket, waits: bool, mut data: &mut [IoSlice<'_>]) -> Result<usize, Errno> {
    let limit = limit(socket, waits, TimeOption::Send);
    let stream = match socket {
        Socket::Stream(stream) => stream,
        Socket::Datagram(datagram) => {
            let io = datagram.registration()?;
            let attempt = || pending_on(Errno::EAGAIN, datagram.try_send(data, None));
            return blocking(&io, Interest::Write, limit, attempt).await?;
        }
    };
    let connected = connection(stream, limit).await?;
    let io = connected.registration();
    let mut sent = 0;
    let mut slice = TimeSlice::new();
    loop {
        let count = send_some(&connected, &io, limit, data).await;
        match count {
            Ok(count) => {
                sent += count;
                IoSlice::advance_slices(&mut data, count);
            }
            Err(_) if sent > 0 => return Ok(sent),
            Err(errno) => return Err(errno),
        }
        if !waits || data.iter().all(|slice| slice.is_empty()) || slice.step().await.is_err() {
            return Ok(sent);
        }
    }
}

/// Receives into `buffer` what is there of a stream that is known to be connected: as
/// [`recv`] does, without a future. `None` for everything else, and where a descriptor that
/// `waits` has to, or is likely to.
pub fn try_recv(socket: &Socket, waits: bool, buffer: &mut [u8], peek: bool) -> Option<Result<usize, Errno>> {
    let connected = connected_stream(socket)?;
    if waits && (connected.is_slow() || socket.receive_low_water() > 1) {
        return None;
    }
    let attempt = || pending_on(Errno::EAGAIN, connected.try_recv(&mut *buffer, peek));
    match connected.try_io(Interest::Read, attempt) {
        Poll::Ready(received) => Some(received.map(|received| received.count)),
        Poll::Pending if waits => {
            connected.note_slow(true);
            None
        }
        Poll::Pending => Some(Err(Errno::EAGAIN)),
    }
}

/// Sends what of `data` finds room, on a stream that is known to be connected, for a
/// descriptor that does not block: as [`send`] does, without a future. `None` for
/// everything else.
pub fn try_send(socket: &Socket, data: &[u8]) -> Option<Result<usize, Errno>> {
    let connected = connected_stream(socket)?;
    let attempt = || pending_on(Errno::EAGAIN, connected.try_send(&[IoSlice::new(data)]));
    Some(match connected.try_io(Interest::Write, attempt) {
        Poll::Ready(sent) => sent,
        Poll::Pending => Err(Errno::EAGAIN),
    })
}

fn connected_stream(socket: &Socket) -> Option<&Connected> {
    let Socket::Stream(stream) = socket else { return None };
    stream.known_connection().filter(|connected| !connected.keeps_boundaries())
}

/// Sends `data` as one message to `to`.
///
/// # Cancel safety
///
/// The message is sent or it is not.
///
/// # Errors
///
/// Those of [`Datagram::try_send`].
pub async fn send_to(
    socket: &Socket,
    datagram: &Datagram,
    waits: bool,
    data: &[IoSlice<'_>],
    to: &Destination,
) -> Result<usize, Errno> {
    let limit = limit(socket, waits, TimeOption::Send);
    if let Destination::Inet(_) = to {
        let io = datagram.registration()?;
        let attempt = || pending_on(Errno::EAGAIN, datagram.try_send(data, Some(to)));
        return blocking(&io, Interest::Write, limit, attempt).await?;
    }
    let is_again = |errno: &Errno| *errno == Errno::EAGAIN;
    retry_with_backoff(limit, is_again, || std::future::ready(datagram.try_send(data, Some(to)))).await
}

async fn send_some(
    connected: &Connected,
    io: &Registration,
    limit: Option<Duration>,
    data: &[IoSlice<'_>],
) -> Result<usize, Errno> {
    blocking(io, Interest::Write, limit, || pending_on(Errno::EAGAIN, connected.try_send(data))).await?
}
