//! Names of hosts: looking them up, for the guest and for the policy.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Thread;
use crate::address::Address;
use crate::error::Errno;
use crate::io::sleep;
use crate::process::Process;
use crate::ready;
use crate::socket::Socket;

/// How long a look-up may take. The resolver's own limits are 5 seconds for each try of
/// each server, mostly.
const RESOLVE_LIMIT: Duration = Duration::from_secs(30);

/// What a look-up takes: the stack of a thread as far as it is used, a reply of 64 KiB as received,
/// and the addresses in it.
const LOOK_UP: u64 = 192 * 1024;

impl Process {
    /// The addresses of `name`, which the policy grants to look up. It is told what they are.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`Resolver::resolve`](crate::socket::Resolver::resolve); `ETIMEDOUT` if
    /// there is no reply after 30 seconds; `ENOMEM` where the host holds too much for the guest.
    pub(crate) async fn look_up(&self, name: String) -> Result<Vec<IpAddr>, Errno> {
        let held = self.host_memory().charge(LOOK_UP)?;
        let signals = Arc::clone(self.signals());
        let failed = move || signals.host_failed("looked a name up");
        let found = tokio::select! {
            biased;
            found = self.resolver().resolve(name.clone(), held, failed) => found,
            () = sleep(RESOLVE_LIMIT) => Err(Errno::ETIMEDOUT),
        };
        let policy = self.policy();
        match &found {
            Ok((addresses, time_to_live)) => policy.note_found(&name, Ok(addresses), *time_to_live),
            Err(errno) => policy.note_found(&name, Err(*errno), None),
        }
        found.map(|(addresses, _)| addresses)
    }

    /// The names that may have the address to which `socket` is to connect or send, where that is
    /// not known. Mostly there are none.
    pub(crate) fn names_to_look_up(&self, socket: &Socket, address: &Address) -> Vec<String> {
        match address {
            Address::Inet(to) => self.policy().names_to_look_up(socket.use_of(*to)),
            Address::Unix(_) => Vec::new(),
        }
    }

    /// Looks up [these names](Self::names_to_look_up), one after the other, until one has the address.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Where the wait is [interrupted](ready::interruptible). That a name has no address is none:
    /// the policy decides.
    pub(crate) async fn look_up_for(&self, socket: &Socket, address: &Address) -> Result<(), Errno> {
        let deadline = Instant::now() + RESOLVE_LIMIT;
        for name in self.names_to_look_up(socket, address) {
            if let Err(errno) = ready::interruptible(self.look_up(name)).await? {
                tracing::debug!("a name of the grants was not found: {errno}");
            }
            if Instant::now() >= deadline || self.names_to_look_up(socket, address).is_empty() {
                break;
            }
        }
        Ok(())
    }
}

impl Thread {
    /// As [`Process::look_up`].
    ///
    /// # Errors
    ///
    /// Those of [`Process::look_up`].
    pub(crate) async fn look_up(&self, name: String) -> Result<Vec<IpAddr>, Errno> {
        self.process.look_up(name).await
    }

    /// As [`Process::names_to_look_up`].
    pub(in crate::process) fn names_to_look_up(&self, socket: &Socket, address: &Address) -> Vec<String> {
        self.process.names_to_look_up(socket, address)
    }

    /// As [`Process::look_up_for`].
    ///
    /// # Errors
    ///
    /// Those of [`Process::look_up_for`].
    pub(in crate::process) async fn look_up_for(
        &self,
        socket: &Socket,
        address: &Address,
    ) -> Result<(), Errno> {
        self.process.look_up_for(socket, address).await
    }
}
