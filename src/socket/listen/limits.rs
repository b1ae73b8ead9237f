//! How many connections may be open at once: in all, at one listener, from one peer.
//!
//! A connection holds its [`ConnectionPermit`] until the last duplicate of its socket is closed and the last
//! call on it has returned.
//!
//! An accept checks and counts under the single lock of the [`ConnectionLimiter`], which is held
//! for that only. So threads that accept at the same time never exceed a limit in sum, and none
//! fails because of a permit that another one releases at once. Without a limit there is no
//! limiter, and no lock.
//!
//! Key types: [`ConnectionLimiter`], [`ListenerQuota`] of a listener, [`ConnectionPermit`].

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::address::Address;
use crate::observe::Limit;

/// How many connections may be open at once; `None` is as many as come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// At all listeners of the guest.
    pub in_all: Option<u32>,
    /// At each of them.
    pub per_listener: Option<u32>,
    /// From each peer.
    pub per_peer: Option<u32>,
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitExceeded {
    /// Which one.
    pub limit: Limit,
    /// How many it allows.
    pub most: u32,
}

/// Counts the connections of one guest.
#[derive(Debug)]
pub struct ConnectionLimiter {
    /// Changes while guests run. Below the lock of the counts.
    limits: Mutex<ConnectionLimits>,
    /// Below the lock of a queue; nothing is locked under it. Those of all generations of a
    /// service, each of which may have limits of its own.
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    in_all: u32,
    /// Those with a connection, by their number.
    listeners: HashMap<u32, u32>,
    /// Those with a connection, or with one that waits in a queue of the host's.
    peers: HashMap<Peer, u32>,
    last_listener: u32,
}

/// What counts as one peer: see [`peer_of`].
pub(in crate::socket) type Peer = (IpAddr, u32);

impl ConnectionLimiter {
    /// A limiter without connections; `None` if there is no limit.
    pub fn new(limits: ConnectionLimits) -> Option<Arc<Self>> {
        Self::after(None, limits)
    }

    /// A limiter without connections, which counts though there be no limit yet.
    pub fn changeable(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits: Mutex::new(limits), counts: Arc::default() })
    }

    /// One that goes on with what `before` has counted, where there was one. Connections that
    /// were taken without a limit do not count.
    pub fn after(before: Option<&Arc<Self>>, limits: ConnectionLimits) -> Option<Arc<Self>> {
        let is_needed = before.is_some() || limits != ConnectionLimits::default();
        let counts = || before.map_or_else(Arc::default, |before| Arc::clone(&before.counts));
        is_needed.then(|| Arc::new(Self { limits: Mutex::new(limits), counts: counts() }))
    }

    /// What it allows.
    pub(crate) fn limits(&self) -> ConnectionLimits {
        *self.lock_limits()
    }

    /// Allows something else from now on; what is open stays. Of peers only those connections count that
    /// were taken under a limit to these. Returns what it allowed before.
    pub(crate) fn change(&self, change: impl FnOnce(&mut ConnectionLimits)) -> ConnectionLimits {
        let mut limits = self.lock_limits();
        let before = *limits;
        change(&mut limits);
        before
    }

    fn lock_limits(&self) -> MutexGuard<'_, ConnectionLimits> {
        // Whole whenever it is unlocked.
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The quota of one more listener.
    pub fn quota(self: &Arc<Self>) -> ListenerQuota {
        let mut counts = self.lock();
        // One that got its number four thousand million listeners ago is gone.
        counts.last_listener = counts.last_listener.wrapping_add(1);
        ListenerQuota { connection_limiter: Arc::clone(self), listener: counts.last_listener }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Consistent whenever it is unlocked: a panic can't leave it torn.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the connections of one listener are counted.
#[derive(Clone)]
pub struct ListenerQuota {
    connection_limiter: Arc<ConnectionLimiter>,
    listener: u32,
}

impl ListenerQuota {
    /// Locks all counts while the caller takes a connection from the kernel. The caller must not
    /// block.
    pub(crate) fn lock_counts(&self) -> LockedCounts<'_> {
        LockedCounts { quota: self, counts: self.connection_limiter.lock() }
    }

    fn permit(&self, peer: Option<Peer>, is_inside: bool) -> ConnectionPermit {
        let Self { connection_limiter, listener } = self.clone();
        ConnectionPermit { connection_limiter, listener, is_inside, peer: peer.map(Box::new) }
    }

    /// A permit for a connection that waits in a queue of the host: it counts towards the
    /// limit of its peer only.
    ///
    /// # Errors
    ///
    /// The limit of the peer.
    pub(crate) fn wait(&self, peer: &Address) -> Result<ConnectionPermit, LimitExceeded> {
        let mut held = self.lock_counts();
        let peer = held.admit(peer)?;
        Ok(self.permit(peer, false))
    }
}

/// The counts, locked until this is dropped.
pub(crate) struct LockedCounts<'a> {
    quota: &'a ListenerQuota,
    counts: MutexGuard<'a, Counts>,
}

