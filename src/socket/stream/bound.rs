//! Bound: has an address, and neither listens nor connects yet.

use super::listening::Listening;
use crate::address::Address;
use crate::policy::Policy;
use crate::socket::Refusal;
use crate::socket::endpoint::Endpoint;
use crate::socket::listen::ListenConfig;

/// A socket with an address.
#[derive(Debug)]
pub(super) struct Bound {
    /// What the guest requested: a granted port 0 remains granted after the host has chosen
    /// a port.
    asked: Address,
    /// The host was not asked yet. So it is for the port probe alone, which must
    /// neither need a grant nor touch a real port; any use of the socket that
    /// other programs could see makes up for it first, the policy included.
    deferred: bool,
}

impl Bound {
    pub(super) fn new(asked: Address) -> Self {
        Self { asked, deferred: false }
    }

    pub(super) fn deferred(asked: Address) -> Self {
        Self { asked, deferred: true }
    }

    /// The address, where the host does not know of it yet.
    pub(super) fn deferred_address(&self) -> Option<Address> {
        self.deferred.then(|| self.asked.clone())
    }

    /// Makes up for a bind that was put off.
    pub(super) fn make_real(&mut self, endpoint: &Endpoint, policy: &Policy) -> Result<(), Refusal> {
        if self.deferred {
            endpoint.bind(&self.asked, policy)?;
            self.deferred = false;
        }
        Ok(())
    }

    /// Binds the port anew that the socket had, where the kernel has given it up.
    ///
    /// Should it be gone by then, the kernel chooses another, as it was asked to.
    pub(super) fn take_again(&self, endpoint: &Endpoint, port: u16) {
        if let Some(mut address) = endpoint.asked_of_host(&self.asked) {
            address.set_port(port);
            let _held_or_gone = rustix::net::bind(&endpoint.fd, &address);
        }
    }

    /// The policy, where it is still to be asked for the port that the host has chosen.
    fn port_to_ask_for<'a>(&self, endpoint: &Endpoint, policy: &'a Policy) -> Option<&'a Policy> {
        endpoint.asked_of_host(&self.asked).is_some_and(|asked| asked.port() == 0).then_some(policy)
    }

    /// Listens; on failure the state comes back with the reason.
    pub(super) fn listen(
        mut self,
        endpoint: &Endpoint,
        backlog: u32,
        config: ListenConfig,
        policy: &Policy,
    ) -> Result<Listening, (Refusal, Self)> {
        let listening = policy
            .check(endpoint.use_of(&self.asked))
            .map_err(Refusal::from)
            .and_then(|()| self.make_real(endpoint, policy))
            .and_then(|()| {
                let chosen = self.port_to_ask_for(endpoint, policy);
                Listening::start(endpoint, backlog, config, chosen)
            });
        listening.map_err(|refusal| (refusal, self))
    }
}
