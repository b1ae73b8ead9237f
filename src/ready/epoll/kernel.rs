//! The part of an epoll that the kernel keeps: sockets whose readiness it knows completely.
//!
//! The kernel's own epoll has levels, edges and single shots, reports any number of things by one
//! system call, and an idle socket in it costs the host a few machine words. So what has a [stable
//! descriptor](crate::io::KernelFd::Stable) goes there. Everything else is an entry of the list: what has
//! no host descriptor, what the kernel would report too much or too little of, and the second
//! number of a socket that is watched under another one already.
//!
//! # Correctness
//!
//! A record maps the kernel's event data to an entry. It is made before the socket is added to the
//! kernel's epoll, and its number is reused with another *generation*, so that late event data maps
//! to nothing. The kernel removes a socket when the host closes it, which is when the guest does:
//! no other process has it, else it is not stable. A record whose thing is gone is removed with the
//! entries of the epoll.
//!
//! A thread that [parks](Kernel::park) here has its wake descriptor in the kernel's epoll. Events of that are no entry's, and are told from
//! the others by their data. It rings only while its thread is on its way out of a park, here or elsewhere (`io/parker.rs`). Until then the epoll
//! seems to be ready to other threads, and to epolls that watch it: they look, and find nothing. The ring stays until its own thread has
//! seen it, for it is a level: whoever takes it leaves it, and the kernel wakes the next one.
//!
//! Lock: that of the records, below the map of entries. No other one is taken under it.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::{Data, Happened, Request, unpoisoned};
use crate::error::Errno;
use crate::io::{AsyncFd, Events, HostRuntime, OnReport, Pollable, WAKE_WORD, look_at, park_in_epoll, sleep};

/// How many events one system call returns: further ones are returned by the next call. They are on
/// the stack.
const MOST_AT_ONCE: usize = 256;

/// How long to wait between two polls, if the host cannot register the descriptor.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// How often it is asked again where all that it reports is which threads are woken.
const MOST_RINGS: u32 = 8;

/// What the kernel watches for an epoll.
pub(super) struct Kernel {
    /// No other one of this process has it.
    number: u64,
    /// The host's epoll, made when it is first needed.
    fd: OnceLock<Arc<OwnedFd>>,
    /// Its registration with the reactor, made at the first wait.
    registration: OnceLock<Arc<AsyncFd>>,
    records: Mutex<Records>,
}

/// What the kernel has reported.
enum Reported {
    /// Events of the guest's.
    Events,
    /// Only that threads are woken which sleep there.
    Rings,
    Nothing,
}

#[derive(Default)]
struct Records {
    all: Vec<Record>,
    free: Vec<u32>,
}

struct Record {
    /// How often the number was given.
    generation: u32,
    watched: Option<KernelWatch>,
}

struct KernelWatch {
    fd: u32,
    target: Weak<dyn Pollable>,
    data: Data,
    /// Notes what is reported to the guest. Listeners have one: apart, for connections are more.
    on_report: Option<Box<Weak<dyn OnReport>>>,
}

impl Default for Kernel {
    fn default() -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Self {
            number: NUMBERS.fetch_add(1, Relaxed),
            fd: OnceLock::new(),
            registration: OnceLock::new(),
            records: Mutex::default(),
        }
    }
}

impl Kernel {
    /// Watches `target`; returns the number of its record. `None` if the kernel cannot watch
    /// it.
    pub(super) fn add(&self, fd: u32, target: &Arc<dyn Pollable>, request: Request) -> Option<u32> {
        let socket = target.kernel_fd().stable()?;
        let host = self.host()?;
        let on_report = target.on_report().as_ref().map(Arc::downgrade).map(Box::new);
        let watched = KernelWatch { fd, target: Arc::downgrade(target), data: request.data, on_report };
        let (number, word) = unpoisoned(&self.records).insert(watched)?;
        if epoll::add(host, socket, EventData::new_u64(word), asked(request)).is_ok() {
            return Some(number);
        }
        // It is there under another number, or the host is out of memory.
        unpoisoned(&self.records).remove(number);
        None
    }

