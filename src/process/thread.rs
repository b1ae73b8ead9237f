//! One thread of a guest: what the calls of every dialect act on.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::thread_local::ThreadLocals;
use super::threads::{MAIN, Threads};
use super::{Open, OpenFile, PendingSignals, Personality, PollScratch, Process};
use crate::account::Charge;
use crate::address::{Address, UnixName};
use crate::error::{Errno, Error, Trap};
use crate::fd::{Descriptor, Rights};
use crate::file::{Dir, File};
use crate::io::{AtPanic, Timer, sleep};
use crate::observe::Event;
use crate::ready::{self, Before, Happened, Readiness, Watched};
use crate::socket::listen::{Capacity, ListenConfig};
use crate::socket::{Accepted, Domain, Refusal, Socket, TimeOption};

/// How long a look-up may take. The resolver's own limits are 5 seconds for each try of
/// each server, mostly.
const RESOLVE_LIMIT: Duration = Duration::from_secs(30);

/// What a look-up takes: the stack of a thread as far as it is used, a reply of 64 KiB as received,
/// and the addresses in it.
const LOOK_UP: u64 = 192 * 1024;

/// What the host holds for a thread of a guest: its own stack as far as it is used and the
/// kernel's, the store, a buffer for copies, and what the thread waits with: at a futex, in a
/// poll of few, in an epoll.
pub(super) const THREAD: u64 = 128 * 1024;

/// One thread of a guest.
pub struct Thread {
    process: Arc<Process>,
    /// It and its siblings.
    pub(crate) threads: Arc<Threads>,
    /// Its number.
    pub(crate) tid: u32,
    /// Kept between waits: making one costs three system calls.
    timer: Option<Timer>,
    pub(crate) locals: ThreadLocals,
    /// Its signals.
    pub(crate) pending_signals: PendingSignals,
    /// The callback for signals that it has just named, or why there is none.
    pub(crate) named_callback: Option<Result<String, Trap>>,
    /// What calls with several meanings mean to the program.
    pub(crate) personality: Personality,
    /// A buffer for what can't be moved in place, kept between calls.
    pub(crate) scratch: Vec<u8>,
    /// What an epoll found, on its way to the guest. Kept between calls.
    pub(crate) happened: Vec<Happened>,
    pub(crate) poll_scratch: PollScratch,
    /// What the host holds for it; nothing for the first thread.
    _held: Option<Charge>,
}

/// A number that the trace shows to the operator, and the guest does not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceAnnotation {
    /// What it is.
    pub name: &'static str,
    /// The number.
    pub value: u64,
}

/// A socket as a call sees it: the thing, and whether this descriptor waits.
pub struct SocketRef {
    /// Its number.
    pub fd: u32,
    /// The socket.
    pub socket: Arc<Socket>,
    /// Do calls on it wait?
    pub waits: bool,
    /// What the descriptor stands for, where the socket goes on when that ends: one from
    /// outside.
    pub inherited: Option<Arc<OpenFile>>,
}

/// A reserved number of the descriptor table, which no other call gets meanwhile.
struct FdReservation<'a> {
    process: Option<&'a Process>,
    /// The memory for what the number will stand for.
    reserved: Option<Charge>,
}

impl<'a> FdReservation<'a> {
    fn of(process: &'a Process) -> Result<Self, Errno> {
        let reserved = process.fds().reserve()?;
        Ok(Self { process: Some(process), reserved: Some(reserved) })
    }

    fn install(mut self, descriptor: Descriptor<OpenFile>) -> Result<u32, Errno> {
        match (self.process.take(), self.reserved.take()) {
            (Some(process), Some(reserved)) => process.fds().install(descriptor, reserved),
            _ => Err(Errno::EMFILE),
        }
    }
}

impl Drop for FdReservation<'_> {
    fn drop(&mut self) {
        if let Some(process) = self.process {
            process.fds().release();
        }
    }
}

