//! What the host still delivers of what the guest has written.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::{Process, unpoisoned};
use crate::socket::{Socket, Stream};

/// The deliveries of a guest that are not done.
#[derive(Default)]
pub(super) struct Deliveries {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// To where, once for each.
    sockets: Vec<Arc<Socket>>,
    /// How many have ended without being done, since the guest was ordered to end.
    lost: usize,
    /// Was the guest closed, with all that it had open?
    is_cut: bool,
}

/// One of them, for as long as it goes on.
pub(crate) struct Delivery {
    process: Arc<Process>,
    socket: Arc<Socket>,
    /// Is its socket among those of the guest?
    is_listed: AtomicBool,
}

impl Delivery {
    /// Begins one to `socket`.
    pub(crate) fn begin(process: &Arc<Process>, socket: &Arc<Socket>) -> Self {
        unpoisoned(&process.deliveries.state).sockets.push(Arc::clone(socket));
        Self { process: Arc::clone(process), socket: Arc::clone(socket), is_listed: AtomicBool::new(true) }
    }

    /// The guest.
    pub(crate) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Has the peer see a reset, for bytes are lost.
    pub(crate) fn reset_when_closed(&self) {
        reset(&self.socket);
    }

    /// What `work` returns, unless the guest is closed before, with all that it had open, or is ordered to end. That closes
    /// it too, but in a store of the embedder's: there this is all that is left of the guest once the store is dropped, and keeps
    /// the process that would be closed.
    ///
    /// # Cancel safety
    ///
    /// That of `work`.
    pub(crate) async fn unless_cut<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.process.deliveries.wait_for(|state| state.is_cut) => None,
            _ = self.process.signals().ended() => {
                self.lose();
                None
            }
            outcome = work => Some(outcome),
        }
    }

    /// It is one of those that were lost from now on, unless it was counted so already.
    fn lose(&self) {
        // Before it is no more among those that are reset at the end.
        self.reset_when_closed();
        let mut state = unpoisoned(&self.process.deliveries.state);
        if !state.is_cut {
            state.lost += 1;
            let gone = self.leave(&mut state);
            drop(state);
            drop(gone);
        }
    }

    /// Takes its socket, once.
    fn leave(&self, state: &mut State) -> Option<Arc<Socket>> {
        if !self.is_listed.swap(false, Relaxed) {
            return None;
        }
        let found = state.sockets.iter().position(|socket| Arc::ptr_eq(socket, &self.socket))?;
        Some(state.sockets.swap_remove(found))
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let deliveries = &self.process.deliveries;
        let mut state = unpoisoned(&deliveries.state);
        let gone = self.leave(&mut state);
        drop(state);
        drop(gone);
        deliveries.changed.notify_waiters();
    }
}

impl Deliveries {
    async fn wait_for(&self, condition: impl Fn(&State) -> bool) {
        loop {
            // First it is watched, then it is looked at: no change lies between.
            let changed = self.changed.notified();
            if condition(&unpoisoned(&self.state)) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until all are done.
    pub(super) async fn done(&self) {
        self.wait_for(|state| state.sockets.is_empty()).await;
    }

    /// Ends all of them: their peers see a reset. Tells how many they were, those included that an order to end was faster for.
    pub(super) fn cut(&self) -> usize {
        let (sockets, lost) = {
            let mut state = unpoisoned(&self.state);
            state.is_cut = true;
            (state.sockets.clone(), std::mem::take(&mut state.lost))
        };
        // At once, not in their tasks: the end of the host may be faster than these.
        sockets.iter().for_each(|socket| reset(socket));
        self.changed.notify_waiters();
        sockets.len() + lost
    }
}

fn reset(socket: &Socket) {
    socket.stream().into_iter().for_each(Stream::reset_when_closed);
}
