//! epoll, event descriptors, pipes and pairs of sockets.

use crate::{Fd, Result, address_of, address_of_mut, outcome, raw};

pub const IN: u32 = 1;
pub const OUT: u32 = 2;
pub const RDHUP: u32 = 4;
pub const ERR: u32 = 16;
pub const HUP: u32 = 32;
pub const ET: u32 = 64;
pub const ONESHOT: u32 = 128;

pub const ADD: u32 = 1;
pub const DEL: u32 = 2;
pub const MOD: u32 = 3;

pub const SEMAPHORE: u32 = 1;

/// Long enough for whatever is on its way.
pub const LONG: u64 = 20_000_000_000;
/// Long enough to see that nothing is.
pub const SHORT: u64 = 20_000_000;

/// 32 bytes: the data lies at 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EpollEvent {
    pub events: u32,
    pub padding: u32,
    pub ptr: u32,
    pub fd: u32,
    pub data1: u32,
    pub data2: u64,
}

const _: () = assert!(size_of::<EpollEvent>() == 32);
const _: () = assert!(std::mem::offset_of!(EpollEvent, data2) == 24);

pub fn epoll() -> Result<Fd> {
    let mut fd: Fd = u32::MAX;
    outcome(unsafe { raw::wasix::epoll_create(address_of_mut(&mut fd)) })?;
    Ok(fd)
}

pub fn ctl(epfd: Fd, op: u32, fd: Fd, event: &EpollEvent) -> Result<()> {
    outcome(unsafe { raw::wasix::epoll_ctl(epfd, op, fd, address_of(event)) })
}

pub fn add(epfd: Fd, fd: Fd, events: u32) -> Result<()> {
    ctl(epfd, ADD, fd, &EpollEvent { events, ..EpollEvent::default() })
}

pub fn modify(epfd: Fd, fd: Fd, events: u32) -> Result<()> {
    ctl(epfd, MOD, fd, &EpollEvent { events, ..EpollEvent::default() })
}

pub fn remove(epfd: Fd, fd: Fd) -> Result<()> {
    outcome(unsafe { raw::wasix::epoll_ctl(epfd, DEL, fd, 0) })
}

/// What is ready, `most` at most.
pub fn wait(epfd: Fd, most: usize, timeout: u64) -> Result<Vec<EpollEvent>> {
    let mut events = vec![EpollEvent::default(); most];
    let count = wait_into(epfd, &mut events, timeout)?;
    events.truncate(count);
    Ok(events)
}

/// As [`wait`], into `events`; tells how many there are.
pub fn wait_into(epfd: Fd, events: &mut [EpollEvent], timeout: u64) -> Result<usize> {
    let mut count = 0u32;
    let most = events.len() as u32;
    outcome(unsafe {
        raw::wasix::epoll_wait(epfd, address_of_mut(events), most, timeout, address_of_mut(&mut count))
    })?;
    Ok(count as usize)
}

/// Descriptors and what they are ready for, in the order of their numbers. Waits for
/// the first.
pub fn next(epfd: Fd) -> Result<Vec<(Fd, u32)>> {
    sorted(wait(epfd, 64, LONG)?)
}

/// As [`next`], of what is ready now.
pub fn now(epfd: Fd) -> Result<Vec<(Fd, u32)>> {
    sorted(wait(epfd, 64, SHORT)?)
}

fn sorted(events: Vec<EpollEvent>) -> Result<Vec<(Fd, u32)>> {
    let mut found: Vec<_> = events.iter().map(|event| (event.fd, event.events)).collect();
    found.sort_unstable();
    Ok(found)
}

pub fn event(initial: u64, flags: u32) -> Result<Fd> {
    let mut fd: Fd = u32::MAX;
    outcome(unsafe { raw::wasix::fd_event(initial, flags, address_of_mut(&mut fd)) })?;
    Ok(fd)
}

/// The end to read, and the end to write.
pub fn pipe() -> Result<(Fd, Fd)> {
    let (mut reader, mut writer): (Fd, Fd) = (u32::MAX, u32::MAX);
    outcome(unsafe { raw::wasix::fd_pipe(address_of_mut(&mut reader), address_of_mut(&mut writer)) })?;
    Ok((reader, writer))
}

pub fn pair(family: u32, kind: u32, protocol: u32) -> Result<(Fd, Fd)> {
    let (mut near, mut far): (Fd, Fd) = (u32::MAX, u32::MAX);
    outcome(unsafe {
        raw::wasix::sock_pair(family, kind, protocol, address_of_mut(&mut near), address_of_mut(&mut far))
    })?;
    Ok((near, far))
}