impl Thread {
    /// The first thread of `process`.
    pub fn new(process: Arc<Process>) -> Self {
        Self {
            pending_signals: process.signals().pending_signals(MAIN),
            process,
            threads: Threads::new(),
            tid: MAIN,
            timer: None,
            locals: ThreadLocals::default(),
            named_callback: None,
            personality: Personality::PREVIEW1,
            scratch: Vec::new(),
            happened: Vec::new(),
            poll_scratch: PollScratch::default(),
            _held: None,
        }
    }

    /// Another thread of the same program.
    pub(super) fn sibling(&self, tid: u32, held: Charge) -> Self {
        Self {
            process: Arc::clone(&self.process),
            threads: Arc::clone(&self.threads),
            tid,
            timer: None,
            locals: ThreadLocals::default(),
            pending_signals: self.process.signals().pending_signals(tid),
            named_callback: None,
            scratch: Vec::new(),
            happened: Vec::new(),
            poll_scratch: PollScratch::default(),
            _held: Some(held),
            ..*self
        }
    }

    /// Takes over the personality of the program.
    pub(crate) fn adopt(&mut self, personality: Personality) {
        self.personality = personality;
        if personality.is_first_generation {
            self.process.fds().give_in_turn();
        }
        self.process.signals().set_numbering(personality.numbering);
        if personality.has_devices {
            self.process.give_devices();
        }
    }

    /// What this thread shares with the others.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The descriptor `fd`, for a call that needs `rights`.
    ///
    /// # Errors
    ///
    /// `EBADF`, also for a file that is open for the other direction; then `ENOTCAPABLE`.
    pub(crate) fn descriptor(&self, fd: u32, rights: Rights) -> Result<Descriptor<OpenFile>, Errno> {
        let descriptor = self.process.fds().get(fd)?.clone();
        descriptor.open.open.check_direction(rights)?;
        descriptor.rights.require(rights)?;
        Ok(descriptor)
    }

    /// The socket `fd`, for a call that needs `rights`.
    ///
    /// # Errors
    ///
    /// `EBADF`, then `ENOTSOCK`, then `ENOTCAPABLE` (docs/listen.md, rule 9).
    pub(crate) fn socket(&self, fd: u32, rights: Rights) -> Result<SocketRef, Errno> {
        let fds = self.process.fds();
        let descriptor = fds.get(fd)?;
        let socket = descriptor.open.open.socket()?;
        descriptor.rights.require(rights)?;
        let inherited = socket.outlives_guest().then(|| Arc::clone(&descriptor.open));
        Ok(SocketRef { fd, socket: Arc::clone(socket), waits: !descriptor.open.is_nonblocking(), inherited })
    }

    /// The open socket `fd`, for a call that needs `rights` and moves data.
    ///
    /// # Errors
    ///
    /// As for [`Thread::socket`].
    pub(crate) fn open_socket(&self, fd: u32, rights: Rights) -> Result<Arc<OpenFile>, Errno> {
        let fds = self.process.fds();
        let descriptor = fds.get(fd)?;
        descriptor.open.open.socket()?;
        descriptor.rights.require(rights)?;
        Ok(Arc::clone(&descriptor.open))
    }

    /// The regular file `fd`, for a call that needs `rights`.
    ///
    /// # Errors
    ///
    /// `EBADF`, also for one that is open for the other direction, then `EISDIR` or
    /// `ESPIPE`, then `ENOTCAPABLE`.
    pub(crate) fn file(&self, fd: u32, rights: Rights) -> Result<Arc<File>, Errno> {
        let fds = self.process.fds();
        let descriptor = fds.get(fd)?;
        descriptor.open.open.check_direction(rights)?;
        let file = descriptor.open.open.file()?;
        descriptor.rights.require(rights)?;
        Ok(Arc::clone(file))
    }

