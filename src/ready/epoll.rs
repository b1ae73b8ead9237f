//! epoll: one descriptor that watches many others.
//!
//! Most sockets are the [kernel]'s to watch: it has an epoll of its own for them. What
//! follows is about everything else, and about who waits.
//!
//! # Correctness
//!
//! An epoll has *entries*, one for each watched pair of a number and an open thing, and
//! a *list* of those entries that may be ready. An entry has two *bells*, for reading
//! and for writing. Whatever happens to the thing rings a bell; a bell that rings notes
//! the direction in its entry, puts the entry at the end of the list unless it is there,
//! and wakes one of those who wait. So:
//!
//! 1. *What is not listed is armed.* An entry leaves the list only in [`Epoll::take`],
//!    which arms both bells first and looks at the thing then. What happened before the
//!    look is found by it; what happens later rings, and lists the entry again. Every
//!    new or modified entry is listed, since nobody knows what happened before.
//! 2. *Who sleeps has seen an empty list.* A waiter takes his place first, takes from the
//!    list then, and sleeps only if he got nothing. What is listed after that wakes the
//!    one who came last, whose thread is warmest, and takes him out of his place. Whoever
//!    was taken out and leaves, with something or because his time is over or his call
//!    was dropped, wakes the next one if the list is not empty. So as long as something
//!    is listed, nobody sleeps, or one who was woken is on his way. Epolls and polls that
//!    watch this epoll are no waiters: all of them are woken.
//! 3. *Level*: an entry that was told of goes to the end of the list again, and so is
//!    looked at by the next wait, in turn with the others. It leaves the list when a look
//!    finds nothing.
//! 4. *Edge*: an entry is told of only where a bell has rung since the last time, for a
//!    direction that is ready now. To ring without need is allowed: an edge may be told
//!    twice, and is never missed.
//! 5. *One-shot*: whether an entry is on, and with which mask, is asked and answered in
//!    one step under the entry's lock. Two waiters never both tell of it.
//! 6. A modified entry counts from the next take on; one that was removed, or whose
//!    thing is closed, is told of no more. An epoll keeps nothing open.
//! 7. *The kernel's part*: of those who wait, one is the *lookout*, who is woken by it too.
//!    A waiter takes his place before he asks who is, and whoever was and leaves wakes
//!    another one, who becomes it and looks. So as long as somebody waits, there is a
//!    lookout, or one who was woken is on his way. The kernel's part is made under the eyes
//!    of one who sleeps by waking him.
//!
//! Locks: the map of entries, the kernel's records below it, an entry's own, the list's.
//! But for these two none is held while another is taken, while somebody is woken, or while
//! a thing is looked at: a look into a watched epoll takes that one's locks. [`NESTING`]
//! alone comes before all of them.

#[cfg(target_os = "linux")]
mod kernel;
#[cfg(not(target_os = "linux"))]
#[path = "epoll/no_kernel.rs"]
mod kernel;
mod list;
mod nesting;

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::task::coop::consume_budget;

use super::clock::Timer;
use super::interrupt::interruptible;
use super::poll::Alarm;
use super::pollable::{Events, Pollable, look_at};
use super::readiness::give_way;
use crate::error::Errno;
use crate::socket::{Heard, Interest};
use kernel::Kernel;
use list::List;

/// How many entries there are before those of closed things are looked for.
const FIRST_SWEEP: usize = 64;

/// Held while one epoll is made to watch another, so that two threads can't close a
/// loop between them.
static NESTING: Mutex<()> = Mutex::new(());

const READ: u8 = 1;
const WRITE: u8 = 2;

/// What to wait for at an entry, and what to hand back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// These, and those that are always told.
    pub events: Events,
    /// Tell of changes, not of states.
    pub edge: bool,
    /// Tell once, then wait to be modified.
    pub one_shot: bool,
    /// The guest's own words.
    pub data: Data,
}

/// What was found at an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happened {
    /// The number under which it is watched.
    pub fd: u32,
    /// What it is ready for.
    pub events: Events,
    /// The guest's own words.
    pub data: Data,
}

/// The words that a guest attaches to an entry, as WASIX has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// A pointer.
    pub ptr: u32,
    /// 32 bits.
    pub data1: u32,
    /// 64 bits.
    pub data2: u64,
}

