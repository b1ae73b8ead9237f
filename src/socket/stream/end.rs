//! The end of a socket, and what its last close would wait for.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use rustix::net::{Shutdown, sockopt};

use super::{Stream, StreamState};

/// How often is looked whether calls of other threads have left a socket that lingers.
const LOOK: Duration = Duration::from_millis(1);

/// How many of these checks there are.
const LOOKS: u32 = 1000;

impl Stream {
    /// Ends the socket while a call still holds it: that call is woken, and fails with `EBADF`. An
    /// inherited socket stays open for other processes, which would see a shutdown: calls on it are
    /// woken by the end of their descriptor. So does a held socket, for the next instance.
    pub(in crate::socket) fn close(&self) {
        let ended = {
            let mut inner = self.lock();
            inner.state.replace(StreamState::Closed)
        };
        let is_waiting = matches!(ended, Some(StreamState::Listening(_) | StreamState::Connecting(_)));
        if let Some(claim) = self.endpoint.claim() {
            claim.close();
        } else if is_waiting && !self.endpoint.is_inherited {
            // The descriptor itself is closed with the call. Until then no connection may
            // be accepted, and the reactor must be woken.
            let _gone = rustix::net::shutdown(self.endpoint.fd(), Shutdown::Both);
        }
        self.endpoint.remove_name();
    }

    /// Has the peer see a reset when the socket is closed, whatever the guest chose. Not
    /// where others have the socket too.
    pub fn reset_when_closed(&self) {
        if self.endpoint.is_shared() {
            return;
        }
        self.note_linger(false);
        // A socket that refuses is closed in the ordinary way.
        let _ordinary = sockopt::set_socket_linger(self.endpoint.fd(), Some(Duration::ZERO));
    }

    pub(in crate::socket) fn note_linger(&self, lingers: bool) {
        self.endpoint.lingers.store(lingers, Relaxed);
    }
}

impl Drop for Stream {
    /// A lingering close would stop this thread, nonblocking or not, for as long as
    /// the guest chose. Without lingering the kernel delivers what is left just the
    /// same, without blocking. (A linger time of zero requests a reset, which does not block: that
    /// one is kept.)
    ///
    /// The option of a shared socket is for others to change: its close goes to a thread that
    /// may wait.
    fn drop(&mut self) {
        // What is held stays open: nothing is left to be delivered by it.
        if !self.endpoint.lingers.load(Relaxed) || self.endpoint.claim().is_some() {
            return;
        }
        if !self.endpoint.is_shared() {
            let _gone = sockopt::set_socket_linger(self.endpoint.fd(), None);
            return;
        }
        let fd = Arc::clone(self.endpoint.fd());
        let close = move || {
            // The last reference is what closes it.
            for _ in 0..LOOKS {
                if Arc::strong_count(&fd) == 1 {
                    return;
                }
                thread::sleep(LOOK);
            }
        };
        // Without a thread it is closed here.
        let _here = thread::Builder::new().name("wasock-close".to_owned()).spawn(close);
    }
}
