//! What a running instance has, for an operator's look.

use std::time::Duration;

use super::Process;
use crate::observe::status::InstanceStatus;
use crate::service::{GuestListener, inode_of};
use crate::socket::Socket;

impl Process {
    /// What it has now, `age` after its start.
    pub(crate) fn status(&self, age: Duration) -> InstanceStatus {
        let used = self.instance.usage().read();
        let count = |many: usize| u64::try_from(many).unwrap_or(u64::MAX);
        let processes = self.family.processes();
        let memory = || processes.iter().map(|process| process.memory.used());
        InstanceStatus {
            age,
            open_connections: count(self.open_connections()),
            descriptors: count(self.fds().open_in_family()),
            processes: count(self.family.count()),
            memory: memory().fold(0, u64::saturating_add),
            largest_memory: memory().max().unwrap_or(0),
            host_memory: self.host_memory.used(),
            cpu_time: used.cpu_time,
            received_bytes: used.received_bytes,
            sent_bytes: used.sent_bytes,
        }
    }

    /// Its sockets that listen, but for those that the service holds.
    pub(crate) fn listeners(&self) -> Vec<GuestListener> {
        let listening = |socket: &Socket| {
            let stream = socket.stream().ok().filter(|stream| stream.is_listening())?;
            // The service knows what it holds.
            if stream.claim().is_some() {
                return None;
            }
            Some(GuestListener {
                local: socket.local_address().ok()?,
                inode: inode_of(socket.poll_fd())?,
                generation: self.instance.generation(),
                queue: stream.queue().map(|queue| queue.waiting()),
                is_inherited: false,
            })
        };
        self.sockets_of_family().iter().filter_map(|socket| listening(socket)).collect()
    }
}
