//! Takes connections from a listener, and what a held one returns where another instance was faster.

use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use super::listening::{self, AcceptSource, Accepted};
use super::{Stream, StreamState};
use crate::error::Errno;
use crate::io::{Events, Pollable as _};
use crate::socket::listen::{AcceptFilter, PendingConnection, Queue};
use crate::socket::{Refusal, Socket};

impl Stream {
    /// Takes a waiting connection, without waiting for one.
    ///
    /// A connection that was reset while it waited is passed over. One that the policy
    /// or the limit of its peer refuses sees a reset, and is passed over too.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where none waits; `EINVAL` where the socket does not listen;
    /// `ENFILE` where the host has no descriptor left, and a limit to the number of
    /// connections where that is reached (the connection goes on waiting); `EBADF` where
    /// the last descriptor was closed meanwhile.
    pub fn try_accept(&self) -> Result<Accepted, Refusal> {
        let claim = self.endpoint.claim();
        let source = self.inspect(|state| match state {
            StreamState::Listening(listening) => {
                Ok(listening.source(claim.is_some_and(|it| it.is_retired())))
            }
            // "EINVAL: The socket is not accepting connections." - accept(3p)
            _ => Err(Errno::EINVAL),
        })??;
        let pending = match source {
            AcceptSource::Kernel(filter, lease, capacity) => {
                let next =
                    || listening::try_accept(&self.endpoint, filter.as_ref(), lease.as_deref(), capacity);
                self.through_turnstile(filter.as_ref(), next)
            }
            AcceptSource::Queue(queue, filter) => {
                self.through_turnstile(filter.as_ref(), || queue.try_accept())
            }
            AcceptSource::Retired => Err(Errno::EAGAIN.into()),
        };
        self.accepted(self.unless_gone(pending)?)
    }

    /// Takes a waiting connection out of the host's own queue, and wakes the caller
    /// where none waits yet.
    ///
    /// # Errors
    ///
    /// As for [`try_accept`](Self::try_accept).
    pub fn poll_accept(&self, queue: &Queue, context: &mut Context<'_>) -> Poll<Result<Accepted, Refusal>> {
        if let Some(claim) = self.endpoint.claim() {
            // First it is woken by a change, then it asks.
            claim.wake_at_change(context.waker());
            if claim.is_retired() {
                return match self.unless_gone::<PendingConnection>(Err(Errno::EAGAIN.into())) {
                    Err(refusal) if refusal != Errno::EAGAIN.into() => Poll::Ready(Err(refusal)),
                    _ => Poll::Pending,
                };
            }
        }
        let rates = || queue.accept_filter().rates();
        let claim = self.endpoint.claim();
        if let Some(turnstile) = claim.and_then(|claim| claim.socket().turnstile(rates())) {
            // First it is registered, then it asks: no change lies between.
            let _later = queue.register(Events::READ, context);
            return match self.try_accept() {
                Err(Refusal::Errno(Errno::EAGAIN)) => {
                    if !turnstile.is_held_back() && queue.has_waiting() {
                        // It has looked at as many as it may at once.
                        context.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
                accepted => Poll::Ready(accepted),
            };
        }
        queue.poll_accept(context).map(|pending| self.accepted(self.unless_gone(pending)?))
    }

    /// The next connection that `next` takes from the queue and that may come now.
    fn through_turnstile(
        &self,
        filter: &dyn AcceptFilter,
        mut next: impl FnMut() -> Result<PendingConnection, Refusal>,
    ) -> Result<PendingConnection, Refusal> {
        let claim = self.endpoint.claim();
        match claim.and_then(|claim| claim.socket().turnstile(filter.rates())) {
            Some(turnstile) => turnstile.accept(filter, next),
            None => next(),
        }
    }

    /// An accept after the guest was told of a connection, which finds none because another
    /// instance took it or this one is retired, fails with `ECONNABORTED`: a server that polls
    /// and accepts then does not stop there.
    fn unless_gone<T>(&self, answer: Result<T, Refusal>) -> Result<T, Refusal> {
        let Some(claim) = self.endpoint.claim() else { return answer };
        match (claim.take_report(), answer) {
            // "ECONNABORTED: A connection has been aborted." - accept(3p)
            (true, Err(Refusal::Errno(Errno::EAGAIN))) => Err(Errno::ECONNABORTED.into()),
            (_, answer) => answer,
        }
    }

    /// The guest's socket; it lingers as the listener does, for so the kernel has it.
    fn accepted(&self, pending: PendingConnection) -> Result<Accepted, Refusal> {
        let PendingConnection { socket, peer, permit, _held: _ } = pending;
        let endpoint = self.endpoint.accepted(socket);
        endpoint.lingers.store(self.endpoint.lingers.load(Relaxed), Relaxed);
        let mut stream = Self::with_peer(endpoint, peer.clone(), self.limits.passed_on())?;
        stream.permit = permit.map(Box::new);
        Ok(Accepted { socket: Socket::Stream(stream), peer })
    }
}
