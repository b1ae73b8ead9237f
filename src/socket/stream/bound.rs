//! Bound: has an address, and neither listens nor connects yet.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use super::listening::Listening;
use crate::address::Address;
use crate::error::Errno;
use crate::policy::Policy;
use crate::socket::Refusal;
use crate::socket::endpoint::Endpoint;
use crate::socket::held::{BoundAt, Keeper};
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
    /// Does the guest know the address that the socket has on the host?
    is_known: AtomicBool,
}

impl Bound {
    pub(super) fn new(asked: Address) -> Self {
        Self { asked, deferred: false, is_known: AtomicBool::new(false) }
    }

    pub(super) fn deferred(asked: Address) -> Self {
        Self { asked, deferred: true, is_known: AtomicBool::new(false) }
    }

    /// The address, where the host does not know of it yet.
    pub(super) fn deferred_address(&self) -> Option<Address> {
        self.deferred.then(|| self.asked.clone())
    }

    /// Takes note that the guest asks for the address that the socket has.
    pub(super) fn note_known(&self) {
        self.is_known.store(true, Relaxed);
    }

    /// Makes up for a bind that was put off.
    pub(super) fn make_real(&mut self, endpoint: &Endpoint, policy: &Policy) -> Result<(), Refusal> {
        if self.deferred {
            endpoint.bind(&self.asked, policy, None)?;
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
            let _held_or_gone = rustix::net::bind(endpoint.fd(), &address);
        }
    }

    /// The policy, where it is still to be asked for the port that the host has chosen.
    fn port_to_ask_for<'a>(&self, endpoint: &Endpoint, policy: &'a Policy) -> Option<&'a Policy> {
        endpoint.asked_of_host(&self.asked).is_some_and(|asked| asked.port() == 0).then_some(policy)
    }

    /// Becomes the socket that `keeper` has for one whose port the host chooses. Not where the
    /// guest knows the port that this one has.
    fn adopt_chosen(&self, endpoint: &Endpoint, policy: &Policy, keeper: &dyn Keeper) -> Result<(), Errno> {
        let Some(asked) = endpoint.asked_of_host(&self.asked) else { return Ok(()) };
        if asked.port() != 0 || self.is_known.load(Relaxed) {
            return Ok(());
        }
        adopt_chosen(endpoint, asked, policy, keeper)
    }

    /// Listens; on failure the state comes back with the reason.
    pub(super) fn listen(
        mut self,
        endpoint: &Endpoint,
        backlog: u32,
        config: ListenConfig,
        policy: &Policy,
        keeper: Option<&dyn Keeper>,
    ) -> Result<Listening, (Refusal, Self)> {
        let listening = policy
            .check(endpoint.use_of(&self.asked))
            .map_err(Refusal::from)
            .and_then(|()| self.make_real(endpoint, policy))
            .and_then(|()| {
                if let Some(keeper) = keeper {
                    self.adopt_chosen(endpoint, policy, keeper)?;
                }
                let chosen = self.port_to_ask_for(endpoint, policy);
                Listening::start(endpoint, backlog, config, chosen, keeper.map(|it| (it, &self.asked)))
            });
        listening.map_err(|refusal| (refusal, self))
    }
}

/// Has `endpoint`, which listens at a port of the host's choice, become the socket that `keeper`
/// has in its place.
///
/// # Errors
///
/// `ENFILE` where the host has no descriptor left.
pub(super) fn adopt_chosen(
    endpoint: &Endpoint,
    asked: SocketAddr,
    policy: &Policy,
    keeper: &dyn Keeper,
) -> Result<(), Errno> {
    let wanted = endpoint.binding(BoundAt::Inet(asked));
    let may = |held: BorrowedFd<'_>| {
        let local = rustix::net::getsockname(held).map_err(Errno::from);
        local.and_then(|local| endpoint.domain.read(local)).is_ok_and(|local| {
            let is_allowed = policy.narrow(endpoint.use_of(&local));
            is_allowed.is_ok()
        })
    };
    if let Some(claim) = keeper.adopt_chosen(&wanted, &may)? {
        // Linux gives a port of its own choice up with it: see `Endpoint::confirm_port`.
        let _unbound = rustix::net::connect_unspec(endpoint.fd());
        endpoint.adopt(claim);
    }
    Ok(())
}
