//! The change log of the descriptor table, for event delivery.
//!
//! The event loop of a guest must know its sockets. Searching the whole table at each event would
//! cost more with each connection, so each change is logged: a number, not a thing, because a
//! number may stand for another thing again when the log is read. The log is kept only once it was
//! requested, and each number is in it once, so a guest cannot fill the host's memory.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::{Process, unpoisoned};
use crate::error::Errno;
use crate::socket::Socket;

/// How many outcomes of `sock_listen` are kept until they are delivered: a guest that
/// listens in a loop does not get all of them.
const MAX_LISTENS: usize = 4096;

/// The notes of a process.
#[derive(Debug, Default)]
pub(super) struct ChangeLog {
    is_kept: AtomicBool,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    batch: Batch,
    noted: HashSet<u32>,
}

/// What was noted.
#[derive(Debug, Default)]
pub struct Batch {
    /// Each `sock_listen`, in order: its descriptor, and why it failed if it did.
    pub listens: Vec<(u32, Option<Errno>)>,
    /// The numbers that stand for something else now, or whose socket began to listen
    /// or to connect. Each once.
    pub fds: Vec<u32>,
}

impl Batch {
    /// Did nothing change?
    pub fn is_empty(&self) -> bool {
        self.listens.is_empty() && self.fds.is_empty()
    }
}

impl ChangeLog {
    /// Starts logging. Returns whether it did so before.
    pub(super) fn keep(&self) -> bool {
        self.is_kept.swap(true, Relaxed)
    }

    /// Notes a number.
    #[inline]
    pub(super) fn note(&self, fd: u32) {
        if self.is_kept.load(Relaxed) {
            unpoisoned(&self.notes).note(fd);
        }
    }

    /// Notes the outcome of a `sock_listen`.
    pub(super) fn note_listen(&self, fd: u32, failed: Option<Errno>) {
        if self.is_kept.load(Relaxed) {
            let mut notes = unpoisoned(&self.notes);
            notes.note(fd);
            if notes.batch.listens.len() < MAX_LISTENS {
                notes.batch.listens.push((fd, failed));
            }
        }
    }

    /// Returns the log and empties it.
    pub(super) fn take(&self) -> Batch {
        let mut notes = unpoisoned(&self.notes);
        notes.noted.clear();
        std::mem::take(&mut notes.batch)
    }

    /// Empties the log.
    pub(super) fn forget(&self) {
        self.take();
    }
}

impl Notes {
    fn note(&mut self, fd: u32) {
        if self.noted.insert(fd) {
            self.batch.fds.push(fd);
        }
    }
}

impl Process {
    /// Starts logging changes of the descriptor table. Returns whether it did so before.
    pub(crate) fn keep_changes(&self) -> bool {
        let did_before = self.change_log.keep();
        if !did_before {
            self.note_inherited();
        }
        did_before
    }

    /// Has calls on the sockets that the guest has from its start on not wait, unless the
    /// operator chose whether they do.
    pub(crate) fn make_inherited_nonblocking(&self) {
        let inherited = &self.settings.inherited_sockets;
        if inherited.are_nonblocking.is_some() {
            return;
        }
        let fds = self.fds();
        for open in inherited.numbers().filter_map(|fd| fds.get(fd).ok()) {
            open.open.set_nonblocking(true);
        }
    }

    /// Logs the sockets that the guest has from its start on.
    pub(super) fn note_inherited(&self) {
        for fd in self.settings.inherited_sockets.numbers() {
            let socket = self.fds().get(fd).and_then(|inherited| inherited.open.open.socket().cloned());
            match socket.as_deref().map(Socket::stream) {
                Ok(Ok(tcp)) if tcp.is_listening() => self.note_listen(fd, None),
                _ => self.note_change(fd),
            }
        }
    }

    /// Logs that `fd` stands for something else now, or that its socket begins to
    /// listen or to connect.
    pub(crate) fn note_change(&self, fd: u32) {
        self.change_log.note(fd);
    }

    /// Logs a `sock_listen`, and why it failed if it did.
    pub(crate) fn note_listen(&self, fd: u32, failed: Option<Errno>) {
        self.change_log.note_listen(fd, failed);
    }

    /// What has changed since the last time.
    pub(crate) fn take_changes(&self) -> Batch {
        self.change_log.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_logged_before_it_is_requested() {
        let change_log = ChangeLog::default();
        change_log.note(3);
        change_log.note_listen(3, None);
        assert!(change_log.take().is_empty());
        assert!(!change_log.keep());
        assert!(change_log.keep());
        change_log.note(3);
        assert_eq!(change_log.take().fds, [3]);
    }

    #[test]
    fn a_number_is_noted_once_until_it_is_taken() {
        let change_log = ChangeLog::default();
        change_log.keep();
        for fd in [4, 3, 4, 4] {
            change_log.note(fd);
        }
        assert_eq!(change_log.take().fds, [4, 3]);
        change_log.note(4);
        assert_eq!(change_log.take().fds, [4]);
        assert!(change_log.take().is_empty());
    }

    #[test]
    fn listens_keep_their_order_and_have_a_limit() {
        let change_log = ChangeLog::default();
        change_log.keep();
        change_log.note_listen(3, Some(Errno::EINVAL));
        change_log.note_listen(3, None);
        assert_eq!(change_log.take().listens, [(3, Some(Errno::EINVAL)), (3, None)]);
        for _ in 0..=MAX_LISTENS {
            change_log.note_listen(3, None);
        }
        assert_eq!(change_log.take().listens.len(), MAX_LISTENS);
    }
}
