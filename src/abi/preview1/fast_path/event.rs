//! Event descriptors, whose counter nobody has to wait for mostly.

use std::sync::Arc;

use wiggle::{GuestMemory, GuestPtr};

use super::{answer, one_buffer};
use crate::abi::memory::{Region, check_out, check_out_value, write_bytes};
use crate::error::Errno;
use crate::fd::Rights;
use crate::process::{Open, OpenFile, Thread};
use crate::ready::EventFd;

/// The size of what is read and written.
const WORD: u32 = 8;

/// Takes what was counted, into the one buffer of `iovs`.
pub(super) fn take(
    thread: &Thread,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    iovs: (i32, i32),
    ret_n: i32,
) -> Option<i32> {
    let open = event(thread, fd, Rights::FD_READ)?;
    let (at, ret_n) = places(memory, iovs, ret_n, |length| length >= WORD)?;
    let taken = unless_it_waits(&open, EventFd::try_take)?;
    if let Ok(word) = taken {
        write_bytes(memory, GuestPtr::new(at), &word.to_le_bytes()).ok()?;
    }
    answer(memory, taken.map(|word| word.to_le_bytes().len()), ret_n)
}

/// Adds the word in the one buffer of `iovs`.
pub(super) fn add(
    thread: &Thread,
    memory: &mut GuestMemory<'_>,
    fd: i32,
    iovs: (i32, i32),
    ret_n: i32,
) -> Option<i32> {
    let open = event(thread, fd, Rights::FD_WRITE)?;
    // More than one word is written one by one.
    let (at, ret_n) = places(memory, iovs, ret_n, |length| length == WORD)?;
    let mut word = [0; WORD as usize];
    for (byte, place) in word.iter_mut().zip(at..) {
        *byte = memory.read(GuestPtr::<u8>::new(place)).ok()?;
    }
    let added = unless_it_waits(&open, |event| event.try_add(u64::from_le_bytes(word)))?;
    answer(memory, added.map(|()| word.len()), ret_n)
}

/// The event descriptor `fd`, for a call that needs `rights`.
fn event(thread: &Thread, fd: i32, rights: Rights) -> Option<Arc<OpenFile>> {
    let fds = thread.process().fds();
    let descriptor = fds.get(fd.cast_unsigned()).ok()?;
    let is_event = matches!(descriptor.open.open, Open::Event(_));
    descriptor.rights.require(rights).ok().filter(|()| is_event)?;
    // Whoever is woken may take locks of its own, so the table is free by then.
    Some(Arc::clone(&descriptor.open))
}

/// Where the word is, and where its length goes.
fn places(
    memory: &GuestMemory<'_>,
    iovs: (i32, i32),
    ret_n: i32,
    is_right: impl FnOnce(u32) -> bool,
) -> Option<(u32, GuestPtr<u32>)> {
    let region: Region = one_buffer(memory, iovs)?;
    let (at, length) = region;
    check_out(memory, at, length).ok().filter(|()| is_right(length))?;
    let ret_n = GuestPtr::<u32>::new(ret_n.cast_unsigned());
    check_out_value(memory, ret_n).ok()?;
    Some((at, ret_n))
}

/// What a try answers; `None` where the call has to wait.
fn unless_it_waits<T>(
    open: &OpenFile,
    attempt: impl FnOnce(&EventFd) -> Result<T, Errno>,
) -> Option<Result<T, Errno>> {
    let Open::Event(event) = &open.open else { return None };
    match attempt(event) {
        Err(Errno::EAGAIN) if !open.is_nonblocking() => None,
        done => Some(done),
    }
}
