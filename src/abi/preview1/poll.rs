//! `poll_oneoff`: descriptors and clocks, any mix.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use wiggle::{GuestMemory, GuestPtr, GuestType};

use super::bindings::preview1_poll::Preview1Poll;
use super::bindings::types;
use super::clock::Clock;
use crate::abi::flags;
use crate::abi::memory::check_out;
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::file::File;
use crate::process::{Open, OpenFile, Thread};
use crate::ready::{Readiness, Source, TimeSlice, Watched};
use crate::socket::Interest;

/// How many subscriptions one call takes: a read and a write for more descriptors
/// than most hosts allow. It bounds what the host allocates on a guest's word.
pub(super) const MAX_SUBSCRIPTIONS: u32 = 1 << 16;

const EVENT_SIZE: u32 = 32;

/// How many subscriptions are gone through between two looks at the clock.
const STEP: usize = 64;

pub(super) const CLOCK: u8 = 0;
pub(super) const FD_READ: u8 = 1;
pub(super) const FD_WRITE: u8 = 2;

pub(super) const HANGUP: u16 = 1;

/// What a subscription asks for.
enum Asked {
    /// Until this time of a clock.
    Clock(Clock, u64),
    /// Something of a descriptor.
    Open(Arc<OpenFile>, Interest),
    /// Nothing that could be: answered with this error at once.
    Wrong(Errno),
}

struct Subscription {
    userdata: u64,
    kind: u8,
    asked: Asked,
}

impl Preview1Poll for Thread {
    async fn poll_oneoff(
        &mut self,
        memory: &mut GuestMemory<'_>,
        subscriptions: GuestPtr<types::Subscription>,
        events: GuestPtr<types::Event>,
        nsubscriptions: u32,
    ) -> Result<u32, Error> {
        self.poll_each(memory, subscriptions, events, nsubscriptions).await
    }
}

impl Thread {
    /// `poll_oneoff`, for subscriptions in the layout of any snapshot.
    ///
    /// # Errors
    ///
    /// `EINVAL` without subscriptions, for too many, and for what is none.
    pub(super) async fn poll_each<S: GuestType + Into<types::Subscription>>(
        &mut self,
        memory: &mut GuestMemory<'_>,
        subscriptions: GuestPtr<S>,
        events: GuestPtr<types::Event>,
        nsubscriptions: u32,
    ) -> Result<u32, Error> {
        // That of this very call, which was tried at once.
        let mut has_looked = std::mem::take(&mut self.has_looked);
        // "EINVAL: nsubscriptions is 0" - poll_oneoff
        if nsubscriptions == 0 || nsubscriptions > MAX_SUBSCRIPTIONS {
            return Err(Errno::EINVAL.into());
        }
        check_out(memory, subscriptions.offset(), nsubscriptions.saturating_mul(S::guest_size()))?;
        check_out(memory, events.offset(), nsubscriptions * EVENT_SIZE)?;
        let mut asked = Vec::new();
        for subscription in subscriptions.as_array(nsubscriptions).iter() {
            asked.push(self.read_subscription(memory.read(subscription?)?.into())?);
        }
        let happened = loop {
            let has_looked = std::mem::take(&mut has_looked);
            let found = match self.threads.are_many() {
                true => {
                    unless(any_closed(&asked), self.wait(&asked, false)).await.unwrap_or(Ok(Vec::new()))?
                }
                false => self.wait(&asked, has_looked).await?,
            };
            let happened = self.happened(&asked, &found)?;
            // A clock that was set back meanwhile has not come round yet.
            if !happened.is_empty() {
                break happened;
            }
        };
        let mut written = 0;
        for event in happened {
            memory.write(events.add(written)?, event)?;
            written += 1;
        }
        Ok(written)
    }

    /// # Errors
    ///
    /// `EINVAL` for an unknown kind or clock; what is wrong with a descriptor is an
    /// event of its own.
    fn read_subscription(&self, raw: types::Subscription) -> Result<Subscription, Error> {
        let asked = match raw.tag {
            CLOCK => {
                let clock = Clock::of(raw.id)?;
                // "ENOTSUP: The clock_id argument specifies a clock for which
                // clock_nanosleep() is not supported, such as a CPU-time clock."
                // - clock_nanosleep(3p)
                if !matches!(clock, Clock::Realtime | Clock::Monotonic) {
                    return Err(Errno::ENOTSUP.into());
                }
                let is_absolute = flags::known(raw.flags.into(), 1)? != 0;
                let start = if is_absolute { 0 } else { clock.now(self)? };
                Asked::Clock(clock, start.saturating_add(raw.timeout))
            }
            FD_READ => self.watch(raw.id, Interest::Read),
            FD_WRITE => self.watch(raw.id, Interest::Write),
            _ => return Err(Errno::EINVAL.into()),
        };
        Ok(Subscription { userdata: raw.userdata, kind: raw.tag, asked })
    }

