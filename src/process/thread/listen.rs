//! Gives a socket its address, and has it listen there.

use std::sync::Arc;

use super::{SocketRef, Thread, TraceAnnotation};
use crate::address::{Address, UnixName};
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::observe::Event;
use crate::socket::listen::{Capacity, ListenConfig};
use crate::socket::{Domain, Refusal, Socket};

/// The call of modules that accepts, as the operator knows it.
pub(in crate::process) const ACCEPT: &str = "sock_accept";

impl Thread {
    /// Makes the socket `fd` listen, and reports it to the operator and to the handlers of
    /// events. Returns the capacity of the queue, for the trace.
    ///
    /// # Errors
    ///
    /// Those of [`socket`](Self::socket) and of [`Stream::listen`](crate::socket::Stream::listen).
    pub(crate) fn listen(&self, fd: u32, backlog: u32) -> Result<TraceAnnotation, Error> {
        let outcome = self.socket(fd, Rights::SOCK_LISTEN).map_err(Error::from).and_then(|socket| {
            let config = self.config(ACCEPT, fd, &socket.socket);
            self.listen_as("sock_listen", fd, &socket.socket, backlog, config)
        });
        match &outcome {
            Ok(_) => self.process.note_listen(fd, None),
            Err(Error::Errno(errno)) => self.process.note_listen(fd, Some(*errno)),
            Err(Error::Trap(_) | Error::Wait | Error::LookUp(_) | Error::Ended(_) | Error::Replaced) => {}
        }
        let Capacity { now, .. } = outcome?;
        Ok(TraceAnnotation { name: "capacity", value: now.into() })
    }

    /// Makes `socket`, which is the descriptor `fd`, listen on these terms, and reports it to the operator, who knows the
    /// call as `call`.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::listen`](crate::socket::Stream::listen).
    pub(crate) fn listen_as(
        &self,
        call: &'static str,
        fd: u32,
        socket: &Socket,
        backlog: u32,
        config: ListenConfig,
    ) -> Result<Capacity, Error> {
        self.process.answer(call, self.try_listen(call, fd, socket, backlog, config))
    }

    fn try_listen(
        &self,
        call: &'static str,
        fd: u32,
        socket: &Socket,
        backlog: u32,
        config: ListenConfig,
    ) -> Result<Capacity, Refusal> {
        let stream = socket.stream()?;
        let outcome = stream.listen(backlog, config, self.process.policy(), self.process.keeper());
        if let Err(refusal) = &outcome {
            let (errno, local) = (refusal.errno(), stream.local_address()?);
            self.process.report_unavailable(call, &local, &outcome);
            self.process.report().tell(Event::Listening { fd, local, backlog, result: Err(errno) });
        }
        outcome
    }

    /// On what terms `socket`, which is the descriptor `fd`, listens at the address that it has. The operator knows
    /// the call that accepts as `accept`.
    pub(crate) fn config(&self, accept: &'static str, fd: u32, socket: &Socket) -> ListenConfig {
        let local = socket.local_address().unwrap_or_else(|_| Address::Unix(UnixName::unnamed()));
        self.process.config(accept, fd, local)
    }

    /// What the addresses of a Unix socket mean to this guest.
    pub(crate) fn names(&self) -> Domain {
        self.process.names()
    }

    /// What gives `socket` the address: [`bound`](Self::bound) is to follow. That of a name is a file
    /// operation.
    pub(crate) fn bind(
        &self,
        socket: &SocketRef,
        address: &Address,
    ) -> impl FnOnce() -> Result<Result<(), Refusal>, Errno> + Send + use<> {
        let (binder, at) = (Arc::clone(&socket.socket), address.clone());
        let process = Arc::clone(&self.process);
        move || {
            // The name that a socket gets is one that moves: see `moves.rs`.
            let _alone = matches!(at, Address::Unix(_)).then(|| process.moves());
            Ok(binder.bind(at, process.policy(), process.keeper()))
        }
    }

    /// Takes in how [`bind`](Self::bind) ended. If the address makes the socket receive messages, it is
    /// reported to the operator.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::bind`].
    pub(crate) fn bound(
        &self,
        socket: &SocketRef,
        address: Address,
        outcome: Result<(), Refusal>,
    ) -> Result<(), Error> {
        self.bound_as("sock_bind", socket, address, outcome)
    }

    /// As [`bound`](Self::bound), where the operator knows the call as `call`.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::bind`].
    pub(crate) fn bound_as(
        &self,
        call: &'static str,
        socket: &SocketRef,
        address: Address,
        outcome: Result<(), Refusal>,
    ) -> Result<(), Error> {
        if let (Ok(()), Socket::Datagram(datagram)) = (&outcome, socket.socket.as_ref()) {
            let local = datagram.local_address()?;
            self.process.report().tell(Event::Bound { fd: socket.fd, local });
        }
        self.process.report_unavailable(call, &self.process.place(&socket.socket, address), &outcome);
        self.process.answer(call, outcome)
    }
}
