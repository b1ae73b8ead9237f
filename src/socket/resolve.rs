//! Names to addresses, through the system's resolver or the embedder's.

#[cfg(feature = "dns")]
mod system;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::account::Charge;
use crate::error::Errno;
use crate::io::{AtPanic, BlockingPool};

/// How many names one guest may look up at once; further look-ups are queued. Each takes a thread
/// for as long as the system's resolver needs, abandoned or not. They are separate from the threads
/// for the guest's files, which unanswered look-ups would block otherwise.
const MOST: u32 = 8;

/// The addresses of a name, and for how long they are known to be, where the resolver says that.
pub type FoundAddresses = (Vec<IpAddr>, Option<Duration>);

/// An embedder's own resolver, which may block.
pub type LookUp = Arc<dyn Fn(&str) -> Result<FoundAddresses, Errno> + Send + Sync>;

/// Looks names up for one guest.
pub struct Resolver {
    threads: BlockingPool,
    /// `None` for the system's.
    look_up: Option<LookUp>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Resolver {
    /// Looks names up by `look_up`, or by the system's resolver.
    pub fn new(look_up: Option<LookUp>) -> Self {
        Self { threads: BlockingPool::new(MOST), look_up }
    }

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
    /// fails for good; `ENFILE` and what else the host reports. Without the feature `dns`
    /// `ENOTSUP`, but for an address. Those of the embedder's resolver.
    ///
    /// `held` is what is charged for the look-up, until its thread is done with it.
    pub async fn resolve(
        &self,
        name: String,
        held: Charge,
        failed: impl FnOnce() + Send + 'static,
    ) -> Result<FoundAddresses, Errno> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok((vec![address], None));
        }
        let own = self.look_up.clone();
        // It blocks.
        let guarded = move || {
            let _until_done = held;
            let _guard = AtPanic::new(failed);
            match own {
                Some(own) => own(&name),
                None => Ok((look_up(&name)?, None)),
            }
        };
        self.threads.run(guarded).await
    }
}

#[cfg(feature = "dns")]
fn look_up(name: &str) -> Result<Vec<IpAddr>, Errno> {
    system::look_up(name)
}

#[cfg(not(feature = "dns"))]
fn look_up(_name: &str) -> Result<Vec<IpAddr>, Errno> {
    Err(Errno::ENOTSUP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Account;

    #[tokio::test]
    async fn an_address_is_its_own_name() {
        let resolver = Resolver::new(None);
        for text in ["127.0.0.1", "::1"] {
            let held = Charge::none(&Account::unlimited());
            assert_eq!(
                resolver.resolve(text.to_owned(), held, || ()).await,
                Ok((text.parse().into_iter().collect(), None))
            );
        }
    }

    #[tokio::test]
    async fn a_name_needs_a_feature() {
        let held = Charge::none(&Account::unlimited());
        // A name that no resolver can ask for.
        let found = Resolver::new(None).resolve("..".to_owned(), held, || ()).await;
        assert_eq!(found == Err(Errno::ENOTSUP), !cfg!(feature = "dns"), "{found:?}");
    }
}
