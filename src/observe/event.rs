//! Things that happened, as values.

use std::borrow::Cow;
use std::time::Duration;

use super::{Closed, DrainEnd, Limit, Refused};
use crate::address::Address;
use crate::error::Errno;

/// Something the operator may want to know.
///
/// Names and addresses of guests and peers are passed on unchanged: print them
/// [escaped](super::Escaped).
///
/// Those of one listener and its connections come in the order in which they
/// happened: `Listening` before its `Accepted` and `Refused`, those in the order in
/// which the connections were taken, a `BacklogChanged` before what it refuses, each
/// connection's `Closed` after its `Accepted`, and no new connection after the listener's
/// `Closed`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A guest asked a socket to listen that did not listen yet.
    Listening {
        /// The guest's descriptor; `u32::MAX` for a listener of the host's own
        /// ([`ServiceBuilder::per_connection`](crate::ServiceBuilder::per_connection)), here and below.
        fd: u32,
        /// The address in use. It holds the port that the host chose where the guest
        /// asked for port 0.
        local: Address,
        /// The backlog as the guest passed it.
        backlog: u32,
        /// How many connections may wait; or why it does not listen.
        result: Result<u32, Errno>,
    },
    /// A guest gave a datagram socket an address, where messages come in from now on.
    Bound {
        /// The guest's descriptor.
        fd: u32,
        /// The address in use. It holds the port that the host chose where the guest
        /// asked for port 0.
        local: Address,
    },
    /// Another number of connections may wait: the guest listened again, or the
    /// operator changed the maximum.
    BacklogChanged {
        /// The guest's descriptor.
        fd: u32,
        /// The listener's address.
        local: Address,
        /// The backlog as the guest passed it last.
        backlog: u32,
        /// How many connections may wait from now on.
        capacity: u32,
    },
    /// The guest has a connection. One of [the many](super::Observer::wants_connections).
    Accepted {
        /// The listener's descriptor.
        listener: u32,
        /// The connection's descriptor.
        fd: u32,
        /// The peer.
        peer: Address,
        /// The address that the peer connected to.
        local: Address,
    },
    /// A peer was reset before the guest saw it. One of
    /// [the many](super::Observer::wants_connections).
    Refused {
        /// The descriptor with which the listener began to listen.
        listener: u32,
        /// The listener's address.
        local: Address,
        /// The peer.
        peer: Address,
        /// Why.
        why: Refused,
    },
    /// A limit of the operator's was reached. Reported at once, and then at most once a
    /// minute: of each listener and limit, and of the buffers of all sockets together.
    Limited {
        /// The descriptor with which the listener began to listen, or that of the socket.
        fd: u32,
        /// The address of that socket.
        local: Address,
        /// The peer, where it is the limit of one.
        peer: Option<Address>,
        /// Which limit.
        limit: Limit,
        /// How much it allows: connections, or bytes.
        most: u32,
    },
    /// A limit was changed while guests run ([`Service::set_limits`](crate::Service::set_limits)).
    LimitChanged {
        /// Which limit.
        limit: Limit,
        /// What it allows from now on; `None` is as much as comes.
        most: Option<u32>,
    },
    /// The guest was denied memory: a memory or a table of its own did not grow, or a call
    /// failed because of what the host would have held for it. Reported at once, and then at most
    /// once a minute, of each of the two limits.
    MemoryDenied {
        /// Which limit: [`Limit::Memory`] or [`Limit::HostMemory`].
        limit: Limit,
        /// How many bytes it allows.
        most: u64,
    },
    /// The guest had as many descriptors as it may have, and a call failed with `EMFILE`. Told at once,
    /// and then once a minute at most. A limit to the number of connections, for which accept
    /// fails in the same way, is [`Limited`](Self::Limited) instead.
    TableFull {
        /// How many descriptors it may have: [`Limit::Descriptors`].
        most: u64,
    },
    /// The guest had as many processes as it may have, and a call failed with `EAGAIN`. Told at once, and then
    /// once a minute at most.
    TooManyProcesses {
        /// How many it may have: [`Limit::Processes`].
        most: u64,
    },
    /// A listener or a connection has no descriptor any more. That of a connection is
    /// one of [the many](super::Observer::wants_connections).
    Closed {
        /// The descriptor that was the last one.
        fd: u32,
        /// The address that it had.
        local: Address,
        /// The peer, where it was a connection.
        peer: Option<Address>,
        /// Why.
        why: Closed,
    },
    /// Datagrams were discarded, because the policy accepts none from their senders.
    ///  Reported when their socket is closed.
    Dropped {
        /// The descriptor that was the last one.
        fd: u32,
        /// The address that it had.
        local: Address,
        /// How many.
        count: u64,
    },
    /// So many events were dropped here, because the observer did not keep up.
    Missed {
        /// How many.
        count: u64,
    },
    /// The policy refused a call. Each distinct refusal is reported once.
    Denied {
        /// The call: `sock_bind`.
        call: &'static str,
        /// The address or name, as text.
        what: String,
        /// The rule that decided, in words.
        rule: Cow<'static, str>,
        /// The command line flag that would allow exactly this; empty where none would,
        /// because the call was denied whatever is granted.
        flag: String,
    },
    /// The host's system refused an address that the policy had granted.
    Unavailable {
        /// The call: `sock_bind`.
        call: &'static str,
        /// The address.
        address: Address,
        /// Why.
        errno: Errno,
    },
    /// A service holds a socket that its guest has not bound for
    /// [ten seconds](crate::WasockCtxBuilder::unclaimed_timeout): those who connect there wait in
    /// vain. It is closed, and those that wait there see a reset, unless it was
    /// [given to the service](crate::WasockCtxBuilder::adoptable_socket).
    Unclaimed {
        /// Its address.
        local: Address,
        /// Was it closed?
        is_closed: bool,
    },
    /// The guest imports a function that the host lacks; it fails with `ENOSYS`.
    Stubbed {
        /// The import's module.
        module: String,
        /// The function's name.
        name: String,
    },
    /// The guest named an export as its handler for signals that the host can't call. Its
    /// signals are blocked instead. Reported once.
    NotAHandler {
        /// The export.
        name: String,
    },
    /// The guest has started another process.
    Spawned {
        /// Its number; the first process of a guest is 1.
        pid: u32,
        /// The number of its parent.
        parent: u32,
        /// The whole path of its program, as the guest has it; none for a copy of its parent.
        path: Option<String>,
    },
    /// A process of the guest's besides its first has ended.
    Exited {
        /// Its number.
        pid: u32,
        /// Its exit code; 128 + n after signal n, and 134 after a trap.
        code: u32,
        /// The signal that ended it.
        signal: Option<&'static str>,
        /// The reason of its trap, and its backtrace in the lines after it. Names of the module's are
        /// [escaped](super::Escaped) here.
        trap: Option<String>,
    },
    /// The host could not run a process that the guest has started, for lack of memory mostly: it ends by `SIGKILL`.
    NotRun {
        /// Its number.
        pid: u32,
        /// What the host lacks, or why else not.
        reason: String,
    },
    /// A process of the guest's sent a signal to another one.
    Signalled {
        /// The number of that one.
        pid: u32,
        /// The number of the sender.
        by: u32,
        /// The signal: `SIGTERM`.
        signal: &'static str,
    },
    /// A guest wants to copy its process (`fork`) and can't. Reported once.
    NotForked {
        /// Why not, in words.
        reason: &'static str,
    },
    /// A file that the guest may execute, and wants to, is no program that it could be.
    NotExecutable {
        /// Its whole path, as the guest has it.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The handler of a signal of the operator's trapped, and that ended the guest as the
    /// signal would have done without a handler.
    HandlerTrapped {
        /// The signal: `SIGTERM`.
        signal: &'static str,
        /// The reason, and the guest's backtrace in the lines after it. Names of the module's
        /// are [escaped](super::Escaped) here, so that they begin no line.
        trap: String,
    },
    /// A handler of events trapped, and the guest starts anew: all that it had open is
    /// closed.
    Restarted {
        /// The reason, and the guest's backtrace in the lines after it. Names of the module's
        /// are [escaped](super::Escaped) here, so that they begin no line.
        trap: String,
        /// How long the host waits before it starts the guest: nothing at first, then
        /// 100 ms, doubling to 10 s, and nothing again after 10 s of life.
        after: Duration,
    },
    /// An instance of a service has ended, and another one takes its place.
    InstanceRestarted {
        /// Its generation.
        generation: u32,
        /// Which of the workers of that generation it is.
        worker: u32,
        /// How it ended. After a trap the guest's backtrace is in the lines after the first;
        /// names of the module's are [escaped](super::Escaped) here, so that they begin no line.
        why: String,
        /// How long the host waits before it starts the next one.
        after: Duration,
        /// How many connections ended with it.
        connections: usize,
    },
    /// An instance of a service has ended for good, and others of its generation go on.
    InstanceEnded {
        /// Its generation.
        generation: u32,
        /// Which of the workers of that generation it was.
        worker: u32,
        /// The reason, as of [`InstanceRestarted`](Self::InstanceRestarted).
        why: String,
        /// How many workers are left.
        left: usize,
        /// How many connections ended with it.
        connections: usize,
    },
    /// An instance that served [one connection](crate::ServiceBuilder::per_connection) has ended by a trap,
    /// a limit to its time, or an exit code other than 0. That connection is over, and nothing else
    /// is.
    InstanceFailed {
        /// Its generation.
        generation: u32,
        /// The address that the peer connected to.
        local: Address,
        /// The peer.
        peer: Address,
        /// The reason, as of [`InstanceRestarted`](Self::InstanceRestarted).
        why: String,
    },
    /// The generation of a service that served has ended for good, and older ones drain: nobody is let
    /// in any more, and the service ends with them.
    ServiceEnds {
        /// The reason, as of [`InstanceRestarted`](Self::InstanceRestarted).
        why: String,
        /// How many generations drain.
        generations: usize,
    },
    /// A new generation of a service serves from now on; those before it go on with the connections
    /// that they have.
    Reloaded {
        /// Its number.
        generation: u32,
        /// Where the one before listens and this one does not (yet). What stays so is
        /// [closed](crate::WasockCtxBuilder::unclaimed_timeout) after a while.
        missing: Vec<Address>,
    },
    /// A new generation of a service has failed before it was ready: nothing has changed.
    ReloadFailed {
        /// Its number.
        generation: u32,
        /// The reason, as of [`InstanceRestarted`](Self::InstanceRestarted).
        why: String,
    },
    /// A generation of a service has ended while it had connections: what was left was reset, or closed
    /// where it ended by itself.
    DrainTimeout {
        /// Its number.
        generation: u32,
        /// How many connections that were.
        connections: usize,
        /// Why it was ended.
        cause: DrainEnd,
    },
    /// Instances of one worker have failed in a row, each within a second, and others of its
    /// generation are well: it is started now and then, and the service goes on.
    WorkerFails {
        /// Its generation.
        generation: u32,
        /// Which of the workers it is.
        worker: u32,
        /// How many in a row.
        instances: u32,
        /// How long it rests before each start from now on.
        after: Duration,
    },
    /// An accepted connection was reset, because nothing went through it for so long. Only observers that
    /// want [connections](super::Observer::wants_connections) get it.
    IdleReset {
        /// The listener's address.
        local: Address,
        /// The peer.
        peer: Address,
        /// For how long.
        idle: Duration,
    },
    /// Clients that waited were reset, because nobody is to accept them any more: the service ends,
    /// or its new generation does not listen there.
    WaitingReset {
        /// Where.
        local: Address,
        /// How many they were.
        connections: usize,
    },
    /// A guest is not started anew, because the last instances in a row lived less than a
    /// second each. It ends by the trap of the last.
    GaveUp {
        /// How many in a row.
        instances: u32,
    },
    /// The guest has ended, and some of its threads have not: they wait in
    /// `memory.atomic.wait` in a memory too large to be searched for them, and do nothing
    /// more. [`Handle::threads_left_behind`](crate::Handle::threads_left_behind) tells how
    /// many there are later.
    ThreadsLeftBehind {
        /// How many.
        count: usize,
    },
}
