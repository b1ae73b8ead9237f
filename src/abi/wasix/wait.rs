//! epoll, and what has no other use than to wait for: event descriptors, pipes, pairs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use super::bindings::wasix_wait::WasixWait;
use super::socket::{family, kind};
use crate::abi::call::Call;
use crate::abi::flags::{FDFLAG_NONBLOCK, known};
use crate::abi::memory::{check_out, check_out_value, write_count};
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::io::{Events, Pollable};
use crate::process::{Open, OpenFile, Thread};
use crate::ready::{Data, Epoll, EventFd, Happened, Request, pipe_ends};
use crate::socket::{Family, Kind, Socket, check_protocol};

const EVENT_SIZE: u32 = 32;

/// "EINVAL: ... maxevents is less than or equal to zero" - epoll_wait(2), which also
/// takes no more than an array of this many bytes can have.
const MAX_EVENTS: u32 = i32::MAX.cast_unsigned() / EVENT_SIZE;

/// One call returns as many at most: the next call returns the others.
///
/// "up to maxevents are returned" - epoll_wait(2). The host keeps its list of them.
const MOST_AT_ONCE: usize = 1024;

const EDGE: u32 = 64;
const ONE_SHOT: u32 = 128;

const SEMAPHORE: u16 = 1;

/// What is left of a wait at an epoll after its first phase.
struct LeftToWait {
    has_polled: bool,
    limit: Option<Duration>,
}

impl Call<'_> {
    /// Adds what is ready in `epoll` to `found`: after a park where the thread may park there, else what is ready now. `None` where that is
    /// all that the call returns.
    fn try_epoll(
        &self,
        epoll: &Epoll,
        most: usize,
        limit: Option<Duration>,
        found: &mut Vec<Happened>,
    ) -> Option<LeftToWait> {
        let polls_only = limit == Some(Duration::ZERO);
        if self.parks && !polls_only && epoll.is_kernels_alone() {
            let begun = limit.map(|_| Instant::now());
            let parked = self.park(None, |waker| epoll.park(most, limit, &mut *found, waker));
            let left = |limit: Duration, begun: Instant| limit.saturating_sub(begun.elapsed());
            let limit = limit.zip(begun).map(|(limit, begun)| left(limit, begun));
            // A sleep looks first, whatever has woken the thread.
            let has_polled = limit != Some(Duration::ZERO);
            return parked.is_none().then_some(LeftToWait { has_polled, limit });
        }
        let has_polled = epoll.take(most, found);
        // Only what the kernel keeps does not need the reactor to run.
        let is_all = !found.is_empty() || polls_only && epoll.is_kernels_alone();
        (!is_all).then_some(LeftToWait { has_polled, limit })
    }
}

