//! The queue of connections that the host owns, for a profile that refuses what the
//! kernel would only ignore.
//!
//! The kernel's queue only passes connections on: each is taken at once, and either waits here or
//! is reset. Three callers may take them, under the one lock: the server task of this listener,
//! which the reactor wakes, so that a client is refused even while the guest computes; a guest that
//! accepts or polls, so that it never misses what the kernel has already; and a guest that listens
//! again. The server tasks of all listeners share the one thread of [`own_reactor`], and each
//! yields after a batch.
//!
//! A host without descriptors can take nothing. The kernel's queue is then cut down to what is left
//! of the backlog, so that the capacity still holds, and the task waits until a socket closes or a
//! moment has passed.
//!
//! Nothing keeps the listening socket open but its owner: [`Queue::close`] ends it
//! before it returns.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno as Os;
use rustix::net::SocketFlags;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::{
    AcceptFilter, ConnectionPermit, ListenConfig, PendingConnection, RejectReason, concerns_one_connection,
    is_idle, kernel_backlog,
};
use crate::account::{Account, Charge, sized};
use crate::address::Address;
use crate::error::Errno;
use crate::io::{AsyncFd, DescriptorDemand, Events, HostRuntime, Pollable, own_reactor, spawn_guarded};
use crate::socket::lease::Lease;
use crate::socket::{Domain, Refusal};

/// How many connections a server task takes before it yields to others.
const BATCH: usize = 64;

/// What the host and its kernel hold for a connection that waits.
const WAITING: u64 = sized::<PendingConnection>(2) + 4096;

/// A listener's queue.
pub struct Queue {
    reactor: Handle,
    account: Arc<Account>,
    /// What the addresses of peers mean.
    domain: Domain,
    /// The kernel's backlog while its queue only passes connections on.
    max_kernel_backlog: i32,
    state: Mutex<QueueState>,
}

struct QueueState {
    /// That of the instance that serves here: another generation may admit others.
    accept_filter: Arc<dyn AcceptFilter>,
    /// The listening socket; `None` once it is closed.
    listener: Option<Arc<AsyncFd>>,
    /// Where others have the listener too; `None` once it is closed.
    lease: Option<Lease>,
    /// Do others have it too? Then the kernel's queue is theirs to size.
    is_shared: bool,
    /// Oldest first.
    waiting: VecDeque<PendingConnection>,
    capacity: usize,
    /// A connection waits in the kernel, and there is no descriptor to take it with.
    is_out_of_descriptors: bool,
    /// The kernel's queue is cut down to what is left of the backlog.
    is_narrow: bool,
    /// An accept of the guest failed because there is no descriptor for its next connection.
    demand: Option<DescriptorDemand>,
    /// The wakers of calls that wait for a connection.
    wakers: Vec<Waker>,
    server: Option<AbortHandle>,
}

/// Why taking from the kernel stopped.
#[derive(PartialEq, Eq)]
enum Stopped {
    Empty,
    OutOfDescriptors,
    Batch,
    Closed,
}

impl Queue {
    /// For `listener`, which listens already, with a `lease` where others have it too; at most
    /// `capacity` connections wait.
    ///
    /// # Errors
    ///
    /// What [`own_reactor`] reports.
    pub(in crate::socket) fn new(
        listener: Arc<OwnedFd>,
        lease: Option<Lease>,
        domain: Domain,
        capacity: u32,
        config: &ListenConfig,
    ) -> Result<Arc<Self>, Errno> {
        let reactor = own_reactor()?;
        let state = QueueState {
            accept_filter: Arc::clone(&config.accept_filter),
            listener: Some(AsyncFd::with(&reactor, listener)),
            is_shared: lease.is_some(),
            lease,
            waiting: VecDeque::new(),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            is_out_of_descriptors: false,
            is_narrow: false,
            demand: None,
            wakers: Vec::new(),
            server: None,
        };
        let max_kernel_backlog = i32::try_from(config.kernel_maximum).unwrap_or(i32::MAX);
        let account = Arc::clone(&config.account);
        Ok(Arc::new(Self { reactor, account, domain, max_kernel_backlog, state: Mutex::new(state) }))
    }