    /// Watches `target` for something else.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub(super) fn modify(&self, number: u32, target: &dyn Pollable, request: Request) -> Result<(), Errno> {
        let (Some(host), Some(socket)) = (self.fd.get(), target.kernel_fd().stable()) else {
            return Err(Errno::ENOENT);
        };
        let mut records = unpoisoned(&self.records);
        let word = records.change(number, request.data).ok_or(Errno::ENOENT)?;
        Ok(epoll::modify(host, socket, EventData::new_u64(word), asked(request))?)
    }

    /// Watches `target` no more.
    pub(super) fn remove(&self, number: u32, target: &dyn Pollable) {
        unpoisoned(&self.records).remove(number);
        if let (Some(host), Some(socket)) = (self.fd.get(), target.kernel_fd().stable()) {
            // It is there as long as it is open.
            let _gone = epoll::delete(host, socket);
        }
    }

    /// Is the thing of a record still there? Frees the record where it is not.
    pub(super) fn keep(&self, number: u32) -> bool {
        let mut records = unpoisoned(&self.records);
        let is_there = records.get(number).is_some_and(|watched| watched.target.strong_count() > 0);
        if !is_there {
            records.remove(number);
        }
        is_there
    }

    /// Does it watch anything, or has it ever?
    pub(super) fn is_in_use(&self) -> bool {
        self.fd.get().is_some()
    }

    /// Adds what is ready to `found`, until that has `most`. One system call. If nothing
    /// is, clears the readiness that the reactor reported before.
    pub(super) fn take(&self, most: usize, found: &mut Vec<Happened>) {
        let room = most.saturating_sub(found.len()).min(MOST_AT_ONCE);
        let Some(host) = self.fd.get().filter(|_| room > 0) else { return };
        let mut attempt = || self.ask(host, room, found);
        let _looked = match self.registration.get() {
            Some(registration) => registration.try_io(Events::READ, attempt),
            None => attempt(),
        };
    }

    fn ask(&self, host: &OwnedFd, room: usize, found: &mut Vec<Happened>) -> Poll<()> {
        let mut events = [const { MaybeUninit::<Event>::uninit() }; MOST_AT_ONCE];
        let events = events.get_mut(..room).unwrap_or_default();
        for _ in 0..=MOST_RINGS {
            // An error does not mean that nothing is ready.
            let Ok((events, _)) = epoll::wait(host, &mut *events, Some(&Timespec::default())) else {
                return Poll::Ready(());
            };
            match self.report(events, found) {
                Reported::Nothing => return Poll::Pending,
                Reported::Events => return Poll::Ready(()),
                // Each that rings took a place. What was reported is reported again after what was not.
                Reported::Rings => thread::yield_now(),
            }
        }
        Poll::Pending
    }

    /// Parks this thread, which may stop, in the host's epoll until something is ready, or `limit` has passed, and adds
    /// what is ready to `found`, until that has `most`. One system call. `None` where the thread is to look elsewhere: something
    /// else has woken it, or it may not park.
    pub(super) fn park(&self, most: usize, limit: Option<Duration>, found: &mut Vec<Happened>) -> Option<()> {
        let host = self.fd.get()?;
        let mut events = [const { MaybeUninit::<Event>::uninit() }; MOST_AT_ONCE];
        let events = events.get_mut(..most.min(MOST_AT_ONCE))?;
        let limit = match limit {
            Some(limit) => Some(Timespec::try_from(limit).ok()?),
            None => None,
        };
        let events = park_in_epoll(host.as_fd(), self.number, events, limit.as_ref())?;
        let is_over = events.is_empty() && limit.is_some();
        match self.report(events, found) {
            Reported::Events => Some(()),
            Reported::Nothing => is_over.then_some(()),
            Reported::Rings => {
                // Maybe another thread's, which is about to run.
                thread::yield_now();
                None
            }
        }
    }

    /// Adds what the kernel has reported to `found`.
    fn report(&self, events: &[Event], found: &mut Vec<Happened>) -> Reported {
        let before = found.len();
        let mut rings = false;
        let records = unpoisoned(&self.records);
        for event in events.iter() {
            let Event { flags, data, .. } = *event;
            if data.u64() & u64::from(u32::MAX) == u64::from(WAKE_WORD) {
                rings = true;
                continue;
            }
            // One that was removed, or closed, since the kernel reported it.
            let Some(watched) = records.of_word(data.u64()) else { continue };
            if let Some(on_report) = watched.on_report.as_deref().and_then(Weak::upgrade) {
                on_report.note_report();
            }
            found.push(Happened { fd: watched.fd, events: told(flags), data: watched.data });
        }
        match (found.len() > before, rings) {
            (true, _) => Reported::Events,
            (false, true) => Reported::Rings,
            (false, false) => Reported::Nothing,
        }
    }

    /// Waits until something may be ready.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn changed(&self) {
        let heard = match self.registration() {
            Some(registration) => registration.ready(Events::READ).await,
            None => Err(Errno::ENOMEM),
        };
        if heard.is_err() {
            // There are no wake-ups without a registration.
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// As [`Pollable::register`], for watchers of the epoll.
    pub(super) fn register(&self, context: &mut Context<'_>) -> bool {
        self.registration().is_some_and(|registration| registration.register(Events::READ, context))
    }

    /// Is anything ready? Takes nothing.
    pub(super) fn has_ready(&self) -> bool {
        self.fd.get().is_some_and(|host| look_at(host.as_fd()).and(Events::IN) == Events::IN)
    }

    /// How many records there are, and have been at once.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        unpoisoned(&self.records).all.len()
    }

    /// The host's epoll; `None` where the host has no descriptor left.
    fn host(&self) -> Option<&Arc<OwnedFd>> {
        if self.fd.get().is_none() {
            let make = || epoll::create(CreateFlags::CLOEXEC);
            let made = HostRuntime::of_process().descriptors.for_guest(1, make, |fd| fd.as_raw_fd()).ok()?;
            // One that another thread made meanwhile is as good.
            _ = self.fd.set(Arc::new(made));
        }
        self.fd.get()
    }

    fn registration(&self) -> Option<&Arc<AsyncFd>> {
        let fd = self.fd.get()?;
        if self.registration.get().is_none() {
            _ = self.registration.set(AsyncFd::new(Arc::clone(fd)).ok()?);
        }
        self.registration.get()
    }
}

