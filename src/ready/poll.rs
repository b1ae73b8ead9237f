//! Waiting for many things at once.
//!
//! The kernel's own `poll` decides what is ready of all that it knows: it is exact, it consumes
//! nothing, and it knows of events that the reactor has not fetched yet, so that a
//! guest which is always busy still sees its new connections. The wakers of the things only
//! say when to look again.

use std::future::{Future, poll_fn};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use tokio::task::coop::consume_budget;

use super::Epoll;
use super::interrupt::interruptible_by_all;
use super::time_slice::TimeSlice;
use crate::error::Errno;
use crate::io::{
    Events, KernelFd, MOST_WATCHED, OnReport as _, Pollable, RoundId, Timer, ask, coarse_until, take_answers,
    this_round,
};
use crate::socket::{Socket, Stream};

/// The source of a subscription.
#[derive(Clone, Copy)]
pub enum PollSource<'a> {
    /// Something that can be waited for.
    Thing(&'a dyn Pollable),
    /// An epoll, which may have much to go through.
    Epoll(&'a Epoll),
    /// Always ready: a file. Readable for this many bytes.
    Always(u64),
}

impl<'a> PollSource<'a> {
    fn pollable(self) -> Option<&'a dyn Pollable> {
        match self {
            Self::Thing(thing) => Some(thing),
            Self::Epoll(epoll) => Some(epoll),
            Self::Always(_) => None,
        }
    }
}

/// One thing to wait for.
#[derive(Clone, Copy)]
pub struct Watched<'a> {
    /// The thing.
    pub source: PollSource<'a>,
    /// What to wait for: [`Events::READ`] or [`Events::WRITE`].
    pub mask: Events,
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

/// Who else polls the sources of a call, and whether it has looked at them before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// Has a [`PollSet`] just found nothing, or [need](PollSet::is_new_to_reactor) it not look before it sleeps?
    pub has_looked: bool,
    /// May other threads wait for the same sources, and clear what was reported of them?
    pub are_shared: bool,
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
    before: Before,
) -> Result<PollResults, Errno> {
    consume_budget().await;
    let counts = limit == Some(Duration::ZERO);
    // A first poll of many sources takes time, which counts towards the guest's limit.
    let begun = (watched.len() > STEP).then(Instant::now);
    if counts || !before.has_looked {
        let found = look(watched, counts, None).await?;
        if counts || found.iter().any(Option::is_some) {
            return Ok(found);
        }
    }
    let limit = limit.map(|limit| limit.saturating_sub(begun.map_or(Duration::ZERO, |it| it.elapsed())));
    let deadline = Deadline::set(timer, limit);
    let mut elapsed = std::pin::pin!(deadline.elapsed());
    loop {
        if before.are_shared {
            // Another thread may have cleared what the reactor would tell this one.
            poll_fn(|context| Poll::Ready(register(watched, context))).await;
            let found = look(watched, false, None).await?;
            if found.iter().any(Option::is_some) {
                return Ok(found);
            }
        }
        let (mut was_woken, mut slept_after) = (false, None);
        let sleep = poll_fn(|context| {
            // In each turn, also before the look that follows.
            let has_change = register(watched, context) | std::mem::replace(&mut was_woken, true);
            let is_over = elapsed.as_mut().poll(context).is_ready();
            if has_change || is_over {
                return Poll::Ready(is_over);
            }
            slept_after = this_round();
            Poll::Pending
        });
        let slept = interruptible_by_all(sleep).await;
        // What happened comes before a signal.
        let found = look(watched, false, slept_after).await?;
        if found.iter().any(Option::is_some) || slept? {
            return Ok(found);
        }
    }
}

/// Lets others have their turn, where the caller has gone on for long without a wait.
///
/// # Cancel safety
///
/// Nothing is lost when the future is dropped.
#[cfg(feature = "components")]
pub async fn take_turn() {
    consume_budget().await;
}

/// Is `thing` ready for `mask`, where the kernel does not know?
#[cfg(feature = "components")]
pub fn is_ready(thing: &dyn Pollable, mask: Events) -> bool {
    readiness(thing, mask).is_some()
}