/// Watches many things.
pub struct Epoll {
    entries: Mutex<Entries>,
    kernel: Kernel,
    list: Arc<List>,
    /// Which of the two has its turn first, so that neither waits for ever for the other.
    is_kernel_first: AtomicBool,
    /// Epolls that watch this one.
    parents: Mutex<Vec<Weak<Epoll>>>,
    /// Kept between waits: making one costs three system calls.
    timer: Mutex<Option<Timer>>,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<Key, Watch>,
    /// How many of them are not the kernel's.
    own: usize,
    /// At how many entries those of closed things are swept out.
    sweep_at: usize,
}

/// "The key is the combination of the file descriptor number and the open file
/// description" - epoll(7). The address is that of a thing which is watched weakly: no
/// other one gets it as long as the entry lives.
type Key = (u32, usize);

/// Who watches a thing.
enum Watch {
    Entry(Arc<Entry>),
    /// The kernel, by the record of this number.
    Kernel(u32),
}

struct Entry {
    fd: u32,
    target: Weak<dyn Pollable>,
    bells: [Waker; 2],
    /// The directions whose bell has rung since the last take.
    news: AtomicU8,
    /// The directions that have had their last news.
    over: AtomicU8,
    is_listed: AtomicBool,
    state: Mutex<EntryState>,
}

struct EntryState {
    request: Request,
    /// Off after one shot, and for good once removed.
    is_on: bool,
}

/// An entry that is not listed, and whose bells are armed.
struct Armed {
    entry: Arc<Entry>,
    /// The directions with news.
    news: u8,
}

impl Armed {
    /// What there is to tell of an entry that is `ready`, and whether it is to be listed
    /// again.
    fn judge(&self, ready: Events) -> Option<(Happened, bool)> {
        let mut state = unpoisoned(&self.entry.state);
        let Request { events, edge, one_shot, data } = state.request;
        let events = ready.and(events.or(Events::ALWAYS));
        let has_news = |direction| self.news & direction != 0;
        let fresh = Events::OF_READERS.when(has_news(READ)).or(Events::OF_WRITERS.when(has_news(WRITE)));
        if !state.is_on || events.is_empty() || edge && events.and(fresh).is_empty() {
            return None;
        }
        state.is_on = !one_shot;
        Some((Happened { fd: self.entry.fd, events, data }, !edge && !one_shot))
    }
}

/// Looks at all of them. The last reference to a thing may end here, and closing takes
/// locks.
fn look_at_all(armed: Vec<(Armed, Arc<dyn Pollable>)>) -> Vec<(Armed, Events)> {
    let targets: Vec<&dyn Pollable> = armed.iter().map(|(_, target)| target.as_ref()).collect();
    let ready = look_at(&targets);
    armed.into_iter().map(|(armed, _)| armed).zip(ready).collect()
}

struct Bell {
    entry: Weak<Entry>,
    list: Weak<List>,
    direction: u8,
}

