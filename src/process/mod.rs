//! The running guest.
//!
//! A [`Process`] is what all threads of a guest share: the descriptor table, the
//! policy, arguments and environment, clocks. A [`Thread`] is what one of them has
//! for itself; the calls of every dialect act on a thread. Waiting is `ready`'s;
//! this room says on what.
//!
//! Locks: the descriptor table's is held for a look-up only, never across a wait
//! and never while something is closed.

mod directory;
mod futex;
mod open;
mod report;
mod settings;
mod stdio;
mod thread;
mod thread_local;
mod transfer;

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Errno, Error};
use crate::fd::{Descriptor, FdTable, Rights};
use crate::observe::{Closed, Event};
use crate::policy::Policy;
use crate::socket::{Refusal, Socket};

pub use futex::Woken;
pub use open::{Directory, Open, OpenFile};
pub(crate) use report::{Doorkeeper, Report};
pub use settings::Settings;
pub use stdio::{Input, Output};
pub use thread::{Remark, Thread};

/// A guest: what its threads share.
pub struct Process {
    fds: Mutex<FdTable<OpenFile>>,
    report: Arc<Report>,
    working_directory: Mutex<String>,
    settings: Settings,
}

impl Process {
    /// A guest with the standard streams and the preopened directories of
    /// `settings`.
    ///
    /// # Errors
    ///
    /// `EMFILE` where they do not fit the descriptor table.
    pub fn new(mut settings: Settings) -> Result<Self, Errno> {
        let mut fds = FdTable::new(settings.max_fds);
        let [input, output, error] = settings.take_stdio();
        for stream in [input, output, error] {
            fds.insert(Descriptor {
                open: OpenFile::shared(stream),
                rights: Rights::STDIO,
                inheriting: Rights::NONE,
                close_on_exec: false,
            })?;
        }
        for directory in settings.take_directories() {
            fds.insert(Descriptor {
                open: OpenFile::shared(Open::Directory(directory)),
                rights: Rights::DIRECTORY,
                inheriting: Rights::DIRECTORY_INHERITING,
                close_on_exec: false,
            })?;
        }
        Ok(Self {
            fds: Mutex::new(fds),
            report: Arc::new(Report::new(settings.observer.take())),
            working_directory: Mutex::new("/".to_owned()),
            settings,
        })
    }

    /// The descriptor table. Hold it for a look-up, not for a wait.
    pub(crate) fn fds(&self) -> MutexGuard<'_, FdTable<OpenFile>> {
        unpoisoned(&self.fds)
    }

    /// What the guest may do.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.settings.policy
    }

    /// What the operator chose.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The time since 1970.
    pub(crate) fn wall_time(&self) -> Duration {
        unpoisoned(&self.settings.wall_clock).now()
    }

    pub(crate) fn wall_resolution(&self) -> Duration {
        unpoisoned(&self.settings.wall_clock).resolution()
    }

    /// Nanoseconds since some moment.
    pub(crate) fn monotonic_time(&self) -> u64 {
        unpoisoned(&self.settings.monotonic_clock).now()
    }

    pub(crate) fn monotonic_resolution(&self) -> u64 {
        unpoisoned(&self.settings.monotonic_clock).resolution()
    }

    pub(crate) fn fill_random(&self, bytes: &mut [u8]) {
        unpoisoned(&self.settings.random).fill_bytes(bytes);
    }

    pub(crate) fn working_directory(&self) -> MutexGuard<'_, String> {
        unpoisoned(&self.working_directory)
    }

    /// Tells the operator.
    pub(crate) fn report(&self) -> &Arc<Report> {
        &self.report
    }

    /// Changes the operator's maximum for backlogs, at every listener.
    pub(crate) fn set_max_backlog(&self, maximum: u32) {
        self.settings.max_backlog.store(maximum, Relaxed);
        let sockets: Vec<Arc<Socket>> = {
            let fds = self.fds();
            let open = (0..fds.end()).filter_map(|fd| fds.get(fd).ok()?.open.open.socket().ok().cloned());
            open.collect()
        };
        for socket in sockets {
            if let Ok(tcp) = socket.stream()
                && let Err(refusal) = tcp.set_max_backlog(maximum)
            {
                tracing::debug!("a listener keeps its backlog: {}", refusal.errno());
            }
        }
    }

    /// Closes what a descriptor was, after it left the table, whose lock is free again.
    pub(crate) fn close(&self, fd: u32, closed: Descriptor<OpenFile>, why: Closed) {
        // Only the last descriptor of a socket ends it.
        let Some(open) = Arc::into_inner(closed.open) else { return };
        let Open::Socket(socket) = &open.open else { return };
        let Ok(tcp) = socket.stream() else { return };
        let is_listening = tcp.is_listening();
        if !is_listening && !self.report.hears_connections() {
            return;
        }
        let peer = tcp.peer_address().ok();
        if !is_listening && peer.is_none() {
            return;
        }
        let Ok(local) = tcp.local_address() else { return };
        // First it ends, then that is told: nothing more comes from a listener's queue.
        drop(open);
        self.report.tell(Event::Closed { fd, local, peer, why });
    }

    /// Tells the operator that the host's system refused a granted address, where the
    /// operator can do something about it.
    pub(crate) fn tell_unavailable<T>(
        &self,
        call: &'static str,
        address: SocketAddr,
        outcome: &Result<T, Refusal>,
    ) {
        if let Err(Refusal::Errno(errno)) = *outcome
            && matches!(errno, Errno::EADDRINUSE | Errno::EADDRNOTAVAIL | Errno::EACCES)
        {
            self.report.tell(Event::Unavailable { call, address, errno });
        }
    }

    /// The guest's answer to what a socket said to `call`.
    pub(crate) fn answer<T>(&self, call: &'static str, outcome: Result<T, Refusal>) -> Result<T, Error> {
        outcome.map_err(|refusal| match refusal {
            Refusal::Errno(errno) => errno.into(),
            Refusal::Denied(denial) => {
                self.report.tell_denial(call, denial);
                Errno::EACCES.into()
            }
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let end = self.fds().end();
        for fd in 0..end {
            let closed = self.fds().remove(fd);
            if let Ok(closed) = closed {
                self.close(fd, closed, Closed::Ended);
            }
        }
    }
}

/// Takes a lock; what it guards is whole whenever the lock is free, so a panic
/// elsewhere can't have torn it.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
