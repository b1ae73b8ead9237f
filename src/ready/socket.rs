//! The calls of a socket that may wait.
//!
//! Each takes `waits`: does the guest's descriptor block? How long it may then
//! wait is the socket's own option.

use std::future::poll_fn;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::readiness::{blocking, receiving, retry_with_backoff, timeout};
use super::time_slice::TimeSlice;
use crate::error::Errno;
use crate::io::{AsyncFd, Events};
use crate::socket::{
    Accepted, Connected, Datagram, Destination, Received, RecvFlags, Refusal, Socket, Stream, TimeOption,
};

pub(super) fn pending_on<T>(again: Errno, answer: Result<T, Errno>) -> Poll<Result<T, Errno>> {
    match answer {
        Err(errno) if errno == again => Poll::Pending,
        other => Poll::Ready(other),
    }
}

pub(super) fn limit(socket: &Socket, waits: bool, option: TimeOption) -> Option<Duration> {
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
///
/// `has_looked` says that [`try_accept`] has just found nothing.
pub async fn accept(socket: &Socket, waits: bool, has_looked: bool) -> Result<Accepted, Refusal> {
    let stream = socket.stream()?;
    // "Timeouts only have effect for system calls that perform socket I/O (e.g.,
    // accept(2), ...)" - socket(7), SO_RCVTIMEO. A limit of its own goes first.
    let limit = limit(socket, waits, TimeOption::Accept).or(limit(socket, waits, TimeOption::Receive));
    if let Some(io) = stream.async_fd() {
        return blocking(&io, Events::READ, limit, || accept_once(stream), has_looked).await?;
    }
    match stream.queue() {
        Some(queue) => timeout(limit, poll_fn(|context| stream.poll_accept(&queue, context))).await?,
        None => stream.try_accept(),
    }
}

fn accept_once(stream: &Stream) -> Poll<Result<Accepted, Refusal>> {
    match stream.try_accept() {
        Err(Refusal::Errno(Errno::EAGAIN)) => Poll::Pending,
        answer => Poll::Ready(answer),
    }
}

/// As [`accept`], once and without a future: `Pending` where no connection waits.
///
/// # Errors
///
/// Those of [`accept`].
pub fn try_accept(socket: &Socket) -> Poll<Result<Accepted, Refusal>> {
    let stream = match socket.stream() {
        Ok(stream) => stream,
        Err(errno) => return Poll::Ready(Err(errno.into())),
    };
    if let Some(io) = stream.async_fd() {
        return io.try_io(Events::READ, || accept_once(stream));
    }
    match stream.queue() {
        Some(queue) => stream.poll_accept(&queue, &mut Context::from_waker(Waker::noop())),
        None => Poll::Ready(stream.try_accept()),
    }
}

/// Waits for the end of an attempt to connect, on a descriptor that blocks.
///
/// # Cancel safety
///
/// The attempt goes on when the future is dropped.
///
/// # Errors
///
/// `ETIMEDOUT` where the time is over and `EINTR` where a signal is handled (the attempt goes on),
/// and those of [`Stream::try_finish_connect`].
pub async fn finish_connect(socket: &Socket) -> Result<(), Refusal> {
    let stream = socket.stream()?;
    let Some(io) = stream.async_fd() else { return Err(Errno::ENOTCONN.into()) };
    let limit = socket.timeout(TimeOption::Connect);
    let ended = blocking(
        &io,
        Events::WRITE,
        limit,
        || pending_on(Errno::EINPROGRESS, stream.try_finish_connect()),
        false,
    )
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
pub(super) async fn connection(stream: &Stream, limit: Option<Duration>) -> Result<Connected, Errno> {
    let waiting: Arc<AsyncFd> = match stream.connected() {
        Err(Errno::EAGAIN) => match stream.async_fd() {
            Some(io) => io,
            None => return stream.connected(),
        },
        found => return found,
    };
    blocking(&waiting, Events::WRITE, limit, || pending_on(Errno::EAGAIN, stream.connected()), false).await?
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
///
/// `has_looked` says that [`try_recv`] has just found nothing.
pub async fn recv(
    socket: &Socket,
    waits: bool,
    buffer: &mut [u8],
    flags: RecvFlags,
    has_looked: bool,
) -> Result<Received, Errno> {
    let waits = waits && !flags.dont_wait;
    let limit = limit(socket, waits, TimeOption::Receive);
    let stream = match socket {
        Socket::Stream(stream) => stream,
        Socket::Datagram(datagram) => {
            return recv_message(datagram, limit, buffer, flags.peek, has_looked).await;
        }
    };
    let connected = connection(stream, limit).await?;
    // Nothing was asked for, so there is nothing to wait for: what `read` says of a
    // length of 0, for every call. A message is there to be taken all the same.
    if buffer.is_empty() && !connected.keeps_boundaries() {
        return Ok(Received::bytes(0));
    }
    let is_stream = !connected.keeps_boundaries();
    // "Receive calls normally block until the smaller of the low-water mark value or the
    // requested amount is available" - setsockopt(3p), SO_RCVLOWAT
    let low_water = if waits && is_stream { socket.receive_low_water() } else { 1 };
    let whole = (flags.wait_all || buffer.len() < low_water) && waits && !flags.peek && is_stream;
    recv_bytes(&connected, limit, buffer, flags.peek, Least { low_water, whole }, has_looked).await
}

/// What a receive waits for.
struct Least {
    /// So many bytes, where the buffer has room for them.
    low_water: usize,
    /// As many as the buffer has room for.
    whole: bool,
}

async fn recv_bytes(
    connected: &Connected,
    limit: Option<Duration>,
    buffer: &mut [u8],
    peek: bool,
    Least { low_water, whole }: Least,
    mut has_looked: bool,
) -> Result<Received, Errno> {
    let io = connected.registration();
    let buffer_len = buffer.len();
    let is_low = || low_water > 1 && buffer_len >= low_water && !connected.holds(low_water);
    let mut filled = 0;
    let mut slice = TimeSlice::new();
    loop {
        let has_looked = std::mem::take(&mut has_looked);
        let rest = buffer.get_mut(filled..).unwrap_or_default();
        let attempt = || match is_low() {
            true => Poll::Pending,
            false => pending_on(Errno::EAGAIN, connected.try_recv(&mut *rest, peek)),
        };
        let received = match whole || low_water > 1 {
            true => blocking(&io, Events::READ, limit, attempt, false).await,
            false => receiving(&io, limit, attempt, has_looked).await,
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

/// Receives one message from an admitted sender. Other senders, however fast, neither occupy the
/// thread nor extend the limit.
async fn recv_message(
    datagram: &Datagram,
    limit: Option<Duration>,
    buffer: &mut [u8],
    peek: bool,
    mut has_looked: bool,
) -> Result<Received, Errno> {
    let io = datagram.registration(Events::READ)?;
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut left = limit;
    let mut slice = TimeSlice::new();
    loop {
        let attempt = || message_once(datagram, &mut *buffer, peek);
        let has_looked = std::mem::take(&mut has_looked);
        if let Some(received) = blocking(&io, Events::READ, left, attempt, has_looked).await?? {
            return Ok(received);
        }
        left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            // An admitted message may be queued behind refused ones: the call tries again.
            io.wake_all(Events::READ);
            return Err(Errno::EAGAIN);
        }
        slice.yield_now().await?;
    }
}

fn message_once(datagram: &Datagram, buffer: &mut [u8], peek: bool) -> Poll<Result<Option<Received>, Errno>> {
    match datagram.try_recv(buffer, peek) {
        Err(Errno::EAGAIN) if datagram.is_deaf() => Poll::Ready(Ok(Some(Received::bytes(0)))),
        received => pending_on(Errno::EAGAIN, received),
    }
}

/// As [`recv`] of a stream, once and without a future, and without `wait_all`: tells how many
/// bytes there are, and how long a message was. `Pending` where nothing is
/// there, `None` where that was not looked for. A descriptor that `waits` does not look where it is
/// likely to have to wait, unless its thread `has_parked` for that.
///
/// # Errors
///
/// Those of [`recv`].
#[inline]
pub fn try_recv(
    socket: &Socket,
    waits: bool,
    has_parked: bool,
    buffer: &mut [u8],
    peek: bool,
) -> Option<Poll<Result<(usize, usize), Errno>>> {
    let Socket::Stream(stream) = socket else { return None };
    // One that is on its way to be connected is the waiting half's.
    let connected = stream.known_connection()?;
    let is_stream = !connected.keeps_boundaries();
    if is_stream && buffer.is_empty() {
        return Some(Poll::Ready(Ok((0, 0))));
    }
    if waits && (connected.is_slow() && !has_parked || is_stream && socket.receive_low_water() > 1) {
        return None;
    }
    let received =
        connected.try_io(Events::READ, || pending_on(Errno::EAGAIN, connected.try_recv(&mut *buffer, peek)));
    match &received {
        Poll::Pending if waits => connected.note_slow(true),
        Poll::Ready(Ok(received)) if has_parked && received.count == buffer.len() => {
            connected.note_slow(false)
        }
        _ => {}
    }
    Some(received.map(|received| received.map(|received| (received.count, received.length))))
}

/// The descriptor at which a thread may park for a receive that blocks: where this waits for nothing but that
/// something comes in, for however long.
pub fn received_by(socket: &Socket) -> Option<BorrowedFd<'_>> {
    let Socket::Stream(stream) = socket else { return None };
    let connected = stream.known_connection()?;
    let is_usual = socket.timeout(TimeOption::Receive).is_none() && socket.receive_low_water() <= 1;
    is_usual.then(|| connected.fd())
}

/// As [`recv`] of a message, once and without a future: `Pending` where none is there, `None` where
/// so many came that may not come in that others have their turn first.
///
/// # Errors
///
/// Those of [`recv`].
pub fn try_recv_message(
    datagram: &Datagram,
    buffer: &mut [u8],
    peek: bool,
) -> Option<Poll<Result<Received, Errno>>> {
    let io = datagram.registration(Events::READ).ok()?;
    match io.try_io(Events::READ, || message_once(datagram, &mut *buffer, peek)) {
        Poll::Pending => Some(Poll::Pending),
        Poll::Ready(Ok(received)) => received.map(|received| Poll::Ready(Ok(received))),
        Poll::Ready(Err(errno)) => Some(Poll::Ready(Err(errno))),
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
/// `ENOTCONN`, `EAGAIN` if the buffer is full or the time is over, `EPIPE`,
/// `ECONNRESET`; `EMSGSIZE` for a message that never fits; `EDESTADDRREQ` for a
/// datagram socket without a peer.
pub async fn send(socket: &Socket, waits: bool, mut data: &mut [IoSlice<'_>]) -> Result<usize, Errno> {
    let limit = limit(socket, waits, TimeOption::Send);
    let stream = match socket {
        Socket::Stream(stream) => stream,
        Socket::Datagram(datagram) => {
            let io = datagram.registration(Events::WRITE)?;
            let attempt = || pending_on(Errno::EAGAIN, datagram.try_send(data, None));
            return blocking(&io, Events::WRITE, limit, attempt, false).await?;
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

/// As [`send`], once and without a future: tells how much found room, `Pending` where nothing
/// did, and `None` where that was not tried.
///
/// # Errors
///
/// Those of [`send`].
pub fn try_send(socket: &Socket, data: &[IoSlice<'_>]) -> Option<Poll<Result<usize, Errno>>> {
    match socket {
        Socket::Stream(stream) => {
            let connected = stream.known_connection()?;
            let attempt = || pending_on(Errno::EAGAIN, connected.try_send(data));
            Some(connected.try_io(Events::WRITE, attempt))
        }
        Socket::Datagram(datagram) => {
            let io = datagram.registration(Events::WRITE).ok()?;
            Some(io.try_io(Events::WRITE, || pending_on(Errno::EAGAIN, datagram.try_send(data, None))))
        }
    }
}

/// Has the kernel send at most `count` bytes of `file`, from `offset` on, over `connected`, the connection of `socket`,
/// which [takes files](Stream::takes_files): as much as finds room, and returns how much that was; 0 at the end of the
/// file.
///
/// # Cancel safety
///
/// What was sent before the future is dropped is sent.
///
/// # Errors
///
/// `EAGAIN` if the buffer is full or the time is over, and those of [`Connected::try_send_file`].
pub async fn send_file(
    socket: &Socket,
    connected: &Connected,
    waits: bool,
    file: BorrowedFd<'_>,
    offset: u64,
    count: usize,
) -> Result<usize, Errno> {
    let limit = limit(socket, waits, TimeOption::Send);
    let attempt = || pending_on(Errno::EAGAIN, connected.try_send_file(file, offset, count));
    blocking(&connected.registration(), Events::WRITE, limit, attempt, false).await?
}

/// As [`send_to`], once and without a future: `None` for a name, and where nothing was tried.
///
/// # Errors
///
/// Those of [`send_to`].
pub fn try_send_to(
    datagram: &Datagram,
    data: &[IoSlice<'_>],
    to: &Destination,
) -> Option<Poll<Result<usize, Errno>>> {
    let Destination::Inet(_) = to else { return None };
    let io = datagram.registration(Events::WRITE).ok()?;
    Some(io.try_io(Events::WRITE, || pending_on(Errno::EAGAIN, datagram.try_send(data, Some(to)))))
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
        let io = datagram.registration(Events::WRITE)?;
        let attempt = || pending_on(Errno::EAGAIN, datagram.try_send(data, Some(to)));
        return blocking(&io, Events::WRITE, limit, attempt, false).await?;
    }
    let is_again = |errno: &Errno| *errno == Errno::EAGAIN;
    retry_with_backoff(limit, is_again, || std::future::ready(datagram.try_send(data, Some(to)))).await
}

async fn send_some(
    connected: &Connected,
    io: &AsyncFd,
    limit: Option<Duration>,
    data: &[IoSlice<'_>],
) -> Result<usize, Errno> {
    blocking(io, Events::WRITE, limit, || pending_on(Errno::EAGAIN, connected.try_send(data)), false).await?
}
