//! `epoll(7)`, told by levels.

use super::Source;
use crate::sys::{Interest, Poller};
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

const EPOLLIN: u32 = 1;
const EPOLLOUT: u32 = 4;
const EPOLL_CLOEXEC: c_int = 0o2_000_000;
const EPOLL_CTL_ADD: c_int = 1;
const EPOLL_CTL_MOD: c_int = 3;

/// How many events one wait takes.
const MOST: usize = 256;

#[derive(Clone, Copy)]
#[cfg_attr(target_arch = "x86_64", repr(C, packed))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C))]
struct Event {
    events: u32,
    data: u64,
}

unsafe extern "C" {
    fn epoll_create1(flags: c_int) -> c_int;
    fn epoll_ctl(epfd: c_int, op: c_int, fd: c_int, event: *mut Event) -> c_int;
    fn epoll_wait(epfd: c_int, events: *mut Event, most: c_int, timeout_ms: c_int) -> c_int;
}

pub struct Epoll {
    epoll: OwnedFd,
    fds: Vec<RawFd>,
    /// What each place waits for, so that only changes go to the kernel.
    interests: Vec<Interest>,
    /// The place of each descriptor.
    places: Vec<u32>,
    events: Vec<Event>,
    later: Option<(usize, c_int)>,
}

impl Epoll {
    fn control(&self, op: c_int, fd: RawFd, interest: Interest) -> io::Result<()> {
        let events = match interest {
            Interest::Read => EPOLLIN,
            Interest::Write => EPOLLOUT,
            Interest::Later(_) => 0,
        };
        let mut event = Event { events, data: fd as u64 };
        // SAFETY: the event is as epoll_ctl(2) has it, and outlives the call.
        match unsafe { epoll_ctl(self.epoll.as_raw_fd(), op, fd, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Poller for Epoll {
    fn new() -> io::Result<Self> {
        // SAFETY: it takes no pointer, and what it answers is a new descriptor.
        let epoll = match unsafe { epoll_create1(EPOLL_CLOEXEC) } {
            ..0 => return Err(io::Error::last_os_error()),
            fd => unsafe { OwnedFd::from_raw_fd(fd) },
        };
        let events = vec![Event { events: 0, data: 0 }; MOST];
        let (fds, interests, places) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { epoll, fds, interests, places, events, later: None })
    }

    fn add(&mut self, source: &impl Source, interest: Interest) -> io::Result<()> {
        let fd = source.fd();
        self.control(EPOLL_CTL_ADD, fd, interest)?;
        if self.places.len() <= fd as usize {
            self.places.resize(fd as usize + 1, 0);
        }
        self.places[fd as usize] = self.fds.len() as u32;
        self.fds.push(fd);
        self.interests.push(interest);
        Ok(())
    }

    fn set_interest(&mut self, place: usize, interest: Interest) -> io::Result<()> {
        if self.later.is_some_and(|(later, _)| later == place) {
            self.later = None;
        }
        if let Interest::Later(time) = interest {
            self.later = Some((place, c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX)));
        }
        if self.interests[place] != interest {
            self.control(EPOLL_CTL_MOD, self.fds[place], interest)?;
            self.interests[place] = interest;
        }
        Ok(())
    }

    fn swap_remove(&mut self, place: usize) {
        self.fds.swap_remove(place);
        self.interests.swap_remove(place);
        if let Some(moved) = self.fds.get(place) {
            self.places[*moved as usize] = place as u32;
        }
    }

    fn wait(&mut self, ready: &mut Vec<usize>) -> io::Result<()> {
        ready.clear();
        let timeout_ms = self.later.map_or(-1, |(_, milliseconds)| milliseconds);
        // SAFETY: there is room for as many events as said.
        let count = unsafe {
            epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), MOST as c_int, timeout_ms)
        };
        match (count, self.later) {
            (..0, _) => {
                let error = io::Error::last_os_error();
                return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
            }
            (0, Some((place, _))) => ready.push(place),
            _ => {}
        }
        let found = self.events[..count as usize].iter();
        ready.extend(found.map(|event| self.places[event.data as usize] as usize));
        Ok(())
    }
}
