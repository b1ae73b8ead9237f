//! The recent senders of a datagram socket.
//!
//! A UDP server replies to the addresses that its requests come from, which cannot be granted
//! in advance. So an address that has sent to a socket may be sent to, by that socket, for a while.
//!
//! What is remembered is bounded, in number and in time, by two generations: a new sender is
//! recorded in the younger one; when that is full or old it becomes the elder, and the previous
//! elder is dropped.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many senders a generation has. Twice as many are remembered at most.
const GENERATION: usize = 512;

/// How long a generation grows. A sender is remembered this long after its last message, or
/// up to twice as long.
const AGE: Duration = Duration::from_secs(60);

/// A sender: its address, an IPv4 one also where it comes mapped, its port and its scope.
type SenderAddress = (IpAddr, u16, u32);

/// The senders of one socket.
#[derive(Debug)]
pub(super) struct RecentSenders(Mutex<Generations>);

#[derive(Debug)]
struct Generations {
    young: HashSet<SenderAddress>,
    old: HashSet<SenderAddress>,
    /// When the younger one began.
    since: Instant,
    /// The last sender, which is recorded.
    last: Option<SocketAddr>,
}

impl RecentSenders {
    pub(super) fn new() -> Self {
        let (young, old) = (HashSet::new(), HashSet::new());
        Self(Mutex::new(Generations { young, old, since: Instant::now(), last: None }))
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // Consistent whenever it is unlocked: nothing in here can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `from` has sent.
    pub(super) fn note(&self, from: SocketAddr) {
        self.lock().note(from, Instant::now());
    }

    /// Has `address` sent lately?
    pub(super) fn has(&self, address: SocketAddr) -> bool {
        self.lock().has(address, Instant::now())
    }
}

impl Generations {
    fn note(&mut self, from: SocketAddr, now: Instant) {
        self.grow_old(now);
        // Most senders send again.
        if self.last == Some(from) {
            return;
        }
        let sender = sender(from);
        if self.young.len() >= GENERATION && !self.young.contains(&sender) {
            self.begin(now);
        }
        self.young.insert(sender);
        self.last = Some(from);
    }

    fn has(&mut self, address: SocketAddr, now: Instant) -> bool {
        self.grow_old(now);
        let sender = sender(address);
        self.young.contains(&sender) || self.old.contains(&sender)
    }

    /// Drops senders that have been silent for too long.
    fn grow_old(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age >= AGE {
            self.begin(now);
            if age >= AGE * 2 {
                self.old.clear();
            }
        }
    }

    /// Begins another generation.
    fn begin(&mut self, now: Instant) {
        self.old = std::mem::take(&mut self.young);
        self.since = now;
        self.last = None;
    }
}

fn sender(address: SocketAddr) -> SenderAddress {
    let scope = match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(six) => six.scope_id(),
    };
    (address.ip().to_canonical(), address.port(), scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: usize) -> SocketAddr {
        let [.., a, b] = number.to_be_bytes();
        SocketAddr::from(([127, 1, a, b], 9))
    }

    fn generations(since: Instant) -> Generations {
        Generations { young: HashSet::new(), old: HashSet::new(), since, last: None }
    }

    #[test]
    fn a_sender_is_remembered_for_a_while() {
        let start = Instant::now();
        let mut all = generations(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        all.note(address(1), at(1));
        assert!(all.has(address(1), at(1)) && !all.has(address(2), at(1)));
        assert!(all.has(address(1), at(61)), "in the elder one");
        assert!(!all.has(address(1), at(122)));
        // A sender that goes on sending is kept.
        for second in 122..400 {
            all.note(address(2), at(second));
            assert!(all.has(address(2), at(second)));
        }
        assert!(!all.has(address(2), at(600)), "nobody has looked for long");
    }

    #[test]
    fn no_more_than_a_number_is_remembered() {
        let now = Instant::now();
        let mut all = generations(now);
        for number in 0..10 * GENERATION {
            all.note(address(number), now);
            assert!(all.has(address(number), now));
            assert!(all.young.len() + all.old.len() <= 2 * GENERATION);
        }
        assert!(!all.has(address(0), now));
        // The last ones are there.
        assert!((9 * GENERATION..10 * GENERATION).all(|number| all.has(address(number), now)));
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() -> Result<(), std::net::AddrParseError> {
        let recent = RecentSenders::new();
        recent.note("[::ffff:127.0.0.1]:7".parse()?);
        assert!(recent.has("127.0.0.1:7".parse()?));
        assert!(!recent.has("127.0.0.1:8".parse()?) && !recent.has("127.0.0.2:7".parse()?));
        recent.note("[fe80::1%2]:7".parse()?);
        assert!(recent.has("[fe80::1%2]:7".parse()?) && !recent.has("[fe80::1%3]:7".parse()?));
        Ok(())
    }
}
