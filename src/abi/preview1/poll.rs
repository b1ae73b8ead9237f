//! `poll_oneoff`: descriptors and clocks, any mix.
//!
//! The subscriptions are read once, into a list that the thread keeps. One poll of the sockets
//! among them is tried; if that is not enough, the waiting half takes what the list stands for.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use wiggle::{GuestMemory, GuestPtr, GuestType};

use super::bindings::preview1_poll::Preview1Poll;
use super::bindings::types;
use crate::abi::call::Call;
use crate::abi::errno::number;
use crate::abi::memory::{check_out, check_out_value, write_bytes, write_count};
use crate::error::{Errno, Error};
use crate::file::File;
use crate::io::Events;
use crate::process::{Open, PollScratch, Thread};
use crate::ready::{PollSource, Readiness, TimeSlice, Watched};

mod asked;
mod poll_set;
mod subscription;

use asked::{Ask, Asked, What};
pub(super) use subscription::Layout;
use subscription::{EVENT, clock_event, failed_event, ready_event};

/// How many subscriptions one call takes: a read and a write for more descriptors
/// than most hosts allow. It bounds what the host allocates at a guest's request.
const MAX_SUBSCRIPTIONS: u32 = 1 << 16;

/// How many subscriptions are processed between two readings of the clock.
const STEP: usize = 64;

impl Preview1Poll for Call<'_> {
    fn poll_oneoff(
        &mut self,
        memory: &mut GuestMemory<'_>,
        subscriptions: GuestPtr<types::Subscription>,
        events: GuestPtr<types::Event>,
        nsubscriptions: u32,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        self.poll_each(memory, Layout::Preview1, subscriptions, events, nsubscriptions, ret_n)
    }
}

impl Call<'_> {
    /// `poll_oneoff`, for subscriptions in the layout of any snapshot.
    ///
    /// # Errors
    ///
    /// `EINVAL` without subscriptions, for too many, and for what is none; `ENOMEM` where the
    /// host would hold too much for the guest.
    pub(super) fn poll_each<S: GuestType>(
        &mut self,
        memory: &mut GuestMemory<'_>,
        layout: Layout,
        subscriptions: GuestPtr<S>,
        events: GuestPtr<types::Event>,
        count: u32,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        // "EINVAL: nsubscriptions is 0" - poll_oneoff
        if count == 0 || count > MAX_SUBSCRIPTIONS {
            return Err(Errno::EINVAL.into());
        }
        check_out_value(memory, subscriptions)?;
        check_out(memory, subscriptions.offset(), count * layout.size())?;
        check_out_value(memory, events)?;
        check_out(memory, events.offset(), count * EVENT)?;
        check_out_value(memory, ret_n)?;
        let subscriptions = GuestPtr::<[u8]>::new((subscriptions.offset(), count * layout.size()));
        let mut scratch = self.poll_scratch.take().unwrap_or_default();
        let asked = if scratch.has_room(count, self.process().host_memory()) {
            self.try_poll(memory, layout, subscriptions, events, ret_n, &mut scratch)
        } else {
            self.read_all(memory, layout, subscriptions, count).map(|asked| Some((asked, false)))
        };
        scratch.trim();
        self.poll_scratch = Some(scratch);
        let Some((asked, has_polled)) = asked? else { return Ok(()) };
        Err(self.wait(move |call, memory| {
            Box::pin(async move {
                let written = call.wait_for(memory, &asked, events, has_polled).await?;
                if written > 1
                    && let Some(scratch) = &mut call.poll_scratch
                {
                    scratch.guess.has_found_several();
                }
                write_count(memory, ret_n, written)
            })
        }))
    }

    /// Tries, or parks, and writes what was found; else returns what there is to wait for, and whether it was
    /// polled, or need not be before the thread sleeps. One that is likely to find nothing is not tried: that saves a system call.
    fn try_poll(
        &mut self,
        memory: &mut GuestMemory<'_>,
        layout: Layout,
        subscriptions: GuestPtr<[u8]>,
        events: GuestPtr<types::Event>,
        ret_n: GuestPtr<u32>,
        scratch: &mut PollScratch,
    ) -> Result<Option<(Asked, bool)>, Error> {
        scratch.subscriptions.clear();
        // Where others may change them meanwhile: as they are now, in one piece.
        layout.read(&memory.as_cow(subscriptions)?, |subscription| {
            scratch.subscriptions.push(subscription);
            Ok::<_, Error>(())
        })?;
        let sleeps_first = self.parks
            && scratch.guess.may_sleep_first()
            && poll_set::can_sleep_first(self, &scratch.subscriptions);
        let mut found = if sleeps_first {
            scratch.guess.sleeps_first();
            Some(0)
        } else {
            let found = poll_set::poll_sockets(self, scratch);
            scratch.guess.has_looked(found == Some(0));
            found
        };
        if found == Some(0) && self.parks && poll_set::can_park(self, &scratch.subscriptions) {
            // Where it was woken, the half that waits finds out by what.
            found = poll_set::park_at_sockets(self, scratch);
            if found > Some(1) {
                scratch.guess.has_found_several();
            }
        }
        if let Some(found @ 1..) = found {
            write_bytes(memory, events.cast(), scratch.events.as_flattened())?;
            write_count(memory, ret_n, found)?;
            return Ok(None);
        }
        let count = u32::try_from(scratch.subscriptions.len()).unwrap_or(u32::MAX);
        let mut asked = Asked::new(count, self.process().host_memory())?;
        for subscription in &scratch.subscriptions {
            asked.add(self, subscription)?;
        }
        Ok(Some((asked, found.is_some())))
    }

    /// Reads the subscriptions if a list of them besides would exceed the account.
    fn read_all(
        &self,
        memory: &GuestMemory<'_>,
        layout: Layout,
        subscriptions: GuestPtr<[u8]>,
        count: u32,
    ) -> Result<Asked, Error> {
        let mut asked = Asked::new(count, self.process().host_memory())?;
        layout.read(&memory.as_cow(subscriptions)?, |subscription| asked.add(self, &subscription))?;
        Ok(asked)
    }
}

