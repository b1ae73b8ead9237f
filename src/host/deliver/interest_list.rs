//! Which sockets of the guest are watched, and under which numbers it knows them.
//!
//! What is watched is a socket, not a number: duplicates are one thing, which is reported
//! once, under the number that the guest has had longest. Nothing here keeps a
//! socket open that the guest has closed.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::io::{Change, Interest, Watchable};
use crate::ready::ReadyList;
use crate::socket::{Phase, Socket};

/// Names a watch; never used again for another one.
pub(super) type Id = u64;

/// All that is watched for one guest.
pub(super) struct InterestList {
    wanted: InterestKinds,
    ready_list: ReadyList<Id>,
    by_id: HashMap<Id, WatchedSocket>,
    /// By the address of the socket, which no other socket can have while its watch is
    /// here.
    by_socket: HashMap<usize, Id>,
    by_fd: HashMap<u32, Id>,
    next_id: Id,
}

/// What is worth watching: what there is a handler for.
#[derive(Clone, Copy, Debug)]
pub(super) struct InterestKinds {
    pub(super) listeners: bool,
    pub(super) connections: bool,
}

/// One watched socket.
pub(super) struct WatchedSocket {
    pub(super) socket: Weak<Socket>,
    /// Distinguishes one connection of a socket from its next one.
    source: Weak<dyn Watchable>,
    /// Oldest first.
    fds: Vec<u32>,
    pub(super) told: Reported,
}

/// What the guest knows of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reported {
    /// How many bytes had arrived at the last report.
    pub(super) arrived: u64,
    /// How many of them it had received then.
    pub(super) received: u64,
}

impl WatchedSocket {
    /// The number under which it is reported to the guest.
    pub(super) fn fd(&self) -> Option<u32> {
        self.fds.first().copied()
    }
}

impl InterestList {
    pub(super) fn new(wanted: InterestKinds) -> Self {
        Self {
            wanted,
            ready_list: ReadyList::new(),
            by_id: HashMap::new(),
            by_socket: HashMap::new(),
            by_fd: HashMap::new(),
            next_id: 0,
        }
    }

    /// Is nothing watched that could still change?
    pub(super) fn is_empty(&self) -> bool {
        self.ready_list.is_empty()
    }

    /// The next one that changed.
    ///
    /// # Cancel safety
    ///
    /// As for [`ReadyList::next`].
    pub(super) async fn next(&mut self) -> (Id, Change) {
        self.ready_list.next().await
    }

    pub(super) fn get(&self, id: Id) -> Option<&WatchedSocket> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut WatchedSocket> {
        self.by_id.get_mut(&id)
    }

    /// Queues `id` again, after all that are queued already.
    pub(super) fn requeue(&self, id: Id) {
        self.ready_list.requeue(&id);
    }

    /// Stops watching `id`. Its numbers are kept, so that it is not watched anew.
    ///
    pub(super) fn unregister(&mut self, id: Id) {
        self.ready_list.remove(&id);
    }

    /// Learns what `fd` stands for now.
    pub(super) fn learn(&mut self, fd: u32, socket: Option<Arc<Socket>>) {
        let found = socket.and_then(|socket| Some((self.source_of(&socket)?, socket)));
        let Some((source, socket)) = found else { return self.remove_fd(fd) };
        let is_same = |watch: &WatchedSocket| {
            std::ptr::eq(watch.socket.as_ptr(), Arc::as_ptr(&socket))
                && Weak::ptr_eq(&watch.source, &Arc::downgrade(&source))
        };
        if self.by_fd.get(&fd).and_then(|id| self.by_id.get(id)).is_some_and(is_same) {
            return;
        }
        self.remove_fd(fd);
        let known = self.by_socket.get(&Arc::as_ptr(&socket).addr()).copied();
        match known.and_then(|id| Some((id, self.by_id.get_mut(&id)?))) {
            Some((id, watch)) if is_same(watch) => {
                watch.fds.push(fd);
                self.by_fd.insert(fd, id);
            }
            // The socket's earlier connection is no more.
            Some((_, earlier)) => {
                let mut fds = earlier.fds.clone();
                fds.iter().for_each(|fd| self.remove_fd(*fd));
                fds.push(fd);
                self.watch(fds, &socket, &source);
            }
            None => self.watch(vec![fd], &socket, &source),
        }
    }

    /// The source of the socket's changes that there is a handler for.
    fn source_of(&self, socket: &Socket) -> Option<Arc<dyn Watchable>> {
        let phase = socket.stream().ok()?.phase();
        let is_wanted = match phase {
            Phase::Idle => false,
            Phase::Listening(_) => self.wanted.listeners,
            Phase::Connecting(_) | Phase::Failed | Phase::Connected(_) => self.wanted.connections,
        };
        phase.source().filter(|_| is_wanted)
    }

    fn watch(&mut self, fds: Vec<u32>, socket: &Arc<Socket>, source: &Arc<dyn Watchable>) {
        let id = self.next_id;
        self.next_id += 1;
        self.by_fd.extend(fds.iter().map(|fd| (*fd, id)));
        self.by_socket.insert(Arc::as_ptr(socket).addr(), id);
        // What ends an attempt to connect without success is the end, which is read too.
        self.ready_list.insert(id, source, Interest::Read);
        let (socket, source) = (Arc::downgrade(socket), Arc::downgrade(source));
        self.by_id.insert(id, WatchedSocket { socket, source, fds, told: Reported::default() });
    }

    /// The guest knows nothing watched by `fd` any more.
    fn remove_fd(&mut self, fd: u32) {
        let Some(id) = self.by_fd.remove(&fd) else { return };
        let Some(watch) = self.by_id.get_mut(&id) else { return };
        watch.fds.retain(|other| *other != fd);
        if watch.fds.is_empty() {
            self.by_socket.remove(&watch.socket.as_ptr().addr());
            self.by_id.remove(&id);
            self.ready_list.remove(&id);
        }
    }
}
