//! The sockets that a guest has open, all at once, and how they end.

use std::sync::Arc;

use super::{MAIN, OpenFile, Process};
use crate::fd::Descriptor;
use crate::observe::{Closed, Event};
use crate::socket::held::Claim;
use crate::socket::{Socket, Stream};

impl Process {
    /// Changes the operator's maximum for backlogs, at every listener.
    pub(crate) fn set_max_backlog(&self, maximum: u32) {
        self.service().set_max_backlog(maximum);
        for socket in self.sockets_of_family() {
            if let Ok(stream) = socket.stream()
                && let Err(refusal) = stream.set_max_backlog(maximum)
            {
                tracing::debug!("a listener keeps its backlog: {}", refusal.errno());
            }
        }
    }

    /// The sockets that this process has open.
    pub(super) fn sockets(&self) -> Vec<Arc<Socket>> {
        let fds = self.fds();
        let open = (0..fds.end()).filter_map(|fd| fds.get(fd).ok()?.open.open.socket().ok().cloned());
        open.collect()
    }

    /// Closes what a descriptor was, after it left the table, whose lock is free again.
    pub(crate) fn close(&self, fd: u32, closed: Descriptor<OpenFile>, why: Closed) {
        let open = closed.open;
        // Only the last descriptor closes what is open, whatever other references there are.
        if !open.lose_descriptor() {
            return;
        }
        let event = self.ending(fd, &open, why);
        // First it is closed, then that is reported: nothing more is accepted from a listener's queue.
        if let Some(claim) = end(open)
            && why != Closed::Ended
        {
            self.instance.closed_by_guest(&claim);
        }
        self.instance.note_closed();
        if let Some(event) = event {
            self.report().tell(event);
        }
    }

    /// Has got `open` from another instance, perhaps: a held socket of that is retired with this one too.
    pub(super) fn take_over(&self, open: &OpenFile) {
        if let Some(claim) = open.open.socket().ok().and_then(|socket| socket.claim()) {
            self.instance.takes_over(claim);
        }
    }

    /// What is reported at the end of a socket.
    fn ending(&self, fd: u32, open: &OpenFile, why: Closed) -> Option<Event> {
        let stream = match open.open.socket().ok()?.as_ref() {
            Socket::Stream(stream) => stream,
            Socket::Datagram(datagram) => {
                let count = datagram.dropped();
                let local = datagram.local_address().ok()?;
                return (count > 0).then_some(Event::Dropped { fd, local, count });
            }
        };
        let is_listening = stream.is_listening();
        if !is_listening && !self.report().wants_connections() {
            return None;
        }
        let peer = stream.peer_address().ok();
        if !is_listening && peer.is_none() {
            return None;
        }
        let local = stream.local_address().ok()?;
        Some(Event::Closed { fd, local, peer, why })
    }

    /// Closes whatever is open.
    pub(crate) fn close_all(&self) {
        self.count_cut();
        #[cfg(feature = "components")]
        self.cut_deliveries();
        let end = self.fds().end();
        for fd in 0..end {
            let closed = self.fds().remove(fd);
            if let Ok(closed) = closed {
                self.close(fd, closed, Closed::Ended);
            }
        }
    }

    /// Waits until all is delivered that the guest has written.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    #[cfg(feature = "components")]
    pub(crate) async fn delivered(&self) {
        self.deliveries.done().await;
    }

    /// Ends what the host still delivers, and says so: bytes are lost that the guest takes for written.
    #[cfg(feature = "components")]
    fn cut_deliveries(&self) {
        let count = self.deliveries.cut();
        if count > 0 {
            tracing::warn!(
                "connections reset at the end of the guest, whose peers had not taken all that it wrote: {count}"
            );
        }
    }

    /// The connections that the guest has accepted and not closed, in whichever of its processes.
    pub(crate) fn accepted(&self) -> Vec<Arc<Socket>> {
        accepted_among(self.sockets_of_family())
    }

    /// How many connections the guest has accepted and not closed, one that it is about to get
    /// included.
    pub(crate) fn open_connections(&self) -> usize {
        // First those on their way, then those that have arrived: none is missed between.
        let arriving = usize::from(self.instance.is_accepting());
        self.accepted().len().saturating_add(arriving)
    }

    /// Has it datagram sockets?
    pub(crate) fn has_datagrams(&self) -> bool {
        self.sockets_of_family().iter().any(|socket| matches!(&**socket, Socket::Datagram(_)))
    }

    /// Has the connections that the guest has accepted reset when they are closed; tells how
    /// many there are.
    pub(crate) fn reset_connections(&self) -> usize {
        let accepted = self.accepted();
        accepted.iter().filter_map(|socket| socket.stream().ok()).for_each(Stream::reset_when_closed);
        self.instance.note_reset();
        accepted.len()
    }

    /// Counts the connections that it ends with.
    fn count_cut(&self) {
        // What a child ends with it has mostly served.
        if self.pid == MAIN && self.instance.counts_cut() {
            self.instance.note_cut(accepted_among(self.sockets()).len());
        }
    }
}

/// Those of `sockets` that are connections which were accepted, each once.
fn accepted_among(mut sockets: Vec<Arc<Socket>>) -> Vec<Arc<Socket>> {
    sockets.retain(|socket| socket.stream().is_ok_and(Stream::is_accepted));
    // Duplicates of one are one connection.
    sockets.sort_unstable_by_key(|socket| Arc::as_ptr(socket).addr());
    sockets.dedup_by(|one, other| Arc::ptr_eq(one, other));
    sockets
}

/// Ends what has lost its last descriptor, and returns the claim of a held socket.
pub(super) fn end(open: Arc<OpenFile>) -> Option<Arc<Claim>> {
    let claim = open.open.socket().ok().and_then(|socket| socket.claim().cloned());
    // Calls of other threads may have hold of it, or of its socket.
    let is_held = |socket: &Arc<Socket>| Arc::strong_count(socket) > 1;
    if Arc::strong_count(&open) > 1 || open.open.socket().is_ok_and(is_held) {
        open.close();
    }
    drop(open);
    if let Some(claim) = &claim {
        claim.close();
    }
    claim
}