impl LockedCounts<'_> {
    /// May there be one more connection, from any peer?
    ///
    /// # Errors
    ///
    /// The limit that is reached.
    pub(crate) fn check(&self) -> Result<(), LimitExceeded> {
        let limits = self.quota.connection_limiter.limits();
        let here = self.counts.listeners.get(&self.quota.listener).copied().unwrap_or(0);
        check_limit(limits.in_all, self.counts.in_all, Limit::Connections)?;
        check_limit(limits.per_listener, here, Limit::ConnectionsPerListener)
    }

    /// Issues a permit for a connection from the kernel, after a [check](Self::check).
    ///
    ///
    /// # Errors
    ///
    /// The limit of the peer.
    pub(crate) fn take(mut self, peer: &Address) -> Result<ConnectionPermit, LimitExceeded> {
        let peer = self.admit(peer)?;
        self.enter();
        Ok(self.quota.permit(peer, true))
    }

    fn admit(&mut self, peer: &Address) -> Result<Option<Peer>, LimitExceeded> {
        let most = self.quota.connection_limiter.limits().per_peer;
        let Some(peer) = most.and(peer_of(peer)) else { return Ok(None) };
        check_limit(most, self.counts.peers.get(&peer).copied().unwrap_or(0), Limit::ConnectionsPerPeer)?;
        *self.counts.peers.entry(peer).or_default() += 1;
        Ok(Some(peer))
    }

    fn enter(&mut self) {
        self.counts.in_all = self.counts.in_all.saturating_add(1);
        let here = self.counts.listeners.entry(self.quota.listener).or_default();
        *here = here.saturating_add(1);
    }
}

/// Counts one connection until it is dropped.
pub struct ConnectionPermit {
    connection_limiter: Arc<ConnectionLimiter>,
    listener: u32,
    /// Does the guest have the connection? Otherwise it waits in a queue of the host.
    is_inside: bool,
    /// Set where peers are limited. Apart, for then connections are fewer.
    peer: Option<Box<Peer>>,
}

impl ConnectionPermit {
    /// The guest takes the connection that waited.
    ///
    /// # Errors
    ///
    /// The limit that is reached; the connection goes on waiting.
    pub(crate) fn enter(&mut self) -> Result<(), LimitExceeded> {
        if self.is_inside {
            return Ok(());
        }
        let quota = ListenerQuota {
            connection_limiter: Arc::clone(&self.connection_limiter),
            listener: self.listener,
        };
        let mut held = quota.lock_counts();
        held.check()?;
        held.enter();
        drop(held);
        self.is_inside = true;
        Ok(())
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counts = self.connection_limiter.lock();
        if let Some(peer) = self.peer.take() {
            leave(&mut counts.peers, *peer);
        }
        if self.is_inside {
            counts.in_all = counts.in_all.saturating_sub(1);
            leave(&mut counts.listeners, self.listener);
        }
    }
}

impl fmt::Debug for ConnectionPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionPermit").field("is_inside", &self.is_inside).finish_non_exhaustive()
    }
}

/// Decrements the count of `key`, and removes it at zero.
fn leave<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

fn check_limit(most: Option<u32>, count: u32, limit: Limit) -> Result<(), LimitExceeded> {
    match most {
        Some(most) if count >= most => Err(LimitExceeded { limit, most }),
        _ => Ok(()),
    }
}

