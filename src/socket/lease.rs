//! `O_NONBLOCK` of listeners that others may have too.
//!
//! The flag belongs to the open file description: a supervisor that keeps the listener,
//! another process that inherited it and a clone of the embedder's all have it. To receive
//! and to send takes no flag, for `MSG_DONTWAIT` is one call's own. accept(2) knows nothing
//! like it, and one that blocks would stop the host's thread where another process takes the
//! connection first. So a listener that is accepted from takes a *lease* on the flag: the
//! flag is set at the first connection, and cleared when the last lease of this process on
//! that socket ends, if it was found cleared. What is found is never the guest's mode.
//!
//! What else there is was of no use: a socket cannot be opened anew through `/proc`
//! ("ENXIO", open(2)), a time limit (`SO_RCVTIMEO`) is an option that others would feel, a
//! thread that blocks in accept cannot be called off and takes a connection that no
//! caller waits for any more, and `io_uring` is not to be had everywhere.
//!
//! Two hosts may have one listener, and the first that ends clears the flag. So each looks
//! at the flag before it accepts, and accepts only where a connection waits. A host that was
//! killed leaves the flag set; the flag is therefore never taken as the guest's mode.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::fs::OFlags;

use super::listen::is_idle;
use crate::error::Errno;

/// The device and the number of a socket: the same for all descriptors of it.
type Identity = (u64, u64);

/// A listener's hold on the flag, from its first connection on.
#[derive(Debug)]
pub(super) struct Lease {
    fd: Arc<OwnedFd>,
    identity: Identity,
    has_begun: AtomicBool,
}

/// All leases of this process.
static LEASES: Mutex<Leases> = Mutex::new(Leases { sockets: BTreeMap::new(), are_over: false });

struct Leases {
    sockets: BTreeMap<Identity, Leased>,
    /// The process ends: no lease begins any more.
    are_over: bool,
}

/// A socket with leases on its flag.
#[derive(Default)]
struct Leased {
    holders: Vec<Weak<OwnedFd>>,
    was_blocking: bool,
}

impl Lease {
    /// For `fd`; nothing is done to it yet.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub(super) fn new(fd: Arc<OwnedFd>) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(&fd)?;
        Ok(Self { fd, identity: (stat.st_dev, stat.st_ino), has_begun: AtomicBool::new(false) })
    }

    /// Does a connection wait, and will accept not block? Sets the flag for that.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub(super) fn may_accept(&self) -> Result<bool, Errno> {
        if is_idle(&self.fd) {
            return Ok(false);
        }
        if self.has_begun.load(Relaxed) && is_nonblocking(&self.fd)? {
            return Ok(true);
        }
        self.begin()
    }

    fn begin(&self) -> Result<bool, Errno> {
        let mut leases = leases();
        if leases.are_over {
            return Ok(false);
        }
        let leased = leases.sockets.entry(self.identity).or_default();
        if !self.has_begun.swap(true, Relaxed) {
            leased.holders.push(Arc::downgrade(&self.fd));
        }
        if !is_nonblocking(&self.fd)? {
            set_nonblocking(&self.fd, true)?;
            leased.was_blocking = true;
        }
        Ok(true)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.has_begun.load(Relaxed) {
            return;
        }
        let mut leases = leases();
        let Some(leased) = leases.sockets.get_mut(&self.identity) else { return };
        let own = Arc::downgrade(&self.fd);
        leased.holders.retain(|holder| !holder.ptr_eq(&own));
        if leased.holders.is_empty() {
            if leased.was_blocking {
                // One that is no socket any more has no flag to put back.
                let _gone = set_nonblocking(&self.fd, false);
            }
            leases.sockets.remove(&self.identity);
        }
    }
}

/// Restores all flags, and prevents setting one again: for a process that exits while its listeners are
/// still open.
pub(crate) fn put_back_all() {
    let mut leases = leases();
    leases.are_over = true;
    for leased in leases.sockets.values_mut() {
        if std::mem::take(&mut leased.was_blocking)
            && let Some(fd) = leased.holders.iter().find_map(Weak::upgrade)
        {
            let _gone = set_nonblocking(&fd, false);
        }
    }
}

fn leases() -> MutexGuard<'static, Leases> {
    // Consistent whenever it is unlocked.
    LEASES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_nonblocking(fd: &OwnedFd) -> Result<bool, Errno> {
    Ok(rustix::fs::fcntl_getfl(fd)?.contains(OFlags::NONBLOCK))
}

/// Sets or clears the flag; other flags are unchanged.
pub(super) fn set_nonblocking(fd: &OwnedFd, is_on: bool) -> Result<(), Errno> {
    let mut flags = rustix::fs::fcntl_getfl(fd)?;
    flags.set(OFlags::NONBLOCK, is_on);
    Ok(rustix::fs::fcntl_setfl(fd, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    /// A blocking listener with a client, and a clone of it.
    fn listener() -> Result<(TcpListener, Arc<OwnedFd>, TcpStream), Box<dyn std::error::Error>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let clone = Arc::new(OwnedFd::from(listener.try_clone()?));
        // The client is there when it is connected; the queue may need a moment more.
        while is_idle(&clone) {
            std::thread::yield_now();
        }
        Ok((listener, clone, client))
    }

    #[test]
    fn the_flag_is_put_back_with_the_last_lease() -> TestResult {
        let (listener, fd, _client) = listener()?;
        let twin = Arc::new(fd.try_clone()?);
        let (first, second) = (Lease::new(Arc::clone(&fd))?, Lease::new(twin)?);
        assert!(!is_nonblocking(&fd)?, "nobody accepts yet");
        assert_eq!([first.may_accept(), second.may_accept()], [Ok(true), Ok(true)]);
        assert!(is_nonblocking(&fd)?);
        drop(first);
        assert!(is_nonblocking(&fd)?, "the other one needs it");
        drop(second);
        assert!(!is_nonblocking(&fd)?);
        drop(listener);
        Ok(())
    }

    #[test]
    fn what_was_nonblocking_stays_so() -> TestResult {
        let (listener, fd, _client) = listener()?;
        listener.set_nonblocking(true)?;
        let lease = Lease::new(Arc::clone(&fd))?;
        assert_eq!(lease.may_accept(), Ok(true));
        drop(lease);
        assert!(is_nonblocking(&fd)?);
        Ok(())
    }

    /// As another host does that ends.
    #[test]
    fn a_flag_that_was_cleared_meanwhile_is_set_again() -> TestResult {
        let (listener, fd, _client) = listener()?;
        listener.set_nonblocking(true)?;
        let lease = Lease::new(Arc::clone(&fd))?;
        assert_eq!(lease.may_accept(), Ok(true));
        listener.set_nonblocking(false)?;
        assert_eq!(lease.may_accept(), Ok(true));
        assert!(is_nonblocking(&fd)?);
        drop(lease);
        assert!(!is_nonblocking(&fd)?, "that is how the others want it");
        Ok(())
    }

    #[test]
    fn nothing_is_set_before_a_connection_waits() -> TestResult {
        let fd = Arc::new(OwnedFd::from(TcpListener::bind("127.0.0.1:0")?));
        let lease = Lease::new(Arc::clone(&fd))?;
        assert_eq!(lease.may_accept(), Ok(false));
        assert!(!is_nonblocking(&fd)?);
        Ok(())
    }
}
