//! The limits that an operator can set.

/// A limit that the operator can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Connections that are open at once. One more waits in its queue, and accept is
    /// `EMFILE`.
    Connections,
    /// The same, at one listener.
    ConnectionsPerListener,
    /// Connections of one peer. One more is reset.
    ConnectionsPerPeer,
    /// Connections that wait at a listener. A larger backlog is cut down to it.
    Backlog,
    /// Bytes of a socket's buffer. It gets these, and no more.
    SocketBuffer,
    /// Bytes of the guest's memories and tables. They grow no further.
    Memory,
    /// Bytes that the host holds for the guest. A call that needs more fails: with `ENOMEM`,
    /// `EMFILE` for a descriptor, `ENOSPC` for an entry of an epoll, `EAGAIN` for a thread.
    HostMemory,
    /// Descriptors that are open at once in all processes of the guest, where one that a child has from its parent
    /// counts once. A call that needs one more is `EMFILE`.
    Descriptors,
    /// Processes that the guest has at once, those included for which nobody has waited. One more is `EAGAIN`.
    Processes,
    /// Instances that live at once, where each serves one connection. One more connection waits in
    /// its queue.
    Instances,
    /// Connections that come in a second, at each listener. One more waits in its queue.
    AcceptRate,
    /// Connections that come in a second from each peer, at each listener. One more waits.
    AcceptRatePerPeer,
    /// Time through which nothing went through a connection. It is reset.
    IdleTimeout,
    /// Time that a handler of events takes. It traps.
    HandlerTimeout,
    /// Time that an instance lives. It is ended.
    Timeout,
    /// Processor time that an instance uses. It is ended.
    CpuTime,
}

impl Limit {
    /// All of them.
    pub(crate) const ALL: [Self; 16] = [
        Self::Connections,
        Self::ConnectionsPerListener,
        Self::ConnectionsPerPeer,
        Self::Backlog,
        Self::SocketBuffer,
        Self::Memory,
        Self::HostMemory,
        Self::Descriptors,
        Self::Processes,
        Self::Instances,
        Self::AcceptRate,
        Self::AcceptRatePerPeer,
        Self::IdleTimeout,
        Self::HandlerTimeout,
        Self::Timeout,
        Self::CpuTime,
    ];

    /// Can it be changed while a service runs?
    pub(crate) const fn is_changeable(self) -> bool {
        match self {
            Self::Connections | Self::ConnectionsPerListener | Self::ConnectionsPerPeer | Self::Backlog => {
                true
            }
            Self::SocketBuffer
            | Self::Memory
            | Self::HostMemory
            | Self::Descriptors
            | Self::Processes
            | Self::Instances
            | Self::AcceptRate
            | Self::AcceptRatePerPeer
            | Self::IdleTimeout
            | Self::HandlerTimeout
            | Self::Timeout
            | Self::CpuTime => false,
        }
    }

    /// Its name in the trace; that of its flag, without the dashes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "max-connections",
            Self::ConnectionsPerListener => "max-connections-per-listener",
            Self::ConnectionsPerPeer => "max-connections-per-peer",
            Self::Backlog => "max-backlog",
            Self::SocketBuffer => "max-socket-buffer",
            Self::Memory => "max-memory",
            Self::HostMemory => "max-host-memory",
            Self::Descriptors => "max-fds",
            Self::Processes => "max-processes",
            Self::Instances => "max-instances",
            Self::AcceptRate => "accept-rate",
            Self::AcceptRatePerPeer => "accept-rate-per-peer",
            Self::IdleTimeout => "idle-timeout",
            Self::HandlerTimeout => "handler-timeout",
            Self::Timeout => "timeout",
            Self::CpuTime => "max-cpu-time",
        }
    }
}