/// What counts as one peer: an IPv4 address, also if it is mapped; for IPv6 a network of 64 bits,
/// since the owner of one address there has all of them. The link-local network is shared, so each
/// of its addresses counts as one. Unix sockets have no address to tell them apart by.
pub(in crate::socket) fn peer_of(address: &Address) -> Option<Peer> {
    const NETWORK: u128 = !0 << 64;
    let scope = match address.inet()? {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    };
    Some(match address.inet()?.ip().to_canonical() {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => (ip.into(), scope),
        IpAddr::V6(ip) if !ip.is_loopback() => (Ipv6Addr::from_bits(ip.to_bits() & NETWORK).into(), 0),
        other => (other, 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::UnixName;

    fn peer(text: &str) -> Result<Address, std::net::AddrParseError> {
        text.parse().map(Address::Inet)
    }

    fn limited(in_all: u32, per_listener: u32, per_peer: u32) -> Option<Arc<ConnectionLimiter>> {
        let [in_all, per_listener, per_peer] = [in_all, per_listener, per_peer].map(Some);
        ConnectionLimiter::new(ConnectionLimits { in_all, per_listener, per_peer })
    }

    fn take(quota: &ListenerQuota, peer: &Address) -> Result<ConnectionPermit, LimitExceeded> {
        let held = quota.lock_counts();
        held.check()?;
        held.take(peer)
    }

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn without_a_limit_nothing_counts() {
        assert!(ConnectionLimiter::new(ConnectionLimits::default()).is_none());
        assert!(
            ConnectionLimiter::new(ConnectionLimits { per_peer: Some(0), ..Default::default() }).is_some()
        );
    }

    #[test]
    fn each_limit_holds_by_itself_and_permits_are_released() -> TestResult {
        let connection_limiter = limited(4, 3, 2).ok_or("no limiter")?;
        let (one, other) = (connection_limiter.quota(), connection_limiter.quota());
        let reached = |limit, most| Some(LimitExceeded { limit, most });
        let first = take(&one, &peer("10.0.0.1:1")?).map_err(|it| format!("{it:?}"))?;
        let second = take(&one, &peer("10.0.0.1:2")?).map_err(|it| format!("{it:?}"))?;
        let peers = take(&one, &peer("10.0.0.1:3")?).err();
        assert_eq!(peers, reached(Limit::ConnectionsPerPeer, 2));
        let _third = take(&one, &peer("10.0.0.2:1")?).map_err(|it| format!("{it:?}"))?;
        let here = take(&one, &peer("10.0.0.3:1")?).err();
        assert_eq!(here, reached(Limit::ConnectionsPerListener, 3));
        // The peer is the same at every listener.
        assert_eq!(take(&other, &peer("10.0.0.1:4")?).err(), reached(Limit::ConnectionsPerPeer, 2));
        let fourth = take(&other, &peer("10.0.0.4:1")?).map_err(|it| format!("{it:?}"))?;
        assert_eq!(take(&other, &peer("10.0.0.5:1")?).err(), reached(Limit::Connections, 4));
        drop(fourth);
        drop(second);
        assert!(take(&other, &peer("10.0.0.1:5")?).is_ok());
        drop(first);
        let counts = connection_limiter.lock();
        assert_eq!((counts.in_all, counts.listeners.len(), counts.peers.len()), (1, 1, 1));
        Ok(())
    }

    #[test]
    fn limits_change_while_connections_are_open() -> TestResult {
        let connection_limiter = ConnectionLimiter::changeable(ConnectionLimits::default());
        let quota = connection_limiter.quota();
        let first = take(&quota, &peer("10.0.0.1:1")?).map_err(|it| format!("{it:?}"))?;
        connection_limiter.change(|limits| limits.in_all = Some(1));
        let second = take(&quota, &peer("10.0.0.2:1")?).err();
        assert_eq!(second, Some(LimitExceeded { limit: Limit::Connections, most: 1 }));
        drop(first);
        assert!(take(&quota, &peer("10.0.0.2:1")?).is_ok());
        let before = connection_limiter.change(|limits| limits.in_all = None);
        assert_eq!(before.in_all, Some(1));
        assert_eq!(connection_limiter.limits(), ConnectionLimits::default());
        Ok(())
    }

    #[test]
    fn a_pending_connection_counts_for_its_peer_only() -> TestResult {
        let connection_limiter = limited(1, 1, 2).ok_or("no limiter")?;
        let quota = connection_limiter.quota();
        let mut first = quota.wait(&peer("10.0.0.1:1")?).map_err(|it| format!("{it:?}"))?;
        let mut second = quota.wait(&peer("10.0.0.1:2")?).map_err(|it| format!("{it:?}"))?;
        let third = quota.wait(&peer("10.0.0.1:3")?).err();
        assert_eq!(third, Some(LimitExceeded { limit: Limit::ConnectionsPerPeer, most: 2 }));
        assert_eq!((first.enter(), first.enter()), (Ok(()), Ok(())));
        assert_eq!(second.enter(), Err(LimitExceeded { limit: Limit::Connections, most: 1 }));
        drop(first);
        assert_eq!(second.enter(), Ok(()));
        drop(second);
        let counts = connection_limiter.lock();
        assert_eq!((counts.in_all, counts.peers.len()), (0, 0));
        Ok(())
    }

    #[test]
    fn one_host_is_one_peer() -> TestResult {
        let same =
            |one, other| Ok::<_, Box<dyn std::error::Error>>(peer_of(&peer(one)?) == peer_of(&peer(other)?));
        assert!(same("10.0.0.1:1", "[::ffff:10.0.0.1]:2")?);
        assert!(!same("10.0.0.1:1", "10.0.0.2:1")?);
        assert!(same("[2001:db8::1]:1", "[2001:db8::ffff:1:2]:1")?);
        assert!(!same("[2001:db8:0:1::1]:1", "[2001:db8::1]:1")?);
        assert!(!same("[fe80::1]:1", "[fe80::2]:1")?);
        assert!(!same("[fe80::1%1]:1", "[fe80::1%2]:1")?);
        assert!(same("[::1]:1", "[::1]:2")?);
        assert_eq!(peer_of(&Address::Unix(UnixName::unnamed())), None);
        Ok(())
    }

    #[test]
    fn threads_never_have_more_than_allowed() -> TestResult {
        const MOST: u32 = 3;
        let connection_limiter = limited(MOST, u32::MAX, u32::MAX).ok_or("no limiter")?;
        let highest = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let quota = connection_limiter.quota();
                    for _ in 0..2000 {
                        if let Ok(permit) = take(&quota, &Address::Unix(UnixName::unnamed())) {
                            highest.fetch_max(
                                connection_limiter.lock().in_all,
                                std::sync::atomic::Ordering::SeqCst,
                            );
                            drop(permit);
                        }
                    }
                });
            }
        });
        assert!((1..=MOST).contains(&highest.into_inner()));
        assert_eq!(connection_limiter.lock().in_all, 0);
        Ok(())
    }
}
