//! `poll_oneoff`.

use super::Source;
use crate::sys::{Interest, Poller};
use std::io;
use wasix::Fd;
use wasix::poll::{Event, MONOTONIC, Subscription};

/// The subscriptions, kept from one wait to the next.
#[derive(Default)]
pub struct Poll {
    subscriptions: Vec<Subscription>,
    fds: Vec<Fd>,
    events: Vec<Event>,
}

impl Poller for Poll {
    fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    fn add(&mut self, source: &impl Source, interest: Interest) -> io::Result<()> {
        let place = self.fds.len();
        self.fds.push(source.fd());
        self.subscriptions.push(subscription(source.fd(), interest, place));
        self.events.push(Event::default());
        Ok(())
    }

    fn set_interest(&mut self, place: usize, interest: Interest) -> io::Result<()> {
        self.subscriptions[place] = subscription(self.fds[place], interest, place);
        Ok(())
    }

    fn swap_remove(&mut self, place: usize) {
        self.fds.swap_remove(place);
        self.events.pop();
        self.subscriptions.swap_remove(place);
        if let Some(moved) = self.subscriptions.get_mut(place) {
            moved.userdata = place as u64;
        }
    }

    fn wait(&mut self, ready: &mut Vec<usize>) -> io::Result<()> {
        let count = wasix::poll::poll_into(&self.subscriptions, &mut self.events)?;
        ready.clear();
        // One subscription a place, so that no place is named twice.
        ready.extend(self.events[..count].iter().map(|event| event.userdata as usize));
        Ok(())
    }
}

fn subscription(fd: Fd, interest: Interest, place: usize) -> Subscription {
    let place = place as u64;
    match interest {
        Interest::Read => Subscription::read(fd, place),
        Interest::Write => Subscription::write(fd, place),
        Interest::Later(time) => {
            let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            Subscription::clock(MONOTONIC, nanoseconds, place)
        }
    }
}