impl Epoll {
    /// An epoll that watches nothing.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            entries: Mutex::default(),
            kernel: Kernel::default(),
            list: Arc::default(),
            is_kernel_first: AtomicBool::new(false),
            parents: Mutex::default(),
            timer: Mutex::default(),
        })
    }

    /// Watches `target`, which the guest calls `fd`.
    ///
    /// # Errors
    ///
    /// `EEXIST` where it does already; `ELOOP` where epolls would watch one another, or
    /// too many in a chain.
    pub fn add(self: &Arc<Self>, fd: u32, target: &Arc<dyn Pollable>, request: Request) -> Result<(), Errno> {
        let Some(inner) = target.epoll() else { return self.insert(fd, target, request) };
        let _alone = unpoisoned(&NESTING);
        self.check_nesting(inner)?;
        self.insert(fd, target, request)?;
        let mut parents = unpoisoned(&inner.parents);
        parents.retain(|parent| parent.strong_count() > 0);
        if !parents.iter().any(|parent| std::ptr::eq(parent.as_ptr(), Arc::as_ptr(self))) {
            parents.push(Arc::downgrade(self));
        }
        Ok(())
    }

    fn insert(&self, fd: u32, target: &Arc<dyn Pollable>, request: Request) -> Result<(), Errno> {
        let mut entries = unpoisoned(&self.entries);
        // "EEXIST: op was EPOLL_CTL_ADD, and the supplied file descriptor fd is already
        // registered with this epoll instance." - epoll_ctl(2)
        if entries.by_key.contains_key(&key(fd, target)) {
            return Err(Errno::EEXIST);
        }
        self.sweep(&mut entries);
        let is_first = !self.kernel.is_in_use();
        if let Some(record) = self.kernel.add(fd, target, request) {
            entries.by_key.insert(key(fd, target), Watch::Kernel(record));
            drop(entries);
            if is_first {
                self.list.has_kernel();
            }
            return Ok(());
        }
        let entry = Entry::new(fd, target, request, &self.list);
        entries.by_key.insert(key(fd, target), Watch::Entry(Arc::clone(&entry)));
        entries.own += 1;
        drop(entries);
        self.list.ring(&entry, READ | WRITE);
        Ok(())
    }

    /// Forgets closed things, once there are twice as many as the last time.
    fn sweep(&self, entries: &mut Entries) {
        if entries.by_key.len() < entries.sweep_at {
            return;
        }
        entries.by_key.retain(|_, watch| match watch {
            Watch::Entry(entry) => entry.target.strong_count() > 0,
            Watch::Kernel(record) => self.kernel.keep(*record),
        });
        entries.own = entries.by_key.values().filter(|watch| matches!(watch, Watch::Entry(_))).count();
        self.list.keep(|entry| entry.target.strong_count() > 0);
        entries.sweep_at = (entries.by_key.len() * 2).max(FIRST_SWEEP);
    }

    /// Waits for something else at `fd` from now on; switches it on again.
    ///
    /// # Errors
    ///
    /// `ENOENT` where it is not watched.
    pub fn modify(&self, fd: u32, target: &Arc<dyn Pollable>, request: Request) -> Result<(), Errno> {
        let mut entries = unpoisoned(&self.entries);
        // "ENOENT: op was EPOLL_CTL_MOD or EPOLL_CTL_DEL, and fd is not registered with
        // this epoll instance." - epoll_ctl(2)
        let watch = entries.by_key.get_mut(&key(fd, target)).ok_or(Errno::ENOENT)?;
        let entry = match watch {
            Watch::Kernel(record) => return self.kernel.modify(*record, target.as_ref(), request),
            Watch::Entry(entry) => Arc::clone(entry),
        };
        let is_first = !self.kernel.is_in_use();
        // One that has settled since, such as a connection that is there now.
        if let Some(record) = self.kernel.add(fd, target, request) {
            *watch = Watch::Kernel(record);
            entries.own -= 1;
            drop(entries);
            self.retire(&entry);
            if is_first {
                self.list.has_kernel();
            }
            return Ok(());
        }
        drop(entries);
        *unpoisoned(&entry.state) = EntryState { request, is_on: true };
        self.list.ring(&entry, READ | WRITE);
        Ok(())
    }

    /// Tells of an entry no more.
    fn retire(&self, retired: &Arc<Entry>) {
        unpoisoned(&retired.state).is_on = false;
        if retired.is_listed.load(SeqCst) {
            self.list.keep(|entry| !Arc::ptr_eq(entry, retired));
        }
    }

    /// Watches `fd` no more.
    ///
    /// # Errors
    ///
    /// `ENOENT` where it is not watched.
    pub fn remove(&self, fd: u32, target: &Arc<dyn Pollable>) -> Result<(), Errno> {
        let mut entries = unpoisoned(&self.entries);
        let removed = match entries.by_key.remove(&key(fd, target)).ok_or(Errno::ENOENT)? {
            Watch::Kernel(record) => {
                self.kernel.remove(record, target.as_ref());
                return Ok(());
            }
            Watch::Entry(entry) => entry,
        };
        entries.own -= 1;
        drop(entries);
        self.retire(&removed);
        if let Some(inner) = target.epoll() {
            let is_it = |watch: &Watch| match watch {
                Watch::Entry(entry) => std::ptr::addr_eq(entry.target.as_ptr(), Arc::as_ptr(target)),
                Watch::Kernel(_) => false,
            };
            let still = unpoisoned(&self.entries).by_key.values().any(is_it);
            if !still {
                let me: *const Self = self;
                unpoisoned(&inner.parents).retain(|parent| !std::ptr::eq(parent.as_ptr(), me));
            }
        }
        Ok(())
    }

    /// Waits until something is ready, or `limit` has passed; `None` is for ever, zero
    /// only looks. Tells of `most` things at most. `has_looked` says that
    /// [`take`](Self::take) has just found nothing.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EBADF` where the last descriptor of the epoll is closed meanwhile; the reason
    /// where the wait is [interrupted](interruptible).
    pub async fn wait(
        &self,
        most: usize,
        limit: Option<Duration>,
        has_looked: bool,
    ) -> Result<Vec<Happened>, Errno> {
        // A guest that never has to wait still leaves others their turn: the reactor too.
        consume_budget().await;
        let mut found = Vec::new();
        if !has_looked {
            self.take(most, &mut found);
        }
        if !found.is_empty() {
            return Ok(found);
        }
        if limit == Some(Duration::ZERO) {
            if !self.is_kernels_alone() {
                give_way().await;
                self.list_what_the_kernel_knows();
                self.take(most, &mut found);
            }
            return Ok(found);
        }
        let mut timer = unpoisoned(&self.timer).take();
        let outcome = self.sleep(most, Alarm::set(&mut timer, limit), &mut found).await;
        *unpoisoned(&self.timer) = timer;
        outcome.map(|()| found)
    }

    /// Sleeps until something is found, or the alarm rings.
    async fn sleep(&self, most: usize, alarm: Alarm<'_>, found: &mut Vec<Happened>) -> Result<(), Errno> {
        let mut rings = pin!(alarm.rings());
        let mut news = pin!(self.kernel.news());
        // It leaves last: whoever is woken then finds nobody there.
        let mut lookout = self.list.lookout();
        let mut place = self.list.place();
        let mut was_polled = false;
        let listed = poll_fn(|context| {
            // Its place first, so that what is listed after the take wakes it.
            place.take(context.waker());
            if self.list.is_closed() {
                return Poll::Ready(Err(Errno::EBADF));
            }
            let is_over = rings.as_mut().poll(context).is_ready();
            self.take_listed(most, found);
            if lookout.take() {
                // The one before it may have left something.
                if std::mem::replace(&mut was_polled, true) {
                    self.kernel.take(most, found);
                }
                news.set(self.kernel.news());
            }
            while lookout.is_it() && found.is_empty() && news.as_mut().poll(context).is_ready() {
                self.kernel.take(most, found);
                news.set(self.kernel.news());
            }
            was_polled = true;
            if is_over || !found.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        interruptible(listed).await.flatten()
    }

    /// Ends it: its last descriptor is closed. Who waits in it is woken.
    pub fn close(&self) {
        self.list.close();
    }

    /// Is everything that it watches the kernel's to watch?
    pub fn is_kernels_alone(&self) -> bool {
        self.kernel.is_in_use() && unpoisoned(&self.entries).own == 0
    }

    /// Adds what is ready now to `found`, until that has `most`, without waiting.
    pub fn take(&self, most: usize, found: &mut Vec<Happened>) {
        if self.is_kernel_first.fetch_xor(true, Relaxed) {
            self.kernel.take(most, found);
            self.take_listed(most, found);
        } else {
            self.take_listed(most, found);
            self.kernel.take(most, found);
        }
    }

    fn take_listed(&self, most: usize, found: &mut Vec<Happened>) {
        // Every entry once: those that are listed again belong to the next turn.
        let mut left = self.list.len();
        while left > 0 && found.len() < most {
            let mut armed = Vec::new();
            for _ in 0..left.min(most - found.len()) {
                left -= 1;
                let Some(entry) = self.list.pop() else { break };
                armed.extend(self.armed(entry));
            }
            for (armed, ready) in look_at_all(armed) {
                let Some((happened, again)) = armed.judge(ready) else { continue };
                if again {
                    self.list.ring(&armed.entry, 0);
                }
                found.push(happened);
            }
        }
    }

    /// An entry that was just taken from the list, ready to be looked at; `None` where
    /// there is nothing to look at.
    fn armed(&self, entry: Arc<Entry>) -> Option<(Armed, Arc<dyn Pollable>)> {
        let news = entry.news.swap(0, SeqCst);
        let Some(target) = entry.target.upgrade() else {
            self.forget(&entry);
            return None;
        };
        if !unpoisoned(&entry.state).is_on {
            return None;
        }
        let news = news | self.arm(&entry, target.as_ref());
        Some((Armed { entry, news }, target))
    }

    /// Arms both bells; tells the directions that have news already.
    fn arm(&self, entry: &Arc<Entry>, target: &dyn Pollable) -> u8 {
        let mut news = 0;
        for (bell, direction) in entry.bells.iter().zip([READ, WRITE]) {
            let interest = if direction == READ { Interest::Read } else { Interest::Write };
            match target.poll_news(interest, &mut Context::from_waker(bell)) {
                Poll::Pending => _ = entry.over.fetch_and(!direction, SeqCst),
                // It came just now, and the bell may be unarmed: look again later.
                Poll::Ready(Heard::Some) => self.list.ring(entry, direction),
                Poll::Ready(Heard::Last) => {
                    if entry.over.fetch_or(direction, SeqCst) & direction == 0 {
                        news |= direction;
                    }
                }
            }
        }
        news
    }

    /// Lists what is ready though no bell has rung yet: the reactor may not have had its
    /// turn. Not for edges, which would be told twice.
    fn list_what_the_kernel_knows(&self) {
        for entry in self.entries() {
            let wanted = {
                let state = unpoisoned(&entry.state);
                let wanted = state.request.events.or(Events::ALWAYS);
                wanted.when(state.is_on && !state.request.edge && !entry.is_listed.load(SeqCst))
            };
            if wanted.is_empty() {
                continue;
            }
            if let Some(target) = entry.target.upgrade()
                && !target.look().and(wanted).is_empty()
            {
                self.list.ring(&entry, READ | WRITE);
            }
        }
    }

    /// All that are not the kernel's.
    fn entries(&self) -> Vec<Arc<Entry>> {
        let entries = unpoisoned(&self.entries);
        let all = entries.by_key.values().filter_map(|watch| match watch {
            Watch::Entry(entry) => Some(Arc::clone(entry)),
            Watch::Kernel(_) => None,
        });
        all.collect()
    }

    /// Is there anything that [`Epoll::take`] would tell of? Takes nothing from the list.
    fn has_ready(&self) -> bool {
        if self.kernel.has_ready() {
            return true;
        }
        let listed = self.list.entries();
        listed.iter().any(|entry| {
            let Some(target) = entry.target.upgrade() else { return false };
            let ready = target.look();
            let state = unpoisoned(&entry.state);
            state.is_on && !ready.and(state.request.events.or(Events::ALWAYS)).is_empty()
        })
    }

    /// Has the bells of what is listed rung when something happens: for who watches this
    /// epoll, and sees nothing ready.
    fn arm_listed(&self) {
        let listed = self.list.entries();
        for entry in listed {
            if let Some(target) = entry.target.upgrade() {
                entry.news.fetch_or(self.arm(&entry, target.as_ref()), SeqCst);
            }
        }
    }

    fn forget(&self, entry: &Arc<Entry>) {
        let key = (entry.fd, entry.target.as_ptr().addr());
        let mut entries = unpoisoned(&self.entries);
        let is_it = |watch: &Watch| matches!(watch, Watch::Entry(found) if Arc::ptr_eq(found, entry));
        if entries.by_key.get(&key).is_some_and(is_it) {
            entries.by_key.remove(&key);
            entries.own -= 1;
        }
    }
}

impl std::fmt::Debug for Epoll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entries = unpoisoned(&self.entries).by_key.len();
        f.debug_struct("Epoll").field("entries", &entries).finish_non_exhaustive()
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        // The list's entries would keep their bells, and these are rung in vain.
        self.list.clear();
    }
}

impl Entry {
    fn new(fd: u32, target: &Arc<dyn Pollable>, request: Request, list: &Arc<List>) -> Arc<Self> {
        Arc::new_cyclic(|entry| {
            let bell = |direction| {
                let (entry, list) = (Weak::clone(entry), Arc::downgrade(list));
                Waker::from(Arc::new(Bell { entry, list, direction }))
            };
            Self {
                fd,
                target: Arc::downgrade(target),
                bells: [bell(READ), bell(WRITE)],
                news: AtomicU8::new(0),
                over: AtomicU8::new(0),
                is_listed: AtomicBool::new(false),
                state: Mutex::new(EntryState { request, is_on: true }),
            }
        })
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let (Some(entry), Some(list)) = (self.entry.upgrade(), self.list.upgrade()) {
            list.ring(&entry, self.direction);
        }
    }
}

fn key(fd: u32, target: &Arc<dyn Pollable>) -> Key {
    (fd, Arc::as_ptr(target).addr())
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What each of them guards is whole whenever it is free.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "epoll/tests.rs"]
mod tests;
