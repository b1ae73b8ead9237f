//! TCP, as every version of WASI has it.
//!
//! Each call looks at the state first, then at its arguments, then asks the policy and the
//! operating system: "Except where explicitly mentioned", WASI's states are those of the core. A
//! failed attempt to connect is the end of a socket here, and nowhere else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use super::address::{check_local, check_peer};
use super::connection::Connection;
use super::descriptor::GuestSocket;
use super::failure::Failure;
use crate::address::Address;
use crate::error::Errno;
use crate::io::Events;
use crate::process::{Process, SocketRef, Thread};
use crate::ready::is_ready;
use crate::socket::listen::UnboundListen;
use crate::socket::{Domain, Family, FlagOption, Kind, Phase, Refusal, ShutdownHow, Socket, Stream};

/// The backlog of a program that has not named any, as std and most others name it. Where a profile has a
/// number that means the maximum, this is not that number: nothing was asked for.
const DEFAULT_BACKLOG: u32 = 128;

/// How the operator knows the calls of a version of WASI by which a socket listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListenCalls {
    /// The one that is made.
    pub(super) call: &'static str,
    /// The one that the guest gets connections by.
    pub(super) accept: &'static str,
}

/// A TCP socket of the guest.
pub(crate) struct Tcp {
    socket: Arc<GuestSocket>,
    /// As the guest has set it.
    backlog: Option<u32>,
    /// The attempt to connect has failed: "After a failed connection attempt, the socket will be in the `closed`
    /// state and the only valid action left is to `drop` the socket." - wasi:sockets/tcp
    is_over: bool,
}

impl Tcp {
    /// A fresh socket.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`, `ENOMEM`; `ENOTSUP` where the host lacks the family.
    pub(super) fn open(thread: &Thread, family: Family) -> Result<Self, Failure> {
        // It receives no datagrams.
        let socket = open(thread, family, Kind::Stream, "")?;
        if thread.process().settings().tcp_nodelay {
            socket.socket().set_flag(FlagOption::NoDelay, true)?;
        }
        Ok(Self::of(socket))
    }

    fn of(socket: Arc<GuestSocket>) -> Self {
        Self { socket, backlog: None, is_over: false }
    }

    /// The descriptor.
    pub(super) fn socket(&self) -> &Arc<GuestSocket> {
        &self.socket
    }

    /// The socket, where its attempt to connect has not failed.
    ///
    /// # Errors
    ///
    /// [`Failure::State`].
    fn usable(&self) -> Result<&Stream, Failure> {
        if self.is_over { Err(Failure::State) } else { Ok(self.socket.stream()?) }
    }

    /// Gives it an address.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where it has one, [`Failure::Argument`], and those of [`Stream::bind`].
    pub(super) fn bind(&self, thread: &Thread, call: &'static str, to: SocketAddr) -> Result<(), Failure> {
        let stream = self.usable()?;
        if stream.is_bound() {
            return Err(Failure::State);
        }
        check_local(to, self.socket.family())?;
        let (reference, address) = (self.socket.reference(), Address::Inet(to));
        let outcome = bind_for_both(thread, reference, &address)?;
        let outcome = outcome.and_then(|()| stream.settle_bind(thread.process().policy()));
        Ok(thread.bound_as(call, reference, address, outcome)?)
    }

    /// Begins to connect. A name of the grants that may have the address is looked up first.
    ///
    /// # Errors
    ///
    /// Those of [`try_begin_connect`](Self::try_begin_connect).
    pub(super) async fn begin_connect(
        &mut self,
        process: &Process,
        call: &'static str,
        to: SocketAddr,
    ) -> Result<(), Failure> {
        if let Begun::NeedsLookUp = self.try_begin_connect(process, call, to, true)? {
            process.look_up_for(self.socket.socket(), &Address::Inet(to)).await?;
            self.try_begin_connect(process, call, to, false)?;
        }
        Ok(())
    }

