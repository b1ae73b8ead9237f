//! Fresh: opened, without an address.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::bound::{Bound, adopt_chosen};
use super::listening::Listening;
use crate::address::Address;
use crate::error::Errno;
use crate::policy::Policy;
use crate::socket::Refusal;
use crate::socket::endpoint::Endpoint;
use crate::socket::held::Keeper;
use crate::socket::listen::{ListenConfig, UnboundListen as Rule};

/// The address of the C library's port probe.
///
/// The WASIX C library binds it once, asks for the local address and closes, to
/// learn in which byte order the host reports ports. No program means this address:
/// it is 9000 written without a byte swap.
const PORT_PROBE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 10275);

/// A socket without an address.
#[derive(Debug)]
pub(super) struct Unbound;

impl Unbound {
    /// Gives the socket its address; on failure the state comes back with the reason.
    pub(super) fn bind(
        self,
        endpoint: &Endpoint,
        address: Address,
        policy: &Policy,
        keeper: Option<&dyn Keeper>,
    ) -> Result<Bound, (Refusal, Self)> {
        if address == Address::Inet(SocketAddr::V4(PORT_PROBE)) {
            return Ok(Bound::deferred(address));
        }
        match endpoint.bind(&address, policy, keeper) {
            Ok(address) => {
                if let Some(keeper) = keeper {
                    endpoint.note_bound(&address, keeper);
                }
                Ok(Bound::new(address))
            }
            Err(refusal) => Err((refusal, self)),
        }
    }

    /// Listens without an address, where the profile lets the host choose one.
    pub(super) fn listen(
        self,
        endpoint: &Endpoint,
        backlog: u32,
        config: ListenConfig,
        policy: &Policy,
        keeper: Option<&dyn Keeper>,
    ) -> Result<Listening, (Refusal, Self)> {
        if let Rule::Refused(errno) = config.rules.unbound {
            return Err((errno.into(), self));
        }
        let wildcard = endpoint.domain.wildcard();
        if let Address::Unix(_) = wildcard {
            // There is no name that the host could choose: Linux has EINVAL too.
            return Err((Errno::EINVAL.into(), self));
        }
        // The kernel binds as it listens, and undoes it where that fails.
        let listening = policy.check(endpoint.use_of(&wildcard)).map_err(Refusal::from).and_then(|()| {
            if let (Some(keeper), Some(asked)) = (keeper, wildcard.inet()) {
                adopt_chosen(endpoint, asked, policy, keeper)?;
            }
            Listening::start(endpoint, backlog, config, Some(policy), keeper.map(|it| (it, &wildcard)))
        });
        listening.map_err(|refusal| (refusal, self))
    }
}
