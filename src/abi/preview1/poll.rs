//! `poll_oneoff`: descriptors and clocks, any mix.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use wiggle::{GuestMemory, GuestPtr, GuestType};

use super::bindings::preview1_poll::Preview1Poll;
use super::bindings::types;
use super::clock::GuestClock;
use crate::abi::flags;
use crate::abi::memory::check_out;
use crate::account::{Account, Charge};
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::file::File;
use crate::process::{Open, OpenFile, Thread};
use crate::ready::{PollSource, Readiness, TimeSlice, Watched};
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

/// What a poll asks for. Whatever is asked for it costs 48 bytes a subscription at most, as many
/// as the guest has for it, and [`WATCH`] for each thing that is waited for.
struct Asked {
    subscriptions: Vec<Subscription>,
    clocks: Vec<(GuestClock, u64)>,
    watches: Vec<(Arc<OpenFile>, Interest)>,
    /// The places among the watches, where there are too many to look through.
    places: HashMap<(u32, Interest), u32>,
    held: Charge,
}

struct Subscription {
    userdata: u64,
    what: What,
}

/// What a subscription asks for.
#[derive(Clone, Copy)]
enum What {
    /// Until the time of the clock at this place.
    Clock(u32),
    /// Something of the descriptor at this place.
    Open(u32, Interest),
    /// Nothing that could be: answered with this error at once.
    Wrong(Errno, Interest),
}

/// What one thing that a poll waits for takes: its places in this list, in those of `ready` and
/// in the kernel's, and the waits for its news and its end.
const WATCH: u64 = 512;

/// How many subscriptions, of as many things, are part of what every thread is charged for.
const FREE: u32 = 64;

impl Asked {
    /// # Errors
    ///
    /// `ENOMEM`: "Unable to allocate memory for kernel data structures." - poll(2)
    fn new(count: u32, account: &Arc<Account>) -> Result<Self, Errno> {
        let mut held = Charge::none(account);
        if count > FREE {
            held.resize(u64::from(count) * 48)?;
        }
        let subscriptions = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        let (clocks, watches, places) = (Vec::new(), Vec::new(), HashMap::new());
        Ok(Self { subscriptions, clocks, watches, places, held })
    }

    fn clock(&mut self, clock: GuestClock, until: u64) -> What {
        self.clocks.push((clock, until));
        What::Clock(last(&self.clocks))
    }

    /// Each thing is waited for once, however many subscriptions ask for it.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    fn watch(&mut self, fd: u32, open: &Arc<OpenFile>, interest: Interest) -> Result<What, Errno> {
        let is_charged = self.held.bytes() > 0;
        if is_charged && let Some(place) = self.places.get(&(fd, interest)) {
            return Ok(What::Open(*place, interest));
        }
        if is_charged {
            self.held.add(WATCH)?;
        }
        self.watches.push((Arc::clone(open), interest));
        let place = last(&self.watches);
        if is_charged {
            self.places.insert((fd, interest), place);
        }
        Ok(What::Open(place, interest))
    }
}

