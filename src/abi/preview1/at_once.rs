//! Calls that are answered on the spot.
//!
//! A call that never has to wait needs no future, and making one costs more than the call
//! itself does besides the kernel. So the glue tries the busy calls here first. `None`
//! sends a call the long way, which decides whatever is not usual: everything that has to
//! wait, several buffers, mistakes of the guest. Then nothing has happened yet.
//!
//! What is answered here is answered as there: the same checks, the same tries.

use wiggle::{GuestMemory, GuestPtr};

use super::clock::Clock;
use super::number;
use super::poll::{CLOCK, FD_READ, FD_WRITE, HANGUP, MAX_SUBSCRIPTIONS};
use crate::abi::flags;
use crate::abi::memory::{Region, check_out, check_out_value, read_buffer, write_bytes};
use crate::abi::transfer::MAX_COPY;
use crate::error::Errno;
use crate::fd::Rights;
use crate::process::Thread;
use crate::ready::{Look, Readiness, recv_at_once, send_at_once};
use crate::socket::{Interest, RecvFlags, Socket};

const SUCCESS: i32 = 0;

#[expect(clippy::too_many_arguments, reason = "as the ABI has them")]
pub(crate) fn sock_recv(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    iovs: i32,
    count: i32,
    flags: i32,
    ret_n: i32,
    ret_roflags: i32,
) -> Option<i32> {
    let flags = flags::receive(flags.cast_unsigned()).ok()?;
    if flags.wait_all || flags.whole_length {
        return None;
    }
    let ret_roflags = GuestPtr::<u16>::new(ret_roflags.cast_unsigned());
    check_out_value(memory, ret_roflags).ok()?;
    let answer = receive(thread, memory, (fd, Rights::SOCK_RECV), (iovs, count), flags, ret_n)?;
    if answer == SUCCESS {
        memory.write(ret_roflags, 0).ok()?;
    }
    Some(answer)
}

pub(crate) fn fd_read(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    iovs: i32,
    count: i32,
    ret_n: i32,
) -> Option<i32> {
    receive(thread, memory, (fd, Rights::FD_READ), (iovs, count), RecvFlags::default(), ret_n)
}

fn receive(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    (fd, rights): (i32, Rights),
    iovs: (i32, i32),
    flags: RecvFlags,
    ret_n: i32,
) -> Option<i32> {
    let region = one_buffer(memory, iovs)?;
    let ret_n = GuestPtr::<u32>::new(ret_n.cast_unsigned());
    check_out_value(memory, ret_n).ok()?;
    let open = thread.open_socket(fd.cast_unsigned(), rights).ok()?;
    let waits = !open.is_nonblocking() && !flags.dont_wait;
    let socket = open.open.socket().ok()?;
    let received = match memory.as_slice_mut(GuestPtr::new(region)).ok()? {
        Some(buffer) => recv_at_once(socket, waits, buffer, flags.peek)?,
        None => receive_by_copy(thread, memory, socket, waits, region, flags.peek)?,
    };
    answer(memory, received, ret_n)
}

/// Into a memory that other threads may change.
fn receive_by_copy(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    socket: &Socket,
    waits: bool,
    (start, length): Region,
    peek: bool,
) -> Option<Result<usize, Errno>> {
    check_out(memory, start, length).ok()?;
    let length = usize::try_from(length.min(MAX_COPY)).ok()?;
    let mut copy = std::mem::take(&mut thread.scratch);
    if copy.len() < length {
        copy.resize(length, 0);
    }
    let received = recv_at_once(socket, waits, copy.get_mut(..length)?, peek);
    if let Some(Ok(count)) = received {
        write_bytes(memory, GuestPtr::new(start), copy.get(..count)?).ok()?;
    }
    thread.scratch = copy;
    received
}

pub(crate) fn sock_send(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    iovs: i32,
    count: i32,
    flags: i32,
    ret_n: i32,
) -> Option<i32> {
    let dont_wait = flags::send(flags.cast_unsigned()).ok()?;
    send(thread, memory, (fd, Rights::SOCK_SEND), (iovs, count), dont_wait, ret_n)
}

pub(crate) fn fd_write(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    iovs: i32,
    count: i32,
    ret_n: i32,
) -> Option<i32> {
    send(thread, memory, (fd, Rights::FD_WRITE), (iovs, count), false, ret_n)
}

fn send(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    (fd, rights): (i32, Rights),
    iovs: (i32, i32),
    dont_wait: bool,
    ret_n: i32,
) -> Option<i32> {
    let region = one_buffer(memory, iovs)?;
    let ret_n = GuestPtr::<u32>::new(ret_n.cast_unsigned());
    check_out_value(memory, ret_n).ok()?;
    let open = thread.open_socket(fd.cast_unsigned(), rights).ok()?;
    if !open.is_nonblocking() && !dont_wait {
        return None;
    }
    check_out(memory, region.0, region.1).ok()?;
    let is_shared = matches!(memory, GuestMemory::Shared(_));
    let length = if is_shared { region.1.min(MAX_COPY) } else { region.1 };
    let data = memory.as_cow(GuestPtr::new((region.0, length))).ok()?;
    let sent = send_at_once(open.open.socket().ok()?, &data)?;
    answer(memory, sent, ret_n)
}

