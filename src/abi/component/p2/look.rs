//! A look at what many pollables wait for, by one system call and without memory of its own.

use super::poll::{Listed, Waiting};
use super::source::{Source, Wait};
use crate::abi::component::tcp::may_accept;
use crate::io::{Events, Pollable};
use crate::process::Process;
use crate::ready::{PollSet, is_ready};

/// What a look at all of them has found.
pub(super) struct Looked {
    /// The places of those that are ready, in order.
    pub(super) ready: Vec<u32>,
    /// Is there a listener that may not take a connection now?
    pub(super) is_starved: bool,
    /// When the first clock is due.
    pub(super) until: Option<u64>,
}

/// A look at all of them, which asks the kernel once.
struct Look<'a> {
    set: PollSet<'a>,
    asked: Vec<u32>,
    now: Option<u64>,
    looked: Looked,
}

impl<'a> Look<'a> {
    /// Begins, with the memory that `waiting` keeps for it.
    fn begin(waiting: &mut Waiting, count: usize) -> Self {
        let mut asked = std::mem::take(&mut waiting.asked);
        asked.clear();
        let looked = Looked { ready: Vec::new(), is_starved: false, until: None };
        Self { set: PollSet::new(&mut waiting.set, count), asked, now: None, looked }
    }

    /// Adds what waits at `place` for `thing`.
    fn add(
        &mut self,
        process: &Process,
        is_short: &mut bool,
        place: u32,
        wait: &Wait<'_>,
        thing: Option<(&'a dyn Pollable, Events)>,
    ) {
        let is_ready = match wait {
            Wait::Ready => true,
            Wait::Until(time) => {
                let is_due = *self.now.get_or_insert_with(|| process.monotonic_time()) >= *time;
                if !is_due {
                    let until = self.looked.until.map_or(*time, |until| until.min(*time));
                    self.looked.until = Some(until);
                }
                is_due
            }
            Wait::Connection(listener) if !may_accept(process, is_short, listener) => {
                self.looked.is_starved = true;
                false
            }
            Wait::For(..) | Wait::ForNew(..) | Wait::Connection(_) => {
                let Some((thing, mask)) = thing else { return };
                if self.set.add_thing(thing, mask).is_some() {
                    self.asked.push(place);
                    return;
                }
                is_ready(thing, mask)
            }
        };
        if is_ready {
            wait.note_report();
            self.looked.ready.push(place);
        }
    }

    /// Asks the kernel. `note` is called for the place of each that it finds ready.
    fn ask(&mut self, note: impl Fn(u32)) {
        let found = self.set.poll().unwrap_or(0);
        if found == 0 {
            return;
        }
        self.looked.ready.reserve_exact(found);
        for (place, answer) in self.asked.iter().zip(self.set.answers()) {
            if !answer.revents().is_empty() {
                note(*place);
                self.looked.ready.push(*place);
            }
        }
        self.looked.ready.sort_unstable();
    }

    /// Ends, and returns the memory.
    fn end(self, waiting: &mut Waiting) -> Looked {
        self.set.end(&mut waiting.set);
        waiting.asked = self.asked;
        self.looked
    }
}

impl Waiting {
    /// Which are ready now.
    pub(super) fn ready(&mut self, process: &Process, sources: &[Listed<'_>]) -> Vec<u32> {
        let waits: Vec<(u32, Wait<'_>)> =
            sources.iter().map(|(place, source)| (*place, source.wait())).collect();
        self.look(process, &waits).ready
    }

    pub(super) fn look(&mut self, process: &Process, waits: &[(u32, Wait<'_>)]) -> Looked {
        let mut look = Look::begin(self, waits.len());
        for (place, wait) in waits {
            look.add(process, &mut self.is_short, *place, wait, wait.thing());
        }
        look.ask(|place| {
            let at = waits.binary_search_by_key(&place, |(place, _)| *place);
            if let Some((_, wait)) = at.ok().and_then(|at| waits.get(at)) {
                wait.note_report();
            }
        });
        look.end(self)
    }

    /// Looks at the sources that `source` finds at so many places, without making lists of them. `None` where one
    /// is not wasock's, or is of what does not last for the look.
    ///
    /// # Errors
    ///
    /// Those of `source`.
    pub(super) fn look_quickly<'a, E>(
        &mut self,
        process: &Process,
        count: usize,
        source: impl Fn(usize) -> Result<Option<&'a Source>, E>,
    ) -> Result<Option<Looked>, E> {
        let mut look = Look::begin(self, count);
        let mut added = Ok(true);
        for (at, place) in (0..count).zip(0..) {
            added = source(at).map(|source| {
                let wait = source.map(Source::wait).filter(Wait::lasts);
                let Some(wait) = wait else { return false };
                look.add(process, &mut self.is_short, place, &wait, wait.lasting_thing());
                true
            });
            if !matches!(added, Ok(true)) {
                break;
            }
        }
        let is_complete = matches!(added, Ok(true));
        if is_complete {
            look.ask(|place| {
                let at = usize::try_from(place).unwrap_or(usize::MAX);
                if let Ok(Some(source @ Source::Tcp(_))) = source(at) {
                    source.wait().note_report();
                }
            });
        }
        let looked = look.end(self);
        Ok(added?.then_some(looked))
    }
}
