//! Bound: has an address, and neither listens nor connects yet.

use std::net::SocketAddr;
use std::sync::Arc;

use super::listening::Listening;
use super::{Endpoint, bind_host};
use crate::policy::{Policy, Use};
use crate::socket::Refusal;
use crate::socket::listen::Terms;

/// A socket with an address.
#[derive(Debug)]
pub(super) struct Bound {
    /// What the guest asked for: a granted port 0 stays granted when the host has
    /// chosen a port.
    asked: SocketAddr,
    /// The host was not asked yet. So it is for the port probe alone, which must
    /// neither need a grant nor touch a real port; any use of the socket that
    /// other programs could see makes up for it first, the policy included.
    deferred: bool,
}

impl Bound {
    pub(super) fn new(asked: SocketAddr) -> Self {
        Self { asked, deferred: false }
    }

    pub(super) fn deferred(asked: SocketAddr) -> Self {
        Self { asked, deferred: true }
    }

    /// The address, where the host does not know of it yet.
    pub(super) fn deferred_address(&self) -> Option<SocketAddr> {
        self.deferred.then_some(self.asked)
    }

    /// Makes up for a bind that was put off.
    pub(super) fn make_real(&mut self, endpoint: &Endpoint, policy: &Policy) -> Result<(), Refusal> {
        if self.deferred {
            bind_host(endpoint, self.asked, policy)?;
            self.deferred = false;
        }
        Ok(())
    }

    /// Binds the port anew that the socket had, where the kernel has given it up.
    ///
    /// Should it be gone by then, the kernel chooses another, as it was asked to.
    pub(super) fn take_again(&self, endpoint: &Endpoint, port: u16) {
        let mut address = self.asked;
        address.set_port(port);
        let _held_or_gone = rustix::net::bind(&endpoint.fd, &address);
    }

    /// Listens; on failure the state comes back with the reason.
    pub(super) fn listen(
        mut self,
        endpoint: &Endpoint,
        backlog: u32,
        terms: Terms,
        policy: &Policy,
    ) -> Result<Listening, (Refusal, Self)> {
        let listening = policy
            .check(Use::TcpListen(self.asked))
            .map_err(Refusal::from)
            .and_then(|()| self.make_real(endpoint, policy))
            .and_then(|()| Listening::start(Arc::clone(&endpoint.fd), backlog, terms).map_err(Refusal::from));
        listening.map_err(|refusal| (refusal, self))
    }
}