/// The place of the last of a list, which no poll makes longer than a `u32` tells.
fn last<T>(list: &[T]) -> u32 {
    u32::try_from(list.len().saturating_sub(1)).unwrap_or(u32::MAX)
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
    /// `EINVAL` without subscriptions, for too many, and for what is none; `ENOMEM` where the
    /// host would hold too much for the guest.
    pub(super) async fn poll_each<S: GuestType + Into<types::Subscription>>(
        &mut self,
        memory: &mut GuestMemory<'_>,
        subscriptions: GuestPtr<S>,
        events: GuestPtr<types::Event>,
        nsubscriptions: u32,
    ) -> Result<u32, Error> {
        // That of this very call, which was tried at once.
        let mut has_polled = std::mem::take(&mut self.has_polled);
        // "EINVAL: nsubscriptions is 0" - poll_oneoff
        if nsubscriptions == 0 || nsubscriptions > MAX_SUBSCRIPTIONS {
            return Err(Errno::EINVAL.into());
        }
        check_out(memory, subscriptions.offset(), nsubscriptions.saturating_mul(S::guest_size()))?;
        check_out(memory, events.offset(), nsubscriptions * EVENT_SIZE)?;
        let mut asked = Asked::new(nsubscriptions, self.process().host_memory())?;
        for subscription in subscriptions.as_array(nsubscriptions).iter() {
            self.read_subscription(memory.read(subscription?)?.into(), &mut asked)?;
        }
        loop {
            let has_polled = std::mem::take(&mut has_polled);
            let found = match self.threads.are_many() {
                true => {
                    unless(any_closed(&asked), self.wait(&asked, false)).await.unwrap_or(Ok(Vec::new()))?
                }
                false => self.wait(&asked, has_polled).await?,
            };
            let written = self.write_happened(&asked, &found, memory, events)?;
            // A clock that was set back meanwhile has not come round yet.
            if written > 0 {
                return Ok(written);
            }
        }
    }

    /// # Errors
    ///
    /// `EINVAL` for an unknown kind or clock, `ENOMEM` where the host holds too much for the
    /// guest; what is wrong with a descriptor is an event of its own.
    fn read_subscription(&self, raw: types::Subscription, asked: &mut Asked) -> Result<(), Error> {
        let what = match raw.tag {
            CLOCK => {
                let clock = GuestClock::of(raw.id)?;
                // "ENOTSUP: The clock_id argument specifies a clock for which
                // clock_nanosleep() is not supported, such as a CPU-time clock."
                // - clock_nanosleep(3p)
                if !matches!(clock, GuestClock::Realtime | GuestClock::Monotonic) {
                    return Err(Errno::ENOTSUP.into());
                }
                let is_absolute = flags::known(raw.flags.into(), 1)? != 0;
                let start = if is_absolute { 0 } else { clock.now(self)? };
                asked.clock(clock, start.saturating_add(raw.timeout))
            }
            FD_READ => self.watch(raw.id, Interest::Read, asked)?,
            FD_WRITE => self.watch(raw.id, Interest::Write, asked)?,
            _ => return Err(Errno::EINVAL.into()),
        };
        asked.subscriptions.push(Subscription { userdata: raw.userdata, what });
        Ok(())
    }

    fn watch(&self, fd: u32, interest: Interest, asked: &mut Asked) -> Result<What, Errno> {
        match self.descriptor(fd, Rights::POLL_FD_READWRITE) {
            Ok(descriptor) => asked.watch(fd, &descriptor.open, interest),
            Err(errno) => Ok(What::Wrong(errno, interest)),
        }
    }

    /// Waits until one of the subscriptions has something to tell. `has_polled` says that
    /// none of them had just now.
    async fn wait(&mut self, asked: &Asked, has_polled: bool) -> Result<Vec<Option<Readiness>>, Error> {
        let mut limit: Option<Duration> = None;
        for (clock, until) in &asked.clocks {
            let wait = Duration::from_nanos(until.saturating_sub(clock.now(self)?));
            limit = Some(limit.map_or(wait, |limit| limit.min(wait)));
        }
        if asked.subscriptions.iter().any(|subscription| matches!(subscription.what, What::Wrong(..))) {
            limit = Some(Duration::ZERO);
        }
        let mut watched = Vec::with_capacity(asked.watches.len());
        let mut slice = TimeSlice::new();
        for (place, (open, interest)) in asked.watches.iter().enumerate() {
            // Each may ask the host, how much is left of a file.
            if place % STEP == STEP - 1 {
                slice.step().await?;
            }
            watched.push(Watched { source: source(&open.open, *interest), interest: *interest });
        }
        Ok(self.poll(&watched, limit, has_polled).await?)
    }

    /// Writes the events, in the order of the subscriptions; tells how many there are.
    fn write_happened(
        &self,
        asked: &Asked,
        found: &[Option<Readiness>],
        memory: &mut GuestMemory<'_>,
        events: GuestPtr<types::Event>,
    ) -> Result<u32, Error> {
        let mut written = 0;
        for Subscription { userdata, what } in &asked.subscriptions {
            let event = match *what {
                What::Clock(place) => match at(&asked.clocks, place) {
                    Some((clock, until)) if clock.now(self)? >= *until => event(*userdata, CLOCK, None),
                    _ => continue,
                },
                What::Wrong(errno, interest) => failed(errno, *userdata, interest),
                What::Open(place, interest) => match at(&asked.watches, place) {
                    // Another thread closed it meanwhile.
                    Some((open, _)) if open.is_closed() => failed(Errno::EBADF, *userdata, interest),
                    _ => match at(found, place).copied().flatten() {
                        Some(ready) => event(*userdata, kind_of(interest), Some(ready)),
                        None => continue,
                    },
                },
            };
            memory.write(events.add(written)?, event)?;
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

fn kind_of(interest: Interest) -> u8 {
    match interest {
        Interest::Read => FD_READ,
        Interest::Write => FD_WRITE,
    }
}

fn event(userdata: u64, kind: u8, ready: Option<Readiness>) -> types::Event {
    types::Event {
        userdata,
        error: 0,
        type_: kind,
        nbytes: ready.map_or(0, |ready| ready.bytes),
        flags: if ready.is_some_and(|ready| ready.hangup) { HANGUP } else { 0 },
    }
}

fn failed(errno: Errno, userdata: u64, interest: Interest) -> types::Event {
    types::Event { error: types::Errno::from(errno).into(), ..event(userdata, kind_of(interest), None) }
}

fn source(open: &Open, interest: Interest) -> PollSource<'_> {
    match open {
        Open::Socket(socket) => socket.as_ref().into(),
        Open::File(file) => PollSource::Always(bytes_left(file)),
        // Programs ask whether they may write to their input, and are used to a yes.
        Open::Input(_) if interest == Interest::Write => PollSource::Always(1),
        Open::Device(_) if interest == Interest::Write => PollSource::Always(1),
        Open::Output(_) | Open::Directory(_) => PollSource::Always(1),
        other => other.pollable().map_or(PollSource::Always(1), PollSource::Own),
    }
}

/// Bytes between the position and the end of a file.
fn bytes_left(file: &File) -> u64 {
    let size = file.stat().map_or(0, |stat| stat.size);
    size.saturating_sub(file.tell().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Limit;
    use crate::ready::EventFd;

    #[test]
    fn a_subscription_takes_no_more_than_the_guests_own() {
        assert!(size_of::<Subscription>() + size_of::<(GuestClock, u64)>() <= 48);
    }

    #[test]
    fn things_are_charged_once_and_given_back() -> Result<(), Errno> {
        let account = Account::new(Limit::HostMemory, 100_000);
        let open = OpenFile::shared(Open::Event(EventFd::new(0, false)?));
        let mut few = Asked::new(FREE, &account)?;
        few.watch(3, &open, Interest::Read)?;
        assert_eq!(account.used(), 0);
        let mut asked = Asked::new(1000, &account)?;
        for _ in 0..1000 {
            asked.watch(3, &open, Interest::Read)?;
        }
        assert_eq!((account.used(), asked.watches.len()), (48_000 + WATCH, 1));
        for fd in 4..100 {
            asked.watch(fd, &open, Interest::Read)?;
        }
        assert_eq!(Asked::new(1000, &account).err(), Some(Errno::ENOMEM));
        let denied = (100..300).find_map(|fd| asked.watch(fd, &open, Interest::Write).err());
        assert_eq!(denied, Some(Errno::ENOMEM));
        drop((few, asked));
        assert_eq!(account.used(), 0);
        Ok(())
    }
}
