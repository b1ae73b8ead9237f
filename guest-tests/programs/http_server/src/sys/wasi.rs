//! The calls of `wasix_32v1`.

use super::{BACKLOG, Interest};
use std::io;
use std::net::SocketAddr;
use wasix::poll::{Event, MONOTONIC, Subscription};
use wasix::{Fd, descriptor, errno, socket};

pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    [errno::EMFILE, errno::ENFILE].iter().any(|errno| error.raw_os_error() == Some(i32::from(errno.0)))
}

/// A descriptor that is closed when it goes.
struct Owned(Fd);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = descriptor::close(self.0);
    }
}

pub struct Listener(Owned);

impl Listener {
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let fd = Owned(socket::open_for(addr)?);
        socket::set_flag(fd.0, socket::option::REUSE_ADDR, true)?;
        socket::bind(fd.0, addr)?;
        socket::listen(fd.0, BACKLOG)?;
        descriptor::set_nonblocking(fd.0)?;
        Ok(Self(fd))
    }

    pub fn accept(&self) -> io::Result<Stream> {
        let (fd, _) = socket::accept_v2(self.0.0, descriptor::NONBLOCK)?;
        let stream = Stream(Owned(fd));
        socket::set_flag(fd, socket::option::NO_DELAY, true)?;
        Ok(stream)
    }
}

pub struct Stream(Owned);

impl Stream {
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(socket::recv(self.0.0, buf, 0)?)
    }

    pub fn write(&self, buf: &[u8]) -> io::Result<usize> {
        Ok(socket::send(self.0.0, buf, 0)?)
    }

    /// Says that nothing more will be written.
    pub fn finish(&self) -> io::Result<()> {
        Ok(socket::shutdown(self.0.0, socket::SHUT_WR)?)
    }
}

/// Something with a descriptor.
pub trait Source {
    fn fd(&self) -> Fd;
}

impl Source for Listener {
    fn fd(&self) -> Fd {
        self.0.0
    }
}

impl Source for Stream {
    fn fd(&self) -> Fd {
        self.0.0
    }
}

/// The subscriptions, kept from one wait to the next.
#[derive(Default)]
pub struct Poller {
    subscriptions: Vec<Subscription>,
    fds: Vec<Fd>,
    events: Vec<Event>,
}

impl Poller {
    pub fn add(&mut self, source: &impl Source, interest: Interest) {
        let place = self.fds.len();
        self.fds.push(source.fd());
        self.subscriptions.push(subscription(source.fd(), interest, place));
        self.events.push(Event::default());
    }

    pub fn set_interest(&mut self, place: usize, interest: Interest) {
        self.subscriptions[place] = subscription(self.fds[place], interest, place);
    }

    pub fn swap_remove(&mut self, place: usize) {
        self.fds.swap_remove(place);
        self.events.pop();
        self.subscriptions.swap_remove(place);
        if let Some(moved) = self.subscriptions.get_mut(place) {
            moved.userdata = place as u64;
        }
    }

    /// Waits, and puts the places that are ready into `ready`.
    pub fn wait(&mut self, ready: &mut Vec<usize>) -> io::Result<()> {
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
