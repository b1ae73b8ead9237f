//! Waiting for many things at once.
//!
//! The kernel's own `poll` decides what is ready: it is exact, it consumes
//! nothing, and it knows of events that the reactor has not fetched yet, so that a
//! guest which is always busy still sees its new connections. The reactor only
//! reports when to poll again.

use std::future::Future;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Resource, getrlimit};
use tokio::task::coop::consume_budget;

use super::interrupt::interruptible;
use super::pollable::{Pollable, poll_readiness};
use super::time_slice::TimeSlice;
use crate::error::Errno;
use crate::io::{AsyncFd, Interest, OnReport as _, Timer, coarse_until};
use crate::socket::listen::Queue;
use crate::socket::{ReadinessSource, Socket, Stream};

/// The source of a subscription.
#[derive(Clone)]
pub enum PollSource<'a> {
    /// A socket of the host. One that the reactor does not watch never changes by
    /// itself.
    Host(BorrowedFd<'a>, Option<Arc<AsyncFd>>),
    /// The queue of a listener, where the host owns it.
    Queue(Arc<Queue>),
    /// A thing without a host descriptor.
    Own(&'a dyn Pollable),
    /// Always ready: a file. Readable for this many bytes.
    Always(u64),
}

impl<'a> From<&'a Socket> for PollSource<'a> {
    fn from(socket: &'a Socket) -> Self {
        match socket.readiness_source() {
            // What the kernel has may be nothing for the guest.
            _ if socket.is_filtered() => Self::Own(socket),
            ReadinessSource::None => Self::Host(socket.poll_fd(), None),
            ReadinessSource::Reactor(registration) => Self::Host(socket.poll_fd(), Some(registration)),
            // It may be another instance's too: what this one may have of it the socket knows.
            ReadinessSource::Queue(_) if socket.claim().is_some() => Self::Own(socket),
            ReadinessSource::Queue(queue) => Self::Queue(queue),
        }
    }
}

/// One thing to wait for.
#[derive(Clone)]
pub struct Watched<'a> {
    /// The thing.
    pub source: PollSource<'a>,
    /// What to wait for.
    pub interest: Interest,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Bytes to read, or 1 where they are not [counted](poll); at least 1 where a
    /// connection waits; 0 at the end of a stream. For writing, 1: there is space, of unknown
    /// size.
    pub bytes: u64,
    /// The peer has closed, or is gone.
    pub hangup: bool,
}

type PollResults = Vec<Option<Readiness>>;

/// Whether other threads poll the same sources, and whether this call has polled them already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// No other thread does.
    Alone,
    /// No other thread does, and a [`PollSet`] has just found nothing.
    AgainAlone,
    /// Other threads may.
    Shared,
}

