//! The native twin: the standard library's sockets and `poll(2)`.

use super::Interest;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

pub struct Listener(TcpListener);

impl Listener {
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
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

/// One entry of `poll(2)`.
#[repr(C)]
struct PollFd {
    fd: RawFd,
    events: i16,
    revents: i16,
}

const POLLIN: i16 = 1;
const POLLOUT: i16 = 4;

#[cfg(target_os = "linux")]
type Count = std::ffi::c_ulong;
#[cfg(not(target_os = "linux"))]
type Count = std::ffi::c_uint;

unsafe extern "C" {
    fn poll(fds: *mut PollFd, count: Count, timeout_ms: i32) -> i32;
}

/// The entries, kept from one wait to the next.
#[derive(Default)]
pub struct Poller {
    entries: Vec<PollFd>,
    fds: Vec<RawFd>,
    /// The place that waits for time to pass, and for how many milliseconds.
    later: Option<(usize, i32)>,
}

impl Poller {
    pub fn add(&mut self, source: &impl Source, interest: Interest) {
        self.fds.push(source.fd());
        self.entries.push(PollFd { fd: source.fd(), events: 0, revents: 0 });
        self.set_interest(self.fds.len() - 1, interest);
    }

    pub fn set_interest(&mut self, place: usize, interest: Interest) {
        if self.later.is_some_and(|(later, _)| later == place) {
            self.later = None;
        }
        let entry = &mut self.entries[place];
        entry.fd = self.fds[place];
        match interest {
            Interest::Read => entry.events = POLLIN,
            Interest::Write => entry.events = POLLOUT,
            Interest::Later(time) => {
                // A negative number is no descriptor: the entry is passed over.
                entry.fd = -1;
                self.later = Some((place, i32::try_from(time.as_millis()).unwrap_or(i32::MAX)));
            }
        }
    }

    pub fn swap_remove(&mut self, place: usize) {
        self.fds.swap_remove(place);
        self.entries.swap_remove(place);
    }

    /// Waits, and puts the places that are ready into `ready`.
    pub fn wait(&mut self, ready: &mut Vec<usize>) -> io::Result<()> {
        ready.clear();
        let timeout_ms = self.later.map_or(-1, |(_, milliseconds)| milliseconds);
        // SAFETY: the entries are as many as said, in the layout of `poll(2)`.
        let count = unsafe { poll(self.entries.as_mut_ptr(), self.entries.len() as Count, timeout_ms) };
        match (count, self.later) {
            (..0, _) => {
                let error = io::Error::last_os_error();
                return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
            }
            (0, Some((place, _))) => ready.push(place),
            _ => {}
        }
        for (place, entry) in self.entries.iter().enumerate() {
            if entry.revents != 0 {
                ready.push(place);
            }
        }
        Ok(())
    }
}
