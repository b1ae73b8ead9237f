//! The running guest.
//!
//! A [`Process`] is what all threads of a guest share: the descriptor table, the
//! policy, arguments and environment, clocks. A [`Thread`] is what one of them has
//! for itself; the calls of every dialect act on a thread. Waiting is `ready`'s;
//! this room says on what.
//!
//! Locks: the descriptor table's is held for a look-up only, never across a wait
//! and never while something is closed.

mod changes;
mod directory;
mod futex;
mod open;
mod settings;
mod stdio;
mod thread;
mod thread_local;
mod transfer;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Errno, Error};
use crate::fd::{Descriptor, FdTable, Rights};
use crate::observe::Event;
use crate::policy::{Denial, Policy};
use crate::socket::Refusal;

pub use changes::Batch;
use changes::Changes;
pub use futex::Woken;
pub use open::{Directory, Open, OpenFile};
pub use settings::Settings;
pub use stdio::{Input, Output};
pub use thread::{SocketRef, Thread};

/// How many different refusals are remembered, so that each is told once. A guest
/// that asks for more different things than this is told of without end no more.
const MAX_TOLD_DENIALS: usize = 1024;

/// The working directory that a guest starts in.
const ROOT: &str = "/";

/// A guest: what its threads share.
pub struct Process {
    fds: Mutex<FdTable<OpenFile>>,
    told: Mutex<HashSet<(&'static str, Denial)>>,
    working_directory: Mutex<String>,
    changes: Changes,
    settings: Settings,
}

impl Process {
    /// A guest with the standard streams and the preopened directories of
    /// `settings`.
    ///
    /// # Errors
    ///
    /// `EMFILE` where they do not fit the descriptor table.
    pub fn new(settings: Settings) -> Result<Self, Errno> {
        Ok(Self {
            fds: Mutex::new(first_descriptors(&settings)?),
            told: Mutex::default(),
            working_directory: Mutex::new(ROOT.to_owned()),
            changes: Changes::default(),
            settings,
        })
    }

    /// Makes it as it was at its start: closes all that the guest opened, and gives it
    /// the standard streams and the preopened directories again. What the operator
    /// was told of once stays told.
    ///
    /// # Errors
    ///
    /// As for [`Process::new`].
    pub(crate) fn restart(&self) -> Result<(), Errno> {
        let fresh = first_descriptors(&self.settings)?;
        let old = std::mem::replace(&mut *self.fds(), fresh);
        // Closed outside of the table's lock.
        drop(old);
        *self.working_directory() = ROOT.to_owned();
        self.changes.forget();
        Ok(())
    }

    /// From now on, keeps note of what changes in the descriptor table. Tells whether
    /// it did so before.
    pub(crate) fn keep_changes(&self) -> bool {
        self.changes.keep()
    }

    /// Takes note that `fd` stands for something else now, or that its socket begins
    /// to listen or to connect.
    pub(crate) fn note_change(&self, fd: u32) {
        self.changes.note(fd);
    }

    /// Takes note of a `sock_listen`, and of why it failed if it did.
    pub(crate) fn note_listen(&self, fd: u32, failed: Option<Errno>) {
        self.changes.note_listen(fd, failed);
    }

    /// What has changed since the last time.
    pub(crate) fn take_changes(&self) -> Batch {
        self.changes.take()
    }

    /// The descriptor table. Hold it for a look-up, not for a wait.
    pub(crate) fn fds(&self) -> MutexGuard<'_, FdTable<OpenFile>> {
        unpoisoned(&self.fds)
    }

    /// What the guest may do.
    pub fn policy(&self) -> &Policy {
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

    /// Tells the operator of an event.
    pub fn tell(&self, event: &Event) {
        if let Some(observer) = &self.settings.observer {
            observer.observe(event);
        }
    }

    /// Tells the operator of a refusal of `call`, each different one once.
    pub fn tell_denial(&self, call: &'static str, denial: Denial) {
        let is_new = {
            let mut told = unpoisoned(&self.told);
            told.len() < MAX_TOLD_DENIALS && told.insert((call, denial.clone()))
        };
        if is_new {
            self.tell(&Event::Denied { call, what: denial.what, rule: denial.rule, flag: denial.flag });
        }
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
            self.tell(&Event::Unavailable { call, address, errno });
        }
    }

    /// The guest's answer to what a socket said to `call`.
    pub(crate) fn answer<T>(&self, call: &'static str, outcome: Result<T, Refusal>) -> Result<T, Error> {
        outcome.map_err(|refusal| match refusal {
            Refusal::Errno(errno) => errno.into(),
            Refusal::Denied(denial) => {
                self.tell_denial(call, denial);
                Errno::EACCES.into()
            }
        })
    }
}

/// The table of a guest that has not run yet.
fn first_descriptors(settings: &Settings) -> Result<FdTable<OpenFile>, Errno> {
    let mut fds = FdTable::new(settings.max_fds);
    for stream in settings.stdio() {
        fds.insert(Descriptor {
            open: OpenFile::shared(stream),
            rights: Rights::STDIO,
            inheriting: Rights::NONE,
            close_on_exec: false,
        })?;
    }
    for directory in &settings.directories {
        fds.insert(Descriptor {
            open: OpenFile::shared(Open::Directory(directory.clone())),
            rights: Rights::DIRECTORY,
            inheriting: Rights::DIRECTORY_INHERITING,
            close_on_exec: false,
        })?;
    }
    Ok(fds)
}

/// Takes a lock; what it guards is whole whenever the lock is free, so a panic
/// elsewhere can't have torn it.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
