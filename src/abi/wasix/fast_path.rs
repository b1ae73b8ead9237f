//! Calls that are answered on the spot: see [`preview1::fast_path`](crate::abi::preview1::fast_path).

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use super::wait::{EVENT_SIZE, MAX_EVENTS, MOST_AT_ONCE, event_of};
use crate::abi::memory::{check_out, check_out_value};
use crate::process::Thread;

const SUCCESS: i32 = 0;

/// Takes what is ready, and answers where something is.
pub(crate) fn epoll_wait(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    epfd: i32,
    events: i32,
    maxevents: i32,
    timeout: i64,
    ret_n: i32,
) -> Option<i32> {
    let maxevents = maxevents.cast_unsigned();
    if maxevents == 0 || maxevents > MAX_EVENTS {
        return None;
    }
    let events = GuestPtr::<types::EpollEvent>::new(events.cast_unsigned());
    check_out_value(memory, events).ok()?;
    check_out(memory, events.offset(), maxevents * EVENT_SIZE).ok()?;
    let ret_n = GuestPtr::<u32>::new(ret_n.cast_unsigned());
    check_out_value(memory, ret_n).ok()?;
    let epoll = thread.epoll(epfd.cast_unsigned()).ok()?;
    let mut found = std::mem::take(&mut thread.happened);
    let most = usize::try_from(maxevents).unwrap_or(usize::MAX).min(MOST_AT_ONCE);
    let is_all = epoll.take(most, &mut found);
    let mut written = 0;
    for happened in found.drain(..) {
        memory.write(events.add(written).ok()?, event_of(happened)).ok()?;
        written += 1;
    }
    thread.happened = found;
    // Only what the kernel keeps needs no turn of the reactor.
    if written == 0 && !(timeout == 0 && epoll.is_kernels_alone()) {
        thread.has_polled = is_all;
        return None;
    }
    memory.write(ret_n, written).ok()?;
    Some(SUCCESS)
}
