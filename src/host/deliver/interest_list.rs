//! Which sockets of the guest are watched, and under which numbers it knows them.
//!
//! What is watched is a socket, not a number: duplicates are one thing, which is reported
//! once, under the number that the guest has had longest. Nothing here keeps a
//! socket open that the guest has closed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use tokio::task::coop::consume_budget;

use crate::error::Errno;
use crate::io::{Events, Pollable};
use crate::ready::{Data, Epoll, Happened, Request};
use crate::socket::{Phase, Socket};

/// The number under which the epoll knows every socket: here a socket is one thing.
const NUMBER: u32 = 0;

/// How many changes are taken from the epoll at once.
const MOST_AT_ONCE: usize = 256;

/// Names a watch; never used again for another one.
pub(super) type Id = u64;

/// All that is watched for one guest.
pub(super) struct InterestList {
    wanted: InterestKinds,
    epoll: Arc<Epoll>,
    /// What changed, in the order of the changes, and what is to have another turn.
    queue: VecDeque<Id>,
    /// How many of the queue come before the epoll is asked again.
    round: usize,
    /// How many are watched.
    count: usize,
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
    /// Distinguishes one connection of a socket from its next one; nothing for an attempt that failed.
    source: Option<Weak<dyn Pollable>>,
    /// Oldest first.
    fds: Vec<u32>,
    is_watched: bool,
    is_queued: bool,
    /// Has it changed for the last time?
    is_over: bool,
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
            epoll: Epoll::new(),
            queue: VecDeque::new(),
            round: 0,
            count: 0,
            by_id: HashMap::new(),
            by_socket: HashMap::new(),
            by_fd: HashMap::new(),
            next_id: 0,
        }
    }

    /// Is nothing watched that could still change?
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The next one that changed, and whether that was for the last time. Look at it then: later
    /// changes are returned anew.
    ///
    /// # Cancel safety
    ///
    /// No change is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// The reason where it is [interrupted](crate::ready::interruptible).
    pub(super) async fn next(&mut self) -> Result<(Id, bool), Errno> {
        // A list that is always busy still yields to other tasks, the reactor included.
        consume_budget().await;
        loop {
            if self.round == 0 && !self.queue.is_empty() {
                // What changed meanwhile comes after what has waited for another turn.
                let mut found = Vec::new();
                self.epoll.take(MOST_AT_ONCE, &mut found);
                self.enqueue(&found);
                self.round = self.queue.len();
            }
            while let Some(id) = self.queue.pop_front() {
                self.round = self.round.saturating_sub(1);
                if let Some(watch) = self.by_id.get_mut(&id) {
                    watch.is_queued = false;
                    if watch.is_watched {
                        return Ok((id, watch.is_over));
                    }
                }
            }
            let found = self.epoll.wait(MOST_AT_ONCE, None, true).await?;
            self.enqueue(&found);
            self.round = self.queue.len();
        }
    }

    fn enqueue(&mut self, found: &[Happened]) {
        for Happened { events, data, .. } in found {
            if let Some(watch) = self.by_id.get_mut(&data.data2) {
                watch.is_over |= !events.and(Events::RDHUP.or(Events::HUP)).is_empty();
                self.requeue(data.data2);
            }
        }
    }

    pub(super) fn get(&self, id: Id) -> Option<&WatchedSocket> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut WatchedSocket> {
        self.by_id.get_mut(&id)
    }

    /// Queues `id` again, after all that are queued already.
    pub(super) fn requeue(&mut self, id: Id) {
        if let Some(watch) = self.by_id.get_mut(&id).filter(|watch| watch.is_watched && !watch.is_queued) {
            watch.is_queued = true;
            self.queue.push_back(id);
        }
    }

    /// Stops watching `id`. Its numbers are kept, so that it is not watched anew.
    pub(super) fn unregister(&mut self, id: Id) {
        let Some(watch) = self.by_id.get_mut(&id).filter(|watch| watch.is_watched) else { return };
        watch.is_watched = false;
        self.count -= 1;
        if let Some(socket) = watch.socket.upgrade() {
            let socket: Arc<dyn Pollable> = socket;
            let _gone = self.epoll.remove(NUMBER, &socket);
        }
    }

    /// Learns what `fd` stands for now.
    pub(super) fn learn(&mut self, fd: u32, socket: Option<Arc<Socket>>) {
        let found = socket.and_then(|socket| Some((self.source_of(&socket)?, socket)));
        let Some((source, socket)) = found else { return self.remove_fd(fd) };
        let is_same = |watch: &WatchedSocket| {
            let sources = (&watch.source, &source);
            std::ptr::eq(watch.socket.as_ptr(), Arc::as_ptr(&socket))
                && matches!(sources, (Some(known), Some(source)) if Weak::ptr_eq(known, source))
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
                self.watch(fds, &socket, source);
            }
            None => self.watch(vec![fd], &socket, source),
        }
    }

    /// The source of the socket's changes, if there is a handler for them.
    fn source_of(&self, socket: &Socket) -> Option<Option<Weak<dyn Pollable>>> {
        let phase = socket.stream().ok()?.phase();
        let is_wanted = match phase {
            Phase::Idle => false,
            Phase::Listening(_) => self.wanted.listeners,
            Phase::Connecting(_) | Phase::Failed | Phase::Connected(_) => self.wanted.connections,
        };
        is_wanted.then(|| phase.source().as_ref().map(Arc::downgrade))
    }

    fn watch(&mut self, fds: Vec<u32>, socket: &Arc<Socket>, source: Option<Weak<dyn Pollable>>) {
        let id = self.next_id;
        self.next_id += 1;
        self.by_fd.extend(fds.iter().map(|fd| (*fd, id)));
        self.by_socket.insert(Arc::as_ptr(socket).addr(), id);
        // What ends an attempt to connect without success is the end, which is read too.
        let data = Data { data2: id, ..Data::default() };
        let request = Request { events: Events::READ, edge: true, one_shot: false, data };
        let target: Arc<dyn Pollable> = Arc::<Socket>::clone(socket);
        // What has happened already is reported first. No account limits it, and the socket is not
        // watched by another number.
        let is_watched = self.epoll.add(NUMBER, &target, request).is_ok();
        self.count += usize::from(is_watched);
        let socket = Arc::downgrade(socket);
        let (is_queued, is_over, told) = (false, false, Reported::default());
        self.by_id.insert(id, WatchedSocket { socket, source, fds, is_watched, is_queued, is_over, told });
    }

    /// The guest knows nothing watched by `fd` any more.
    fn remove_fd(&mut self, fd: u32) {
        let Some(id) = self.by_fd.remove(&fd) else { return };
        let Some(watch) = self.by_id.get_mut(&id) else { return };
        watch.fds.retain(|other| *other != fd);
        if watch.fds.is_empty() {
            self.unregister(id);
            if let Some(watch) = self.by_id.remove(&id) {
                self.by_socket.remove(&watch.socket.as_ptr().addr());
            }
        }
    }
}

#[cfg(test)]
#[path = "interest_list/tests.rs"]
mod tests;
