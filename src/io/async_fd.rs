//! A descriptor of the host that the reactor watches.

use std::future::{Future, poll_fn};
use std::io::{Error, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
#[cfg(feature = "components")]
use std::task::ready;
use std::task::{Context, Poll, Waker};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd as TokioFd;
use tokio::runtime::Handle;
use tokio::task::unconstrained;

use super::parker_poll;
use super::reactor::{is_own_reactor, own_reactor, reactor, shared};
use super::{Events, KernelFd, Pollable, Watchers, look_at};
use crate::error::Errno;

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
///
/// When it is dropped, what watches it is woken, and looks at the socket as it is then. So it is not
/// dropped under a lock.
#[derive(Debug)]
pub struct AsyncFd {
    fd: Arc<OwnedFd>,
    /// The reactor to register it with; none where that is wasock's own.
    reactor: Option<Arc<Handle>>,
    /// What reactors know of it. Apart, for the connections of most guests never go to a reactor.
    watched: OnceLock<Box<Watched>>,
    /// Bytes that were taken from the kernel so far. With what is left there, it is
    /// all that ever arrived.
    received: AtomicU64,
    /// Bytes that the kernel took.
    sent: AtomicU64,
    /// Has it ever been watched, and so cleared without a try?
    is_watched: AtomicBool,
    /// Did the last receive that could wait have to wait?
    is_slow: AtomicBool,
    /// Does nobody wait for what comes in?
    is_for_writing: bool,
}

/// What reactors know of a descriptor, and who waits for what they report.
#[derive(Debug, Default)]
struct Watched {
    /// The descriptor as the reactor has it.
    io: OnceLock<ReactorFd>,
    /// The same for wasock's own reactor, once the other one has ended.
    moved: OnceLock<Box<ReactorFd>>,
    /// Held during registration with a reactor.
    registering: Mutex<()>,
    /// The reactor has one waker a direction, which wakes all of these.
    /// Each is made at the first watch.
    watchers: [OnceLock<Arc<Watchers>>; 2],
}

/// What an attempt took, or gave.
#[cfg(feature = "components")]
pub(crate) enum Took<T> {
    /// There may be more.
    Some(T),
    /// The kernel had no more, or takes no more: it reports the next change.
    All(T),
}

#[cfg(feature = "components")]
impl<T> Took<T> {
    /// Of a stream: `length` bytes where there was room for `room`.
    pub(crate) fn of_stream(what: T, length: usize, room: usize) -> Self {
        // "For stream-oriented files (e.g., pipe, FIFO, stream socket), the condition that the read/write I/O space is
        // exhausted can also be detected by checking the amount of data read from / written to the target file
        // descriptor." - epoll(7)
        if length < room { Self::All(what) } else { Self::Some(what) }
    }

    fn what(self) -> T {
        match self {
            Self::Some(what) | Self::All(what) => what,
        }
    }
}

type ReactorFd = TokioFd<Arc<OwnedFd>>;

/// How often readiness that was reported is cleared before a look.
const MOST_CLEARED: u32 = 2;

/// The direction that `mask` is of.
fn to_tokio(mask: Events) -> Interest {
    if mask.are_of_writers() { Interest::WRITABLE } else { Interest::READABLE }
}

impl AsyncFd {
    /// A registration of `fd` with the caller's reactor.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where the host can't start a reactor.
    pub(crate) fn new(fd: Arc<OwnedFd>) -> Result<Arc<Self>, Errno> {
        Ok(Arc::new(Self::unshared(reactor()?, fd)))
    }

    /// As [`new`](Self::new), where nobody waits for what comes in: it wakes nobody then.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub(crate) fn for_writing(fd: Arc<OwnedFd>) -> Result<Arc<Self>, Errno> {
        let mut registration = Self::unshared(reactor()?, fd);
        registration.is_for_writing = true;
        Ok(Arc::new(registration))
    }

    /// A registration of `fd` with this reactor.
    pub(crate) fn with(reactor: &Handle, fd: Arc<OwnedFd>) -> Arc<Self> {
        Arc::new(Self::unshared(reactor.clone(), fd))
    }

    fn unshared(reactor: Handle, fd: Arc<OwnedFd>) -> Self {
        let reactor = (!is_own_reactor(&reactor)).then(|| shared(reactor));
        Self {
            fd,
            reactor,
            watched: OnceLock::new(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            is_watched: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
            is_for_writing: false,
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
        let watched = self.watched();
        {
            let _alone = watched.registering.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(io) = self.registered_fd() {
                return Ok(io);
            }
            let registered = match &self.reactor {
                Some(reactor) => self.register_with(reactor),
                None => self.register_with(&own_reactor()?),
            };
            match registered {
                Ok(io) => return Ok(watched.io.get_or_init(|| io)),
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
        let watched = self.watched();
        if let Some(io) = watched.moved.get() {
            return Ok(io);
        }
        let own = own_reactor()?;
        let _alone = watched.registering.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(io) = watched.moved.get() {
            return Ok(io);
        }
        let io = Box::new(self.register_with(&own)?);
        Ok(watched.moved.get_or_init(|| io))
    }

    fn watched(&self) -> &Watched {
        self.watched.get_or_init(Box::default)
    }

    fn register_with(&self, reactor: &Handle) -> Result<ReactorFd, Error> {
        let _inside = reactor.enter();
        let interest = match self.is_for_writing {
            true => Interest::WRITABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
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
        let watched = self.watched.get()?;
        watched.moved.get().map(Box::as_ref).or_else(|| watched.io.get())
    }

    /// Is it registered with the reactor?
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
    pub async fn ready(&self, mask: Events) -> Result<(), Errno> {
        let mut noted = None;
        if poll_fn(|context| parker_poll::poll_wait(&mut noted, context, &self.fd, mask)).await {
            return Ok(());
        }
        let mut guard = match self.io()?.ready(to_tokio(mask)).await {
            Ok(guard) => guard,
            // Its runtime has ended, now or before.
            Err(_) => self.moved()?.ready(to_tokio(mask)).await?,
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
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>, mask: Events) -> Poll<Result<(), Errno>> {
        let io = self.io()?;
        let ready = match mask.are_of_writers() {
            false => io.poll_read_ready(context),
            true => io.poll_write_ready(context),
        };
        ready.map(|ready| {
            ready?.retain_ready();
            Ok(())
        })
    }

    /// Makes `attempt`, for the only one that waits in the direction of `mask`, and wakes `context` to try again where
    /// it finds nothing (`EAGAIN`). After an attempt that took all there was, which `is_spent` notes between the
    /// calls, the next one is made when something was reported since.
    ///
    /// # Errors
    ///
    /// Those of `attempt`, and of the operating system's event queue.
    #[cfg(feature = "components")]
    pub(crate) fn poll_io<T>(
        &self,
        mask: Events,
        context: &mut Context<'_>,
        is_spent: &mut bool,
        mut attempt: impl FnMut() -> Result<Took<T>, Errno>,
    ) -> Poll<Result<T, Errno>> {
        if !*is_spent {
            match attempt() {
                Err(Errno::EAGAIN) => {}
                Ok(Took::All(all)) => {
                    // What the reactor has reported before is still to be cleared.
                    *is_spent = !self.is_registered();
                    return Poll::Ready(Ok(all));
                }
                done => return Poll::Ready(done.map(Took::what)),
            }
        }
        *is_spent = true;
        let mut io = self.io()?;
        loop {
            let reported = match mask.are_of_writers() {
                false => io.poll_read_ready(context),
                true => io.poll_write_ready(context),
            };
            let Ok(mut guard) = ready!(reported) else {
                // Its runtime has ended.
                io = self.moved()?;
                continue;
            };
            match attempt() {
                Err(Errno::EAGAIN) => guard.clear_ready(),
                Ok(Took::All(all)) => {
                    guard.clear_ready();
                    return Poll::Ready(Ok(all));
                }
                done => {
                    guard.retain_ready();
                    *is_spent = false;
                    return Poll::Ready(done.map(Took::what));
                }
            }
        }
    }

    /// Calls `attempt` once. If it is pending, the readiness that was reported before
    /// is cleared, without a system call.
    pub fn try_io<T>(&self, mask: Events, mut attempt: impl FnMut() -> Poll<T>) -> Poll<T> {
        // Without a registration no readiness is recorded.
        let Some(io) = self.registered_fd() else { return attempt() };
        let mut found = None;
        let _readiness: Result<(), Error> = io.try_io(to_tokio(mask), |_| {
            let answer = found.insert(attempt());
            if answer.is_pending() { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        // No readiness is recorded; the kernel may know better.
        found.unwrap_or_else(attempt)
    }

    /// Clears the readiness reported so far, without a system call.
    pub fn clear_ready(&self, mask: Events) {
        let Some(io) = self.registered_fd() else { return };
        let forgotten: Result<(), Error> = io.try_io(to_tokio(mask), |_| Err(ErrorKind::WouldBlock.into()));
        debug_assert!(forgotten.is_err());
    }

    /// Wakes `context` at the next change of one direction; returns whether there was one before.
    fn watch(&self, direction: Events, context: &mut Context<'_>) -> bool {
        let watchers = self.watched().watchers(direction).get_or_init(Arc::default);
        self.is_watched.store(true, SeqCst);
        watchers.add(context.waker());
        let waker = Waker::from(Arc::clone(watchers));
        // Without a registration there are no changes.
        let Ok(io) = self.io() else { return false };
        if let Some(has_change) = arm(io, direction, &waker, context) {
            return has_change;
        }
        let Ok(io) = self.moved() else { return false };
        arm(io, direction, &waker, context).unwrap_or(false)
    }

    /// Wakes the watchers to try again, as after a change.
    pub(crate) fn wake_all(&self, mask: Events) {
        if let Some(watchers) = self.watched.get().and_then(|watched| watched.watchers(mask).get()) {
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

    /// Counts bytes that the kernel took.
    pub(crate) fn note_sent(&self, bytes: usize) {
        self.sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
    }

    /// How many bytes were sent through this socket.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// How many bytes were received through this socket.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }
}

impl Watched {
    fn watchers(&self, mask: Events) -> &OnceLock<Arc<Watchers>> {
        let [readers, writers] = &self.watchers;
        if mask.are_of_writers() { writers } else { readers }
    }
}

/// Wakes all that watch it. It may end before its socket does, as where an attempt to connect has
/// failed, which any call may be the first to find: the reactor reports nothing any more then.
impl Drop for AsyncFd {
    fn drop(&mut self) {
        let Some(watched) = self.watched.get() else { return };
        for watchers in watched.watchers.iter().filter_map(OnceLock::get) {
            watchers.wake_all();
        }
    }
}

impl Pollable for AsyncFd {
    /// Through the thread's own [poll](parker_poll), or the reactor, which then has nothing left that
    /// was reported before.
    fn register(&self, mask: Events, context: &mut Context<'_>) -> bool {
        if parker_poll::note(context, &self.fd, mask) {
            return false;
        }
        let mut has_change = false;
        if mask.are_of_readers() {
            has_change |= self.watch(Events::READ, context);
        }
        if mask.are_of_writers() {
            has_change |= self.watch(Events::WRITE, context);
        }
        has_change
    }

    fn look(&self) -> Events {
        look_at(self.host_fd())
    }

    fn kernel_fd(&self) -> KernelFd<'_> {
        KernelFd::Now(self.host_fd())
    }
}

/// Has the reactor wake `waker` at the next change, and clears what it has reported before; returns
/// whether it had reported anything. `None` if the reactor has ended.
fn arm(io: &ReactorFd, direction: Events, waker: &Waker, context: &mut Context<'_>) -> Option<bool> {
    let mut has_change = false;
    // One that is reported again and again is looked at by then.
    for _ in 0..MOST_CLEARED {
        // Beyond a task's budget the reactor wakes spuriously, and an edge would be reported twice.
        let asked = pin!(unconstrained(poll_fn(|_| {
            let mut context = Context::from_waker(waker);
            Poll::Ready(match direction.are_of_writers() {
                false => io.poll_read_ready(&mut context),
                true => io.poll_write_ready(&mut context),
            })
        })));
        let Poll::Ready(asked) = asked.poll(context) else { return None };
        let Poll::Ready(guard) = asked else { return Some(has_change) };
        let mut guard = guard.ok()?;
        let ready = guard.ready();
        let is_over =
            if direction.are_of_writers() { ready.is_write_closed() } else { ready.is_read_closed() };
        if is_over {
            // It was the last change, which wakes those that were there.
            guard.retain_ready();
            return Some(has_change);
        }
        guard.clear_ready();
        has_change = true;
    }
    context.waker().wake_by_ref();
    Some(true)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail")]

    use std::os::unix::net::UnixStream;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
        }
    }

    /// Who has taken all waits for a report, and asks the kernel for nothing before.
    #[cfg(feature = "components")]
    #[test]
    fn what_is_spent_is_tried_again_when_something_was_reported() {
        use std::io::Write as _;

        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let watched = AsyncFd::with(&own_reactor().unwrap(), Arc::new(near.into()));
        let (mut attempts, mut is_spent) = (0, false);
        let mut buffer = [0; 8];
        let mut receive = |context: &mut Context<'_>| {
            let received = watched.poll_io(Events::READ, context, &mut is_spent, || {
                attempts += 1;
                let count = rustix::io::read(watched.host_fd(), &mut buffer)?;
                Ok(Took::of_stream(count, count, 8))
            });
            (received, attempts)
        };
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        assert_eq!(receive(&mut context), (Poll::Pending, 1));
        for message in [b"one".as_slice(), b"another", b"a message in two parts"] {
            far.write_all(message).unwrap();
            let mut left = message.len();
            while left > 0 {
                let (received, before) = receive(&mut context);
                match received {
                    Poll::Ready(count) => left -= count.unwrap(),
                    Poll::Pending => std::thread::yield_now(),
                }
                assert!(before > 1 || received.is_pending());
            }
            // The reactor has cleared nothing since, and reports nothing new.
            let (received, before) = receive(&mut context);
            assert_eq!(received, Poll::Pending);
            assert_eq!(receive(&mut context), (Poll::Pending, before), "the kernel is asked again");
        }
        assert!(woken.0.load(SeqCst));
        drop(far);
        while receive(&mut context).0 != Poll::Ready(Ok(0)) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_end_of_a_registration_wakes_what_watches_it() {
        for direction in [Events::READ, Events::WRITE] {
            let (near, _far) = UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            // Neither direction is ready, so the reactor reports nothing.
            while rustix::io::write(&near, &[0; 4096]).is_ok() {}
            let watched = AsyncFd::with(&own_reactor().unwrap(), Arc::new(near.into()));
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            assert!(!watched.register(direction, &mut Context::from_waker(&waker)));
            assert!(!woken.0.load(SeqCst), "{direction:?}");
            drop(watched);
            assert!(woken.0.load(SeqCst), "{direction:?}");
        }
    }
}
