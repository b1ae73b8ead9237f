//! How much a guest may have at once.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::ResourceLimiter;

use super::{MOST_FDS, WasockCtxBuilder};

/// The default for calls of a guest that may block at once. A disk serves fewer at a
/// time; a file system that hangs blocks no more host threads than these.
pub(super) const DEFAULT_MAX_BLOCKING_CALLS: u32 = 64;

/// The default for processes of a guest: as many stacks and memories as a small host has room for.
pub(super) const DEFAULT_MAX_PROCESSES: u32 = 64;

/// The stack of a thread: the default of Wasmtime's `Config::max_wasm_stack`.
pub(super) const DEFAULT_MAX_STACK: u32 = 512 * 1024;

impl WasockCtxBuilder {
    /// How many descriptors may be open at once; one more is `EMFILE`. No more than 1048576, as
    /// on Linux: a larger number means that. The table grows as it is used, and what it takes
    /// counts as [memory of the host](Self::max_host_memory).
    pub fn max_fds(mut self, descriptors: u32) -> Self {
        self.service.limits.max_fds = descriptors.min(MOST_FDS);
        self
    }

    /// How many threads may run at once, the first one included; one more is `EAGAIN`.
    pub fn max_threads(mut self, threads: u32) -> Self {
        self.service.limits.max_threads = threads;
        self
    }

    /// How many processes there may be at once, the first one included; 64 unless this is called. One more is
    /// `EAGAIN`. One that has ended counts until its parent has asked for its status. The memories of each have
    /// a [limit](Self::max_memory) of their own; the other limits are for all together.
    pub fn max_processes(mut self, processes: u32) -> Self {
        self.service.limits.max_processes = processes;
        self
    }

    /// How many operations on files may each occupy a host thread at once, 64 unless
    /// this is called; one at least. Further ones wait until one of them is done. An operation
    /// that was abandoned, by the end of the guest too, counts until the operating system
    /// returns from it. Each guest has its own. Look-ups of names are 8 at most besides.
    ///
    /// Of no use with [`blocks_on_files`](Self::blocks_on_files).
    pub fn max_blocking_calls(mut self, calls: u32) -> Self {
        self.service.limits.max_blocking_calls = calls;
        self
    }

