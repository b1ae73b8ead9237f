//! Listening: connections wait in the kernel until they are accepted.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno as Os;
use rustix::net::SocketFlags;

use super::{Connected, Endpoint, State, Tcp};
use crate::error::Errno;
use crate::policy::{Policy, Use};
use crate::socket::listen::kernel_backlog;
use crate::socket::{Refusal, Registered, Socket, address, host_limit};

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Listening {
    registered: Arc<Registered>,
}

/// A connection taken from the queue.
#[derive(Debug)]
pub struct Accepted {
    /// The connected socket.
    pub socket: Socket,
    /// The peer's address.
    pub peer: SocketAddr,
}

impl Listening {
    pub(super) fn start(fd: Arc<OwnedFd>, capacity: u32) -> Result<Self, Errno> {
        rustix::net::listen(&fd, kernel_backlog(capacity))?;
        Ok(Self { registered: Registered::new(fd)? })
    }

    pub(super) fn set_capacity(&self, endpoint: &Endpoint, capacity: u32) -> Result<(), Errno> {
        Ok(rustix::net::listen(&endpoint.fd, kernel_backlog(capacity))?)
    }

    pub(super) fn registered(&self) -> Arc<Registered> {
        Arc::clone(&self.registered)
    }
}

/// Takes the first connection that is still good.
pub(super) fn try_accept(listener: &Endpoint, lingers: bool, policy: &Policy) -> Result<Accepted, Refusal> {
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match rustix::net::acceptfrom_with(&listener.fd, flags) {
            Ok((fd, Some(peer))) => {
                let peer = address::from_host(peer)?;
                admit(&fd, peer, policy)?;
                return accepted(listener, fd, peer, lingers);
            }
            // The peer's address comes with the connection; one without is already gone.
            Ok((_, None)) => {}
            Err(error) if concerns_one_connection(error) => {}
            Err(error) => return Err(host_limit(error).into()),
        }
    }
}

/// Errors that belong to a connection which broke while it waited, not to the
/// listener.
///
/// "Linux accept() passes already-pending network errors on the new socket as an
/// error code from accept(). ... For reliable operation the application should ...
/// treat them like EAGAIN by retrying." - accept(2)
fn concerns_one_connection(error: Os) -> bool {
    matches!(
        error,
        Os::CONNABORTED | Os::INTR | Os::PROTO | Os::HOSTUNREACH | Os::NETUNREACH | Os::NOPROTOOPT
    )
}

/// Asks the policy for the peer; one that is refused sees a reset.
fn admit(fd: &OwnedFd, peer: SocketAddr, policy: &Policy) -> Result<(), Refusal> {
    policy.check(Use::TcpAccept(peer)).or_else(|denial| {
        // A close without lingering resets: the peer learns at once.
        rustix::net::sockopt::set_socket_linger(fd, Some(Duration::ZERO))?;
        Err(denial.into())
    })
}

/// The guest's socket; it lingers as the listener does, for so the kernel has it.
fn accepted(listener: &Endpoint, fd: OwnedFd, peer: SocketAddr, lingers: bool) -> Result<Accepted, Refusal> {
    let endpoint = Endpoint { fd: Arc::new(fd), family: listener.family };
    let connected = Connected::new(Registered::new(Arc::clone(&endpoint.fd))?, peer);
    let socket = Socket::Tcp(Tcp::with_state(endpoint, State::Connected(connected), lingers));
    Ok(Accepted { socket, peer })
}