    fn watch(&self, fd: u32, interest: Interest) -> Asked {
        match self.descriptor(fd, Rights::POLL_FD_READWRITE) {
            Ok(descriptor) => Asked::Open(descriptor.open, interest),
            Err(errno) => Asked::Wrong(errno),
        }
    }

    /// Waits until one of the subscriptions has something to tell. `has_looked` says that
    /// none of them had just now.
    async fn wait(
        &mut self,
        asked: &[Subscription],
        has_looked: bool,
    ) -> Result<Vec<Option<Readiness>>, Error> {
        let mut limit: Option<Duration> = None;
        let mut watched = Vec::new();
        let mut slice = TimeSlice::new();
        for (place, subscription) in asked.iter().enumerate() {
            // Each may ask the host, how much is left of a file.
            if place % STEP == STEP - 1 {
                slice.step().await?;
            }
            let wait = match &subscription.asked {
                Asked::Clock(clock, until) => Duration::from_nanos(until.saturating_sub(clock.now(self)?)),
                Asked::Wrong(_) => Duration::ZERO,
                Asked::Open(open, interest) => {
                    watched.push(Watched { source: source(&open.open, *interest), interest: *interest });
                    continue;
                }
            };
            limit = Some(limit.map_or(wait, |limit| limit.min(wait)));
        }
        Ok(self.poll(&watched, limit, has_looked).await?)
    }

    /// The events, in the order of the subscriptions.
    fn happened(
        &self,
        asked: &[Subscription],
        found: &[Option<Readiness>],
    ) -> Result<Vec<types::Event>, Error> {
        let mut found = found.iter();
        let mut events = Vec::new();
        for subscription in asked {
            let event = match &subscription.asked {
                Asked::Clock(clock, until) => (clock.now(self)? >= *until).then(|| event(subscription, None)),
                Asked::Wrong(errno) => Some(types::Event {
                    error: types::Errno::from(*errno).into(),
                    ..event(subscription, None)
                }),
                Asked::Open(open, _) => {
                    let ready = found.next().copied().flatten();
                    // Another thread closed it meanwhile.
                    let closed = || types::Event {
                        error: types::Errno::from(Errno::EBADF).into(),
                        ..event(subscription, None)
                    };
                    if open.is_closed() {
                        Some(closed())
                    } else {
                        ready.map(|ready| event(subscription, Some(ready)))
                    }
                }
            };
            events.extend(event);
        }
        Ok(events)
    }
}

/// Waits until another thread closes the last descriptor of one of them.
async fn any_closed(asked: &[Subscription]) {
    let mut closed = Vec::new();
    let mut known = HashSet::new();
    for subscription in asked {
        // Once for each thing, however many subscriptions name it.
        if let Asked::Open(open, _) = &subscription.asked
            && known.insert(Arc::as_ptr(open).addr())
        {
            closed.push(Box::pin(open.closed()));
        }
    }
    drop(known);
    poll_fn(|context| {
        // Each is polled, so that each is heard of.
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

fn event(subscription: &Subscription, ready: Option<Readiness>) -> types::Event {
    types::Event {
        userdata: subscription.userdata,
        error: 0,
        type_: subscription.kind,
        nbytes: ready.map_or(0, |ready| ready.bytes),
        flags: if ready.is_some_and(|ready| ready.hangup) { HANGUP } else { 0 },
    }
}

fn source(open: &Open, interest: Interest) -> Source<'_> {
    match open {
        Open::Socket(socket) => socket.as_ref().into(),
        Open::File(file) => Source::Always(bytes_left(file)),
        // Programs ask whether they may write to their input, and are used to a yes.
        Open::Input(_) if interest == Interest::Write => Source::Always(1),
        Open::Device(_) if interest == Interest::Write => Source::Always(1),
        Open::Output(_) | Open::Directory(_) => Source::Always(1),
        other => other.pollable().map_or(Source::Always(1), Source::Own),
    }
}

/// Bytes between the position and the end of a file.
fn bytes_left(file: &File) -> u64 {
    let size = file.stat().map_or(0, |stat| stat.size);
    size.saturating_sub(file.tell().unwrap_or(0))
}
