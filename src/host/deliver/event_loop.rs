//! The loop that waits for what concerns a guest, and has it handled.

mod dispatch;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::coop::consume_budget;
use wasmtime::{Instance, Store};

use super::interest_list::{Id, InterestKinds, InterestList};
use crate::abi::errno::number;
use crate::error::Errno;
use crate::host::call_mode::CallMode;
use crate::host::handlers::Handlers;
use crate::host::signal::handle_between;
use crate::io::{Timer, sleep};
use crate::process::{GivenConnection, Process, Thread};
use crate::socket::Phase;

/// How long a listener pauses when the host has no descriptor for its connection. A
/// host descriptor can become free without a notification.
const HOST_RETRY: Duration = Duration::from_millis(250);

/// The delivery of events to one instance.
pub(in crate::host) struct EventLoop {
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
    pub(in crate::host) fn new<T: 'static>(
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
    pub(in crate::host) async fn run<T: Send + 'static>(
        &mut self,
        store: &mut Store<T>,
    ) -> wasmtime::Result<()> {
        self.begin(store).await?;
        self.go_on(store).await
    }

    /// Watches what there is after the guest's start, and reports its listeners.
    pub(in crate::host) async fn begin<T: Send + 'static>(
        &mut self,
        store: &mut Store<T>,
    ) -> wasmtime::Result<()> {
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

    /// Opens the connection that the instance was made for, and delivers it as accepted by `listener`: -1
    /// where that is none of the guest's.
    ///
    /// # Errors
    ///
    /// A full descriptor table; those of the handler.
    pub(in crate::host) async fn deliver<T: Send + 'static>(
        &mut self,
        store: &mut Store<T>,
        given: GivenConnection,
        listener: i32,
    ) -> wasmtime::Result<()> {
        let descriptor = given.descriptor();
        drop(given);
        let fd = self.thread.insert(descriptor.open, descriptor.rights, descriptor.inheriting);
        let fd = fd.map_err(wasmtime::Error::new)?;
        if let Some(handler) = self.handlers.on_accept.clone() {
            self.call(store, &handler, (listener, fd.cast_signed()), Some(fd)).await?;
        }
        self.catch_up(store).await
    }

    /// Delivers what happens after [`EventLoop::begin`].
    pub(in crate::host) async fn go_on<T: Send + 'static>(
        &mut self,
        store: &mut Store<T>,
    ) -> wasmtime::Result<()> {
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
}