    /// Begins to connect, unless a name of the grants that may have the address is to be looked up first and
    /// the caller `may_look_up`.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where it listens, is connected or about to be; [`Failure::Argument`]; and those of
    /// [`Stream::try_connect`], after which it is of no more use.
    pub(super) fn try_begin_connect(
        &mut self,
        process: &Process,
        call: &'static str,
        to: SocketAddr,
        may_look_up: bool,
    ) -> Result<Begun, Failure> {
        match self.usable()?.phase() {
            Phase::Idle | Phase::Failed => {}
            Phase::Connecting(_) | Phase::Listening(_) | Phase::Connected(_) => return Err(Failure::State),
        }
        check_peer(to, self.socket.family())?;
        let (socket, address) = (self.socket.socket(), Address::Inet(to));
        match socket.try_connect(&address, process.policy()) {
            Ok(()) | Err(Refusal::Errno(Errno::EINPROGRESS)) => Ok(Begun::Connecting),
            Err(Refusal::Denied(_))
                if may_look_up && !process.names_to_look_up(socket, &address).is_empty() =>
            {
                Ok(Begun::NeedsLookUp)
            }
            outcome => {
                self.is_over = true;
                process.answer(call, outcome).map_err(|error| of_connect(Failure::from(error)))?;
                Ok(Begun::Connecting)
            }
        }
    }

    /// Ends an attempt to connect.
    ///
    /// # Errors
    ///
    /// `EAGAIN` while it is on its way; why it failed, after which the socket is of no more use.
    pub(super) fn finish_connect(&mut self) -> Result<Arc<Connection>, Failure> {
        match self.usable()?.try_finish_connect() {
            Ok(()) => Ok(Arc::clone(self.socket.connect()?)),
            Err(Errno::EINPROGRESS) => Err(Errno::EAGAIN.into()),
            Err(errno) => {
                self.is_over = true;
                Err(of_connect(Failure::Errno(errno)))
            }
        }
    }

    /// Listens; the backlog is the one that the guest has set. Returns how many connections may wait. What becomes
    /// of a socket without an address is WASI's to say, and not the profile's.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where it listens, is connected or about to be, or has no address and needs one; those of
    /// [`Stream::listen`].
    pub(super) fn listen(
        &self,
        thread: &Thread,
        calls: ListenCalls,
        unbound: UnboundListen,
    ) -> Result<u32, Failure> {
        let stream = self.usable()?;
        match stream.phase() {
            Phase::Idle if stream.is_bound() || unbound == UnboundListen::BoundToWildcard => {}
            _ => return Err(Failure::State),
        }
        let (fd, socket) = (self.socket.fd(), self.socket.socket());
        let mut config = thread.config(calls.accept, fd, socket);
        config.rules.unbound = unbound;
        let backlog = self.backlog.unwrap_or_else(|| {
            config.rules.somaxconn_is_maximum = false;
            DEFAULT_BACKLOG
        });
        Ok(thread.listen_as(calls.call, fd, socket, backlog, config)?.now)
    }

