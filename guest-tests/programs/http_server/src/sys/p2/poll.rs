//! `wasi:io/poll`.

use super::{Ends, Source};
use crate::sys::{Interest, Poller};
use std::io;
use std::rc::Rc;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::io::poll::{Pollable, poll};

/// The pollables, kept from one wait to the next.
#[derive(Default)]
pub struct Poll {
    places: Vec<Place>,
}

struct Place {
    /// Goes before what it belongs to.
    pollable: Pollable,
    interest: Interest,
    ends: Rc<Ends>,
}

impl Poller for Poll {
    fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    fn add(&mut self, source: &impl Source, interest: Interest) -> io::Result<()> {
        let ends = source.ends();
        self.places.push(Place { pollable: pollable(&ends, interest), interest, ends });
        Ok(())
    }

    fn set_interest(&mut self, place: usize, interest: Interest) -> io::Result<()> {
        let place = &mut self.places[place];
        // Time that has passed has passed for good.
        if place.interest != interest || matches!(interest, Interest::Later(_)) {
            place.pollable = pollable(&place.ends, interest);
            place.interest = interest;
        }
        Ok(())
    }

    fn swap_remove(&mut self, place: usize) {
        self.places.swap_remove(place);
    }

    fn wait(&mut self, ready: &mut Vec<usize>) -> io::Result<()> {
        let pollables: Vec<&Pollable> = self.places.iter().map(|place| &place.pollable).collect();
        ready.clear();
        ready.extend(poll(&pollables).into_iter().map(|place| place as usize));
        Ok(())
    }
}

fn pollable(ends: &Ends, interest: Interest) -> Pollable {
    match interest {
        Interest::Read => ends.readable(),
        Interest::Write => ends.writable(),
        Interest::Later(time) => subscribe_duration(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
    }
}
