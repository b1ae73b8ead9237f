//! Receiving messages, and which of them are kept from the guest.

use std::net::SocketAddr;
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketAddrAny};

use super::Datagram;
use crate::address::Address;
use crate::error::Errno;
use crate::socket::receive_filter::{DatagramFilter, First, ReceiveFilter};
use crate::socket::{Ancillary, Kind, Received, rights, transfer};

impl Datagram {
    pub(in crate::socket) fn set_receive_filter(&self, receive_filter: Arc<dyn ReceiveFilter>) {
        self.filter.get_or_init(|| DatagramFilter::new(receive_filter));
    }

    /// May the kernel report more of what comes in than the guest is told? So it is with refused
    /// senders, and with a socket that another instance receives from.
    pub(in crate::socket) fn is_filtered(&self) -> bool {
        self.filter.get().is_some() || self.endpoint.was_held()
    }

    /// How many messages were kept from the guest, because of their senders.
    pub fn dropped(&self) -> u64 {
        self.filter.get().map_or(0, DatagramFilter::dropped)
    }

    /// How many more of them there are than the last time.
    pub fn take_dropped(&self) -> u64 {
        self.filter.get().map_or(0, DatagramFilter::take_dropped)
    }

    /// Discards refused messages at the head of the queue, before readiness is reported.
    /// Returns whether anything was discarded.
    pub(in crate::socket) fn discard_filtered(&self) -> bool {
        let Some(filter) = self.filter.get() else { return false };
        let before = filter.dropped();
        let mut kept = filter.lock();
        match filter.discard_filtered(self.host_fd(), self.inet_peer()) {
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(errno) => *kept = Some(errno),
        }
        filter.dropped() != before
    }

    /// Takes the error that an earlier poll consumed from the kernel.
    pub(in crate::socket) fn take_error(&self) -> Option<Errno> {
        self.filter.get().and_then(|filter| filter.lock().take())
    }

    fn inet_peer(&self) -> Option<SocketAddr> {
        self.lock().peer.as_ref().and_then(Address::inet)
    }

    /// Receives one message, with its sender. `None` after so many refused messages that the caller
    /// should yield first.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where none is there, and what the host reports.
    pub fn try_recv(&self, buffer: &mut [u8], peek: bool) -> Result<Option<Received>, Errno> {
        if self.is_retired() {
            return Err(Errno::EAGAIN);
        }
        let Some(filter) = self.filter.get() else { return self.take(buffer, peek).map(Some) };
        let mut kept = filter.lock();
        if let Some(errno) = kept.take() {
            return Err(errno);
        }
        match filter.discard_filtered(self.host_fd(), self.inet_peer())? {
            First::Admitted => self.take(buffer, peek).map(Some),
            First::Unknown => Ok(None),
        }
    }

    /// As [`try_recv`](Self::try_recv), with what comes beside the data, over `AF_UNIX`, where no sender
    /// is refused.
    ///
    /// # Errors
    ///
    /// Those of [`try_recv`](Self::try_recv).
    pub fn try_recv_with_ancillary(
        &self,
        buffer: &mut [u8],
        peek: bool,
    ) -> Result<(Received, Ancillary), Errno> {
        if self.is_retired() {
            return Err(Errno::EAGAIN);
        }
        let (received, from, ancillary) =
            rights::receive(self.endpoint.host_fd(), Kind::Datagram, buffer, peek)?;
        let from = from.map_or_else(|| Ok(self.endpoint.domain.wildcard()), |from| self.sender(from))?;
        Ok((Received { from: Some(from), ..received }, ancillary))
    }

    fn take(&self, buffer: &mut [u8], peek: bool) -> Result<Received, Errno> {
        let (received, from) = transfer::receive_from(self.endpoint.host_fd(), Kind::Datagram, buffer, peek)?;
        let from = from.map_or_else(|| Ok(self.endpoint.domain.wildcard()), |from| self.sender(from))?;
        if let (Some(recent), Address::Inet(from)) = (self.answers.get(), &from) {
            recent.note(*from);
        }
        Ok(Received { from: Some(from), ..received })
    }

    /// The guest's address for what the kernel calls a sender.
    fn sender(&self, from: SocketAddrAny) -> Result<Address, Errno> {
        if from.address_family() != AddressFamily::UNIX {
            return self.endpoint.domain.read(from);
        }
        let mut inner = self.lock();
        if let Some((known, address)) = &inner.last_sender
            && *known == from
        {
            return Ok(address.clone());
        }
        let address = self.endpoint.domain.read(from.clone())?;
        inner.last_sender = Some((from, address.clone()));
        Ok(address)
    }
}
