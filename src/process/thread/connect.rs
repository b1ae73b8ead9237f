//! Connects a socket, over the network or to a name in the file system.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::{SocketRef, Thread};
use crate::address::Address;
use crate::error::{Errno, Error};
use crate::ready;
use crate::socket::{Refusal, TimeOption};

impl Thread {
    /// Begins to connect a socket to `address`: `Pending` where [`connect`](Self::connect) is to
    /// wait for the rest.
    ///
    /// # Errors
    ///
    /// `EINPROGRESS` where the descriptor does not block, and those of
    /// [`Socket::try_connect`].
    pub(crate) fn try_connect(&self, socket: &SocketRef, address: &Address) -> Poll<Result<(), Error>> {
        let waits_on = match address {
            Address::Inet(_) => Errno::EINPROGRESS,
            Address::Unix(_) if self.blocks_on_files() => Errno::EAGAIN,
            // A name is looked for where that may take its time.
            Address::Unix(_) => return Poll::Pending,
        };
        match socket.socket.try_connect(address, self.process.policy()) {
            Err(Refusal::Errno(errno)) if errno == waits_on && socket.waits => Poll::Pending,
            outcome => Poll::Ready(self.connected(socket, outcome)),
        }
    }

    /// Connects a socket to `address`, after [`try_connect`](Self::try_connect).
    ///
    /// # Cancel safety
    ///
    /// As for [`ready::finish_connect`].
    ///
    /// # Errors
    ///
    /// Those of [`ready::finish_connect`] and of [`Socket::try_connect`]; `ETIMEDOUT` too where a queue
    /// stays full for too long.
    pub(crate) async fn connect(&self, socket: &SocketRef, address: &Address) -> Result<(), Error> {
        let outcome = match address {
            Address::Inet(_) => ready::finish_connect(&socket.socket).await,
            Address::Unix(_) => self.connect_to_name(socket, address).await?,
        };
        self.connected(socket, outcome)
    }

    fn connected(&self, socket: &SocketRef, outcome: Result<(), Refusal>) -> Result<(), Error> {
        self.process.note_change(socket.fd);
        self.process.answer("sock_connect", outcome)
    }

    /// Tries until there is space: "If there is no room in the queue, a blocking connect
    /// waits" is all that Linux guarantees, and it signals free space to no one.
    async fn connect_to_name(
        &self,
        socket: &SocketRef,
        address: &Address,
    ) -> Result<Result<(), Refusal>, Error> {
        let limit =
            if socket.waits { socket.socket.timeout(TimeOption::Connect) } else { Some(Duration::ZERO) };
        let is_again = |refusal: &Refusal| *refusal == Refusal::Errno(Errno::EAGAIN);
        let outcome = ready::retry_with_backoff(limit, is_again, || async {
            let (one, at) = (Arc::clone(&socket.socket), address.clone());
            let policy = Arc::clone(self.process.policy());
            self.at_name(address, move || Ok(one.try_connect(&at, &policy)))
                .await
                .unwrap_or(Err(Errno::ECANCELED.into()))
        });
        Ok(match outcome.await {
            // "ETIMEDOUT: The attempt to connect timed out before a connection was made."
            Err(refusal) if socket.waits && is_again(&refusal) => Err(Errno::ETIMEDOUT.into()),
            outcome => outcome,
        })
    }
}
