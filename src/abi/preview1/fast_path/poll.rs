//! `poll_oneoff` of sockets, as far as one look at them answers it.

use std::sync::Arc;

use wiggle::{GuestMemory, GuestPtr};

use super::SUCCESS;
use crate::abi::memory::{check_out, check_out_value, write_bytes};
use crate::abi::preview1::clock::GuestClock;
use crate::abi::preview1::poll::{CLOCK, FD_READ, FD_WRITE, HANGUP, MAX_SUBSCRIPTIONS};
use crate::fd::{Descriptor, FdTable, Rights};
use crate::process::{OpenFile, PollScratch, Thread};
use crate::ready::{PollSet, PollSetBuffer, Readiness};
use crate::socket::{Interest, Socket};

/// The size of a subscription.
const SUBSCRIPTION: u32 = 48;
/// The size of an event.
const EVENT: u32 = 32;

type RawSubscription = [u8; SUBSCRIPTION as usize];
type RawEvent = [u8; EVENT as usize];

/// Asks the kernel once about the sockets, and answers where one is ready.
pub(crate) fn poll_oneoff(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    subscriptions: i32,
    events: i32,
    count: i32,
    ret_n: i32,
) -> Option<i32> {
    let count = count.cast_unsigned();
    if count == 0 || count > MAX_SUBSCRIPTIONS {
        return None;
    }
    let ret_n = GuestPtr::<u32>::new(ret_n.cast_unsigned());
    check_out_value(memory, ret_n).ok()?;
    let events = events.cast_unsigned();
    check_out(memory, events, count * EVENT).ok()?;
    let all = GuestPtr::<[u8]>::new((subscriptions.cast_unsigned(), count * SUBSCRIPTION));
    let mut buffer = std::mem::take(&mut thread.poll_scratch);
    if !buffer.has_room(count, thread.process().host_memory()) {
        thread.poll_scratch = buffer;
        return None;
    }
    let answer = find(thread, memory, all, &mut buffer).and_then(|found| {
        if found == 0 {
            // Whoever shares the sockets looks again, after he can be woken.
            thread.has_polled = !thread.threads.are_many();
            return None;
        }
        write_bytes(memory, GuestPtr::new(events), buffer.events.as_flattened()).ok()?;
        memory.write(ret_n, found).ok()?;
        Some(SUCCESS)
    });
    buffer.trim();
    thread.poll_scratch = buffer;
    answer
}

/// Leaves the events in `buffer`, in the order of the subscriptions, and tells how many
/// there are.
fn find(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    all: GuestPtr<[u8]>,
    buffer: &mut PollScratch,
) -> Option<u32> {
    let PollScratch { poll_set, held, events, .. } = buffer;
    events.clear();
    // Where others may change them meanwhile: as they are now, in one piece.
    let all = memory.as_cow(all).ok()?;
    let (all, _) = all.as_chunks();
    if !thread.threads.are_many() {
        // No other thread misses the table meanwhile: there is none.
        let fds = thread.process().fds();
        return poll_descriptors(all, poll_set, events, |fd, _| pollable(&fds, fd).map(Arc::as_ref), true);
    }
    held.clear();
    hold(thread, all, held)?;
    let found = poll_descriptors(all, poll_set, events, |_, place| held.get(place).map(Arc::as_ref), false);
    held.clear();
    found
}

/// Keeps what stands behind the descriptors open, and the table free.
fn hold(thread: &Thread, all: &[RawSubscription], held: &mut Vec<Arc<OpenFile>>) -> Option<()> {
    let fds = thread.process().fds();
    for subscription in all {
        if let WantedEvent::Fd(fd, ..) = wanted(subscription)? {
            held.push(Arc::clone(pollable(&fds, fd)?));
        }
    }
    Some(())
}

/// `None` for a descriptor about which the long way has something else to tell.
#[inline]
fn pollable(fds: &FdTable<OpenFile>, fd: u32) -> Option<&Arc<OpenFile>> {
    let Descriptor { open, rights, .. } = fds.get(fd).ok()?;
    rights.require(Rights::POLL_FD_READWRITE).ok()?;
    Some(open)
}

/// Asks about what `open` knows: by the number of a descriptor, and its place among them.
/// `is_alone` says that no other thread waits for any of it.
fn poll_descriptors<'a>(
    all: &[RawSubscription],
    buffer: &mut PollSetBuffer,
    events: &mut Vec<RawEvent>,
    open: impl Fn(u32, usize) -> Option<&'a OpenFile>,
    is_alone: bool,
) -> Option<u32> {
    let socket = |fd, place| -> Option<&'a Socket> { open(fd, place)?.open.socket().ok().map(Arc::as_ref) };
    let mut poll_set = PollSet::new(buffer, all.len());
    let asked = ask(all, &mut poll_set, socket);
    let found = asked.and_then(|left| take(all, left, &poll_set, events, socket, is_alone));
    poll_set.end(buffer);
    found?;
    u32::try_from(events.len()).ok()
}

/// Asks about all; tells how many have an answer.
fn ask<'a>(
    all: &[RawSubscription],
    poll_set: &mut PollSet<'a>,
    socket: impl Fn(u32, usize) -> Option<&'a Socket>,
) -> Option<usize> {
    let mut place = 0;
    for subscription in all {
        if let WantedEvent::Fd(fd, interest, _) = wanted(subscription)? {
            poll_set.add(socket(fd, place)?, interest)?;
            place += 1;
        }
    }
    poll_set.poll()
}

