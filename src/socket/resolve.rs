//! Names to addresses, through the system's resolver.

use std::net::IpAddr;
use std::sync::Arc;

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, SockType, getaddrinfo};
use tokio::sync::Semaphore;

use super::reactor;
use crate::error::Errno;

/// How many names one guest may look up at once; another one waits for its turn. Each
/// takes a thread of the runtime's, which all guests share, for as long as the system's
/// resolver likes: given up or not.
const MOST: usize = 8;

/// Looks names up for one guest.
#[derive(Debug)]
pub struct Resolver {
    turns: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(MOST)) }
    }
}

impl Resolver {
    /// The addresses of `name`, of both families, in the resolver's order, without
    /// repetition.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the look-up; nothing is lost.
    ///
    /// # Errors
    ///
    /// `ENOENT` where the name does not exist or has no address; `EAGAIN` where that
    /// can't be told now; `EIO` where the resolver fails for good; what the host
    /// reports else.
    pub async fn resolve(&self, name: String) -> Result<Vec<IpAddr>, Errno> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Errno::ECANCELED)?;
        // The system's resolver blocks: it runs on a thread that may.
        let lookup = reactor()?.spawn_blocking(move || {
            let found = look_up(&name);
            drop(turn);
            found
        });
        lookup.await.map_err(|_| Errno::ECANCELED)?
    }
}

fn look_up(name: &str) -> Result<Vec<IpAddr>, Errno> {
    // Each address is told once for each kind of socket unless one is named.
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for found in getaddrinfo(Some(name), None, Some(hints)).map_err(why)? {
        let address = found?.sockaddr.ip();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
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
    #[cfg(target_os = "linux")]
    #[test]
    fn failures_can_be_told_apart() {
        let why = |number| why(LookupError::new(number));
        let [again, fail, no_name, no_data, memory] = [-3, -4, -2, -5, -10];
        assert_eq!([no_name, no_data].map(why), [Errno::ENOENT; 2]);
        assert_eq!([again, fail, memory].map(why), [Errno::EAGAIN, Errno::EIO, Errno::ENOMEM]);
    }

    #[tokio::test]
    async fn an_address_is_its_own_name() {
        let resolver = Resolver::default();
        for text in ["127.0.0.1", "::1"] {
            assert_eq!(resolver.resolve(text.to_owned()).await, Ok(text.parse().into_iter().collect()));
        }
    }
}