impl Records {
    /// The number of the new record, and its event data.
    fn insert(&mut self, watched: KernelWatch) -> Option<(u32, u64)> {
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                let number = u32::try_from(self.all.len()).ok().filter(|number| *number != WAKE_WORD)?;
                self.all.push(Record { generation: 0, watched: None });
                number
            }
        };
        let record = self.all.get_mut(usize::try_from(number).ok()?)?;
        record.generation = record.generation.wrapping_add(1);
        record.watched = Some(watched);
        Some((number, word(record.generation, number)))
    }

    fn get(&self, number: u32) -> Option<&KernelWatch> {
        self.all.get(usize::try_from(number).ok()?)?.watched.as_ref()
    }

    /// Sets the guest's data of a record; returns its event data.
    fn change(&mut self, number: u32, data: Data) -> Option<u64> {
        let record = self.all.get_mut(usize::try_from(number).ok()?)?;
        record.watched.as_mut()?.data = data;
        Some(word(record.generation, number))
    }

    /// The entry that event data maps to now.
    fn of_word(&self, said: u64) -> Option<&KernelWatch> {
        let number = said & u64::from(u32::MAX);
        let record = self.all.get(usize::try_from(number).ok()?)?;
        let is_this = record.generation == u32::try_from(said >> 32).ok()?;
        record.watched.as_ref().filter(|watched| is_this && watched.target.strong_count() > 0)
    }

    fn remove(&mut self, number: u32) {
        let record = usize::try_from(number).ok().and_then(|number| self.all.get_mut(number));
        if record.is_some_and(|record| record.watched.take().is_some()) {
            self.free.push(number);
        }
    }
}

fn word(generation: u32, number: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(number)
}

/// The events, as bits of ours and of the kernel's.
const EVENTS: [(Events, EventFlags); 6] = [
    (Events::IN, EventFlags::IN),
    (Events::OUT, EventFlags::OUT),
    (Events::RDHUP, EventFlags::RDHUP),
    (Events::PRI, EventFlags::PRI),
    (Events::ERR, EventFlags::ERR),
    (Events::HUP, EventFlags::HUP),
];

fn asked(request: Request) -> EventFlags {
    let mut flags = EventFlags::empty();
    for (event, flag) in EVENTS {
        flags.set(flag, !request.events.and(event).is_empty());
    }
    flags.set(EventFlags::ET, request.edge);
    flags.set(EventFlags::ONESHOT, request.one_shot);
    flags
}

fn told(flags: EventFlags) -> Events {
    EVENTS.iter().fold(Events::default(), |all, (event, flag)| all.or(event.when(flags.contains(*flag))))
}