    /// The file or directory `fd`, for a call that needs `rights`.
    ///
    /// # Errors
    ///
    /// `EBADF`, then `EINVAL` for what lies in no file system, then `ENOTCAPABLE`.
    pub(crate) fn stored(&self, fd: u32, rights: Rights) -> Result<Arc<OpenFile>, Errno> {
        let fds = self.process.fds();
        let descriptor = fds.get(fd)?;
        if !matches!(descriptor.open.open, Open::File(_) | Open::Directory(_)) {
            // "EINVAL: The fildes argument refers to a file on which this operation is not
            // possible." - fsync(3p)
            return Err(Errno::EINVAL);
        }
        descriptor.rights.require(rights)?;
        Ok(Arc::clone(&descriptor.open))
    }

    /// The directory `fd`, for a call that needs `rights`.
    ///
    /// # Errors
    ///
    /// `EBADF`, then `ENOTDIR`, then `ENOTCAPABLE`.
    pub(crate) fn directory(&self, fd: u32, rights: Rights) -> Result<Arc<Dir>, Errno> {
        let fds = self.process.fds();
        let descriptor = fds.get(fd)?;
        let directory = descriptor.open.open.directory()?;
        descriptor.rights.require(rights)?;
        Ok(Arc::clone(&directory.dir))
    }

