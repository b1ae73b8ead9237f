//! A connection for each request: connect, ask, read the answer, close.
//!
//! `connections` of them are under way at once. With `burst` all of them begin at the
//! same time, and the next ones when the last of these is done.

use super::exchange::{Payload, Peer, WAIT_TIMEOUT, connect_to};
use super::turns::Until;
use super::{Measured, Options};
use anyhow::{Context, Result, bail};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::Timespec;
use std::os::fd::OwnedFd;
use std::time::Instant;

pub(super) fn run(options: &Options) -> Result<Measured> {
    let payload = Payload::of(options)?;
    let connections: usize = options.number("connections")?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let slots = (0..connections).map(|_| None).collect();
    let mut churn = Churn { options, payload, epoll, slots, begun: 0 };
    churn.run(Until::of(options)?)
}

struct Churn<'a> {
    options: &'a Options,
    payload: Payload,
    epoll: OwnedFd,
    slots: Vec<Option<Slot>>,
    /// How many connections were begun.
    begun: usize,
}

struct Slot {
    peer: Peer,
    /// When the connection began.
    since: Instant,
    is_connected: bool,
}

impl Churn<'_> {
    fn run(&mut self, until: Until) -> Result<Measured> {
        let is_burst = self.options.has("burst");
        let mut measured = Measured::begin();
        let mut chunk = vec![0; 16 * 1024];
        let mut events = Vec::with_capacity(256);
        let timeout = Timespec::try_from(WAIT_TIMEOUT)?;
        self.refill()?;
        loop {
            events.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
            if events.is_empty() {
                bail!("no answer in {WAIT_TIMEOUT:?}");
            }
            for event in &events {
                self.advance(usize::try_from(event.data.u64())?, event.flags, &mut chunk, &mut measured)?;
            }
            let is_over = match until {
                Until::Time(time) => measured.begun.elapsed() >= time,
                Until::Count(count) => measured.count >= count,
            };
            let is_between = !is_burst || self.slots.iter().all(Option::is_none);
            if is_over && is_between {
                return Ok(measured);
            }
            if is_between {
                self.refill()?;
            }
        }
    }

    /// Begins a connection in each slot that has none.
    fn refill(&mut self) -> Result<()> {
        for (place, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.is_none()) {
            let since = Instant::now();
            let stream = connect_to(self.options.address, self.begun)?;
            // Told of changes alone: one call to the kernel does for both directions.
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            epoll::add(&self.epoll, &stream, EventData::new_u64(place as u64), flags)?;
            *slot = Some(Slot { peer: Peer::new(stream), since, is_connected: false });
            self.begun += 1;
        }
        Ok(())
    }

    fn advance(
        &mut self,
        place: usize,
        flags: EventFlags,
        chunk: &mut [u8],
        measured: &mut Measured,
    ) -> Result<()> {
        let Some(entry) = self.slots.get_mut(place) else { return Ok(()) };
        let Some(slot) = entry else { return Ok(()) };
        if !slot.is_connected && flags.contains(EventFlags::OUT) {
            if let Some(error) = slot.peer.stream.take_error()? {
                return Err(error).context("connect");
            }
            slot.is_connected = true;
            slot.peer.send(&self.payload, Instant::now())?;
        }
        if slot.is_connected && flags.contains(EventFlags::IN) && slot.peer.receive(chunk)? {
            measured.done(slot.since);
            *entry = None;
        }
        Ok(())
    }
}
