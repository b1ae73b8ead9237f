//! Events for a guest that does not wait: the host accepts, watches, and calls.

mod interest_list;

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::coop::consume_budget;
use wasmtime::{Instance, Store, TypedFunc, WasmParams};

use super::WasockCtx;
use super::call_mode::{CallMode, Role};
use super::handlers::Handlers;
use super::outcome::{Ended, ended, is_mistake};
use super::signal::handle_between;
use crate::abi::errno::number;
use crate::error::{Errno, Terminated};
use crate::fd::Rights;
use crate::io::{Timer, block_on, sleep};
use crate::observe::Closed;
use crate::process::{GivenConnection, Process, SocketRef, Thread};
use crate::socket::{Connected, Phase, Socket, Stream};

use interest_list::{Id, InterestKinds, InterestList, Reported};

/// How long a listener pauses when the host has no descriptor for its connection. A
/// host descriptor can become free without a notification.
const HOST_RETRY: Duration = Duration::from_millis(250);

/// Calls the handlers of a guest whose start has returned, until nothing can happen
/// any more.
///
/// This is the contract of a server without an accept loop. The module exports one or
/// more of
///
/// | export | called |
/// |---|---|
/// | `wasock_on_listen(fd: i32, errno: i32)` | for each `sock_listen`: 0, or the WASI number of why it failed |
/// | `wasock_on_accept(listener: i32, fd: i32)` | for each connection, which is the guest's from then on |
/// | `wasock_on_readable(fd: i32)` | when a connection has something to read |
/// | `wasock_on_closed(fd: i32)` | once, when the peer has ended a connection or it broke |
///
/// none of which has a result. Its start (`_start`, or `_initialize` in a module without
/// one) opens listeners and connections as any program does, and returns: from then on the host
/// calls. [`Guest::run`](super::Guest::run) does all of this by itself.
///
/// # What a handler may do
///
/// Everything: read, write, listen, connect, close, wait. There is one thread, so while
/// a handler runs no other one does; what happens meanwhile is delivered afterwards. A call that waits
/// delays all clients; a server of many clients has its descriptors nonblocking. `proc_exit`
/// ends the guest, as anywhere.
///
/// # The rules
///
/// * A `sock_listen` is reported before any connection of that listener, those of the start
///   first, in their order. (Of more than 4096 between two rounds the rest is not reported.)
/// * Every listening socket is accepted for, if there is a `wasock_on_accept`: those of the
///   start, those that a handler opens, and those that are another's duplicate, once. The
///   policy is asked for each peer, as in `sock_accept`. A new descriptor blocks.
/// * Sockets are served in the order in which they changed; a listener delivers one
///   connection a round. The backlog plays no role but that of `sock_listen`.
/// * With a full descriptor table, with as many connections as there may be, or on a host
///   without descriptors, no connection is taken: it waits in its queue, and is accepted when
///   that is possible again.
/// * Every connection is watched, accepted or made by the guest itself, if there is a handler
///   for it. `wasock_on_readable` is called again when more has arrived since, or
///   when the handler read some and left some. A handler that reads nothing is not called
///   for the same bytes again.
/// * `wasock_on_closed` comes after what the peer sent was read, or left unread by the
///   handler. It is called for a reset, for an attempt to connect that failed after
///   `EINPROGRESS`, and for a direction that the guest itself shut down. No read is needed
///   for it. The descriptor remains open until the guest closes it.
/// * Without `wasock_on_closed`, the end of a connection is something to read, once: a read
///   returns 0 bytes, or the error.
/// * What the guest closes itself is no longer reported.
/// * A duplicate is the same connection: it is reported once, by the number that the guest
///   has had longest.
///
/// ```no_run
/// # async fn serve(
/// #     mut store: wasmtime::Store<wasock::WasockCtx>,
/// #     linker: wasmtime::Linker<wasock::WasockCtx>,
/// #     module: wasmtime::Module,
/// # ) -> wasmtime::Result<()> {
/// store.data_mut().adapt_to(&module);
/// let instance = linker.instantiate_async(&mut store, &module).await?;
/// let start = instance.get_typed_func::<(), ()>(&mut store, "_initialize")?;
/// start.call_async(&mut store, ()).await?;
/// let ended = wasock::deliver_events(&mut store, &instance, |ctx| ctx).await?;
/// println!("it ended with code {}", ended.code);
/// # Ok(())
/// # }
/// ```
///
/// # The end
///
/// Ends with code 0 when nothing can happen any more: no listener is left, and no
/// connection that a handler would be called for; at once, for a module without handlers. Ends with
/// the guest's code where it called `proc_exit`.
///
/// # In a store of your own
///
/// Call it after the guest's start has returned. [`WasockCtx::adapt_to`] before that lets it report
/// a listen that failed in the start; otherwise the start's listeners are reported as they are
/// found.
///
/// # Cancel safety
///
/// Dropping the future between two handlers loses nothing: called again, it goes on, and
/// reports readable data and ended connections once more. Dropped
/// inside of a handler, it ends the guest.
///
/// # Errors
///
/// Where one of the names stands for anything but its function. A trap of a handler: the
/// connection that the handler was called for is closed, and its peer sees a reset. What
/// then becomes of the instance is the embedder's to decide; to go on with it, call this
/// again. (The operator's choice, [`OnTrap`](super::OnTrap), is for
/// [`Guest::run`](super::Guest::run), which can make a new instance.)
pub async fn deliver_events<T: Send + 'static>(
    store: &mut Store<T>,
    instance: &Instance,
    get: impl Fn(&mut T) -> &mut WasockCtx,
) -> wasmtime::Result<Ended> {
    let process = Arc::clone(get(store.data_mut()).thread.process());
    let mut event_loop = EventLoop::new(store, instance, process, CallMode::Async)?;
    ended(event_loop.run(store).await)
}