    /// Begins to take connections from the kernel.
    pub(crate) fn serve(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.server.is_some() {
            // Begun by an earlier instance.
            return;
        }
        state.set_kernel_backlog(self.max_kernel_backlog);
        let queue = Arc::downgrade(self);
        let failed = move || {
            if let Some(queue) = queue.upgrade() {
                queue.accept_filter().host_failed();
            }
        };
        let server = spawn_guarded(&self.reactor, Arc::clone(self).run(), failed);
        state.server = Some(server);
    }

    /// From now on this one decides whom the queue takes, and counts.
    pub(in crate::socket) fn use_filter(&self, accept_filter: &Arc<dyn AcceptFilter>) {
        self.lock().accept_filter = Arc::clone(accept_filter);
    }

    /// Decides whom it takes.
    pub(in crate::socket) fn accept_filter(&self) -> Arc<dyn AcceptFilter> {
        Arc::clone(&self.lock().accept_filter)
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // Consistent whenever it is unlocked: a panic can't leave it torn.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server task: takes what arrives, whatever the guest does.
    async fn run(self: Arc<Self>) {
        loop {
            match poll_fn(|context| self.poll_serve(context)).await {
                // What the guest frees is for the listener that it asked.
                Stopped::OutOfDescriptors => loop {
                    let descriptors = &HostRuntime::of_process().descriptors;
                    descriptors.wait().await;
                    if self.lock().demand.is_some() || !descriptors.has_demand() {
                        break;
                    }
                },
                Stopped::Closed => return,
                Stopped::Empty | Stopped::Batch => tokio::task::yield_now().await,
            }
        }
    }

    fn poll_serve(&self, context: &mut Context<'_>) -> Poll<Stopped> {
        let mut state = self.lock();
        let Some(listener) = state.listener.clone() else { return Poll::Ready(Stopped::Closed) };
        // Clear, try, sleep: what arrives after the try ends the sleep.
        listener.clear_ready(Events::READ);
        match self.take_from_kernel(&mut state, BATCH) {
            Stopped::Empty => listener.poll_ready(context, Events::READ).map(|ready| match ready {
                Ok(()) => Stopped::Empty,
                // The reactor has ended, and this task with it.
                Err(_) => Stopped::Closed,
            }),
            stopped => Poll::Ready(stopped),
        }
    }

    /// Takes what the kernel has, `most` connections at most.
    fn take_from_kernel(&self, state: &mut QueueState, most: usize) -> Stopped {
        let Some(listener) = state.listener.clone() else { return Stopped::Closed };
        for _ in 0..most {
            let may_accept = |lease: &Lease| lease.may_accept().unwrap_or(false);
            if !state.lease.as_ref().is_none_or(may_accept) {
                self.widen(state);
                return Stopped::Empty;
            }
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let accept = || rustix::net::acceptfrom_with(listener.host_fd(), flags);
            match HostRuntime::of_process().descriptors.for_guest(1, accept, |(fd, _)| fd.as_raw_fd()) {
                Ok((socket, Some(peer))) => {
                    if let Ok(peer) = self.domain.read(peer) {
                        self.take(state, socket, peer);
                    }
                }
                // The peer's address comes with the connection; one without is gone.
                Ok((_, None)) => {}
                Err(Os::AGAIN) => {
                    self.widen(state);
                    return Stopped::Empty;
                }
                Err(error) if concerns_one_connection(error) => {}
                Err(_) => {
                    self.narrow(state);
                    // Linux allocates a descriptor before it looks for a connection.
                    if is_idle(listener.host_fd()) {
                        state.is_out_of_descriptors = false;
                        state.demand = None;
                        return Stopped::Empty;
                    }
                    // Woken once: the woken waiters come here again, and would wake themselves.
                    //
                    if !std::mem::replace(&mut state.is_out_of_descriptors, true) {
                        state.wake_waiters();
                    }
                    return Stopped::OutOfDescriptors;
                }
            }
        }
        self.widen(state);
        Stopped::Batch
    }

    /// Lets a connection wait, or refuses it.
    fn take(&self, state: &mut QueueState, socket: OwnedFd, peer: Address) {
        match self.admit(state, &peer) {
            Ok((permit, held)) => {
                state.waiting.push_back(PendingConnection { socket, peer, permit, _held: Some(held) });
                state.demand = None;
                state.wake_waiters();
            }
            Err(why) => {
                reset(&socket);
                drop(socket);
                state.accept_filter.rejected(peer, why);
            }
        }
    }

    /// May one more of `peer` wait? A queue for which the host may hold no more is full.
    fn admit(
        &self,
        state: &mut QueueState,
        peer: &Address,
    ) -> Result<(Option<ConnectionPermit>, Charge), RejectReason> {
        let accept_filter = Arc::clone(&state.accept_filter);
        accept_filter.admit(peer).map_err(RejectReason::Denied)?;
        let permit = accept_filter.quota().map(|quota| {
            quota.wait(peer).or_else(|_| {
                state.remove_reset();
                quota.wait(peer)
            })
        });
        let permit = permit.transpose().map_err(RejectReason::PeerLimit)?;
        if state.waiting.len() >= state.capacity {
            state.remove_reset();
        }
        if state.waiting.len() >= state.capacity {
            return Err(RejectReason::QueueFull);
        }
        let held = self.account.charge(WAITING).map_err(|_| RejectReason::QueueFull)?;
        Ok((permit, held))
    }

    /// Leaves connections without a descriptor to the kernel, up to what is left of the
    /// backlog.
    fn narrow(&self, state: &mut QueueState) {
        let room = state.capacity.saturating_sub(state.waiting.len());
        state.set_kernel_backlog(kernel_backlog(u32::try_from(room).unwrap_or(u32::MAX)));
        state.is_narrow = true;
    }

    /// The kernel's queue only passes connections on again.
    fn widen(&self, state: &mut QueueState) {
        state.is_out_of_descriptors = false;
        state.demand = None;
        if std::mem::take(&mut state.is_narrow) {
            state.set_kernel_backlog(self.max_kernel_backlog);
        }
    }

    /// Takes the connection that has waited longest.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if none is pending, `ENFILE` if pending connections need a
    /// descriptor that the host does not have, `EBADF` once the queue is closed; a limit to the
    /// number of connections that keeps them waiting.
    pub(crate) fn try_accept(&self) -> Result<PendingConnection, Refusal> {
        match self.accept_or(|_| ()) {
            Poll::Ready(answer) => answer,
            Poll::Pending => Err(Errno::EAGAIN.into()),
        }
    }

    /// As [`try_accept`](Self::try_accept), and wakes the caller where none waits yet.
    pub(crate) fn poll_accept(&self, context: &mut Context<'_>) -> Poll<Result<PendingConnection, Refusal>> {
        self.accept_or(|state| state.sleep(context))
    }

    fn accept_or(&self, wait: impl FnOnce(&mut QueueState)) -> Poll<Result<PendingConnection, Refusal>> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            self.take_from_kernel(&mut state, BATCH);
        }
        if let Some(permit) = state.waiting.front_mut().and_then(|next| next.permit.as_mut())
            && let Err(reached) = permit.enter()
        {
            let accept_filter = Arc::clone(&state.accept_filter);
            drop(state);
            accept_filter.is_full(reached);
            return Poll::Ready(Err(Refusal::Limited(reached)));
        }
        match state.waiting.pop_front() {
            Some(pending) => {
                state.accept_filter.accepted();
                Poll::Ready(Ok(pending))
            }
            // "EBADF: the other thread closed it" - docs/listen.md, rule 13
            None if state.listener.is_none() => Poll::Ready(Err(Errno::EBADF.into())),
            None if state.is_out_of_descriptors => {
                let demand = || HostRuntime::of_process().descriptors.demand();
                state.demand.get_or_insert_with(demand);
                Poll::Ready(Err(Errno::ENFILE.into()))
            }
            None => {
                wait(&mut state);
                Poll::Pending
            }
        }
    }

    /// How many connections wait, and how many may.
    pub(crate) fn waiting(&self) -> (u32, u32) {
        let state = self.lock();
        let of = |count| u32::try_from(count).unwrap_or(u32::MAX);
        (of(state.waiting.len()), of(state.capacity))
    }

    /// Is a connection pending, or will an accept return at once?
    pub(crate) fn has_waiting(&self) -> bool {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            self.take_from_kernel(&mut state, BATCH);
        }
        !state.waiting.is_empty() || state.is_out_of_descriptors || state.listener.is_none()
    }

    /// Changes how many may wait. Those that no longer fit are reset, the newest
    /// first.
    pub(crate) fn set_capacity(&self, capacity: u32) {
        let mut state = self.lock();
        // Connections that arrived before now count as pending: as many as the kernel can
        // have held.
        let most = usize::try_from(self.max_kernel_backlog).unwrap_or(usize::MAX);
        self.take_from_kernel(&mut state, most.max(BATCH));
        state.capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        while state.waiting.len() > state.capacity {
            if let Some(excess) = state.waiting.pop_back() {
                reset(&excess.socket);
                drop(excess.socket);
                state.accept_filter.rejected(excess.peer, RejectReason::Shrunk);
            }
        }
        if state.is_narrow {
            self.narrow(&mut state);
        }
    }

    /// Has those that wait for a connection look again, as if one had come.
    pub(in crate::socket) fn wake_waiters(&self) {
        self.lock().wake_waiters();
    }

    /// Closes the queue: pending connections are reset, and waiting calls are woken. Tells how many
    /// connections these were.
    pub(crate) fn close(&self) -> usize {
        let mut state = self.lock();
        state.lease = None;
        state.listener = None;
        state.demand = None;
        let pending = state.waiting.len();
        for waiting in state.waiting.drain(..) {
            reset(&waiting.socket);
        }
        if let Some(server) = state.server.take() {
            server.abort();
        }
        state.wake_waiters();
        pending
    }
}

