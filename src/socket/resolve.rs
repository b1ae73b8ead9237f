//! Names to addresses, through the system's resolver.

use std::net::IpAddr;
use std::os::unix::net::UnixDatagram;

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, SockType, getaddrinfo};

use super::AtPanic;
use crate::account::Charge;
use crate::error::Errno;
use crate::io::BlockingPool;

/// How many names one guest may look up at once; further look-ups are queued. Each takes a thread
/// for as long as the system's resolver needs, abandoned or not. They are separate from the threads
/// for the guest's files, which unanswered look-ups would block otherwise.
const MOST: u32 = 8;

/// Looks names up for one guest.
#[derive(Debug)]
pub struct Resolver {
    threads: BlockingPool,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { threads: BlockingPool::new(MOST) }
    }
}

impl Resolver {
    /// The addresses of `name`, of both families, in the resolver's order, without
    /// repetition. Calls `failed` where the look-up panics.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the look-up; nothing is lost.
    ///
    /// # Errors
    ///
    /// `ENOENT` where the name does not exist or has no address; `EAGAIN` if that
    /// cannot be determined now, or the host can't start a thread; `EIO` where the resolver
    /// fails for good; `ENFILE` and what else the host reports.
    ///
    /// `held` is what is charged for the look-up, until its thread is done with it.
    pub async fn resolve(
        &self,
        name: String,
        held: Charge,
        failed: impl FnOnce() + Send + 'static,
    ) -> Result<Vec<IpAddr>, Errno> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        // The system's resolver blocks.
        let guarded = move || {
            let _until_done = held;
            let _guard = AtPanic::new(failed);
            look_up(&name)
        };
        self.threads.run(guarded).await
    }
}

fn look_up(name: &str) -> Result<Vec<IpAddr>, Errno> {
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
    use crate::account::Account;

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
            let held = Charge::none(&Account::unlimited());
            assert_eq!(
                resolver.resolve(text.to_owned(), held, || ()).await,
                Ok(text.parse().into_iter().collect())
            );
        }
    }
}