/// Waits until one of `watched` is ready, or `limit` has passed, and returns the readiness
/// of each.
///
/// `limit` of `None` waits forever; of zero only polls.
///
/// Readable bytes are counted only if it does not wait: programs that want the number poll so
/// (`FIONREAD` of the C libraries), and others do not pay for it.
///
/// # Cancel safety
///
/// Nothing is consumed, so nothing is lost.
///
/// # Errors
///
/// What the host reports: `ENOMEM`; the reason where it is
/// [interrupted](interruptible).
pub async fn poll(
    watched: &[Watched<'_>],
    limit: Option<Duration>,
    timer: &mut Option<Timer>,
    sharing: Sharing,
) -> Result<PollResults, Errno> {
    consume_budget().await;
    let are_shared = sharing == Sharing::Shared;
    let counts = limit == Some(Duration::ZERO);
    // A first poll of many sources takes time, which counts towards the guest's limit.
    let begun = (watched.len() > STEP).then(Instant::now);
    if sharing != Sharing::AgainAlone || counts {
        let found = poll_and_clear(watched, are_shared, counts).await?;
        if counts || found.iter().any(Option::is_some) {
            return Ok(found);
        }
    }
    let limit = limit.map(|limit| limit.saturating_sub(begun.map_or(Duration::ZERO, |it| it.elapsed())));
    let deadline = Deadline::set(timer, limit);
    let mut elapsed = std::pin::pin!(deadline.elapsed());
    loop {
        // What arrived after the poll ends the sleep.
        let mut sockets = ready_futures(watched);
        if are_shared {
            // Also if an epoll of another thread has cleared it: the wakers are
            // registered first, then the sources are polled once more.
            let changed = std::future::poll_fn(|context| Poll::Ready(poll_all(&mut sockets, context)));
            let has_change = changed.await;
            // What was reported is cleared if the poll finds nothing.
            let found = poll_and_clear(watched, true, false).await?;
            if found.iter().any(Option::is_some) {
                return Ok(found);
            }
            if has_change {
                continue;
            }
        }
        let is_over = interruptible(wait_for_change(watched, &mut sockets, elapsed.as_mut())).await?;
        let found = poll_and_clear(watched, are_shared, false).await?;
        if is_over || found.iter().any(Option::is_some) {
            return Ok(found);
        }
    }
}

/// Polls, and clears the readiness reported before the poll: if other threads wait for the
/// same sources, only of those that the poll found not to be ready.
async fn poll_and_clear(
    watched: &[Watched<'_>],
    are_shared: bool,
    counts: bool,
) -> Result<PollResults, Errno> {
    if !are_shared {
        clear_ready(watched);
        return poll_once(watched, counts).await;
    }
    let mut guard = Vec::with_capacity(watched.len());
    for each in watched {
        guard.push(match &each.source {
            PollSource::Host(_, Some(registration)) => Some(registration.ready_guard(each.interest)),
            _ => None,
        });
    }
    let found = poll_once(watched, counts).await?;
    for (guard, found) in guard.into_iter().zip(&found) {
        if let (Some(guard), None) = (guard, found) {
            guard.clear_ready();
        }
    }
    Ok(found)
}

fn clear_ready(watched: &[Watched<'_>]) {
    for each in watched {
        if let PollSource::Host(_, Some(registration)) = &each.source {
            registration.clear_ready(each.interest);
        }
    }
}

/// What ends a wait.
pub(super) enum Deadline<'a> {
    Never,
    /// To the nanosecond.
    Exact(&'a Timer),
    /// By a thread of the host's: a host without a descriptor for a timer is just where a
    /// guest waits with a limit, for one to become free (docs/listen.md, rule 12).
    Coarse(Instant),
}

impl<'a> Deadline<'a> {
    /// The timer is made at its first use and kept for the next one.
    pub(super) fn set(slot: &'a mut Option<Timer>, limit: Option<Duration>) -> Self {
        let Some(limit) = limit else { return Self::Never };
        let timer = slot.take().map_or_else(Timer::new, Ok);
        match timer.and_then(|timer| timer.arm(limit).map(|()| timer)) {
            Ok(timer) => Self::Exact(slot.insert(timer)),
            Err(_) => Instant::now().checked_add(limit).map_or(Self::Never, Self::Coarse),
        }
    }

    pub(super) async fn elapsed(&self) {
        match self {
            Self::Never => std::future::pending().await,
            Self::Exact(timer) => timer.expired().await,
            Self::Coarse(deadline) => coarse_until(*deadline).await,
        }
    }
}

type ReadyFuture<'a> = Pin<Box<dyn Future<Output = Result<(), Errno>> + Send + 'a>>;

fn ready_futures<'a>(watched: &'a [Watched<'_>]) -> Vec<ReadyFuture<'a>> {
    let mut sockets: Vec<ReadyFuture<'_>> = Vec::new();
    for each in watched {
        if let PollSource::Host(_, Some(registration)) = &each.source {
            sockets.push(Box::pin(registration.ready(each.interest)));
        }
    }
    sockets
}

fn poll_all(sockets: &mut [ReadyFuture<'_>], context: &mut Context<'_>) -> bool {
    // Each of them, so that each wakes.
    sockets.iter_mut().filter_map(|socket| socket.as_mut().poll(context).is_ready().then_some(())).count() > 0
}

/// Sleeps until one of `watched` changes, or the deadline has passed; returns whether it has.
///
async fn wait_for_change(
    watched: &[Watched<'_>],
    sockets: &mut [ReadyFuture<'_>],
    mut elapsed: Pin<&mut impl Future<Output = ()>>,
) -> bool {
    std::future::poll_fn(|context| {
        let mut changed = poll_all(sockets, context);
        changed |= watched.iter().any(|each| own_readiness(each, context).is_some());
        let is_over = elapsed.as_mut().poll(context).is_ready();
        if changed || is_over { Poll::Ready(is_over) } else { Poll::Pending }
    })
    .await
}

/// The readiness of what has no descriptor of the host's.
fn own_readiness(watched: &Watched<'_>, context: &mut Context<'_>) -> Option<Readiness> {
    match (&watched.source, watched.interest) {
        (PollSource::Own(pollable), interest) => poll_readiness(*pollable, interest, context),
        (PollSource::Queue(queue), Interest::Read) => match queue.poll_waiting(context) {
            Poll::Ready(()) => Some(Readiness { bytes: 1, hangup: false }),
            Poll::Pending => None,
        },
        // A listener is never ready to send.
        (PollSource::Queue(_), Interest::Write) | (PollSource::Host(..) | PollSource::Always(_), _) => None,
    }
}

/// How many sources are polled between two readings of the clock.
const STEP: usize = 64;

/// Polls once, without waiting; with many sources, it yields in between.
async fn poll_once(watched: &[Watched<'_>], counts: bool) -> Result<PollResults, Errno> {
    let mut found: PollResults = Vec::with_capacity(watched.len());
    let mut slice = TimeSlice::new();
    for some in watched.chunks(STEP) {
        if !found.is_empty() {
            slice.step().await?;
        }
        for each in some {
            if let PollSource::Own(pollable) = each.source
                && let Some(epoll) = pollable.as_epoll()
            {
                epoll.prune_unready(&mut slice).await?;
            }
        }
        std::future::poll_fn(|context| {
            let poll_once = |each: &Watched<'_>| match each.source {
                PollSource::Always(bytes) => Some(Readiness { bytes, hangup: false }),
                _ => own_readiness(each, context),
            };
            found.extend(some.iter().map(poll_once));
            Poll::Ready(())
        })
        .await;
    }
    poll_sockets(watched, &mut found, counts)?;
    Ok(found)
}

/// Asks the kernel about every socket among `watched`.
fn poll_sockets(watched: &[Watched<'_>], found: &mut PollResults, counts: bool) -> Result<(), Errno> {
    let mut asked: Vec<PollFd<'_>> = Vec::with_capacity(watched.len());
    for each in watched {
        if let PollSource::Host(fd, _) = &each.source {
            asked.push(PollFd::from_borrowed_fd(*fd, each.interest.to_poll()));
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    ask(&mut asked)?;
    let mut answers = asked.iter();
    for (each, found) in watched.iter().zip(found.iter_mut()) {
        if let PollSource::Host(fd, registration) = &each.source
            && let Some(answer) = answers.next()
        {
            *found = socket_readiness(*fd, each.interest, answer.revents(), counts);
            if let (Some(_), Some(registration)) = (&*found, registration) {
                registration.note_report();
            }
        }
    }
    Ok(())
}

/// How many sockets the kernel takes in one poll: "EINVAL: The nfds value exceeds
/// the RLIMIT_NOFILE value." - poll(2). Read once; a limit that was raised since is
/// not worth following.
fn most_at_once() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        usize::try_from(limit).unwrap_or(usize::MAX).clamp(16, 1 << 16)
    })
}

/// Polls the kernel once.
pub(super) fn ask(sockets: &mut [PollFd<'_>]) -> Result<(), Errno> {
    ask_how_many(sockets).map(|_| ())
}

/// Polls the kernel once; returns for how many it reports events.
fn ask_how_many(sockets: &mut [PollFd<'_>]) -> Result<usize, Errno> {
    let mut count = 0;
    for chunk in sockets.chunks_mut(most_at_once()) {
        count += rustix::io::retry_on_intr(|| rustix::event::poll(chunk, Some(&Timespec::default())))?;
    }
    Ok(count)
}

fn socket_readiness(
    fd: BorrowedFd<'_>,
    interest: Interest,
    events: PollFlags,
    counts: bool,
) -> Option<Readiness> {
    if events.is_empty() {
        return None;
    }
    let gone = PollFlags::HUP | PollFlags::ERR;
    let hangup = events.intersects(gone);
    Some(match interest {
        Interest::Write => Readiness { bytes: 1, hangup },
        Interest::Read => {
            let hangup = hangup || peer_closed(events);
            // At an end there may be nothing any more.
            let bytes = if counts || hangup { readable_bytes(fd) } else { 1 };
            Readiness { bytes, hangup }
        }
    })
}

/// Memory for a [`PollSet`], kept between polls.
pub type PollSetBuffer = Vec<PollFd<'static>>;

/// One poll of many sockets.
///
/// No readiness is cleared before it, which would cost more than the poll does: a sleep with
/// readiness that was reported before ends at once, and then the caller polls and clears. Exclusive
/// users [clear](Self::clear_ready) the readiness of what was found.
pub struct PollSet<'a> {
    asked: Vec<PollFd<'a>>,
}

impl<'a> PollSet<'a> {
    /// A set of nothing yet, in `buffer`, which is returned at the [`end`](Self::end).
    pub fn new(buffer: &mut PollSetBuffer, count: usize) -> Self {
        let mut asked: Vec<PollFd<'a>> = std::mem::take(buffer);
        asked.reserve(count);
        Self { asked }
    }

    /// Returns the buffer.
    pub fn end(self, buffer: &mut PollSetBuffer) {
        // No borrowed element is left, only the memory.
        *buffer = self.asked.into_iter().map_while(|_| None).collect();
    }

    /// Adds `socket`. `None` if the kernel cannot report its readiness: it has a queue of the
    /// host, or a filter.
    #[inline]
    pub fn add(&mut self, socket: &'a Socket, interest: Interest) -> Option<()> {
        let is_connected = socket.stream().is_ok_and(|stream| stream.known_connection().is_some());
        let is_told_elsewhere =
            || socket.is_filtered() || matches!(socket.readiness_source(), ReadinessSource::Queue(_));
        if !is_connected && is_told_elsewhere() {
            return None;
        }
        self.asked.push(PollFd::from_borrowed_fd(socket.poll_fd(), interest.to_poll()));
        Some(())
    }

    /// Polls the kernel; returns how many have events. `None` if the set is empty, or
    /// the host cannot poll.
    pub fn poll(&mut self) -> Option<usize> {
        if self.asked.is_empty() {
            return None;
        }
        ask_how_many(&mut self.asked).ok()
    }

    /// What the kernel reported, in the order of the set.
    pub fn answers(&self) -> impl Iterator<Item = &PollFd<'a>> {
        self.asked.iter()
    }

    /// What the kernel's events mean.
    pub fn readiness(answer: &PollFd<'_>, interest: Interest) -> Option<Readiness> {
        socket_readiness(answer.as_fd(), interest, answer.revents(), false)
    }

    /// Notes that the guest is told of a connection, where `socket` is a held listener.
    #[inline]
    pub fn note_report(socket: &Socket) {
        if let Some(claim) = socket.claim() {
            claim.note_report();
        }
    }

    /// Clears the readiness of a socket that was found ready: before its owner
    /// sleeps, it polls again.
    pub fn clear_ready(socket: &Socket, interest: Interest) {
        if let Some(connected) = socket.stream().ok().and_then(Stream::known_connection) {
            connected.clear_ready(interest);
        } else if let ReadinessSource::Reactor(registration) = socket.readiness_source() {
            registration.clear_ready(interest);
        }
    }
}

fn peer_closed(events: PollFlags) -> bool {
    events.contains(PollFlags::RDHUP)
}

/// How much can be read at once; 1 for a listener, which has no bytes but a
/// connection.
pub(super) fn readable_bytes(fd: BorrowedFd<'_>) -> u64 {
    rustix::io::ioctl_fionread(fd).unwrap_or(1)
}

#[cfg(test)]
#[path = "poll/tests.rs"]
mod tests;
