//! How the sockets and the limits of a service stand, for an operator's look.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::time::Duration;

use super::ServiceState;
use crate::address::Address;
use crate::observe::Limit;
use crate::observe::status::{InstanceStatus, LimitStatus, ListenerStatus};
use crate::socket::listen::{ConnectionLimits, KernelQueues, kernel_queues};

/// A listener that no service holds, as its guest has it.
pub(crate) struct GuestListener {
    /// Its address.
    pub(crate) local: Address,
    /// What tells it from others.
    pub(crate) inode: u64,
    /// The generation of the guest.
    pub(crate) generation: u32,
    /// How many wait in a queue of the host's, and how many may, where it has one.
    pub(crate) queue: Option<(u32, u32)>,
    /// Was it given to the service, by one that has it too?
    pub(crate) is_inherited: bool,
}

/// The most that an instance uses of what each may have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak {
    descriptors: u64,
    processes: u64,
    memory: u64,
    host_memory: u64,
}

impl Peak {
    /// With what one more instance uses.
    pub(crate) fn with(self, instance: &InstanceStatus) -> Self {
        Self {
            descriptors: self.descriptors.max(instance.descriptors),
            processes: self.processes.max(instance.processes),
            // Each process has as much as the limit says.
            memory: self.memory.max(instance.largest_memory),
            host_memory: self.host_memory.max(instance.host_memory),
        }
    }
}

impl ServiceState {
    /// Where connections come in: the held sockets, and those that only guests have.
    pub(crate) fn listeners(&self, of_guests: Vec<GuestListener>) -> Vec<ListenerStatus> {
        let kernel = kernel_queues();
        let (mut listeners, mut places) = (Vec::new(), HashMap::new());
        for (inode, status) in self.held().listeners(&kernel) {
            places.extend(inode.map(|inode| (inode, listeners.len())));
            listeners.push(status);
        }
        for guest in of_guests {
            // Several instances may have one.
            let known = places.get(&guest.inode).and_then(|place| listeners.get_mut(*place));
            if let Some(ListenerStatus { generations, .. }) = known {
                if !generations.contains(&guest.generation) {
                    generations.push(guest.generation);
                }
                continue;
            }
            places.insert(guest.inode, listeners.len());
            let (queue_length, queue_capacity) = queue(&kernel, guest.inode, guest.queue);
            listeners.push(ListenerStatus {
                local: guest.local,
                queue_length,
                queue_capacity,
                is_inherited: guest.is_inherited,
                generations: vec![guest.generation],
            });
        }
        listeners
    }

    /// What is limited; the instance with the most of each uses as much as `peak`, and all have so many
    /// `connections`.
    pub(crate) fn limit_status(&self, peak: Peak, connections: u64) -> Vec<LimitStatus> {
        let limits = self.limits();
        let (connection, rates) = (self.connection_limits(), self.config.accept_rates);
        let status = |limit, unit, most, used| self.limit_status_of(limit, unit, most, used);
        let ConnectionLimits { in_all, per_listener, per_peer, .. } = connection;
        let [in_all, per_listener, per_peer] = [in_all, per_listener, per_peer].map(|it| it.map(u64::from));
        let time = |limit, time: Option<Duration>| {
            let most = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            status(limit, "milliseconds", most, None)
        };
        vec![
            status(Limit::Connections, "connections", in_all, Some(connections)),
            status(Limit::ConnectionsPerListener, "connections", per_listener, None),
            status(Limit::ConnectionsPerPeer, "connections", per_peer, None),
            status(Limit::Backlog, "connections", Some(self.max_backlog().into()), None),
            status(Limit::Descriptors, "descriptors", Some(limits.max_fds.into()), Some(peak.descriptors)),
            status(Limit::Processes, "processes", Some(limits.max_processes.into()), Some(peak.processes)),
            status(Limit::Memory, "bytes", Some(limits.max_memory), Some(peak.memory)),
            status(Limit::HostMemory, "bytes", Some(limits.max_host_memory), Some(peak.host_memory)),
            status(Limit::SocketBuffer, "bytes", self.max_socket_buffer().map(u64::from), None),
            status(Limit::AcceptRate, "connections/s", rates.per_listener.map(u64::from), None),
            status(Limit::AcceptRatePerPeer, "connections/s", rates.per_peer.map(u64::from), None),
            time(Limit::IdleTimeout, limits.idle_timeout),
            time(Limit::HandlerTimeout, limits.handler_timeout),
            LimitStatus::fixed("max-threads", "threads", limits.max_threads.into()),
            LimitStatus::fixed("max-stack", "bytes", limits.max_stack.into()),
            time(Limit::Timeout, limits.timeout),
            time(Limit::CpuTime, limits.max_cpu_time),
        ]
    }

    /// One limit, of which so much is in use, and how often it was reached.
    pub(crate) fn limit_status_of(
        &self,
        limit: Limit,
        unit: &'static str,
        most: Option<u64>,
        used: Option<u64>,
    ) -> LimitStatus {
        let (name, reached) = (limit.name(), self.report().reached(limit));
        LimitStatus { name, unit, most, used, reached, is_changeable: limit.is_changeable() }
    }
}

/// What tells a socket from others.
pub(crate) fn inode_of(fd: impl AsFd) -> Option<u64> {
    rustix::fs::fstat(fd).ok().map(|stat| stat.st_ino)
}

/// How many wait at the listener with this `inode`, and how many may; one of the `host` counts itself.
pub(super) fn queue(
    kernel: &KernelQueues,
    inode: u64,
    host: Option<(u32, u32)>,
) -> (Option<u32>, Option<u32>) {
    match (host, kernel.get(&inode)) {
        // What the kernel has it takes at once.
        (Some((waiting, capacity)), found) => {
            let more = found.map_or(0, |queue| queue.length);
            (Some(waiting.saturating_add(more)), Some(capacity))
        }
        (None, found) => (found.map(|queue| queue.length), found.map(|queue| queue.capacity)),
    }
}
