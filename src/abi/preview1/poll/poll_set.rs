//! The try of a poll: the kernel is asked once about the sockets in it, or the thread parks there.

use std::sync::Arc;

use super::subscription::{WantedEvent, ready_event, wanted};
use crate::fd::{Descriptor, FdTable, Rights};
use crate::io::park_by;
use crate::process::{OpenFile, PollScratch, Subscription, Thread};
use crate::ready::{PollSet, PollSetBuffer};
use crate::socket::Socket;

type RawEvents = Vec<[u8; 32]>;

/// Leaves the events in `scratch`, in the order of the subscriptions, and returns how many
/// there are. `None` if the kernel alone cannot report it, or a clock has expired already.
pub(super) fn poll_sockets(thread: &Thread, scratch: &mut PollScratch) -> Option<u32> {
    let PollScratch { subscriptions, poll_set, held, events, .. } = scratch;
    events.clear();
    if !thread.shares_files() {
        // No other thread misses the table meanwhile: there is none.
        let fds = thread.process().fds();
        return poll_descriptors(
            subscriptions,
            poll_set,
            events,
            |fd, _| pollable(&fds, fd).map(Arc::as_ref),
            true,
            PollSet::poll,
        );
    }
    held.clear();
    hold(thread, subscriptions, held)?;
    let open = |_, place: usize| held.get(place).map(Arc::as_ref);
    let found = poll_descriptors(subscriptions, poll_set, events, open, false, PollSet::poll);
    held.clear();
    found
}

/// As [`poll_sockets`], of a thread that [may park](can_park) at them: until there is an event, or it is woken. `None` where
/// it has not parked, or what the kernel alone cannot report has happened.
pub(super) fn park_at_sockets(thread: &Thread, scratch: &mut PollScratch) -> Option<u32> {
    let PollScratch { subscriptions, poll_set, held, events, .. } = scratch;
    events.clear();
    held.clear();
    // The host may ask for the table while the thread is parked.
    hold(thread, subscriptions, held)?;
    let found = thread.park(None, |_| {
        park_by(|woken| {
            let open = |_, place: usize| held.get(place).map(Arc::as_ref);
            let found = poll_descriptors(subscriptions, poll_set, events, open, true, |poll_set| {
                poll_set.wait(woken)
            });
            Ok(found)
        })
        .flatten()
    });
    held.clear();
    found
}

/// May the thread park until one of them is ready? Only where the kernel reports all that may happen to them: no other
/// thread closes one, and no clock is among them.
pub(super) fn can_park(thread: &Thread, all: &[Subscription]) -> bool {
    if thread.shares_files() {
        return false;
    }
    let fds = thread.process().fds();
    all.iter().all(|subscription| {
        let Ok(WantedEvent::Fd(fd, _)) = wanted(subscription) else { return false };
        let socket = pollable(&fds, fd).and_then(|open| open.open.socket().ok());
        socket.is_some_and(|socket| PollSet::is_all_of_kernel(socket))
    })
}

/// May the thread sleep before it looks? The kernel tells one that parks at sockets what is ready already, and so does a
/// reactor that has not watched them before. What another one reports may have been cleared while something was left.
pub(super) fn can_sleep_first(thread: &Thread, all: &[Subscription]) -> bool {
    if thread.shares_files() {
        return false;
    }
    let fds = thread.process().fds();
    all.iter().all(|subscription| match wanted(subscription) {
        Ok(WantedEvent::Fd(fd, mask)) => {
            let socket = pollable(&fds, fd).and_then(|open| open.open.socket().ok());
            socket.is_some_and(|socket| PollSet::is_new_to_reactor(socket, mask))
        }
        Ok(WantedEvent::Clock { .. }) => true,
        Err(_) => false,
    })
}

/// Keeps the open files of the descriptors, and the table unlocked.
fn hold(thread: &Thread, all: &[Subscription], held: &mut Vec<Arc<OpenFile>>) -> Option<()> {
    let fds = thread.process().fds();
    for subscription in all {
        if let WantedEvent::Fd(fd, ..) = wanted(subscription).ok()? {
            held.push(Arc::clone(pollable(&fds, fd)?));
        }
    }
    Some(())
}

/// `None` for a descriptor that needs another result.
#[inline]
fn pollable(fds: &FdTable<OpenFile>, fd: u32) -> Option<&Arc<OpenFile>> {
    let Descriptor { open, rights, .. } = fds.get(fd).ok()?;
    rights.require(Rights::POLL_FD_READWRITE).ok()?;
    Some(open)
}

/// Polls by `poll` what `open` returns: by the number of a descriptor, and its index among them.
/// `is_alone` says that no other thread waits for any of it.
fn poll_descriptors<'a>(
    all: &[Subscription],
    buffer: &mut PollSetBuffer,
    events: &mut RawEvents,
    open: impl Fn(u32, usize) -> Option<&'a OpenFile>,
    is_alone: bool,
    poll: impl FnOnce(&mut PollSet<'a>) -> Option<usize>,
) -> Option<u32> {
    let socket = |fd, place| -> Option<&'a Socket> { open(fd, place)?.open.socket().ok().map(Arc::as_ref) };
    let mut poll_set = PollSet::new(buffer, all.len());
    let asked = add(all, &mut poll_set, socket).and_then(|()| poll(&mut poll_set));
    let found = asked.and_then(|left| take(all, left, &poll_set, events, socket, is_alone));
    poll_set.end(buffer);
    found?;
    u32::try_from(events.len()).ok()
}

/// Adds all to the set.
fn add<'a>(
    all: &[Subscription],
    poll_set: &mut PollSet<'a>,
    socket: impl Fn(u32, usize) -> Option<&'a Socket>,
) -> Option<()> {
    let mut place = 0;
    for subscription in all {
        match wanted(subscription).ok()? {
            WantedEvent::Fd(fd, mask) => {
                poll_set.add(socket(fd, place)?, mask)?;
                place += 1;
            }
            // Not over yet, in any case.
            WantedEvent::Clock { time: 1.., is_absolute: false, .. } => {}
            WantedEvent::Clock { .. } => return None,
        }
    }
    Some(())
}

/// Makes events of the results, of which `left` are not empty.
fn take<'a>(
    all: &[Subscription],
    mut left: usize,
    poll_set: &PollSet<'_>,
    events: &mut RawEvents,
    socket: impl Fn(u32, usize) -> Option<&'a Socket>,
    is_alone: bool,
) -> Option<()> {
    let of_descriptors = all.iter().filter(|subscription| subscription.kind != super::subscription::CLOCK);
    for (place, (subscription, answer)) in of_descriptors.zip(poll_set.answers()).enumerate() {
        if left == 0 {
            break;
        }
        if answer.revents().is_empty() {
            continue;
        }
        left -= 1;
        let WantedEvent::Fd(fd, mask) = wanted(subscription).ok()? else { return None };
        if let Some(ready) = PollSet::readiness(answer, mask) {
            let socket = socket(fd, place)?;
            if is_alone {
                PollSet::clear_ready(socket, mask);
            }
            PollSet::note_report(socket);
            events.push(ready_event(subscription.userdata, mask, ready));
        }
    }
    Some(())
}
