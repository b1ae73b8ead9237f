//! One instance, from its connection to its end.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Weak};

use tokio::sync::OwnedSemaphorePermit;

use super::super::WasockCtx;
use super::super::limits::{EnforcedLimits, contained};
use super::super::outcome::{Ended, reason};
use super::super::run::EndOfRun;
use super::generation::Entered;
use super::listener::Listener;
use super::shared::Shared;
use crate::address::Address;
use crate::error::Terminated;
use crate::io::sleep;
use crate::observe::Event;
use crate::process::{GivenConnection, variables_of};
use crate::service::HOST_LISTENER;
use crate::socket::{Accepted, Socket, Stream};

/// Makes an instance for one connection, and runs it to its end.
///
/// # Cancel safety
///
/// Dropping the future ends the instance, and closes the connection.
pub(super) async fn serve(
    shared: Arc<Shared>,
    entered: Entered,
    mut unserved: Unserved,
    permit: OwnedSemaphorePermit,
) {
    let Some(Accepted { socket, peer }) = unserved.accepted.take() else { return };
    let listener = Arc::clone(&unserved.listener);
    let served = Served { local: socket.local_address().unwrap_or_else(|_| peer.clone()), peer };
    let socket = Arc::new(socket);
    let reset = ResetUnlessServed(Arc::downgrade(&socket));
    let given = GivenConnection::new(socket, shared.shown_as);
    let outcome = match served.context(&shared, &entered, &given) {
        Ok(ctx) => {
            let process = Arc::clone(ctx.thread.process());
            entered.begun(&ctx);
            let _end = EndOfRun(Arc::clone(&process));
            served.accepted(&shared, &given);
            let mut life = pin!(run(&shared, &entered, ctx, given, &listener));
            // Dropped before what the instance has: the socket is open then.
            let reset = reset;
            let outcome = life.as_mut().await;
            if outcome.is_ok() {
                reset.disarm();
            }
            outcome
        }
        Err(error) => {
            drop(reset);
            Err(error)
        }
    };
    served.ended(&shared, &entered, &outcome);
    drop(entered);
    drop(permit);
    shared.ended.notify_waiters();
}

/// A connection that no instance has yet. Where it never gets one, its peer sees a reset.
pub(super) struct Unserved {
    accepted: Option<Accepted>,
    listener: Arc<Listener>,
}

impl Unserved {
    /// One that came in at `listener`.
    pub(super) fn new(accepted: Accepted, listener: &Arc<Listener>) -> Self {
        Self { accepted: Some(accepted), listener: Arc::clone(listener) }
    }
}

impl Drop for Unserved {
    fn drop(&mut self) {
        if let Some(Accepted { socket, .. }) = &self.accepted {
            socket.stream().into_iter().for_each(Stream::reset_when_closed);
        }
    }
}

/// Makes the peer see a reset when the connection is closed, unless its instance has ended by
/// itself: what the peer got is not all.
struct ResetUnlessServed(Weak<Socket>);

impl ResetUnlessServed {
    fn disarm(mut self) {
        self.0 = Weak::new();
    }
}

impl Drop for ResetUnlessServed {
    fn drop(&mut self) {
        if let Some(socket) = self.0.upgrade() {
            socket.stream().into_iter().for_each(Stream::reset_when_closed);
        }
    }
}

async fn run(
    shared: &Shared,
    entered: &Entered,
    ctx: WasockCtx,
    given: GivenConnection,
    listener: &Listener,
) -> wasmtime::Result<Ended> {
    let (program, process) = (&entered.generation.program, Arc::clone(ctx.thread.process()));
    // Processes that it begins compute on threads of their own, whose time nobody else looks at.
    let limits = match program.has_families() {
        true => EnforcedLimits::enforce(&process, program.ticker().cloned()),
        false => EnforcedLimits::enforce_idle(&process),
    };
    let _limits = limits.map_err(wasmtime::Error::new)?;
    if let Some(ticker) = program.ticker().cloned() {
        process.signals().set_epoch_interrupt(Arc::new(move || ticker.request()));
    }
    // A future that is passed on is held twice: in a box the large one is not.
    let mut life = pin!(contained(&process, Box::pin(program.run(ctx, given, Some(listener.local())))));
    let life = poll_fn(|context| shared.pulse.running(|| life.as_mut().poll(context)));
    let Some(timeout) = process.service().limits().timeout else { return life.await };
    let mut life = pin!(life);
    tokio::select! {
        biased;
        outcome = &mut life => return outcome,
        () = sleep(timeout) => process.family().terminate(Terminated::Timeout(timeout)),
    }
    life.await
}

/// The connection that an instance serves.
struct Served {
    local: Address,
    peer: Address,
}

impl Served {
    /// # Errors
    ///
    /// Where the standard streams and the directories do not fit the limits.
    fn context(
        &self,
        shared: &Shared,
        entered: &Entered,
        given: &GivenConnection,
    ) -> wasmtime::Result<WasockCtx> {
        let template = &entered.generation.template;
        let instance = template.service.instance_for_connection(entered.generation.number);
        let variables = variables_of(shared.shown_as, &self.local, &self.peer);
        let made = template.context_for_connection(instance, given, variables);
        made.map_err(wasmtime::Error::new)
    }

    fn accepted(&self, shared: &Shared, given: &GivenConnection) {
        let report = shared.service.inner().report();
        report.counted_instance();
        if report.wants_connections()
            && let Some(fd) = given.number()
        {
            let (peer, local) = (self.peer.clone(), self.local.clone());
            report.tell(Event::Accepted { listener: HOST_LISTENER, fd, peer, local });
        }
    }

    /// Reports an end that is a failure.
    fn ended(&self, shared: &Shared, entered: &Entered, outcome: &wasmtime::Result<Ended>) {
        if matches!(outcome, Ok(Ended { code: 0 })) {
            return;
        }
        // The end of the service is no failure of each of its instances.
        if matches!(outcome, Err(error) if error.downcast_ref() == Some(&Terminated::Order)) {
            return;
        }
        let report = shared.service.inner().report();
        report.counted_failed_instance();
        if report.has_observer() {
            let (generation, local, peer) =
                (entered.generation.number, self.local.clone(), self.peer.clone());
            report.tell(Event::InstanceFailed { generation, local, peer, why: reason(outcome) });
        }
    }
}
