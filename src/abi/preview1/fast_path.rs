//! Calls that are answered on the spot.
//!
//! A call that never has to wait needs no future, and making one costs more than the call
//! itself does besides the kernel. So the glue tries the busy calls here first. `None`
//! sends a call the long way, which decides whatever is not usual: everything that has to
//! wait, several buffers, mistakes of the guest. Then nothing has happened yet.
//!
//! What is answered here is answered as there: the same checks, the same tries.

use wiggle::{GuestMemory, GuestPtr};

use super::number;
use super::random::STEP;
use crate::abi::flags;
use crate::abi::memory::{Region, check_out, check_out_value, read_buffer, write_bytes};
use crate::abi::transfer::MAX_COPY;
use crate::error::Errno;
use crate::fd::Rights;
use crate::process::Thread;
use crate::ready::{try_recv, try_send};
use crate::socket::{RecvFlags, Socket};

mod event;
mod poll;

pub(crate) use poll::poll_oneoff;

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
        .or_else(|| event::take(thread, memory, fd, (iovs, count), ret_n))
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
        Some(buffer) => try_recv(socket, waits, buffer, flags.peek)?,
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
    // More than one copy takes the long way.
    let length = usize::try_from(length).ok().filter(|_| length <= MAX_COPY)?;
    let mut copy = std::mem::take(&mut thread.scratch);
    if copy.len() < length {
        copy.resize(length, 0);
    }
    let received = try_recv(socket, waits, copy.get_mut(..length)?, peek);
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
        .or_else(|| event::add(thread, memory, fd, (iovs, count), ret_n))
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
    if region.1 > MAX_COPY && memory.is_shared_memory() {
        // More than one copy takes the long way.
        return None;
    }
    let data = memory.as_cow(GuestPtr::new(region)).ok()?;
    match try_send(open.open.socket().ok()?, &data)? {
        // A signal goes with it, which only the long way handles. It finds the same.
        Err(Errno::EPIPE) => None,
        sent => answer(memory, sent, ret_n),
    }
}

/// A key or a seed: what takes no time.
pub(crate) fn random_get(
    thread: &mut Thread,
    memory: &mut GuestMemory<'_>,
    buf: i32,
    buf_len: i32,
) -> Option<i32> {
    let (buf, length) = (buf.cast_unsigned(), buf_len.cast_unsigned());
    check_out(memory, buf, length).ok()?;
    if length > STEP {
        return None;
    }
    thread.fill(memory, GuestPtr::new(buf), length).ok()?;
    Some(SUCCESS)
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
