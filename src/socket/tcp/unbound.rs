//! Fresh: opened, without an address.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::bound::Bound;
use super::{Endpoint, bind_host};
use crate::policy::Policy;
use crate::socket::{Family, Refusal};

/// The address of the C library's port probe.
///
/// The WASIX C library binds it once, asks for the local address and closes, to
/// learn in which byte order the host tells ports. No program means this address:
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
        address: SocketAddr,
        policy: &Policy,
    ) -> Result<Bound, (Refusal, Self)> {
        if endpoint.family == Family::Inet4 && address == SocketAddr::V4(PORT_PROBE) {
            return Ok(Bound::deferred(address));
        }
        match bind_host(endpoint, address, policy) {
            Ok(()) => Ok(Bound::new(address)),
            Err(refusal) => Err((refusal, self)),
        }
    }
}
