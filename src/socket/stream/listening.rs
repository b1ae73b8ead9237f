//! Listening: connections wait until they are accepted, in the kernel or in a queue of
//! the host's own.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::{Shutdown, SocketFlags};

use crate::address::Address;
use crate::error::Errno;
use crate::policy::{Policy, Use};
use crate::socket::endpoint::Endpoint;
use crate::socket::listen::{Capacity, Queue, Terms, concerns_one_connection, kernel_backlog, reset};
use crate::socket::{News, Refusal, Registered, Socket, Watchable, host_limit};

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Listening {
    terms: Terms,
    /// As the guest passed it last.
    backlog: u32,
    /// How many connections may wait.
    capacity: u32,
    place: Place,
}

/// Where connections wait.
#[derive(Debug)]
enum Place {
    Kernel(Arc<Registered>),
    Queue(Arc<Queue>),
}

impl Place {
    fn new(endpoint: &Endpoint, capacity: u32, terms: &Terms) -> Result<Self, Errno> {
        let fd = Arc::clone(&endpoint.fd);
        Ok(if terms.rules.needs_queue() {
            Self::Queue(Queue::new(fd, endpoint.space.clone(), capacity, terms)?)
        } else {
            Self::Kernel(Registered::new(fd)?)
        })
    }
}

/// A connection taken from the queue.
#[derive(Debug)]
pub struct Accepted {
    /// The connected socket.
    pub socket: Socket,
    /// The peer's address.
    pub peer: Address,
}

impl Listening {
    pub(super) fn start(endpoint: &Endpoint, backlog: u32, terms: Terms) -> Result<Self, Errno> {
        let capacity = terms.capacity(backlog);
        // A place in the reactor comes after the kernel listens: see `Registered`.
        rustix::net::listen(&endpoint.fd, kernel_backlog(capacity))?;
        let place = Place::new(endpoint, capacity, &terms).inspect_err(|_| {
            // A failed `listen` changes nothing: the kernel stops, too.
            let _stopped = rustix::net::shutdown(&endpoint.fd, Shutdown::Both);
        })?;
        let local = endpoint.local_address()?;
        let listening = Self { terms, backlog, capacity, place };
        listening.terms.door.listens(&local, listening.capacity());
        if let Place::Queue(queue) = &listening.place {
            queue.serve();
        }
        Ok(listening)
    }

    /// Listens again. The profile stays.
    pub(super) fn again(
        &mut self,
        endpoint: &Endpoint,
        backlog: u32,
        maximum: u32,
    ) -> Result<Capacity, Errno> {
        self.terms.maximum = maximum;
        let now = self.terms.capacity(backlog);
        if let Place::Kernel(_) = &self.place {
            rustix::net::listen(&endpoint.fd, kernel_backlog(now))?;
        }
        let capacity = Capacity { backlog, now, before: Some(self.capacity) };
        if (self.backlog, self.capacity) != (backlog, now) {
            self.terms.door.listens(&endpoint.local_address()?, capacity);
        }
        (self.backlog, self.capacity) = (backlog, now);
        if let Place::Queue(queue) = &self.place {
            queue.set_capacity(now);
        }
        Ok(capacity)
    }

    pub(super) fn backlog(&self) -> u32 {
        self.backlog
    }

    pub(super) fn capacity(&self) -> Capacity {
        Capacity { backlog: self.backlog, now: self.capacity, before: None }
    }

    pub(super) fn queue(&self) -> Option<Arc<Queue>> {
        match &self.place {
            Place::Kernel(_) => None,
            Place::Queue(queue) => Some(Arc::clone(queue)),
        }
    }

    pub(super) fn watchable(&self) -> Arc<dyn Watchable> {
        match &self.place {
            Place::Kernel(registered) => Arc::<Registered>::clone(registered),
            Place::Queue(queue) => Arc::<Queue>::clone(queue),
        }
    }

    pub(super) fn news(&self) -> News {
        match &self.place {
            Place::Kernel(registered) => News::Reactor(Arc::clone(registered)),
            Place::Queue(queue) => News::Queue(Arc::clone(queue)),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Place::Queue(queue) = &self.place {
            queue.close();
        }
    }
}

/// Takes the first connection that is still good out of the kernel's queue.
pub(super) fn try_accept(listener: &Endpoint, policy: &Policy) -> Result<(OwnedFd, Address), Refusal> {
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match rustix::net::acceptfrom_with(&listener.fd, flags) {
            Ok((fd, Some(peer))) => {
                let peer = listener.space.read(peer)?;
                admit(&fd, &peer, policy)?;
                return Ok((fd, peer));
            }
            // The peer's address comes with the connection; one without is already gone.
            Ok((_, None)) => {}
            Err(error) if concerns_one_connection(error) => {}
            Err(error) => return Err(host_limit(error).into()),
        }
    }
}

/// Asks the policy for the peer; one that is refused sees a reset.
fn admit(fd: &OwnedFd, peer: &Address, policy: &Policy) -> Result<(), Refusal> {
    // Who may reach a name is for the file's mode to say.
    let Some(peer) = peer.inet() else { return Ok(()) };
    policy.check(Use::TcpAccept(peer)).map_err(|denial| {
        reset(fd);
        denial.into()
    })
}
