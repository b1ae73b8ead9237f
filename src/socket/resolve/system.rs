//! The system's resolver.

use std::net::IpAddr;
use std::os::unix::net::UnixDatagram;

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, SockType, getaddrinfo};

use crate::error::Errno;

/// The addresses of `name`, without repetition. Waits for as long as the resolver likes.
pub(super) fn look_up(name: &str) -> Result<Vec<IpAddr>, Errno> {
    // Each address is returned once for each kind of socket unless one is named.
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let mut addresses: Vec<IpAddr> = Vec::new();
    let found = getaddrinfo(Some(name), None, Some(hints));
    for found in found.map_err(|error| if lacks_descriptors() { Errno::ENFILE } else { why(error) })? {
        let address = found?.sockaddr.ip();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// Does the host lack the descriptors that a look-up needs? The resolver that can't open its
/// files and sockets knows no name, and says that there is none.
fn lacks_descriptors() -> bool {
    let opened = [UnixDatagram::unbound(), UnixDatagram::unbound(), UnixDatagram::unbound()];
    opened.into_iter().any(|opened| opened.map_err(Errno::from).is_err_and(|errno| errno == Errno::ENFILE))
}

/// WASIX has no numbers of its own for this: those that say the same.
fn why(error: LookupError) -> Errno {
    tracing::debug!(?error, "a name was not found");
    match error.kind() {
        // "EAI_NONAME: The name does not resolve for the supplied parameters." -
        // getaddrinfo(3p)
        LookupErrorKind::NoName | LookupErrorKind::NoData => Errno::ENOENT,
        // "EAI_AGAIN: The name could not be resolved at this time. Future attempts may
        // succeed."
        LookupErrorKind::Again => Errno::EAGAIN,
        LookupErrorKind::Memory => Errno::ENOMEM,
        LookupErrorKind::System | LookupErrorKind::IO => std::io::Error::from(error).into(),
        // "EAI_FAIL: A non-recoverable error occurred."
        _ => Errno::EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The resolver's own numbers, as Linux has them.
    #[test]
    fn failures_can_be_distinguished() {
        let why = |number| why(LookupError::new(number));
        let [again, fail, no_name, no_data, memory] = [-3, -4, -2, -5, -10];
        assert_eq!([no_name, no_data].map(why), [Errno::ENOENT; 2]);
        assert_eq!([again, fail, memory].map(why), [Errno::EAGAIN, Errno::EIO, Errno::ENOMEM]);
    }
}