impl WasixWait for Call<'_> {
    fn epoll_create(&mut self, memory: &mut GuestMemory<'_>, ret_fd: GuestPtr<u32>) -> Result<(), Error> {
        check_out_value(memory, ret_fd)?;
        self.process().fds().check_room()?;
        let epoll = self.process().new_epoll();
        let open = OpenFile::shared(Open::Epoll(epoll));
        let fd = self.insert(open, Rights::EPOLL, Rights::NONE)?;
        Ok(memory.write(ret_fd, fd)?)
    }

    fn epoll_ctl(
        &mut self,
        memory: &mut GuestMemory<'_>,
        epfd: u32,
        op: u32,
        fd: u32,
        event: GuestPtr<types::EpollEvent>,
    ) -> Result<(), Error> {
        let epoll = self.epoll(epfd)?;
        let descriptor = self.descriptor(fd, Rights::NONE)?;
        // "EPERM: The target file fd does not support epoll. This error can occur if fd
        // refers to, for example, a regular file or a directory." - epoll_ctl(2)
        if descriptor.open.open.pollable().is_none() {
            return Err(Errno::EPERM.into());
        }
        // "EINVAL: ... or fd is the same as epfd" - epoll_ctl(2)
        if descriptor.open.open.epoll().is_ok_and(|target| Arc::ptr_eq(target, &epoll)) {
            return Err(Errno::EINVAL.into());
        }
        descriptor.rights.require(Rights::POLL_FD_READWRITE)?;
        let inner = if op > 1 { None } else { descriptor.open.open.epoll().ok().cloned() };
        let target: Arc<dyn Pollable> = descriptor.open;
        // The reference host's numbers, which are those of its C library (1 to 3) and of
        // its own description (0) where the two do not contradict each other.
        match op {
            0 | 1 => match inner {
                Some(inner) => epoll.add_epoll(fd, &target, &inner, read_request(memory, event)?)?,
                None => epoll.add(fd, &target, read_request(memory, event)?)?,
            },
            2 => epoll.remove(fd, &target)?,
            3 => epoll.modify(fd, &target, read_request(memory, event)?)?,
            // "EINVAL: ... the requested operation op is not supported by this interface."
            _ => return Err(Errno::EINVAL.into()),
        }
        Ok(())
    }

    fn epoll_wait(
        &mut self,
        memory: &mut GuestMemory<'_>,
        epfd: u32,
        events: GuestPtr<types::EpollEvent>,
        maxevents: u32,
        timeout: u64,
        ret_nevents: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let epoll = self.epoll(epfd)?;
        if maxevents == 0 || maxevents > MAX_EVENTS {
            return Err(Errno::EINVAL.into());
        }
        check_out_value(memory, events)?;
        check_out(memory, events.offset(), maxevents * EVENT_SIZE)?;
        check_out_value(memory, ret_nevents)?;
        let most = usize::try_from(maxevents).unwrap_or(usize::MAX).min(MOST_AT_ONCE);
        let limit = (timeout != u64::MAX).then(|| Duration::from_nanos(timeout));
        let mut found = std::mem::take(&mut self.happened);
        let left = self.try_epoll(&epoll, most, limit, &mut found);
        let written = write_events(memory, events, found.drain(..));
        self.happened = found;
        let written = written?;
        let Some(LeftToWait { has_polled, limit }) = left else {
            return write_count(memory, ret_nevents, written);
        };
        Err(self.wait(move |_, memory| {
            Box::pin(async move {
                let found = epoll.wait(most, limit, has_polled).await?;
                let written = write_events(memory, events, found)?;
                Ok(memory.write(ret_nevents, written)?)
            })
        }))
    }

    fn fd_event(
        &mut self,
        memory: &mut GuestMemory<'_>,
        initial_val: u64,
        eventfdflags: u32,
        ret_fd: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, ret_fd)?;
        // "EINVAL: An unsupported value was specified in flags." - eventfd(2)
        let flags = known(eventfdflags, SEMAPHORE | FDFLAG_NONBLOCK)?;
        let event = Open::Event(Box::new(EventFd::new(initial_val, flags & SEMAPHORE != 0)?));
        let open = OpenFile::with_nonblocking(event, flags & FDFLAG_NONBLOCK != 0);
        let fd = self.insert(open, Rights::STDIO, Rights::STDIO)?;
        Ok(memory.write(ret_fd, fd)?)
    }

    fn fd_pipe(
        &mut self,
        memory: &mut GuestMemory<'_>,
        ret_read_fd: GuestPtr<u32>,
        ret_write_fd: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, ret_read_fd)?;
        check_out_value(memory, ret_write_fd)?;
        let (first, second) = pipe_ends();
        let ends = [first, second].map(|end| OpenFile::shared(Open::Pipe(Box::new(end))));
        let (read_fd, write_fd) = self.insert_two(ends, Rights::STDIO)?;
        memory.write(ret_read_fd, read_fd)?;
        Ok(memory.write(ret_write_fd, write_fd)?)
    }

    fn sock_pair(
        &mut self,
        memory: &mut GuestMemory<'_>,
        af: u32,
        socktype: u32,
        proto: u32,
        ret_fd0: GuestPtr<u32>,
        ret_fd1: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, ret_fd0)?;
        check_out_value(memory, ret_fd1)?;
        // IPv4, IPv6 and Unix: the reference host takes any, and so do programs. What
        // they get is Unix always.
        let family = family(af)?;
        let kind = kind(socktype, self.personality.is_first_generation)?;
        // "EOPNOTSUPP: The specified protocol does not permit creation of socket pairs."
        // - socketpair(3p)
        if kind == Kind::SeqPacket && family != Family::Unix {
            return Err(Errno::ENOTSUP.into());
        }
        // "EPROTONOSUPPORT: The protocol is not supported by the address family" -
        // socketpair(3p)
        let protocol = u16::try_from(proto).map_err(|_| Errno::EPROTONOSUPPORT)?;
        check_protocol(family, kind, protocol)?;
        self.process().fds().check_room()?;
        let ends = Socket::pair(&self.names(), kind)?;
        for end in &ends {
            self.limit_buffers(end, true)?;
        }
        let ends = ends.map(|end| OpenFile::shared(Open::Socket(Arc::new(end))));
        let (fd0, fd1) = self.insert_two(ends, Rights::SOCKET)?;
        memory.write(ret_fd0, fd0)?;
        Ok(memory.write(ret_fd1, fd1)?)
    }
}

impl Thread {
    /// The epoll `fd`; not its open thing, so that closing it ends a wait in it.
    ///
    /// # Errors
    ///
    /// `EBADF`, then `EINVAL`, then `ENOTCAPABLE`.
    pub(super) fn epoll(&self, fd: u32) -> Result<Arc<Epoll>, Errno> {
        let fds = self.process().fds();
        let descriptor = fds.get(fd)?;
        let epoll = descriptor.open.open.epoll()?;
        descriptor.rights.require(Rights::POLL_FD_READWRITE)?;
        Ok(Arc::clone(epoll))
    }
}

/// # Errors
///
/// `EINVAL` for a null pointer, as in the reference host, and for an unknown bit.
fn read_request(memory: &GuestMemory<'_>, event: GuestPtr<types::EpollEvent>) -> Result<Request, Error> {
    if event.offset() == 0 {
        return Err(Errno::EINVAL.into());
    }
    let types::EpollEvent { events, data } = memory.read(event)?;
    if events & !(Events::ALL.bits() | EDGE | ONE_SHOT) != 0 {
        return Err(Errno::EINVAL.into());
    }
    Ok(Request {
        events: Events::from_bits(events),
        edge: events & EDGE != 0,
        one_shot: events & ONE_SHOT != 0,
        data: Data { ptr: data.ptr, data1: data.data1, data2: data.data2 },
    })
}

/// Writes the events; returns how many there are.
fn write_events(
    memory: &mut GuestMemory<'_>,
    events: GuestPtr<types::EpollEvent>,
    found: impl IntoIterator<Item = Happened>,
) -> Result<u32, Error> {
    let mut written = 0;
    for happened in found {
        memory.write(events.add(written)?, event_of(happened))?;
        written += 1;
    }
    Ok(written)
}

fn event_of(happened: Happened) -> types::EpollEvent {
    let Data { ptr, data1, data2 } = happened.data;
    let data = types::EpollData { ptr, fd: happened.fd, data1, data2 };
    types::EpollEvent { events: happened.events.bits(), data }
}