    /// How many bytes the guest's own memories and tables may have, those of all its threads
    /// together, and the stacks of all threads but the first; 4 GiB unless this is called.
    ///
    /// Beyond it `memory.grow` and `table.grow` return -1, and a thread whose instance does not
    /// fit is not started: `EAGAIN`. A shared memory counts with its declared maximum, since
    /// its growth cannot be limited; [`Guest::run`](crate::Guest::run) makes it smaller where
    /// the module does not need all of it from the start, and refuses a module whose start
    /// needs more than the limit. [`Event::MemoryDenied`](crate::Event::MemoryDenied) reports it.
    ///
    /// `Guest::run` does that by itself. In a store of your own it holds where
    /// [`WasockCtx::limiter`](crate::WasockCtx::limiter) is the store's limiter.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.service.limits.max_memory = bytes;
        self
    }

    /// How many bytes of stack a thread of the guest has in its engine, to count them as memory:
    /// what [`Guest::set_max_stack`](crate::Guest::set_max_stack) was set to, 512 KiB if neither is
    /// called. It does not change the engine.
    pub fn max_stack(mut self, bytes: u32) -> Self {
        self.service.limits.max_stack = bytes;
        self
    }

    /// Asks limiters of the embedder's own besides [`max_memory`](Self::max_memory): `make` is
    /// called for each store of the guest, of which one with threads has several, and for each
    /// start anew. What either of both refuses does not grow.
    ///
    /// As with `max_memory`, the growth of a shared memory cannot be limited.
    pub fn resource_limiter<L: ResourceLimiter + Send + Sync + 'static>(
        mut self,
        make: impl Fn() -> L + Send + Sync + 'static,
    ) -> Self {
        self.make_limiter = Some(Arc::new(move || Box::new(make())));
        self
    }

    /// How many bytes the host may hold for the guest: its descriptors and what is behind them,
    /// the entries of epolls, the lists of polls, what waits in pipes, threads, look-ups of
    /// names; 256 MiB unless this is called. What the kernel buffers for sockets is apart: see
    /// [`max_socket_buffer`](Self::max_socket_buffer).
    ///
    /// A call that would need more fails: with `ENOMEM`, with `EMFILE` where it would open a
    /// descriptor, with `ENOSPC` where it would add an entry to an epoll, with `EAGAIN` where it
    /// would start a thread. [`Event::MemoryDenied`](crate::Event::MemoryDenied) reports it.
    pub fn max_host_memory(mut self, bytes: u64) -> Self {
        self.service.limits.max_host_memory = bytes;
        self
    }

    /// The maximum for backlogs; a guest that passes more gets the maximum, silently.
    /// [`Handle::set_max_backlog`](crate::Handle::set_max_backlog) changes it later.
    pub fn max_backlog(mut self, connections: u32) -> Self {
        self.service.max_backlog = connections;
        self
    }

    /// How many accepted connections may be open at once, at all listeners of the guest; as
    /// many as there are descriptors, unless this is called.
    ///
    /// One more waits in its queue. Accept fails with `EMFILE` then, as with a full descriptor
    /// table, and works again once nothing is left of some connection: no duplicate, and no
    /// call of another thread. [`Event::Limited`](crate::Event::Limited) reports it.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.connection_limits.in_all = Some(connections);
        self
    }

    /// The same at each listener. Duplicates are one listener; two that share a port are two.
    pub fn max_connections_per_listener(mut self, connections: u32) -> Self {
        self.connection_limits.per_listener = Some(connections);
        self
    }

    /// How many accepted connections each peer may have open at once, at all listeners of
    /// the guest. One more is reset when the host takes it, and the guest does not see it; an
    /// observer does, as [`Refused::PeerLimit`](crate::observe::Refused::PeerLimit).
    ///
    /// A peer is an IPv4 address, mapped or not; the network of 64 bits that an IPv6 address is
    /// in, which one host has whole; a link-local address. Peers of Unix sockets have no
    /// address, and no limit. What waits in a queue that the host owns (`winsock`) counts too.
    pub fn max_connections_per_peer(mut self, connections: u32) -> Self {
        self.connection_limits.per_peer = Some(connections);
        self
    }

    /// How many connections may come in a second at each listener that the guest opens; a second's worth
    /// may come at once. One more waits in the queue: the listener is not ready meanwhile, and
    /// nobody is refused. [`Event::Limited`](crate::Event::Limited) reports it.
    ///
    /// Sockets that the guest has from its start on have no rate.
    pub fn accept_rate(mut self, connections: u32) -> Self {
        self.service.accept_rates.per_listener = Some(connections.max(1));
        self
    }

    /// The same from each [peer](Self::max_connections_per_peer) at each listener. Those of others pass
    /// meanwhile: the host takes the connection, and the guest gets it in its time.
    pub fn accept_rate_per_peer(mut self, connections: u32) -> Self {
        self.service.accept_rates.per_peer = Some(connections.max(1));
        self
    }

    /// How many bytes each of a socket's two buffers may have in the kernel, as it counts
    /// them and as the guest reads them back. A guest that asks for more gets this,
    /// silently; a buffer that the kernel would let grow beyond it has this size
    /// from the start. The kernel's own limits hold besides.
    pub fn max_socket_buffer(mut self, bytes: u32) -> Self {
        self.service.max_socket_buffer = Some(bytes);
        self
    }

    /// Whether the TCP sockets of a component send small writes at once, as with `TCP_NODELAY`. WASI has no such
    /// option, and its C library tells programs that they have set it. On, unless this is called.
    /// Modules set the option themselves.
    pub fn tcp_nodelay(mut self, on: bool) -> Self {
        self.settings.tcp_nodelay = on;
        self
    }

    /// How much processor time the guest may use in [`Guest::run`](crate::Guest::run), all its
    /// threads together; then it ends with
    /// [`Terminated::CpuTime`](crate::Terminated::CpuTime). No limit, unless this is called.
    ///
    /// What counts is its own code and its calls of the host, on the threads that run them; the
    /// system's work on files counts where [`blocks_on_files`](Self::blocks_on_files) is set.
    /// Running code checks the clock if the engine's epoch is
    /// [managed](crate::Epochs::Managed), each 10 to 100 ms, or has
    /// [ticks](crate::Epochs::Ticks); in another engine the guest ends at its next call
    /// that waits.
    pub fn max_cpu_time(mut self, time: Duration) -> Self {
        self.service.limits.max_cpu_time = Some(time);
        self
    }

    /// How long the guest may run, in [`Guest::run`](crate::Guest::run), whether it works or
    /// waits; then it ends with [`Terminated::Timeout`](crate::Terminated::Timeout), as
    /// [`Handle::terminate`](crate::Handle::terminate) ends one. No limit, unless this is
    /// called.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.service.limits.timeout = Some(time);
        self
    }

    /// How long one [handler of events](crate::deliver_events) may run, whether it works or waits; then
    /// that is a trap in the handler, with [`Terminated::Handler`](crate::Terminated::Handler), and
    /// [`on_trap`](Self::on_trap) says what follows. No limit, unless this is called.
    ///
    /// Code that computes is interrupted in [`Guest::run`](crate::Guest::run), if the engine's epoch is
    /// [managed](crate::Epochs::Managed) or has [ticks](crate::Epochs::Ticks). In a store that does
    /// not run async there is no limit.
    pub fn handler_timeout(mut self, time: Duration) -> Self {
        self.service.limits.handler_timeout = Some(time);
        self
    }

    /// For how long nothing may go through an accepted connection, in [`Guest::run`](crate::Guest::run),
    /// before it is reset: no byte that the guest receives or sends, none that arrives, and none that
    /// the peer fetches of what was sent before. No limit, unless this is called.
    ///
    /// The guest sees the reset, too: `ECONNRESET`. It comes up to a quarter of this time late.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.service.limits.idle_timeout = Some(time);
        self
    }
}
