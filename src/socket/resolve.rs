//! Names to addresses, through the system's resolver.

use std::net::IpAddr;

use super::reactor;
use crate::error::Errno;

/// The addresses of `name`, in the resolver's order, without repetition.
///
/// # Cancel safety
///
/// Dropping the future abandons the look-up; nothing is lost.
///
/// # Errors
///
/// `ENOENT` where the name has no address, and what the host reports else.
pub async fn resolve(name: String) -> Result<Vec<IpAddr>, Errno> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    // The system's resolver blocks: it runs on a thread that may.
    let lookup = reactor()?.spawn_blocking(move || {
        std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), 0)).map(Iterator::collect::<Vec<_>>)
    });
    let found = lookup.await.map_err(|_| Errno::ECANCELED)?.map_err(|error| {
        tracing::debug!(%error, "a name was not found");
        Errno::ENOENT
    })?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}
