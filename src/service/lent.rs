//! Sockets that others hold and that an instance may have for a while.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::{Instance, ServiceState};
use crate::socket::held::{Claim, Made};

/// A socket that an instance may have, as long as this lives.
pub(crate) struct Lent {
    service: Arc<ServiceState>,
    fd: Arc<OwnedFd>,
}

impl ServiceState {
    /// Lets `instance`, where it binds to the very address of `made`, have that for as long as the result lives:
    /// it may listen there, and sets nothing.
    pub(crate) fn lend(self: &Arc<Self>, made: Made, instance: &Instance) -> Lent {
        let lent = Lent { service: Arc::clone(self), fd: Arc::clone(&made.fd) };
        self.held().lend(made, instance.owner());
        lent
    }
}

impl Lent {
    /// Is it what a guest has by `claim`?
    pub(crate) fn is_had_by(&self, claim: &Claim) -> bool {
        Arc::ptr_eq(claim.socket().fd(), &self.fd)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.service.held().take_back(&self.fd);
    }
}