impl Thread {
    /// Waits until there is an event, and writes the events; returns how many there are.
    async fn wait_for(
        &mut self,
        memory: &mut GuestMemory<'_>,
        asked: &Asked,
        events: GuestPtr<types::Event>,
        mut has_polled: bool,
    ) -> Result<u32, Error> {
        loop {
            let has_polled = std::mem::take(&mut has_polled);
            let found = match self.threads.are_many() {
                true => unless(any_closed(asked), self.wait(asked, false)).await.unwrap_or(Ok(Vec::new()))?,
                false => self.wait(asked, has_polled).await?,
            };
            let written = self.write_happened(asked, &found, memory, events)?;
            // A clock that was set back meanwhile has not come round yet.
            if written > 0 {
                return Ok(written);
            }
        }
    }

    /// Waits until one of the subscriptions is ready. `has_polled` says that
    /// none of them had just now.
    async fn wait(&mut self, asked: &Asked, has_polled: bool) -> Result<Vec<Option<Readiness>>, Error> {
        let mut limit: Option<Duration> = None;
        for (clock, until) in &asked.clocks {
            let wait = Duration::from_nanos(until.saturating_sub(clock.now(self)?));
            limit = Some(limit.map_or(wait, |limit| limit.min(wait)));
        }
        if asked.asks.iter().any(|ask| matches!(ask.what, What::Wrong(..))) {
            limit = Some(Duration::ZERO);
        }
        let mut watched = Vec::with_capacity(asked.watches.len());
        let mut slice = TimeSlice::new();
        for (place, (open, mask)) in asked.watches.iter().enumerate() {
            // Each may ask the host, how much is left of a file.
            if place % STEP == STEP - 1 {
                slice.step().await?;
            }
            watched.push(Watched { source: source(&open.open, *mask), mask: *mask });
        }
        Ok(self.poll(&watched, limit, has_polled).await?)
    }

    /// Writes the events, in the order of the subscriptions; returns how many there are.
    fn write_happened(
        &self,
        asked: &Asked,
        found: &[Option<Readiness>],
        memory: &mut GuestMemory<'_>,
        events: GuestPtr<types::Event>,
    ) -> Result<u32, Error> {
        let mut written = 0;
        for Ask { userdata, what } in &asked.asks {
            let event = match *what {
                What::Clock(place) => match at(&asked.clocks, place) {
                    Some((clock, until)) if clock.now(self)? >= *until => clock_event(*userdata),
                    _ => continue,
                },
                What::Wrong(errno, mask) => failed(*userdata, mask, errno),
                What::Open(place, mask) => match at(&asked.watches, place) {
                    // Another thread closed it meanwhile.
                    Some((open, _)) if open.is_closed() => failed(*userdata, mask, Errno::EBADF),
                    _ => match at(found, place).copied().flatten() {
                        Some(ready) => ready_event(*userdata, mask, ready),
                        None => continue,
                    },
                },
            };
            write_bytes(memory, events.add(written)?.cast(), &event)?;
            written += 1;
        }
        Ok(written)
    }
}

fn at<T>(list: &[T], place: u32) -> Option<&T> {
    list.get(usize::try_from(place).ok()?)
}

/// Waits until another thread closes the last descriptor of one of them.
async fn any_closed(asked: &Asked) {
    let mut closed = Vec::with_capacity(asked.watches.len());
    for (open, _) in &asked.watches {
        closed.push(Box::pin(open.closed()));
    }
    poll_fn(|context| {
        // Each is polled, so that each can wake.
        let are_closed =
            closed.iter_mut().filter_map(|one| one.as_mut().poll(context).is_ready().then_some(()));
        if are_closed.count() > 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Sees `call` to its end, unless `end` comes first.
async fn unless<T>(end: impl Future<Output = ()>, call: impl Future<Output = T>) -> Option<T> {
    let (mut end, mut call) = (pin!(end), pin!(call));
    poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => end.as_mut().poll(context).map(|()| None),
    })
    .await
}

fn failed(userdata: u64, mask: Events, errno: Errno) -> [u8; 32] {
    failed_event(userdata, mask, u16::try_from(number(errno)).unwrap_or(u16::MAX))
}

fn source(open: &Open, mask: Events) -> PollSource<'_> {
    let writes = mask.are_of_writers();
    match open {
        Open::Epoll(epoll) => PollSource::Epoll(epoll),
        Open::File(file) => PollSource::Always(bytes_left(file)),
        // Programs ask whether they may write to their input, and are used to a yes.
        Open::Input(_) if writes => PollSource::Always(1),
        Open::Device(_) if writes => PollSource::Always(1),
        Open::Output(_) | Open::Directory(_) => PollSource::Always(1),
        other => other.pollable().map_or(PollSource::Always(1), PollSource::Thing),
    }
}

/// Bytes between the position and the end of a file.
fn bytes_left(file: &File) -> u64 {
    let size = file.stat().map_or(0, |stat| stat.size);
    size.saturating_sub(file.tell().unwrap_or(0))
}
