//! One event of a guest: what it means, and the handler for it.

use std::sync::{Arc, Weak};

use wasmtime::{Store, TypedFunc, WasmParams};

use super::{EventLoop, HOST_RETRY};
use crate::error::{Errno, Terminated};
use crate::fd::Rights;
use crate::host::call_mode::Role;
use crate::host::deliver::interest_list::{Id, Reported, WatchedSocket};
use crate::host::outcome::is_mistake;
use crate::io::sleep;
use crate::observe::{Closed, Limit};
use crate::process::SocketRef;
use crate::socket::{Connected, Phase, Socket, Stream};

impl EventLoop {
    /// Accepts one connection, and delivers it.
    pub(super) async fn accept<T: Send + 'static>(
        &mut self,
        store: &mut Store<T>,
        id: Id,
    ) -> wasmtime::Result<()> {
        let Some(handler) = self.handlers.on_accept.clone() else { return Ok(()) };
        let Some(listener) = self.interests.get(id).and_then(WatchedSocket::fd) else {
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
    pub(super) async fn dispatch<T: Send + 'static>(
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
    pub(super) fn phase(&self, id: Id) -> Option<Phase> {
        let socket = self.interests.get(id)?.socket.upgrade()?;
        socket.stream().ok().map(Stream::phase)
    }

    /// Reports once that a connection is over.
    pub(super) async fn report_end<T: Send + 'static>(
        &mut self,
        store: &mut Store<T>,
        id: Id,
    ) -> wasmtime::Result<()> {
        self.interests.unregister(id);
        let Some(fd) = self.interests.get(id).and_then(WatchedSocket::fd) else {
            return Ok(());
        };
        let handlers = &self.handlers;
        match handlers.on_closed.clone().or_else(|| handlers.on_readable.clone()) {
            Some(handler) => self.call(store, &handler, fd.cast_signed(), Some(fd)).await,
            None => Ok(()),
        }
    }

    /// Calls a handler. Should it trap, the connection `about` is closed.
    pub(super) async fn call<T: Send + 'static, P: WasmParams + Sync>(
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
        let running = clock.begin();
        let outcome = tokio::select! {
            biased;
            outcome = call => outcome,
            () = sleep(clock.limit()) => Err(wasmtime::Error::new(Terminated::Handler(clock.limit()))),
        };
        drop(running);
        outcome.inspect_err(|error| {
            if matches!(error.downcast_ref(), Some(Terminated::Handler(_))) {
                self.process.report().counted_limit(Limit::HandlerTimeout);
            }
        })
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
    pub(super) fn socket(&self, fd: u32) -> Option<Arc<Socket>> {
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