    /// Sets the backlog, where it listens too; returns how many connections may wait then.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where it is connected or about to be, [`Failure::Argument`] for 0, and those of
    /// [`Stream::listen`].
    pub(super) fn set_backlog(
        &mut self,
        thread: &Thread,
        calls: ListenCalls,
        backlog: u64,
    ) -> Result<Option<u32>, Failure> {
        let is_listening = match self.usable()?.phase() {
            Phase::Connecting(_) | Phase::Connected(_) => return Err(Failure::State),
            Phase::Listening(_) => true,
            Phase::Idle | Phase::Failed => false,
        };
        if backlog == 0 {
            return Err(Failure::Argument);
        }
        // A large number, and none that a profile could take for a negative one.
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX).unsigned_abs();
        let capacity = is_listening.then(|| {
            let (fd, socket) = (self.socket.fd(), self.socket.socket());
            thread.listen_as(calls.call, fd, socket, backlog, thread.config(calls.accept, fd, socket))
        });
        let capacity = capacity.transpose()?.map(|capacity| capacity.now);
        self.backlog = Some(backlog);
        Ok(capacity)
    }

    /// As [`accept`].
    ///
    /// # Errors
    ///
    /// Those of [`accept`]; [`Failure::State`] where an attempt to connect has failed.
    pub(super) fn accept(&self, thread: &Thread) -> Result<Self, Failure> {
        self.usable()?;
        accept(thread, &self.socket)
    }

    /// The address that it has, as the guest knows it.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where it has none, and what the host reports.
    pub(super) fn local_address(&self) -> Result<SocketAddr, Failure> {
        if !self.usable()?.is_bound() {
            return Err(Failure::State);
        }
        inet(self.socket.socket().shown_address()?)
    }

    /// The peer's address, also after the peer reset the connection.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where it is not connected.
    pub(super) fn peer_address(&self) -> Result<SocketAddr, Failure> {
        inet(self.usable()?.peer_address().map_err(|_| Failure::State)?)
    }

    /// Does it listen?
    pub(super) fn is_listening(&self) -> bool {
        self.socket.stream().is_ok_and(Stream::is_listening)
    }

    /// Ends one direction, or both.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where it is not connected, and what the host reports.
    pub(super) fn shutdown(&self, how: ShutdownHow) -> Result<(), Failure> {
        self.usable()?;
        let connection = self.socket.connection().ok_or(Failure::State)?;
        Ok(connection.shutdown(how)?)
    }

    /// The socket, for its options.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] where its attempt to connect has failed.
    pub(super) fn options(&self) -> Result<&GuestSocket, Failure> {
        self.usable()?;
        Ok(&self.socket)
    }
}

/// How an attempt to connect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is on its way, or done.
    Connecting,
    /// Names are to be looked up before.
    NeedsLookUp,
}

/// Takes a connection that waits at `listener`, and nothing where there is no descriptor for it.
///
/// # Errors
///
/// [`Failure::State`] where it does not listen; `EAGAIN` where none waits; `EMFILE`, `ENFILE`;
/// `ECONNABORTED` where another instance was faster.
pub(super) fn accept(thread: &Thread, listener: &GuestSocket) -> Result<Tcp, Failure> {
    if !listener.stream()?.is_listening() {
        return Err(Failure::State);
    }
    // That there is no number for a connection is told once one has come: "No pending connections at the moment.
    // (EWOULDBLOCK, EAGAIN)" - wasi:sockets/tcp, accept
    if !thread.process().fds().has_room() && !is_ready(listener.socket().as_ref(), Events::READ) {
        return Err(Errno::EAGAIN.into());
    }
    match thread.try_accept(listener.reference(), true) {
        Poll::Ready(Ok((fd, _peer))) => {
            let accepted = Tcp::of(GuestSocket::of(thread.process(), fd)?);
            accepted.socket.connect()?;
            Ok(accepted)
        }
        Poll::Ready(Err(refusal)) => {
            // What keeps the connection waiting was told.
            if matches!(refusal.errno(), Errno::EMFILE | Errno::ENFILE) {
                listener.stream()?.note_shortage(true);
            }
            Err(refusal.errno().into())
        }
        Poll::Pending => Err(Errno::EAGAIN.into()),
    }
}

/// May the guest take a connection of `listener`, as far as descriptors and limits go? `is_short` says that the host had
/// no descriptor for the last one, until it has one.
///
/// docs/listen.md, rule 12: without one an accept takes nothing, and a poll that said so would spin. So no call of the guest's
/// tells of the connection that is kept waiting, and this does, once.
pub(super) fn may_accept(process: &Process, is_short: &mut bool, listener: &Socket) -> bool {
    let Ok(stream) = listener.stream() else { return process.fds().has_room() };
    let may_accept = has_means(process, is_short, listener, stream);
    let is_kept = !may_accept && is_ready(listener, Events::READ);
    if stream.note_shortage(is_kept) {
        // One of the two keeps it.
        let _told = process.fds().check_room();
        stream.tell_limit();
    }
    may_accept
}