/// As [`deliver_events`], for a store that does not run async: stops its thread until
/// the end.
///
/// # Errors
///
/// Those of [`deliver_events`], and where the host can't start its reactor.
pub fn deliver_events_blocking<T: Send + 'static>(
    store: &mut Store<T>,
    instance: &Instance,
    get: impl Fn(&mut T) -> &mut WasockCtx,
) -> wasmtime::Result<Ended> {
    let process = Arc::clone(get(store.data_mut()).thread.process());
    block_on(async {
        let mut event_loop = EventLoop::new(store, instance, process, CallMode::Blocking)?;
        ended(event_loop.run(store).await)
    })?
}

/// The delivery of events to one instance.
pub(super) struct EventLoop {
    instance: Instance,
    process: Arc<Process>,
    /// The host's own, to accept with.
    thread: Thread,
    handlers: Handlers,
    calls: CallMode,
    interests: InterestList,
    /// Listeners that wait for a free number of the guest's, or for the end of another
    /// connection.
    full: Vec<Id>,
    /// Listeners that wait for a free descriptor of the host's.
    without_descriptor: Vec<Id>,
    /// Made before the host runs out of descriptors.
    timer: Option<Timer>,
}

impl EventLoop {
    pub(super) fn new<T: 'static>(
        store: &mut Store<T>,
        instance: &Instance,
        process: Arc<Process>,
        calls: CallMode,
    ) -> wasmtime::Result<Self> {
        let handlers = Handlers::find(store, instance)?;
        let wanted = InterestKinds {
            listeners: handlers.on_accept.is_some(),
            connections: handlers.want_connections(),
        };
        let timer = if wanted.listeners { Timer::new().ok() } else { None };
        Ok(Self {
            instance: *instance,
            thread: Thread::new(Arc::clone(&process)),
            process,
            handlers,
            calls,
            interests: InterestList::new(wanted),
            full: Vec::new(),
            without_descriptor: Vec::new(),
            timer,
        })
    }

    /// Delivers events until nothing can happen any more.
    pub(super) async fn run<T: Send + 'static>(&mut self, store: &mut Store<T>) -> wasmtime::Result<()> {
        self.begin(store).await?;
        self.go_on(store).await
    }

    /// Watches what there is after the guest's start, and reports its listeners.
    pub(super) async fn begin<T: Send + 'static>(&mut self, store: &mut Store<T>) -> wasmtime::Result<()> {
        if self.handlers.is_empty() {
            return Ok(());
        }
        let was_followed = self.process.keep_changes();
        let end = self.process.fds().end();
        for fd in 0..end {
            let listens = self.socket(fd).is_some_and(|socket| {
                socket.stream().is_ok_and(|tcp| matches!(tcp.phase(), Phase::Listening(_)))
            });
            match was_followed {
                false if listens => self.process.note_listen(fd, None),
                _ => self.process.note_change(fd),
            }
        }
        self.catch_up(store).await
    }

    /// Opens the connection that the instance was made for, and delivers it as accepted, by a listener
    /// of the number -1: it is none of the guest's.
    ///
    /// # Errors
    ///
    /// A full descriptor table; those of the handler.
    pub(super) async fn deliver<T: Send + 'static>(
        &mut self,
        store: &mut Store<T>,
        given: GivenConnection,
    ) -> wasmtime::Result<()> {
        let descriptor = given.descriptor();
        drop(given);
        let fd = self.thread.insert(descriptor.open, descriptor.rights, descriptor.inheriting);
        let fd = fd.map_err(wasmtime::Error::new)?;
        if let Some(handler) = self.handlers.on_accept.clone() {
            self.call(store, &handler, (-1, fd.cast_signed()), Some(fd)).await?;
        }
        self.catch_up(store).await
    }

    /// Delivers what happens after [`EventLoop::begin`].
    pub(super) async fn go_on<T: Send + 'static>(&mut self, store: &mut Store<T>) -> wasmtime::Result<()> {
        while !self.interests.is_empty() {
            let pending_signals = self.thread.pending_signals.clone();
            if pending_signals.is_due() {
                handle_between(store, &self.instance, &self.thread, self.calls).await?;
                self.catch_up(store).await?;
                continue;
            }
            self.process.instance().note_waiting();
            let next = match pending_signals.waiting(self.next()).await {
                Some(Ok(Some(next))) => next,
                Some(Ok(None)) => {
                    self.retry_without_descriptor();
                    continue;
                }
                // There is a signal.
                Some(Err(_)) | None => continue,
            };
            let (id, is_over) = next;
            match self.phase(id) {
                None | Some(Phase::Connecting(_)) => {}
                Some(Phase::Listening(_)) => self.accept(store, id).await?,
                Some(Phase::Connected(connected)) => self.dispatch(store, id, connected, is_over).await?,
                // An attempt to connect has failed. The guest may have found that out since.
                Some(Phase::Failed | Phase::Idle) => self.report_end(store, id).await?,
            }
            self.catch_up(store).await?;
        }
        Ok(())
    }

    /// The next socket that changed; nothing when it is time to retry what the host had
    /// no descriptor for.
    ///
    /// # Errors
    ///
    /// The reason where it is [interrupted](crate::ready::interruptible).
    async fn next(&mut self) -> Result<Option<(Id, bool)>, Errno> {
        if self.without_descriptor.is_empty() {
            return self.interests.next().await.map(Some);
        }
        let retry = async {
            match &self.timer {
                Some(timer) => timer.expired().await,
                None => sleep(HOST_RETRY).await,
            }
        };
        tokio::select! {
            next = self.interests.next() => next.map(Some),
            () = retry => Ok(None),
        }
    }

    /// Applies what the guest has changed, and reports its listens.
    async fn catch_up<T: Send + 'static>(&mut self, store: &mut Store<T>) -> wasmtime::Result<()> {
        loop {
            let batch = self.process.take_changes();
            if batch.is_empty() {
                return Ok(());
            }
            // A handler may change something each time.
            consume_budget().await;
            if let Some(handler) = self.handlers.on_listen.clone() {
                for (fd, failed) in batch.listens {
                    let errno = failed.map_or(0, number);
                    self.call(store, &handler, (fd.cast_signed(), errno), None).await?;
                }
            }
            for fd in batch.fds {
                let socket = self.socket(fd);
                self.interests.learn(fd, socket);
            }
            if !self.full.is_empty() && self.process.fds().check_room().is_ok() {
                for id in self.full.drain(..) {
                    self.interests.requeue(id);
                }
            }
            // What was closed may be what the host lacked.
            self.retry_without_descriptor();
        }
    }

    fn retry_without_descriptor(&mut self) {
        for id in self.without_descriptor.drain(..) {
            self.interests.requeue(id);
        }
    }

    /// Accepts one connection, and delivers it.
    async fn accept<T: Send + 'static>(&mut self, store: &mut Store<T>, id: Id) -> wasmtime::Result<()> {
        let Some(handler) = self.handlers.on_accept.clone() else { return Ok(()) };
        let Some(listener) = self.interests.get(id).and_then(interest_list::WatchedSocket::fd) else {
            return Ok(());
        };
        // A guest that gave the right away gets no connections.
        let Ok(found) = self.thread.socket(listener, Rights::SOCK_ACCEPT) else { return Ok(()) };
        let found = SocketRef { waits: false, ..found };
        let accepted = self.thread.accept(&found, false, false).await.map_err(|refusal| refusal.errno());
        drop(found);
        match accepted {
            Ok((fd, _)) => {
                self.interests.requeue(id);
                self.call(store, &handler, (listener.cast_signed(), fd.cast_signed()), Some(fd)).await?;
            }
            Err(Errno::EAGAIN | Errno::EINVAL) => {}
            Err(Errno::EMFILE) => add(&mut self.full, id),
            // ENFILE, and what else the host may lack for a while.
            Err(_) => {
                if self.without_descriptor.is_empty()
                    && self.timer.as_ref().is_some_and(|it| it.arm(HOST_RETRY).is_err())
                {
                    self.timer = None;
                }
                add(&mut self.without_descriptor, id);
            }
        }
        Ok(())
    }

    /// Checks a connection that changed, and reports it to the guest.
    async fn dispatch<T: Send + 'static>(
        &mut self,
        store: &mut Store<T>,
        id: Id,
        connected: Connected,
        is_over: bool,
    ) -> wasmtime::Result<()> {
        let Some(watch) = self.interests.get_mut(id) else { return Ok(()) };
        let Some(fd) = watch.fd() else { return Ok(()) };
        if let Some(handler) = self.handlers.on_readable.clone()
            && let Some(now) = worth_reporting(&connected, watch.told)
        {
            watch.told = now;
            // What the guest closes in the handler closes at once.
            drop(connected);
            self.call(store, &handler, fd.cast_signed(), Some(fd)).await?;
            if is_over || self.left_some(id) {
                self.interests.requeue(id);
            }
            return Ok(());
        }
        drop(connected);
        if is_over { self.report_end(store, id).await } else { Ok(()) }
    }

    /// Did the guest read some of what was reported, and leave some?
    fn left_some(&self, id: Id) -> bool {
        match (self.phase(id), self.interests.get(id)) {
            (Some(Phase::Connected(connected)), Some(watch)) => {
                worth_reporting(&connected, watch.told).is_some()
            }
            _ => false,
        }
    }

    /// How a watched socket stands; nothing where it is closed.
    fn phase(&self, id: Id) -> Option<Phase> {
        let socket = self.interests.get(id)?.socket.upgrade()?;
        socket.stream().ok().map(Stream::phase)
    }

    /// Reports once that a connection is over.
    async fn report_end<T: Send + 'static>(&mut self, store: &mut Store<T>, id: Id) -> wasmtime::Result<()> {
        self.interests.unregister(id);
        let Some(fd) = self.interests.get(id).and_then(interest_list::WatchedSocket::fd) else {
            return Ok(());
        };
        let handlers = &self.handlers;
        match handlers.on_closed.clone().or_else(|| handlers.on_readable.clone()) {
            Some(handler) => self.call(store, &handler, fd.cast_signed(), Some(fd)).await,
            None => Ok(()),
        }
    }

    /// Calls a handler. Should it trap, the connection `about` is closed.
    async fn call<T: Send + 'static, P: WasmParams + Sync>(
        &self,
        store: &mut Store<T>,
        handler: &TypedFunc<P, ()>,
        parameters: P,
        about: Option<u32>,
    ) -> wasmtime::Result<()> {
        let about = about.and_then(|fd| Some((fd, Arc::downgrade(&self.socket(fd)?))));
        let call = self.calls.call(&mut *store, handler, parameters, Role::Callback);
        let outcome = self.limited(call).await;
        if let Err(error) = &outcome
            && is_mistake(error)
            && let Some((fd, socket)) = about
        {
            self.reset(fd, &socket);
        }
        outcome
    }

    /// Sees a handler to its end, or to that of its time where it waits. One that computes is
    /// interrupted by an epoch.
    async fn limited(&self, call: impl Future<Output = wasmtime::Result<()>>) -> wasmtime::Result<()> {
        let Some(clock) = self.process.handler_clock() else { return call.await };
        let _running = clock.begin();
        tokio::select! {
            biased;
            outcome = call => outcome,
            () = sleep(clock.limit()) => Err(wasmtime::Error::new(Terminated::Handler(clock.limit()))),
        }
    }

    /// Closes a connection with a reset, under all of its numbers; nothing where `fd`
    /// stands for something else by now.
    fn reset(&self, fd: u32, socket: &Weak<Socket>) {
        let is_it = |found: &Arc<Socket>| std::ptr::eq(Arc::as_ptr(found), socket.as_ptr());
        let Some(found) = self.socket(fd).filter(is_it) else { return };
        if let Ok(tcp) = found.stream() {
            tcp.reset_when_closed();
        }
        let end = self.process.fds().end();
        for other in (0..end).filter(|other| self.socket(*other).is_some_and(|found| is_it(&found))) {
            let closed = self.process.fds().remove(other);
            if let Ok(closed) = closed {
                self.process.note_change(other);
                self.process.close(other, closed, Closed::Trapped);
            }
        }
    }

    /// The socket that the guest has at `fd`.
    fn socket(&self, fd: u32) -> Option<Arc<Socket>> {
        let fds = self.process.fds();
        fds.get(fd).ok()?.open.open.socket().ok().cloned()
    }
}

/// What will have been reported, if there is something to read that was not reported yet, or was
/// read in part.
fn worth_reporting(connected: &Connected, told: Reported) -> Option<Reported> {
    let (unread, received) = (connected.unread(), connected.received());
    let now = Reported { arrived: unread.saturating_add(received), received };
    (unread > 0 && (now.arrived > told.arrived || now.received > told.received)).then_some(now)
}

fn add(ids: &mut Vec<Id>, id: Id) {
    if !ids.contains(&id) {
        ids.push(id);
    }
}
