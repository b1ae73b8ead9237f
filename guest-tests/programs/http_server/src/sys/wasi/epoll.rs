//! `epoll_wait`, told by levels.

use super::Source;
use crate::sys::{Interest, Poller};
use std::io;
use wasix::wait::{self, EpollEvent};
use wasix::{Fd, descriptor};

/// How many events one wait takes.
const MOST: usize = 256;

pub struct Epoll {
    epoll: Fd,
    fds: Vec<Fd>,
    /// What each place waits for, so that only changes go to the host.
    interests: Vec<Interest>,
    /// The place of each descriptor.
    places: Vec<u32>,
    events: Vec<EpollEvent>,
    later: Option<(usize, u64)>,
}

impl Drop for Epoll {
    fn drop(&mut self) {
        let _ = descriptor::close(self.epoll);
    }
}

impl Poller for Epoll {
    fn new() -> io::Result<Self> {
        let (fds, interests, places) = (Vec::new(), Vec::new(), Vec::new());
        let events = vec![EpollEvent::default(); MOST];
        Ok(Self { epoll: wait::epoll()?, fds, interests, places, events, later: None })
    }

    fn add(&mut self, source: &impl Source, interest: Interest) -> io::Result<()> {
        let fd = source.fd();
        wait::add(self.epoll, fd, events(interest))?;
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
            self.later = Some((place, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)));
        }
        if self.interests[place] != interest {
            wait::modify(self.epoll, self.fds[place], events(interest))?;
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
        let timeout = self.later.map_or(u64::MAX, |(_, nanoseconds)| nanoseconds);
        let count = wait::wait_into(self.epoll, &mut self.events, timeout)?;
        match (count, self.later) {
            (0, Some((place, _))) => ready.push(place),
            _ => ready.extend(self.events[..count].iter().map(|e| self.places[e.fd as usize] as usize)),
        }
        Ok(())
    }
}

fn events(interest: Interest) -> u32 {
    match interest {
        Interest::Read => wait::IN,
        Interest::Write => wait::OUT,
        Interest::Later(_) => 0,
    }
}