/// Has changes of `watched` wake the caller; returns whether there may have been some.
fn register(watched: &[Watched<'_>], context: &mut Context<'_>) -> bool {
    let mut has_change = false;
    for each in watched {
        let Some(thing) = each.source.pollable() else { continue };
        has_change |= match thing.kernel_fd() {
            KernelFd::None => !thing.poll(all_of(each.mask), context).is_empty(),
            // The kernel reports what came before: to the reactor, or to the thread that parks.
            KernelFd::Now(_) | KernelFd::Stable(_) => thing.register(each.mask, context),
        };
    }
    has_change
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

/// How many sources are looked at between two readings of the clock.
const STEP: usize = 64;

/// Looks at all of them; with many sources, it yields in between. `slept_after` is the round in which the thread noted
/// them before it slept, if it did just now.
async fn look(watched: &[Watched<'_>], counts: bool, slept_after: RoundId) -> Result<PollResults, Errno> {
    let mut found: PollResults = Vec::with_capacity(watched.len());
    let mut asked: Vec<PollFd<'_>> = Vec::with_capacity(watched.len());
    // The indexes of what the kernel is asked about.
    let mut places: Vec<usize> = Vec::with_capacity(watched.len());
    let mut slice = TimeSlice::new();
    for some in watched.chunks(STEP) {
        if !found.is_empty() {
            slice.step().await?;
        }
        for each in some {
            if let PollSource::Epoll(epoll) = each.source {
                epoll.prune_unready(&mut slice).await?;
            }
        }
        for each in some {
            let now = match each.source {
                PollSource::Always(bytes) => Some(Readiness { bytes, hangup: false }),
                PollSource::Epoll(epoll) => readiness(epoll, each.mask),
                PollSource::Thing(thing) => match thing.kernel_fd().now() {
                    Some(fd) => {
                        asked.push(PollFd::from_borrowed_fd(fd, each.mask.to_poll()));
                        places.push(found.len());
                        None
                    }
                    None => readiness(thing, each.mask),
                },
            };
            found.push(now);
        }
    }
    let events = reported(watched, &mut asked, &places, slept_after)?;
    for ((answer, place), events) in asked.iter().zip(places).zip(events) {
        if let (Some(each), Some(now)) = (watched.get(place), found.get_mut(place)) {
            *now = kernel_readiness(answer.as_fd(), each.mask, events, counts);
        }
    }
    for (each, _) in watched.iter().zip(&found).filter(|(_, now)| now.is_some()) {
        if let Some(hook) = each.source.pollable().and_then(Pollable::on_report) {
            hook.note_report();
        }
    }
    Ok(found)
}

/// What the kernel reports of `asked`, which are those of `watched` at these places. A thread that has just
/// parked at them knows it.
fn reported(
    watched: &[Watched<'_>],
    asked: &mut [PollFd<'_>],
    places: &[usize],
    slept_after: RoundId,
) -> Result<Vec<PollFlags>, Errno> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let masks = places.iter().filter_map(|place| Some(watched.get(*place)?.mask));
    let known = take_answers(slept_after, asked.iter().map(|fd| fd.as_fd().as_raw_fd()).zip(masks));
    if let Some(known) = known {
        return Ok(known);
    }
    ask(asked)?;
    Ok(asked.iter().map(PollFd::revents).collect())
}

/// The readiness of what the kernel does not know.
fn readiness(thing: &dyn Pollable, mask: Events) -> Option<Readiness> {
    let is_read = !mask.are_of_writers();
    let found = thing.look().and(all_of(mask));
    if found.is_empty() {
        return None;
    }
    let over = Events::HUP.or(Events::ERR).or(Events::RDHUP.when(is_read));
    let bytes = if is_read { thing.readable_bytes() } else { 1 };
    Some(Readiness { bytes, hangup: !found.and(over).is_empty() })
}

/// All events of the direction that `mask` is of.
fn all_of(mask: Events) -> Events {
    if mask.are_of_writers() { Events::OF_WRITERS } else { Events::OF_READERS }
}

/// What the kernel's events mean.
fn kernel_readiness(fd: BorrowedFd<'_>, mask: Events, events: PollFlags, counts: bool) -> Option<Readiness> {
    if events.is_empty() {
        return None;
    }
    let hangup = events.intersects(PollFlags::HUP | PollFlags::ERR);
    if mask.are_of_writers() {
        return Some(Readiness { bytes: 1, hangup });
    }
    let hangup = hangup || events.contains(PollFlags::RDHUP);
    // At an end there may be nothing any more. A listener has no bytes but a connection.
    let bytes = if counts || hangup { rustix::io::ioctl_fionread(fd).unwrap_or(1) } else { 1 };
    Some(Readiness { bytes, hangup })
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
    pub fn add(&mut self, socket: &'a Socket, mask: Events) -> Option<()> {
        let known = socket.stream().ok().and_then(Stream::known_connection);
        let fd = match known {
            Some(connected) => connected.fd(),
            None => told_by(socket)?,
        };
        self.asked.push(PollFd::from_borrowed_fd(fd, mask.to_poll()));
        Some(())
    }

    /// Adds anything. `None` if the kernel cannot report its readiness.
    #[cfg(feature = "components")]
    pub fn add_thing(&mut self, thing: &'a dyn Pollable, mask: Events) -> Option<()> {
        self.asked.push(PollFd::from_borrowed_fd(thing.kernel_fd().now()?, mask.to_poll()));
        Some(())
    }

    /// Polls the kernel; returns how many have events. `None` if the set is empty, or
    /// the host cannot poll.
    pub fn poll(&mut self) -> Option<usize> {
        if self.asked.is_empty() {
            return None;
        }
        ask(&mut self.asked).ok()
    }

    /// As [`poll`](Self::poll), on a thread that may stop: waits until something has an event, or `woken` is readable.
    /// `None` where there is too much to wait for, and where the host cannot poll.
    pub fn wait(&mut self, woken: BorrowedFd<'a>) -> Option<usize> {
        if self.asked.is_empty() || self.asked.len() > MOST_WATCHED {
            return None;
        }
        self.asked.push(PollFd::from_borrowed_fd(woken, PollFlags::IN));
        let found = match rustix::event::poll(&mut self.asked, None) {
            Ok(found) => found,
            // By a signal of the host's: nothing was reported.
            Err(rustix::io::Errno::INTR) => 0,
            Err(_) => return None,
        };
        let was_woken = self.asked.pop().is_some_and(|woken| !woken.revents().is_empty());
        Some(found.saturating_sub(usize::from(was_woken)))
    }

    /// Will the kernel report whatever `socket` becomes ready for, for as long as it is open?
    pub fn is_all_of_kernel(socket: &Socket) -> bool {
        socket.kernel_fd().stable().is_some()
    }

    /// What the kernel reported, in the order of the set.
    pub fn answers(&self) -> impl Iterator<Item = &PollFd<'a>> {
        self.asked.iter()
    }

    /// What the kernel's events mean.
    pub fn readiness(answer: &PollFd<'_>, mask: Events) -> Option<Readiness> {
        kernel_readiness(answer.as_fd(), mask, answer.revents(), false)
    }

    /// Notes that the guest is told of a connection, where `socket` is a held listener.
    #[inline]
    pub fn note_report(socket: &Socket) {
        if let Some(claim) = socket.claim() {
            claim.note_report();
        }
    }

    /// Does the kernel report the readiness of `socket`, and no reactor has watched it?
    pub fn is_new_to_reactor(socket: &Socket, mask: Events) -> bool {
        if let Some(connected) = socket.stream().ok().and_then(Stream::known_connection) {
            return connected.is_new_to_reactor();
        }
        told_by(socket).is_some() && socket.async_fd(mask).is_some_and(|io| !io.is_registered())
    }

    /// Clears the readiness of a socket that was found ready: before its owner
    /// sleeps, it polls again.
    pub fn clear_ready(socket: &Socket, mask: Events) {
        if let Some(connected) = socket.stream().ok().and_then(Stream::known_connection) {
            connected.clear_ready(mask);
        } else if let Some(io) = socket.async_fd(mask) {
            io.clear_ready(mask);
        }
    }
}

/// The descriptor by which the kernel reports the readiness of a socket that is not known to be
/// connected. Apart, so that the others, which are most, are added without a call.
#[inline(never)]
fn told_by(socket: &Socket) -> Option<BorrowedFd<'_>> {
    socket.kernel_fd().now()
}

#[cfg(test)]
#[path = "poll/tests.rs"]
mod tests;
