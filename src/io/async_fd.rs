//! A descriptor of the host that the reactor watches.

use std::future::{Future, poll_fn};
use std::io::{Error, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::unix::{AsyncFd as TokioFd, AsyncFdReadyGuard};
use tokio::runtime::Handle;
use tokio::task::unconstrained;

use super::parker_poll;
use super::reactor::{own_reactor, reactor};
use super::{Change, Interest, Watchable, Watchers};
use crate::error::Errno;

/// Takes note that the guest is told of something. A held socket has one.
pub(crate) trait OnReport: std::fmt::Debug + Send + Sync {
    /// The guest is told that something came in.
    fn note_report(&self);
}

/// A host socket, or a timer, with its registration with the reactor.
///
/// A socket gets an `AsyncFd` once it has something to wait for (it listens, connects, or was
/// accepted), because a fresh TCP socket reports a hang-up that the reactor never clears. The
/// descriptor is registered at the first wait through the reactor, which then reports what is ready
/// already: a connection that completes at once, and one whose thread [polls it
/// itself](parker_poll), cost the reactor nothing.
///
/// The reactor may be an embedder's runtime, and end before the socket does. Then waiters
/// are woken, and the socket is registered with wasock's own reactor, which never ends.
///
/// The reactor remembers that the socket was ready; it does not know what was done since. A
/// [try](Self::try_io) that would block clears the readiness that was reported before it, and
/// nothing else: later reports are kept, so no wake-up is lost, not even if threads share the
/// socket and one of them tries while another one is about to sleep.
/// [`clear_ready`](Self::clear_ready) is for exclusive users, and for those that watch many
/// sources: see [`is_watched`](Self::is_watched).
#[derive(Debug)]
pub struct AsyncFd {
    fd: Arc<OwnedFd>,
    reactor: Handle,
    /// The descriptor as the reactor has it.
    io: OnceLock<ReactorFd>,
    /// The same for wasock's own reactor, once the other one has ended.
    moved: OnceLock<Box<ReactorFd>>,
    /// Held during registration with a reactor.
    registering: Mutex<()>,
    /// Bytes that were taken from the kernel so far. With what is left there, it is
    /// all that ever arrived.
    received: AtomicU64,
    /// The reactor has one waker a direction, which wakes all of these.
    /// Each is made at the first watch.
    watchers: [OnceLock<Arc<Watchers>>; 2],
    /// Has it ever been watched, and so cleared without a try?
    is_watched: AtomicBool,
    /// Did the last receive that could wait have to wait?
    is_slow: AtomicBool,
    /// Takes note of what the guest is told of it.
    on_report: Option<Arc<dyn OnReport>>,
    /// Does nobody wait for what comes in?
    is_for_writing: bool,
}

type ReactorFd = TokioFd<Arc<OwnedFd>>;

impl AsyncFd {
    /// A registration of `fd` with the caller's reactor.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where the host can't start a reactor.
    pub(crate) fn new(fd: Arc<OwnedFd>) -> Result<Arc<Self>, Errno> {
        Ok(Self::with(&reactor()?, fd))
    }

    /// As [`new`](Self::new), with what takes note of each report.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub(crate) fn with_hook(fd: Arc<OwnedFd>, on_report: Arc<dyn OnReport>) -> Result<Arc<Self>, Errno> {
        Ok(Arc::new(Self { on_report: Some(on_report), ..Self::unshared(&reactor()?, fd) }))
    }

    /// As [`new`](Self::new), where nobody waits for what comes in: it wakes nobody then.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub(crate) fn for_writing(fd: Arc<OwnedFd>) -> Result<Arc<Self>, Errno> {
        Ok(Arc::new(Self { is_for_writing: true, ..Self::unshared(&reactor()?, fd) }))
    }

    /// A registration of `fd` with this reactor.
    pub(crate) fn with(reactor: &Handle, fd: Arc<OwnedFd>) -> Arc<Self> {
        Arc::new(Self::unshared(reactor, fd))
    }

    fn unshared(reactor: &Handle, fd: Arc<OwnedFd>) -> Self {
        Self {
            fd,
            reactor: reactor.clone(),
            io: OnceLock::new(),
            moved: OnceLock::new(),
            registering: Mutex::new(()),
            received: AtomicU64::new(0),
            watchers: Default::default(),
            is_watched: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
            on_report: None,
            is_for_writing: false,
        }
    }

    /// Notes that readiness was reported to the guest.
    pub(crate) fn note_report(&self) {
        if let Some(on_report) = &self.on_report {
            on_report.note_report();
        }
    }

    /// The descriptor as the reactor has it; registers it first if necessary.
    ///
    /// # Errors
    ///
    /// Those of the operating system's event queue: `ENOSPC`, `ENOMEM`.
    fn io(&self) -> Result<&ReactorFd, Errno> {
        if let Some(io) = self.registered_fd() {
            return Ok(io);
        }
        {
            let _alone = self.registering.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(io) = self.registered_fd() {
                return Ok(io);
            }
            match self.register_with(&self.reactor) {
                Ok(io) => return Ok(self.io.get_or_init(|| io)),
                // The operating system's own errors have numbers.
                Err(error) if error.raw_os_error().is_some() => return Err(error.into()),
                Err(_ended) => {}
            }
        }
        self.moved()
    }

    /// The descriptor as wasock's own reactor has it, for a reactor that has ended.
    ///
    /// # Errors
    ///
    /// As for [`io`](Self::io); `EAGAIN` where the host can't start that reactor.
    fn moved(&self) -> Result<&ReactorFd, Errno> {
        if let Some(io) = self.moved.get() {
            return Ok(io);
        }
        let own = own_reactor()?;
        let _alone = self.registering.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(io) = self.moved.get() {
            return Ok(io);
        }
        let io = Box::new(self.register_with(&own)?);
        Ok(self.moved.get_or_init(|| io))
    }

    fn register_with(&self, reactor: &Handle) -> Result<ReactorFd, Error> {
        let _inside = reactor.enter();
        let reads = if self.is_for_writing { None } else { Some(tokio::io::Interest::READABLE) };
        let interest = tokio::io::Interest::WRITABLE;
        let interest = reads.map_or(interest, |reads| interest | reads);
        // Deprecated because an arbitrary type could close or swap its descriptor while
        // it is registered. A shared `OwnedFd` can do neither.
        #[expect(
            deprecated,
            reason = "its replacement is an unsafe function, and this type meets its contract"
        )]
        TokioFd::with_interest(Arc::clone(&self.fd), interest)
    }

    /// The descriptor as a reactor has it, if it is registered.
    fn registered_fd(&self) -> Option<&ReactorFd> {
        self.moved.get().map(Box::as_ref).or_else(|| self.io.get())
    }

    /// Is it registered with the reactor?
    #[cfg(test)]
    pub(crate) fn is_registered(&self) -> bool {
        self.registered_fd().is_some()
    }

    /// The host's descriptor.
    pub fn host_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Waits until the kernel reports that the descriptor is ready, if this thread polls it
    /// [itself](parker_poll); else until the reactor has reported it since it was last
    /// [cleared](Self::clear_ready). May return spuriously.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of the operating system's event queue.
    pub async fn ready(&self, interest: Interest) -> Result<(), Errno> {
        let mut noted = None;
        if poll_fn(|context| parker_poll::poll_wait(&mut noted, context, &self.fd, interest)).await {
            return Ok(());
        }
        let mut guard = match self.io()?.ready(interest.to_tokio()).await {
            Ok(guard) => guard,
            // Its runtime has ended, now or before.
            Err(_) => self.moved()?.ready(interest.to_tokio()).await?,
        };
        guard.retain_ready();
        Ok(())
    }

    /// As [`ready`](Self::ready), for a single waiter: other watchers of the descriptor
    /// are no longer woken. `self` is not borrowed while the caller waits.
    ///
    /// # Errors
    ///
    /// `EIO` where the reactor has ended: it is for those in wasock's own, and ends with it.
    pub(crate) fn poll_ready(
        &self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<(), Errno>> {
        let io = self.io()?;
        let ready = match interest {
            Interest::Read => io.poll_read_ready(context),
            Interest::Write => io.poll_write_ready(context),
        };
        ready.map(|ready| {
            ready?.retain_ready();
            Ok(())
        })
    }

    /// Calls `attempt` once. If it is pending, the readiness that was reported before
    /// is cleared, without a system call.
    pub fn try_io<T>(&self, interest: Interest, mut attempt: impl FnMut() -> Poll<T>) -> Poll<T> {
        // Without a registration no readiness is recorded.
        let Some(io) = self.registered_fd() else { return attempt() };
        let mut found = None;
        let _readiness: Result<(), Error> = io.try_io(interest.to_tokio(), |_| {
            let answer = found.insert(attempt());
            if answer.is_pending() { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        // No readiness is recorded; the kernel may know better.
        found.unwrap_or_else(attempt)
    }

    /// The readiness reported so far, for a poll of many sources: see [`ReadyGuard::clear_ready`].
    ///
    pub fn ready_guard(&self, interest: Interest) -> ReadyGuard<'_> {
        let Some(io) = self.registered_fd() else { return ReadyGuard(None) };
        let ready = pin!(io.ready(interest.to_tokio()));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(guard)) => ReadyGuard(Some(guard)),
            _ => ReadyGuard(None),
        }
    }

    /// Clears the readiness reported so far, without a system call.
    pub fn clear_ready(&self, interest: Interest) {
        let Some(io) = self.registered_fd() else { return };
        let forgotten: Result<(), Error> =
            io.try_io(interest.to_tokio(), |_| Err(ErrorKind::WouldBlock.into()));
        debug_assert!(forgotten.is_err());
    }

    fn watchers(&self, interest: Interest) -> &OnceLock<Arc<Watchers>> {
        let [readers, writers] = &self.watchers;
        if interest == Interest::Read { readers } else { writers }
    }

    /// Wakes the watchers to try again, as after a change.
    pub(crate) fn wake_all(&self, interest: Interest) {
        if let Some(watchers) = self.watchers(interest).get() {
            watchers.wake_all();
        }
    }

    /// Has it been watched, by a watcher that clears before it tries? Then
    /// a waiter that tries before it sleeps tries once more after its waker is registered.
    pub fn is_watched(&self) -> bool {
        self.is_watched.load(SeqCst)
    }

    /// Is it likely that there is nothing to receive? A guess: waiting before the first try saves a
    /// try that would block, and misses nothing, since the kernel reports what is there already, to
    /// a [parker_poll] at each wait and to the reactor at registration. A registered one may have
    /// had its readiness cleared while data was left; so there is no guess then.
    pub fn is_slow(&self) -> bool {
        self.is_slow.load(Relaxed) && self.registered_fd().is_none()
    }

    /// Notes that there was nothing to receive, or as much as was asked for.
    pub fn note_slow(&self, is_slow: bool) {
        if self.is_slow.load(Relaxed) != is_slow {
            self.is_slow.store(is_slow, Relaxed);
        }
    }

    /// Counts bytes that a call took.
    pub(crate) fn note_received(&self, bytes: usize) {
        self.received.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
    }

    /// How many bytes were received through this socket.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }
}