    /// Is the descriptor `fd` what is preopened as the root directory?
    pub(crate) fn is_root(&self, fd: u32) -> bool {
        let fds = self.process.fds();
        let directory = fds.get(fd).and_then(|descriptor| descriptor.open.open.directory());
        let name = directory.ok().and_then(|directory| directory.preopened_as.as_deref());
        name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c == '/'))
    }

    /// Opens `open` as a new descriptor.
    ///
    /// # Errors
    ///
    /// `EMFILE` where the guest's table is full.
    pub(crate) fn insert(
        &self,
        open: Arc<OpenFile>,
        rights: Rights,
        inheriting: Rights,
    ) -> Result<u32, Errno> {
        let fd = self.process.fds().insert(Descriptor { open, rights, inheriting, close_on_exec: false })?;
        self.process.note_change(fd);
        Ok(fd)
    }

    /// Opens a fresh socket as a new descriptor.
    ///
    /// # Errors
    ///
    /// `EMFILE` where the guest's table is full.
    pub(crate) fn insert_socket(&self, socket: Socket, nonblocking: bool) -> Result<u32, Errno> {
        self.limit_buffers(&socket, true)?;
        self.process.service().guard(&socket);
        let open = OpenFile::with_nonblocking(Open::Socket(Arc::new(socket)), nonblocking);
        self.insert(open, Rights::SOCKET, Rights::SOCKET)
    }

    /// How many messages were kept from the guest before the one that it received from `open`:
    /// for the trace.
    pub(crate) fn dropped(&self, open: &OpenFile) -> Option<TraceAnnotation> {
        let Ok(Socket::Datagram(datagram)) = open.open.socket().map(Arc::as_ref) else { return None };
        let count = datagram.take_dropped();
        (count > 0).then_some(TraceAnnotation { name: "dropped", value: count })
    }

    /// Accepts the next connection of `listener` as a new descriptor. `has_polled` says that
    /// [`try_accept`](Self::try_accept) has just found none.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EMFILE` before anything is taken from the queue where the guest's table is
    /// full, or has as many connections as it may (docs/listen.md, rule 12), and those of
    /// [`ready::accept`].
    pub(crate) async fn accept(
        &self,
        listener: &SocketRef,
        nonblocking: bool,
        has_polled: bool,
    ) -> Result<(u32, Address), Refusal> {
        let mut accept = pin!(self.accept_and_open(listener, nonblocking, has_polled));
        poll_fn(|context| {
            let _accepting = self.process.instance().accepting();
            accept.as_mut().poll(context)
        })
        .await
    }

    async fn accept_and_open(
        &self,
        listener: &SocketRef,
        nonblocking: bool,
        has_polled: bool,
    ) -> Result<(u32, Address), Refusal> {
        let reservation = self.reserve_accept(listener)?;
        let waits = listener.waits && !nonblocking;
        let accept = ready::accept(&listener.socket, waits, has_polled);
        let accepted = match &listener.inherited {
            // Nothing that happens to the socket tells that another thread closes it.
            Some(open) if self.threads.are_many() => open.unless_closed(accept).await?,
            _ => accept.await?,
        };
        self.open_accepted(listener, accepted, nonblocking, reservation)
    }

    /// As [`accept`](Self::accept), once and without a future: `Pending` where it would wait and
    /// may.
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept).
    pub(crate) fn try_accept(
        &self,
        listener: &SocketRef,
        nonblocking: bool,
    ) -> Poll<Result<(u32, Address), Refusal>> {
        let _accepting = self.process.instance().accepting();
        let reservation = match self.reserve_accept(listener) {
            Ok(reservation) => reservation,
            Err(refusal) => return Poll::Ready(Err(refusal)),
        };
        match ready::try_accept(&listener.socket) {
            Poll::Pending if listener.waits && !nonblocking => Poll::Pending,
            Poll::Pending => Poll::Ready(Err(Errno::EAGAIN.into())),
            Poll::Ready(Err(refusal)) => Poll::Ready(Err(refusal)),
            Poll::Ready(Ok(accepted)) => {
                Poll::Ready(self.open_accepted(listener, accepted, nonblocking, reservation))
            }
        }
    }

    /// A number for the next connection of `listener`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for what does not listen, `EMFILE`.
    fn reserve_accept(&self, listener: &SocketRef) -> Result<FdReservation<'_>, Refusal> {
        // The kind and the state of the listener come first: docs/listen.md, rule 9.
        if !listener.socket.stream()?.is_listening() {
            return Err(Errno::EINVAL.into());
        }
        // Two threads that accept do not both count on the last number.
        Ok(FdReservation::of(&self.process)?)
    }

    /// Opens a connection of `listener` as the descriptor that was promised.
    fn open_accepted(
        &self,
        listener: &SocketRef,
        accepted: Accepted,
        nonblocking: bool,
        reservation: FdReservation<'_>,
    ) -> Result<(u32, Address), Refusal> {
        let Accepted { socket, peer } = accepted;
        let process = &self.process;
        // One that is gone already is the guest's all the same. Of a shared listener it has
        // no limit yet.
        let _gone = self.limit_buffers(&socket, listener.socket.is_shared());
        let local = || socket.local_address().ok();
        let told = process.report().wants_connections().then(local).flatten();
        // Only the flag of the call counts; the listener's is not inherited.
        // "O_NONBLOCK ... are not inherited" - accept(2)
        let open = OpenFile::with_nonblocking(Open::Socket(Arc::new(socket)), nonblocking);
        let fd = reservation.install(Descriptor {
            open,
            rights: Rights::SOCKET,
            inheriting: Rights::SOCKET,
            close_on_exec: false,
        })?;
        self.process.note_change(fd);
        if let Some(local) = told {
            process.report().tell(Event::Accepted { listener: listener.fd, fd, peer: peer.clone(), local });
        }
        Ok((fd, peer))
    }

    /// Makes the socket `fd` listen, and reports it to the operator and to the handlers of
    /// events. Returns the capacity of the queue, for the trace.
    ///
    /// # Errors
    ///
    /// Those of [`socket`](Self::socket) and of [`Stream::listen`](crate::socket::Stream::listen).
    pub(crate) fn listen(&self, fd: u32, backlog: u32) -> Result<TraceAnnotation, Error> {
        let outcome = self.socket(fd, Rights::SOCK_LISTEN).map_err(Error::from).and_then(|socket| {
            self.process.answer("sock_listen", self.try_listen(fd, &socket.socket, backlog))
        });
        match &outcome {
            Ok(_) => self.process.note_listen(fd, None),
            Err(Error::Errno(errno)) => self.process.note_listen(fd, Some(*errno)),
            Err(Error::Trap(_) | Error::Wait) => {}
        }
        let Capacity { now, .. } = outcome?;
        Ok(TraceAnnotation { name: "capacity", value: now.into() })
    }

    fn try_listen(&self, fd: u32, socket: &Socket, backlog: u32) -> Result<Capacity, Refusal> {
        let stream = socket.stream()?;
        let local = stream.local_address().ok();
        let config = self.config(fd, local);
        let outcome = stream.listen(backlog, config, self.process.policy(), self.process.keeper());
        if let Err(refusal) = &outcome {
            let (errno, local) = (refusal.errno(), stream.local_address()?);
            self.process.report_unavailable("sock_listen", &local, &outcome);
            self.process.report().tell(Event::Listening { fd, local, backlog, result: Err(errno) });
        }
        outcome
    }

    /// On what terms a socket with this address listens.
    fn config(&self, listener: u32, local: Option<Address>) -> ListenConfig {
        let local = local.unwrap_or_else(|| Address::Unix(UnixName::unnamed()));
        self.process.config(listener, local)
    }

    /// What the addresses of a Unix socket mean to this guest.
    pub(crate) fn names(&self) -> Domain {
        self.process.names()
    }

    /// What gives `socket` the address: [`bound`](Self::bound) is to follow. That of a name is a file
    /// operation.
    pub(crate) fn bind(
        &self,
        socket: &SocketRef,
        address: &Address,
    ) -> impl FnOnce() -> Result<Result<(), Refusal>, Errno> + Send + use<> {
        let (binder, at) = (Arc::clone(&socket.socket), address.clone());
        let process = Arc::clone(&self.process);
        move || {
            // The name that a socket gets is one that moves: see `moves.rs`.
            let _alone = matches!(at, Address::Unix(_)).then(|| process.moves());
            Ok(binder.bind(at, process.policy(), process.keeper()))
        }
    }

    /// Takes in how [`bind`](Self::bind) ended. If the address makes the socket receive messages, it is
    /// reported to the operator.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::bind`].
    pub(crate) fn bound(
        &self,
        socket: &SocketRef,
        address: Address,
        outcome: Result<(), Refusal>,
    ) -> Result<(), Error> {
        if let (Ok(()), Socket::Datagram(datagram)) = (&outcome, socket.socket.as_ref()) {
            let local = datagram.local_address()?;
            self.process.report().tell(Event::Bound { fd: socket.fd, local });
        }
        self.process.report_unavailable("sock_bind", &self.process.place(&socket.socket, address), &outcome);
        self.process.answer("sock_bind", outcome)
    }

    /// Begins to connect a socket to `address`: `Pending` where [`connect`](Self::connect) is to
    /// wait for the rest.
    ///
    /// # Errors
    ///
    /// `EINPROGRESS` where the descriptor does not block, and those of
    /// [`Socket::try_connect`].
    pub(crate) fn try_connect(&self, socket: &SocketRef, address: &Address) -> Poll<Result<(), Error>> {
        let waits_on = match address {
            Address::Inet(_) => Errno::EINPROGRESS,
            Address::Unix(_) if self.blocks_on_files() => Errno::EAGAIN,
            // A name is looked for where that may take its time.
            Address::Unix(_) => return Poll::Pending,
        };
        match socket.socket.try_connect(address, self.process.policy()) {
            Err(Refusal::Errno(errno)) if errno == waits_on && socket.waits => Poll::Pending,
            outcome => Poll::Ready(self.connected(socket, outcome)),
        }
    }

    /// Connects a socket to `address`, after [`try_connect`](Self::try_connect).
    ///
    /// # Cancel safety
    ///
    /// As for [`ready::finish_connect`].
    ///
    /// # Errors
    ///
    /// Those of [`ready::finish_connect`] and of [`Socket::try_connect`]; `ETIMEDOUT` too where a queue
    /// stays full for too long.
    pub(crate) async fn connect(&self, socket: &SocketRef, address: &Address) -> Result<(), Error> {
        let outcome = match address {
            Address::Inet(_) => ready::finish_connect(&socket.socket).await,
            Address::Unix(_) => self.connect_to_name(socket, address).await?,
        };
        self.connected(socket, outcome)
    }

    fn connected(&self, socket: &SocketRef, outcome: Result<(), Refusal>) -> Result<(), Error> {
        self.process.note_change(socket.fd);
        self.process.answer("sock_connect", outcome)
    }

    /// Tries until there is space: "If there is no room in the queue, a blocking connect
    /// waits" is all that Linux guarantees, and it signals free space to no one.
    async fn connect_to_name(
        &self,
        socket: &SocketRef,
        address: &Address,
    ) -> Result<Result<(), Refusal>, Error> {
        let limit =
            if socket.waits { socket.socket.timeout(TimeOption::Connect) } else { Some(Duration::ZERO) };
        let is_again = |refusal: &Refusal| *refusal == Refusal::Errno(Errno::EAGAIN);
        let outcome = ready::retry_with_backoff(limit, is_again, || async {
            let (one, at) = (Arc::clone(&socket.socket), address.clone());
            let policy = Arc::clone(self.process.policy());
            self.at_name(address, move || Ok(one.try_connect(&at, &policy)))
                .await
                .unwrap_or(Err(Errno::ECANCELED.into()))
        });
        Ok(match outcome.await {
            // "ETIMEDOUT: The attempt to connect timed out before a connection was made."
            Err(refusal) if socket.waits && is_again(&refusal) => Err(Errno::ETIMEDOUT.into()),
            outcome => outcome,
        })
    }

    /// Runs something that looks up a name in the file system, if `address` is one,
    /// and so may block its thread.
    ///
    /// # Errors
    ///
    /// Those of [`on_disk`](Self::on_disk).
    pub(super) async fn at_name<T: Send + 'static>(
        &self,
        address: &Address,
        operation: impl FnOnce() -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Error> {
        match address {
            Address::Inet(_) => Ok(operation()?),
            Address::Unix(_) => self.on_disk(operation).await,
        }
    }

    /// Waits for one of `watched`, or until `limit` has passed. `has_polled` says that a
    /// [`PollSet`](ready::PollSet) has just found nothing.
    ///
    /// # Errors
    ///
    /// Those of [`ready::poll`].
    pub(crate) async fn poll(
        &mut self,
        watched: &[Watched<'_>],
        limit: Option<Duration>,
        has_polled: bool,
    ) -> Result<Vec<Option<Readiness>>, Errno> {
        let before = Before { has_looked: has_polled, are_shared: self.threads.are_many() };
        ready::poll(watched, limit, &mut self.timer, before).await
    }

    /// The addresses of `name`, which the policy grants to look up.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`Resolver::resolve`](crate::socket::Resolver::resolve); `ETIMEDOUT` if
    /// there is no reply after 30 seconds; `ENOMEM` where the host holds too much for the guest.
    pub(crate) async fn look_up(&self, name: String) -> Result<Vec<IpAddr>, Errno> {
        let held = self.process.host_memory().charge(LOOK_UP)?;
        let signals = Arc::clone(self.process.signals());
        let failed = move || signals.host_failed("looked a name up");
        tokio::select! {
            biased;
            found = self.process.resolver().resolve(name, held, failed) => found,
            () = sleep(RESOLVE_LIMIT) => Err(Errno::ETIMEDOUT),
        }
    }

    /// May a file operation stop this thread?
    pub(crate) fn blocks_on_files(&self) -> bool {
        self.process.settings().blocks_on_files
    }

    /// Runs a file operation where it may stop its thread.
    ///
    /// # Cancel safety
    ///
    /// That of [`BlockingPool::run`](crate::io::BlockingPool::run): an operation that has
    /// begun goes on.
    ///
    /// # Errors
    ///
    /// Those of `operation`; `EAGAIN` where the host can't start a thread for it.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        operation: impl FnOnce() -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Error> {
        if self.blocks_on_files() {
            return Ok(operation()?);
        }
        let signals = Arc::clone(self.process.signals());
        let guarded = move || {
            let _guard = AtPanic::new(|| signals.host_failed("worked on a file"));
            operation()
        };
        Ok(self.process.blocking().run(guarded).await?)
    }
}