/// The one buffer of a call, in the memory and not empty.
fn one_buffer(memory: &GuestMemory<'_>, (iovs, count): (i32, i32)) -> Option<Region> {
    if count != 1 {
        return None;
    }
    let region = read_buffer(memory, iovs.cast_unsigned()).ok()?;
    (region.1 > 0 && region.1 <= i32::MAX.cast_unsigned()).then_some(region)
}

fn answer(memory: &mut GuestMemory<'_>, moved: Result<usize, Errno>, ret_n: GuestPtr<u32>) -> Option<i32> {
    match moved {
        Ok(count) => {
            memory.write(ret_n, u32::try_from(count).ok()?).ok()?;
            Some(SUCCESS)
        }
        Err(errno) => Some(number(errno)),
    }
}

/// The size of a subscription.
const SUBSCRIPTION: u32 = 48;
/// The size of an event.
const EVENT: u32 = 32;

/// Asks the kernel once about the sockets of a guest with one thread, and answers where
/// one is ready.
pub(crate) fn poll_oneoff(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    subscriptions: i32,
    events: i32,
    count: i32,
    ret_n: i32,
) -> Option<i32> {
    let count = count.cast_unsigned();
    if thread.threads.are_many() || count == 0 || count > MAX_SUBSCRIPTIONS {
        return None;
    }
    let ret_n = GuestPtr::<u32>::new(ret_n.cast_unsigned());
    check_out_value(memory, ret_n).ok()?;
    let room = GuestPtr::<[u8]>::new((events.cast_unsigned(), count * EVENT));
    check_out(memory, events.cast_unsigned(), count * EVENT).ok()?;
    let found = {
        // No other thread misses the table meanwhile: there is none.
        let fds = thread.process().fds();
        let all = GuestPtr::<[u8]>::new((subscriptions.cast_unsigned(), count * SUBSCRIPTION));
        let (all, _) = memory.as_slice(all).ok()??.as_chunks();
        let mut look = Look::with_capacity(all.len());
        for subscription in all {
            match wanted(subscription)? {
                Wanted::Fd(fd, interest, userdata) => {
                    let descriptor = fds.get(fd).ok()?;
                    descriptor.rights.require(Rights::POLL_FD_READWRITE).ok()?;
                    look.add(descriptor.open.open.socket().ok()?, interest, userdata)?;
                }
                Wanted::Later => {}
            }
        }
        look.look()?
    };
    if found.is_empty() {
        thread.has_looked = true;
        return None;
    }
    let (events, _) = memory.as_slice_mut(room).ok()??.as_chunks_mut();
    let mut written = 0;
    for (event, (interest, userdata, ready)) in events.iter_mut().zip(&found) {
        *event = event_of(*interest, *userdata, *ready);
        written += 1;
    }
    memory.write(ret_n, written).ok()?;
    Some(SUCCESS)
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// Something of a descriptor.
    Fd(u32, Interest, u64),
    /// The end of a time that has just begun.
    Later,
}

/// What a subscription asks for, as the witx lays it out: the guest's word at 0, the kind
/// at 8, the number of the descriptor or the clock at 16, the time at 24, flags at 40.
fn wanted(subscription: &[u8; SUBSCRIPTION as usize]) -> Option<Wanted> {
    let (userdata, rest) = subscription.split_first_chunk()?;
    let (kind, rest) = rest.split_first()?;
    let (id, rest) = rest.get(7..)?.split_first_chunk()?;
    let (userdata, id) = (u64::from_le_bytes(*userdata), u32::from_le_bytes(*id));
    Some(match *kind {
        FD_READ => Wanted::Fd(id, Interest::Read, userdata),
        FD_WRITE => Wanted::Fd(id, Interest::Write, userdata),
        CLOCK if matches!(Clock::of(id), Ok(Clock::Realtime | Clock::Monotonic)) => {
            let time = rest.get(4..)?.first_chunk()?;
            let is_relative = *rest.get(20)? == 0 && *rest.get(21)? == 0;
            (is_relative && u64::from_le_bytes(*time) > 0).then_some(Wanted::Later)?
        }
        _ => return None,
    })
}

/// An event: the guest's word at 0, no error at 8, the kind at 10, the bytes at 16,
/// flags at 24.
fn event_of(interest: Interest, userdata: u64, ready: Readiness) -> [u8; EVENT as usize] {
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
            Some(Wanted::Fd(0x0a0b_0c0d, Interest::Read, USERDATA))
        );
        assert_eq!(read(FD_WRITE, 4, 0, 0)?, Some(Wanted::Fd(4, Interest::Write, USERDATA)));
        assert_eq!(read(CLOCK, 1, 1, 0)?, Some(Wanted::Later));
        // Over now, of an absolute time, of a clock that can't be waited for, of no kind.
        for (tag, id, timeout, flags) in [(CLOCK, 1, 0, 0), (CLOCK, 1, 1, 1), (CLOCK, 2, 1, 0), (3, 1, 1, 0)]
        {
            assert_eq!(read(tag, id, timeout, flags)?, None);
        }
        Ok(())
    }
}
