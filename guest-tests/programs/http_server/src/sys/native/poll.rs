//! `poll(2)`.

use super::Source;
use crate::sys::{Interest, Poller};
use std::io;
use std::os::fd::RawFd;

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
pub struct Poll {
    entries: Vec<PollFd>,
    fds: Vec<RawFd>,
    /// The place that waits for time to pass, and for how many milliseconds.
    later: Option<(usize, i32)>,
}

impl Poller for Poll {
    fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    fn add(&mut self, source: &impl Source, interest: Interest) -> io::Result<()> {
        self.fds.push(source.fd());
        self.entries.push(PollFd { fd: source.fd(), events: 0, revents: 0 });
        self.set_interest(self.fds.len() - 1, interest)
    }

    fn set_interest(&mut self, place: usize, interest: Interest) -> io::Result<()> {
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
        Ok(())
    }

    fn swap_remove(&mut self, place: usize) {
        self.fds.swap_remove(place);
        self.entries.swap_remove(place);
    }

    fn wait(&mut self, ready: &mut Vec<usize>) -> io::Result<()> {
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
