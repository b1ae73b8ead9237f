//! Requests at a fixed rate, whether or not the answers keep up.
//!
//! Each request is due at its own time, and goes to the connections in turn. Where a
//! connection is still busy, the request waits and that wait counts: a server that stalls
//! cannot hide it by slowing its clients down. What does not count is how late this
//! process itself was woken, for that is not the server's doing.

use super::exchange::{Payload, Peers, WAIT_TIMEOUT};
use super::{Measured, Options};
use anyhow::{Context, Result, bail};
use rustix::event::epoll;
use rustix::time::Timespec;
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// How much of the time is left out at the beginning, so that nothing is new any more.
const WARM_UP: f64 = 0.1;

pub(super) fn run(options: &Options) -> Result<Measured> {
    // The kernel may wake a thread 50 us too late otherwise, to save wake-ups.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let payload = Payload::of(options)?;
    let peers = Peers::connect(options.address, options.number("connections")?)?;
    let rate: f64 = options.number("rate")?;
    let gap = Duration::try_from_secs_f64(1.0 / rate).context("rate")?;
    let waiting = peers.all.iter().map(|_| VecDeque::new()).collect();
    let seconds = options.seconds()?;
    let begun = Instant::now();
    let end = begun + seconds;
    let counted = begun + seconds.mul_f64(WARM_UP);
    Pace { payload, peers, waiting, gap, due: begun, next: 0, end, counted }.keep()
}

struct Pace {
    payload: Payload,
    peers: Peers,
    /// The requests that wait for their connection: when each was to be sent.
    waiting: Vec<VecDeque<Instant>>,
    gap: Duration,
    /// When the next request is due, and the connection it goes to.
    due: Instant,
    next: usize,
    end: Instant,
    /// Only what is due after this counts.
    counted: Instant,
}

impl Pace {
    fn keep(mut self) -> Result<Measured> {
        let mut measured = Measured::begin();
        let mut events = Vec::with_capacity(256);
        let mut chunk = vec![0; 64 * 1024];
        let mut answered = Instant::now();
        while self.due < self.end {
            self.send_due()?;
            events.clear();
            let timeout = Timespec::try_from(self.due.saturating_duration_since(Instant::now()))?;
            epoll::wait(&self.peers.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
            if !events.is_empty() {
                answered = Instant::now();
            } else if answered.elapsed() > WAIT_TIMEOUT {
                bail!("no answer in {WAIT_TIMEOUT:?}");
            }
            for event in &events {
                self.receive(usize::try_from(event.data.u64())?, &mut chunk, &mut measured)?;
            }
        }
        Ok(measured)
    }

    fn send_due(&mut self) -> Result<()> {
        let now = Instant::now();
        while self.due <= now {
            let (Some(peer), Some(waiting)) =
                (self.peers.all.get_mut(self.next), self.waiting.get_mut(self.next))
            else {
                bail!("no connections");
            };
            if peer.is_busy() {
                waiting.push_back(now);
            } else {
                peer.send(&self.payload, Instant::now())?;
            }
            self.due += self.gap;
            self.next = (self.next + 1) % self.peers.all.len();
        }
        Ok(())
    }

    fn receive(&mut self, place: usize, chunk: &mut [u8], measured: &mut Measured) -> Result<()> {
        let (Some(peer), Some(waiting)) = (self.peers.all.get_mut(place), self.waiting.get_mut(place)) else {
            return Ok(());
        };
        if peer.receive(chunk)? {
            if peer.since >= self.counted {
                measured.done(peer.since);
            }
            if let Some(since) = waiting.pop_front() {
                peer.send(&self.payload, since)?;
            }
        }
        Ok(())
    }
}
