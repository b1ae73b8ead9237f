//! The native twin: the standard library's sockets, `poll(2)` and `epoll(7)`.

mod epoll;
mod poll;

pub use epoll::Epoll;
pub use poll::Poll;

use super::BACKLOG;
use std::ffi::c_int;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

unsafe extern "C" {
    fn listen(fd: RawFd, backlog: c_int) -> c_int;
}

const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

pub struct Listener(TcpListener);

impl Listener {
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        // The library's own backlog is another.
        // SAFETY: the descriptor is the listener's, and no pointer is passed.
        if unsafe { listen(listener.as_raw_fd(), BACKLOG as c_int) } != 0 {
            return Err(io::Error::last_os_error());
        }
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    pub fn accept(&self) -> io::Result<Stream> {
        let (stream, _) = self.0.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Stream(stream))
    }
}

pub struct Stream(TcpStream);

impl Stream {
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buf)
    }

    pub fn write(&self, buf: &[u8]) -> io::Result<usize> {
        (&self.0).write(buf)
    }

    /// Says that nothing more will be written.
    pub fn finish(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

/// Something with a descriptor.
pub trait Source {
    fn fd(&self) -> RawFd;
}

impl Source for Listener {
    fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Source for Stream {
    fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
