//! The calls of `wasix_32v1`.

mod epoll;
mod poll;

pub use epoll::Epoll;
pub use poll::Poll;

use super::BACKLOG;
use std::io;
use std::net::SocketAddr;
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