/// Makes events of the answers, of which `left` say something.
fn take<'a>(
    all: &[RawSubscription],
    mut left: usize,
    poll_set: &PollSet<'_>,
    events: &mut Vec<RawEvent>,
    socket: impl Fn(u32, usize) -> Option<&'a Socket>,
    is_alone: bool,
) -> Option<()> {
    let of_descriptors = all.iter().filter(|subscription| kind(subscription) != CLOCK);
    for (place, (subscription, answer)) in of_descriptors.zip(poll_set.answers()).enumerate() {
        if left == 0 {
            break;
        }
        if answer.revents().is_empty() {
            continue;
        }
        left -= 1;
        let WantedEvent::Fd(fd, interest, userdata) = wanted(subscription)? else { return None };
        if let Some(ready) = PollSet::readiness(answer, interest) {
            if is_alone {
                PollSet::clear_ready(socket(fd, place)?, interest);
            }
            events.push(event_of(interest, userdata, ready));
        }
    }
    Some(())
}

fn kind(subscription: &RawSubscription) -> u8 {
    let [_, _, _, _, _, _, _, _, kind, ..] = *subscription;
    kind
}

#[derive(Debug, PartialEq, Eq)]
enum WantedEvent {
    /// Something of a descriptor.
    Fd(u32, Interest, u64),
    /// The end of a time that has just begun.
    Later,
}

/// What a subscription asks for, as the witx lays it out: the guest's word at 0, the kind
/// at 8, the number of the descriptor or the clock at 16, the time at 24, flags at 40.
fn wanted(subscription: &RawSubscription) -> Option<WantedEvent> {
    let (userdata, rest) = subscription.split_first_chunk()?;
    let (kind, rest) = rest.split_first()?;
    let (id, rest) = rest.get(7..)?.split_first_chunk()?;
    let (userdata, id) = (u64::from_le_bytes(*userdata), u32::from_le_bytes(*id));
    Some(match *kind {
        FD_READ => WantedEvent::Fd(id, Interest::Read, userdata),
        FD_WRITE => WantedEvent::Fd(id, Interest::Write, userdata),
        CLOCK if matches!(GuestClock::of(id), Ok(GuestClock::Realtime | GuestClock::Monotonic)) => {
            let time = rest.get(4..)?.first_chunk()?;
            let is_relative = *rest.get(20)? == 0 && *rest.get(21)? == 0;
            (is_relative && u64::from_le_bytes(*time) > 0).then_some(WantedEvent::Later)?
        }
        _ => return None,
    })
}

/// An event: the guest's word at 0, no error at 8, the kind at 10, the bytes at 16,
/// flags at 24.
fn event_of(interest: Interest, userdata: u64, ready: Readiness) -> RawEvent {
    let kind = if interest == Interest::Read { FD_READ } else { FD_WRITE };
    let flags = if ready.hangup { HANGUP } else { 0 };
    let mut event = [0; EVENT as usize];
    let (first, rest) = event.split_at_mut(8);
    first.copy_from_slice(&userdata.to_le_bytes());
    let (second, rest) = rest.split_at_mut(8);
    if let [_, _, at, ..] = second {
        *at = kind;
    }
    let (third, rest) = rest.split_at_mut(8);
    third.copy_from_slice(&ready.bytes.to_le_bytes());
    if let [low, high, ..] = rest {
        [*low, *high] = flags.to_le_bytes();
    }
    event
}

#[cfg(test)]
mod tests {
    use wiggle::{GuestError, GuestType};

    use super::*;
    use crate::abi::preview1::bindings::types;

    const USERDATA: u64 = 0x1122_3344_5566_7788;

    /// The layouts are written twice: here, and in the witx.
    #[test]
    fn an_event_is_laid_out_as_the_witx_has_it() -> Result<(), GuestError> {
        let mut bytes = event_of(Interest::Write, USERDATA, Readiness { bytes: 7, hangup: true });
        let memory = GuestMemory::Unshared(&mut bytes);
        let event = types::Event::read(&memory, GuestPtr::new(0))?;
        assert_eq!((event.userdata, event.error, event.type_), (USERDATA, 0, FD_WRITE));
        assert_eq!((event.nbytes, event.flags), (7, HANGUP));
        Ok(())
    }

    #[test]
    fn a_subscription_is_read_as_the_witx_has_it() -> Result<(), GuestError> {
        let read = |tag, id, timeout, flags| -> Result<_, GuestError> {
            let mut bytes = [0; SUBSCRIPTION as usize];
            let mut memory = GuestMemory::Unshared(&mut bytes);
            let subscription = types::Subscription {
                userdata: USERDATA,
                tag,
                id,
                timeout,
                flags,
                reserved: 0,
                precision: 0,
            };
            types::Subscription::write(&mut memory, GuestPtr::new(0), subscription)?;
            Ok(wanted(&bytes))
        };
        assert_eq!(
            read(FD_READ, 0x0a0b_0c0d, 0, 0)?,
            Some(WantedEvent::Fd(0x0a0b_0c0d, Interest::Read, USERDATA))
        );
        assert_eq!(read(FD_WRITE, 4, 0, 0)?, Some(WantedEvent::Fd(4, Interest::Write, USERDATA)));
        assert_eq!(read(CLOCK, 1, 1, 0)?, Some(WantedEvent::Later));
        // Over now, of an absolute time, of a clock that can't be waited for, of no kind.
        for (tag, id, timeout, flags) in [(CLOCK, 1, 0, 0), (CLOCK, 1, 1, 1), (CLOCK, 2, 1, 0), (3, 1, 1, 0)]
        {
            assert_eq!(read(tag, id, timeout, flags)?, None);
        }
        Ok(())
    }
}
