//! The queue of connections that the host owns, for a profile that refuses what the
//! kernel would only ignore.
//!
//! The kernel's queue becomes a passage: whatever arrives there is taken at once, and
//! either waits here or is reset. Three may do the taking, under the one lock: the
//! server task of this listener, which the reactor wakes, so that a client is refused
//! also while the guest computes; a guest that accepts or polls, so that it never
//! misses what the kernel has already; and a guest that listens again. The server
//! tasks of all listeners share the one thread of [`own_reactor`], and each gives way
//! after a batch.
//!
//! A host without descriptors can take nothing. The kernel's queue is then cut down to
//! what is left of the backlog, so that the promise "so many wait" still holds, and the
//! task rests until a socket closes or a moment has passed.
//!
//! Nothing keeps the listening socket open but its owner: [`Queue::close`] ends it
//! before it returns.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno as Os;
use rustix::net::SocketFlags;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{Arrival, Door, Place, Terms, TurnedAway, concerns_one_connection, is_idle, kernel_backlog};
use crate::account::{Account, Charge, sized};
use crate::address::Address;
use crate::error::Errno;
use crate::socket::lease::Lease;
use crate::socket::{Interest, Refusal, Registered, Space, own_reactor, spawn_guarded};

/// How many connections a server task takes before it gives way to others.
const BATCH: usize = 64;

/// How long a task without descriptors rests at most: something else than a socket
/// may have given one back.
const REST: Duration = Duration::from_millis(250);

/// What the host and its kernel hold for a connection that waits.
const WAITING: u64 = sized::<Arrival>(2) + 4096;

/// A listener's queue.
pub struct Queue {
    reactor: Handle,
    door: Arc<dyn Door>,
    account: Arc<Account>,
    /// What the addresses of peers mean.
    space: Space,
    /// What the kernel's own queue is told while it is but a passage.
    passage: i32,
    state: Mutex<State>,
}

struct State {
    /// The listening socket; `None` once it is closed.
    listener: Option<Arc<Registered>>,
    /// Where others have the listener too; `None` once it is closed.
    lease: Option<Lease>,
    /// Do others have it too? Then the kernel's queue is theirs to size.
    is_shared: bool,
    /// Oldest first.
    waiting: VecDeque<Arrival>,
    capacity: usize,
    /// Somebody waits in the kernel, and there is no descriptor to take them with.
    is_starved: bool,
    /// The kernel's queue is cut down to what is left of the backlog.
    is_narrow: bool,
    /// The guest was told that there is no descriptor for its next connection.
    wanted: Option<Wanted>,
    /// Those who wait for a connection, or for a look at one.
    sleepers: Vec<Waker>,
    server: Option<AbortHandle>,
}