impl QueueState {
    fn sleep(&mut self, context: &Context<'_>) {
        if !self.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            self.wakers.push(context.waker().clone());
        }
    }

    fn wake_waiters(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// Sets the length of the kernel's own queue.
    fn set_kernel_backlog(&self, backlog: i32) {
        if let Some(listener) = self.listener.as_ref().filter(|_| !self.is_shared) {
            // It listens already: there is nothing that could fail.
            let _again = rustix::net::listen(listener.host_fd(), backlog);
        }
    }

    /// Removes connections that were reset meanwhile, which frees their space.
    fn remove_reset(&mut self) {
        let mut fds: Vec<_> =
            self.waiting.iter().map(|waiting| PollFd::new(&waiting.socket, PollFlags::empty())).collect();
        if rustix::event::poll(&mut fds, Some(&Timespec::default())).is_err() {
            return;
        }
        let is_dead: Vec<bool> = fds.iter().map(|fd| fd.revents().contains(PollFlags::ERR)).collect();
        drop(fds);
        let mut is_dead = is_dead.into_iter();
        self.waiting.retain(|_| !is_dead.next().unwrap_or(false));
    }
}

impl Pollable for Queue {
    fn register(&self, _: Events, context: &mut Context<'_>) -> bool {
        let mut state = self.lock();
        // One that is closed does not change any more.
        if state.listener.is_some() {
            state.sleep(context);
        }
        false
    }

    fn look(&self) -> Events {
        Events::IN.when(self.has_waiting())
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        f.debug_struct("Queue")
            .field("waiting", &state.waiting.len())
            .field("capacity", &state.capacity)
            .finish_non_exhaustive()
    }
}

/// Makes the peer see a reset once `socket` is closed, which is next.
pub(crate) fn reset(socket: impl AsFd) {
    // A socket that refuses the option has no peer any more.
    let _gone = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

#[cfg(test)]
#[path = "queue/tests.rs"]
mod tests;
