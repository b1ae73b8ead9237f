//! Each connection sends its next request when it has the answer to the last one.

use super::exchange::{Payload, Peers, WAIT_TIMEOUT};
use super::{Measured, Options};
use anyhow::{Result, bail};
use rustix::event::epoll;
use rustix::time::Timespec;
use std::time::{Duration, Instant};

pub(super) fn run(options: &Options) -> Result<Measured> {
    let payload = Payload::of(options)?;
    let mut peers = Peers::connect(options.address, options.number("connections")?)?;
    take_turns(&mut peers, &payload, Until::of(options)?)
}

/// When it is enough.
#[derive(Clone, Copy)]
pub(super) enum Until {
    Time(Duration),
    Count(u64),
}

impl Until {
    pub(super) fn of(options: &Options) -> Result<Self> {
        if options.has("count") {
            return Ok(Self::Count(options.number("count")?));
        }
        Ok(Self::Time(options.seconds()?))
    }
}

pub(super) fn take_turns(peers: &mut Peers, payload: &Payload, until: Until) -> Result<Measured> {
    let mut measured = Measured::begin();
    for peer in &mut peers.all {
        peer.send(payload, Instant::now())?;
    }
    let mut events = Vec::with_capacity(256);
    let mut chunk = vec![0; 64 * 1024];
    let timeout = Timespec::try_from(WAIT_TIMEOUT)?;
    loop {
        events.clear();
        epoll::wait(&peers.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
        if events.is_empty() {
            bail!("no answer in {WAIT_TIMEOUT:?}");
        }
        for event in &events {
            let place = usize::try_from(event.data.u64())?;
            let Some(peer) = peers.all.get_mut(place) else { continue };
            if peer.receive(&mut chunk)? {
                measured.done(peer.since);
                peer.send(payload, Instant::now())?;
            }
        }
        let is_over = match until {
            Until::Time(time) => measured.begun.elapsed() >= time,
            Until::Count(count) => measured.count >= count,
        };
        if is_over {
            return Ok(measured);
        }
    }
}
