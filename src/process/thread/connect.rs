//! Connects a socket, over the network or to a name in the file system.

use std::sync::Arc;
use std::time::Duration;

use super::{SocketRef, Thread};
use crate::address::Address;
use crate::error::{Errno, Error};
use crate::ready;
use crate::socket::{Refusal, TimeOption};

/// How far an attempt to connect has got.
pub enum ConnectAttempt {
    /// It is over.
    Done(Result<(), Error>),
    /// It is on its way, and the call waits for it.
    Begun,
    /// A name is to be looked up or looked for first, or a queue has no room.
    ToBegin,
}

impl Thread {
    /// Begins to connect a socket to `address`. [`connect`](Self::connect) does the rest.
    ///
    /// # Errors
    ///
    /// `EINPROGRESS` where the descriptor does not block, and those of
    /// [`Socket::try_connect`].
    pub(crate) fn try_connect(&self, socket: &SocketRef, address: &Address) -> ConnectAttempt {
        let waits_on = match address {
            Address::Inet(_) => Errno::EINPROGRESS,
            Address::Unix(_) if self.blocks_on_files() => Errno::EAGAIN,
            // A name is looked for where that may take its time.
            Address::Unix(_) => return ConnectAttempt::ToBegin,
        };
        match socket.socket.try_connect(address, self.process.policy()) {
            Err(Refusal::Errno(errno)) if errno == waits_on && socket.waits => match address {
                Address::Inet(_) => ConnectAttempt::Begun,
                Address::Unix(_) => ConnectAttempt::ToBegin,
            },
            Err(Refusal::Denied(_)) if !self.names_to_look_up(&socket.socket, address).is_empty() => {
                ConnectAttempt::ToBegin
            }
            outcome => ConnectAttempt::Done(self.connected(socket, outcome)),
        }
    }

    /// Connects a socket to `address`, after [`try_connect`](Self::try_connect); has it `begun`?
    /// Where a name is granted that may have the address, it is looked up first, for a descriptor that does
    /// not block too.
    ///
    /// # Cancel safety
    ///
    /// As for [`ready::finish_connect`].
    ///
    /// # Errors
    ///
    /// Those of [`ready::finish_connect`] and of [`Socket::try_connect`]; `ETIMEDOUT` too where a queue
    /// stays full for too long.
    pub(crate) async fn connect(
        &self,
        socket: &SocketRef,
        address: &Address,
        begun: bool,
    ) -> Result<(), Error> {
        let outcome = match address {
            Address::Inet(_) if begun => ready::finish_connect(&socket.socket).await,
            Address::Inet(_) => {
                self.look_up_for(&socket.socket, address).await?;
                match socket.socket.try_connect(address, self.process.policy()) {
                    Err(Refusal::Errno(Errno::EINPROGRESS)) if socket.waits => {
                        ready::finish_connect(&socket.socket).await
                    }
                    outcome => outcome,
                }
            }
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