fn has_means(process: &Process, is_short: &mut bool, listener: &Socket, stream: &Stream) -> bool {
    if !process.fds().has_room() || stream.reached_limit().is_some() {
        return false;
    }
    if *is_short {
        // What wasock's own queue has taken has its descriptor, which may have been the last.
        let is_taken = || stream.queue().is_some_and(|queue| queue.waiting().0 > 0);
        *is_short = !is_taken() && listener.poll_fd().try_clone_to_owned().is_err();
    }
    !*is_short
}

/// Opens a socket as a descriptor of the guest's. One of IPv6 is that of nothing else: "On IPv6 sockets,
/// IPV6_V6ONLY is enabled by default and can't be configured otherwise." - wasi:sockets. The operator knows the call that
/// receives datagrams by it as `receive`.
///
/// # Errors
///
/// `EMFILE`, `ENFILE`, `ENOMEM`; `ENOTSUP` where the host lacks the family.
pub(super) fn open(
    thread: &Thread,
    family: Family,
    kind: Kind,
    receive: &'static str,
) -> Result<Arc<GuestSocket>, Failure> {
    let process = thread.process();
    process.fds().check_room()?;
    let domain = match family {
        Family::Inet6 => Domain::Inet6,
        Family::Inet4 | Family::Unix => Domain::Inet4,
    };
    let socket = Socket::open(domain, kind, 0).map_err(|errno| match errno {
        // "`not-supported`: The specified `address-family` is not supported. (EAFNOSUPPORT)"
        Errno::EAFNOSUPPORT => Errno::ENOTSUP,
        errno => errno,
    })?;
    if family == Family::Inet6 {
        socket.set_flag(FlagOption::OnlyV6, true)?;
    }
    let fd = thread.insert_socket_as(receive, socket, true)?;
    Ok(GuestSocket::of(process, fd)?)
}

/// What gives `socket` the address, as [`Thread::bind`] does; [`Thread::bound_as`] is to follow. What is at the wildcard
/// of IPv6 may be a socket for both families that the host holds for the guest, which can ask for none: the operator
/// has decided, and it gets that one.
///
/// # Errors
///
/// What the host reports.
pub(super) fn bind_for_both(
    thread: &Thread,
    socket: &SocketRef,
    address: &Address,
) -> Result<Result<(), Refusal>, Errno> {
    let outcome = thread.bind(socket, address)()?;
    let is_wildcard = matches!(address, Address::Inet(to) if to.is_ipv6() && to.ip().is_unspecified());
    if outcome != Err(Errno::EADDRINUSE.into()) || !is_wildcard {
        return Ok(outcome);
    }
    socket.socket.set_flag(FlagOption::OnlyV6, false)?;
    let outcome = thread.bind(socket, address)()?;
    if outcome.is_err() {
        socket.socket.set_flag(FlagOption::OnlyV6, true)?;
    }
    Ok(outcome)
}

/// A network address, which all of a component's are.
///
/// # Errors
///
/// `EIO` for any other.
pub(super) fn inet(address: Address) -> Result<SocketAddr, Failure> {
    address.inet().ok_or(Failure::Errno(Errno::EIO))
}

/// "`address-in-use`: Tried to perform an implicit bind, but there were no ephemeral ports available. (EADDRINUSE,
/// EADDRNOTAVAIL on Linux ...)" - wasi:sockets/tcp, start-connect
fn of_connect(failure: Failure) -> Failure {
    match failure {
        Failure::Errno(Errno::EADDRNOTAVAIL) => Errno::EADDRINUSE.into(),
        failure => failure,
    }
}
