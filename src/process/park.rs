//! Parking at what a call waits for, without a future.
//!
//! Most waits of a guest's own thread end by what they wait for. Such a call *parks at* its descriptor before it has a half that
//! waits, and tries again. Anything else that happens (a signal, the end, a
//! descriptor that another thread closes) ends the park too. Then the call goes on as one that has not parked:
//! its half that waits finds out what it was.
//!
//! # Correctness
//!
//! As for every wait: the thread is to be woken by all of that first, then it looks whether any of it has happened, and sleeps
//! then. The end of all threads wakes it once, after it can be seen: a thread that was woken so looks
//! before it sleeps.

use std::pin::pin;
use std::task::{Context, Waker};

use super::standstill::Gate;
use super::{OpenFile, Thread};
use crate::io::{Events, park_at, with_waker};
use crate::ready;

/// A thread that rests, until this is dropped.
struct Rest<'a>(&'a Gate);

impl<'a> Rest<'a> {
    fn begin(gate: &'a Gate) -> Self {
        gate.rest();
        Self(gate)
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.0.go_on();
    }
}

impl Thread {
    /// Parks this thread, whose calls may, until there is something to receive from `open`. False where the
    /// wait ends by something else, or may: the half of the call that waits is to see to it.
    pub(crate) fn parks_to_receive(&self, open: &OpenFile) -> bool {
        let Ok(socket) = open.open.socket() else { return false };
        if open.is_nonblocking() {
            return false;
        }
        let Some(fd) = ready::received_by(socket) else { return false };
        let closing = self.threads.are_many().then_some(open);
        self.park(closing, |_| park_at(fd, Events::READ).then_some(())).is_some()
    }

    /// Parks this thread by `park`, which its waker ends: at a signal, at the end, and when the last descriptor
    /// of `closing` is closed. `None` where one of these has happened, and what `park` returns otherwise.
    pub(crate) fn park<T>(
        &self,
        closing: Option<&OpenFile>,
        park: impl FnOnce(&Waker) -> Option<T>,
    ) -> Option<T> {
        if self.is_child() {
            return None;
        }
        self.process.instance().note_waiting();
        with_waker(|waker| {
            let _listening = self.pending_signals.listen(waker)?;
            let Some(open) = closing else { return self.rest_in(|| park(waker)) };
            let closed = pin!(open.closed());
            if closed.poll(&mut Context::from_waker(waker)).is_ready() {
                return None;
            }
            self.rest_in(|| park(waker))
        })
    }

    /// Parks by `park`, unless it is the end.
    fn rest_in<T>(&self, park: impl FnOnce() -> Option<T>) -> Option<T> {
        if self.threads.has_ended() {
            return None;
        }
        let gate = &self.threads.gate;
        let _rest = gate.is_used().then(|| Rest::begin(gate));
        self.process.uncounted(park)
    }
}