/// Why taking from the kernel stopped.
#[derive(PartialEq, Eq)]
enum Stopped {
    Empty,
    Starved,
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
        space: Space,
        capacity: u32,
        terms: &Terms,
    ) -> Result<Arc<Self>, Errno> {
        let reactor = own_reactor()?;
        let state = State {
            listener: Some(Registered::with(&reactor, listener)),
            is_shared: lease.is_some(),
            lease,
            waiting: VecDeque::new(),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            is_starved: false,
            is_narrow: false,
            wanted: None,
            sleepers: Vec::new(),
            server: None,
        };
        let passage = i32::try_from(terms.kernel_maximum).unwrap_or(i32::MAX);
        let (door, account) = (Arc::clone(&terms.door), Arc::clone(&terms.account));
        Ok(Arc::new(Self { reactor, door, account, space, passage, state: Mutex::new(state) }))
    }

    /// Begins to take connections from the kernel.
    pub(crate) fn serve(self: &Arc<Self>) {
        let mut state = self.lock();
        state.tell_kernel(self.passage);
        let door = Arc::clone(&self.door);
        let server = spawn_guarded(&self.reactor, Arc::clone(self).run(), move || door.host_failed());
        state.server = Some(server);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole whenever it is free: a panic can't leave it torn.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server task: takes what arrives, whatever the guest does.
    async fn run(self: Arc<Self>) {
        loop {
            match poll_fn(|context| self.poll_serve(context)).await {
                // What the guest frees is for the listener that it asked.
                Stopped::Starved => loop {
                    rest().await;
                    if self.lock().wanted.is_some() || !Wanted::exists() {
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
        // Forget, look, sleep: what arrives after the look ends the sleep.
        listener.forget(Interest::Read);
        match self.take_from_kernel(&mut state, BATCH) {
            Stopped::Empty => listener.poll_ready(context, Interest::Read).map(|ready| match ready {
                Ok(()) => Stopped::Empty,
                // The reactor has ended, and this task with it.
                Err(_) => Stopped::Closed,
            }),
            stopped => Poll::Ready(stopped),
        }
    }

    /// Takes what the kernel has, `most` connections at most.
    fn take_from_kernel(&self, state: &mut State, most: usize) -> Stopped {
        let Some(listener) = state.listener.clone() else { return Stopped::Closed };
        for _ in 0..most {
            let may_accept = |lease: &Lease| lease.may_accept().unwrap_or(false);
            if !state.lease.as_ref().is_none_or(may_accept) {
                self.widen(state);
                return Stopped::Empty;
            }
            match rustix::net::acceptfrom_with(
                listener.host_fd(),
                SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            ) {
                Ok((socket, Some(peer))) => {
                    if let Ok(peer) = self.space.read(peer) {
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
                    // Linux looks for a descriptor before it looks for a connection.
                    if is_idle(listener.host_fd()) {
                        state.is_starved = false;
                        state.wanted = None;
                        return Stopped::Empty;
                    }
                    // Told once: those who are woken look here again, and would wake
                    // themselves by it.
                    if !std::mem::replace(&mut state.is_starved, true) {
                        state.wake_sleepers();
                    }
                    return Stopped::Starved;
                }
            }
        }
        self.widen(state);
        Stopped::Batch
    }

    /// Lets a connection wait, or refuses it.
    fn take(&self, state: &mut State, socket: OwnedFd, peer: Address) {
        match self.admit(state, &peer) {
            Ok((place, held)) => {
                state.waiting.push_back(Arrival { socket, peer, place, _held: Some(held) });
                state.wanted = None;
                state.wake_sleepers();
            }
            Err(why) => {
                reset(&socket);
                drop(socket);
                self.door.turned_away(peer, why);
            }
        }
    }

    /// May one more of `peer` wait? A queue for which the host may hold no more is full.
    fn admit(&self, state: &mut State, peer: &Address) -> Result<(Option<Place>, Charge), TurnedAway> {
        self.door.admit(peer).map_err(TurnedAway::Denied)?;
        let place = self.door.gate().map(|gate| {
            gate.wait(peer).or_else(|_| {
                state.forget_the_dead();
                gate.wait(peer)
            })
        });
        let place = place.transpose().map_err(TurnedAway::PeerLimit)?;
        if state.waiting.len() >= state.capacity {
            state.forget_the_dead();
        }
        if state.waiting.len() >= state.capacity {
            return Err(TurnedAway::QueueFull);
        }
        let held = self.account.charge(WAITING).map_err(|_| TurnedAway::QueueFull)?;
        Ok((place, held))
    }

    /// Leaves what does not fit a descriptor to the kernel, and no more than the
    /// backlog has room for.
    fn narrow(&self, state: &mut State) {
        let room = state.capacity.saturating_sub(state.waiting.len());
        state.tell_kernel(kernel_backlog(u32::try_from(room).unwrap_or(u32::MAX)));
        state.is_narrow = true;
    }

    /// The kernel's queue is a passage again.
    fn widen(&self, state: &mut State) {
        state.is_starved = false;
        state.wanted = None;
        if std::mem::take(&mut state.is_narrow) {
            state.tell_kernel(self.passage);
        }
    }

    /// Takes the connection that has waited longest.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where none waits, `ENFILE` where those that wait need a descriptor
    /// that the host does not have, `EBADF` once the queue is closed; a limit to the
    /// number of connections that keeps them waiting.
    pub(crate) fn try_accept(&self) -> Result<Arrival, Refusal> {
        match self.accept_or(|_| ()) {
            Poll::Ready(answer) => answer,
            Poll::Pending => Err(Errno::EAGAIN.into()),
        }
    }

    /// As [`try_accept`](Self::try_accept), and wakes the caller where none waits yet.
    pub(crate) fn poll_accept(&self, context: &mut Context<'_>) -> Poll<Result<Arrival, Refusal>> {
        self.accept_or(|state| state.sleep(context))
    }

    fn accept_or(&self, wait: impl FnOnce(&mut State)) -> Poll<Result<Arrival, Refusal>> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            self.take_from_kernel(&mut state, BATCH);
        }
        if let Some(place) = state.waiting.front_mut().and_then(|next| next.place.as_mut())
            && let Err(reached) = place.enter()
        {
            drop(state);
            self.door.is_full(reached);
            return Poll::Ready(Err(Refusal::Limited(reached)));
        }
        match state.waiting.pop_front() {
            Some(arrival) => Poll::Ready(Ok(arrival)),
            // "EBADF: the other thread closed it" - docs/listen.md, rule 13
            None if state.listener.is_none() => Poll::Ready(Err(Errno::EBADF.into())),
            None if state.is_starved => {
                state.wanted.get_or_insert_with(Wanted::new);
                Poll::Ready(Err(Errno::ENFILE.into()))
            }
            None => {
                wait(&mut state);
                Poll::Pending
            }
        }
    }

    /// Does a connection wait, or will an accept answer at once?
    pub(crate) fn has_waiting(&self) -> bool {
        self.poll_waiting(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Does a connection wait? Wakes the caller once one does.
    pub fn poll_waiting(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            self.take_from_kernel(&mut state, BATCH);
        }
        if state.waiting.is_empty() && !state.is_starved && state.listener.is_some() {
            state.sleep(context);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Wakes the caller once the next connection waits; ready where none ever will.
    pub(crate) fn watch(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.listener.is_none() {
            return Poll::Ready(());
        }
        state.sleep(context);
        Poll::Pending
    }

    /// Changes how many may wait. Those that no longer fit are reset, the newest
    /// first.
    pub(crate) fn set_capacity(&self, capacity: u32) {
        let mut state = self.lock();
        // Whoever came in before now counts among those that waited: as many as the
        // kernel can have held.
        let most = usize::try_from(self.passage).unwrap_or(usize::MAX);
        self.take_from_kernel(&mut state, most.max(BATCH));
        state.capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        while state.waiting.len() > state.capacity {
            if let Some(excess) = state.waiting.pop_back() {
                reset(&excess.socket);
                drop(excess.socket);
                self.door.turned_away(excess.peer, TurnedAway::Shrunk);
            }
        }
        if state.is_narrow {
            self.narrow(&mut state);
        }
    }

    /// Ends the queue: whoever waits in it is reset, and whoever waits for it is woken.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.lease = None;
        state.listener = None;
        state.wanted = None;
        for waiting in state.waiting.drain(..) {
            reset(&waiting.socket);
        }
        if let Some(server) = state.server.take() {
            server.abort();
        }
        state.wake_sleepers();
    }
}

impl State {
    fn sleep(&mut self, context: &Context<'_>) {
        if !self.sleepers.iter().any(|sleeper| sleeper.will_wake(context.waker())) {
            self.sleepers.push(context.waker().clone());
        }
    }

    fn wake_sleepers(&mut self) {
        self.sleepers.drain(..).for_each(Waker::wake);
    }

    /// Tells the kernel how long its own queue may be.
    fn tell_kernel(&self, backlog: i32) {
        if let Some(listener) = self.listener.as_ref().filter(|_| !self.is_shared) {
            // It listens already: there is nothing that could fail.
            let _again = rustix::net::listen(listener.host_fd(), backlog);
        }
    }

    /// Gives the places of connections that were reset meanwhile to others.
    fn forget_the_dead(&mut self) {
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

/// Server tasks that rest for want of a descriptor, and what wakes them.
static RESTING: AtomicUsize = AtomicUsize::new(0);
static FREED: Notify = Notify::const_new();

async fn rest() {
    RESTING.fetch_add(1, SeqCst);
    let _until_done = Resting;
    // Ended by either; a descriptor that came free just before costs one rest.
    let _either = tokio::time::timeout(REST, FREED.notified()).await;
}

struct Resting;

impl Drop for Resting {
    fn drop(&mut self) {
        RESTING.fetch_sub(1, SeqCst);
    }
}

/// How many queues owe their guest a connection.
static WANTED: AtomicUsize = AtomicUsize::new(0);

/// One queue that owes its guest a connection: the others leave it the next descriptor.
struct Wanted(());

impl Wanted {
    fn new() -> Self {
        WANTED.fetch_add(1, SeqCst);
        Self(())
    }

    fn exists() -> bool {
        WANTED.load(SeqCst) > 0
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        WANTED.fetch_sub(1, SeqCst);
    }
}

/// Tells the resting tasks when it is dropped that a descriptor is free. The last
/// field of what closes one.
#[derive(Debug)]
pub(crate) struct Freed;

impl Drop for Freed {
    fn drop(&mut self) {
        if RESTING.load(SeqCst) > 0 {
            FREED.notify_waiters();
        }
    }
}

#[cfg(test)]
#[path = "queue/tests.rs"]
mod tests;