/// The readiness that was reported up to one moment.
pub struct ReadyGuard<'a>(Option<AsyncFdReadyGuard<'a, Arc<OwnedFd>>>);

impl ReadyGuard<'_> {
    /// Clears it: a try after that moment would have blocked.
    pub fn clear_ready(self) {
        if let Self(Some(mut guard)) = self {
            guard.clear_ready();
        }
    }
}

impl Watchable for AsyncFd {
    fn poll_change(&self, interest: Interest, context: &mut Context<'_>) -> Poll<Change> {
        let watchers = self.watchers(interest).get_or_init(Arc::default);
        self.is_watched.store(true, SeqCst);
        watchers.add(context.waker());
        self.clear_ready(interest);
        // Without a registration there are no changes.
        let Ok(io) = self.io() else { return Poll::Ready(Change::Closed) };
        let waker = Waker::from(Arc::clone(watchers));
        if let Some(guard) = change_in(io, interest, &waker, context) {
            return guard;
        }
        let Ok(io) = self.moved() else { return Poll::Ready(Change::Closed) };
        change_in(io, interest, &waker, context).unwrap_or(Poll::Ready(Change::Closed))
    }
}

/// The readiness at a reactor, which wakes `waker` at later changes; `None` if the reactor has
/// ended.
fn change_in(
    io: &ReactorFd,
    interest: Interest,
    waker: &Waker,
    context: &mut Context<'_>,
) -> Option<Poll<Change>> {
    // Beyond a task's budget the reactor wakes spuriously, and an edge would be reported twice.
    //
    let asked = pin!(unconstrained(poll_fn(|_| {
        let mut context = Context::from_waker(waker);
        Poll::Ready(match interest {
            Interest::Read => io.poll_read_ready(&mut context),
            Interest::Write => io.poll_write_ready(&mut context),
        })
    })));
    let Poll::Ready(guard) = asked.poll(context) else { return None };
    let Poll::Ready(guard) = guard else { return Some(Poll::Pending) };
    let mut guard = guard.ok()?;
    let ready = guard.ready();
    guard.retain_ready();
    let is_over = match interest {
        Interest::Read => ready.is_read_closed(),
        Interest::Write => ready.is_write_closed(),
    };
    Some(Poll::Ready(if is_over { Change::Closed } else { Change::More }))
}
