//! What the threads of one guest share besides its descriptors: their numbers, their
//! futexes, the keys of their thread-locals, and their common end.
//!
//! A set of threads lives as long as one instance of a program. A guest that starts
//! anew gets a new set, so that a thread of the old one which is late to end ends
//! still.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::futex::Futexes;
use super::standstill::{Gate, Standstill};
use super::thread::THREAD;
use super::thread_local::Keys;
use super::unwind::FreeAreas;
use super::{Thread, Woken};
use crate::error::{Errno, Error};
use crate::ready::interruptible;

/// The number of the main thread, which is also the process's.
pub(crate) const MAIN: u32 = 1;

/// "Valid TIDs: 1 to 0x1FFFFFFF" - wasi-threads. C libraries keep flags in the bits
/// above.
const LAST: u32 = 0x1FFF_FFFF;

/// How long threads may take to rest before a copy of their memory is given up. Those that run need
/// microseconds, where they have a processor.
const STANDSTILL_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a new thread begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryPoint {
    /// `wasi_thread_start(tid, argument)`.
    Wasi(u32),
    /// `_start_thread(low, high)`: the halves of this word.
    Wasix1(u64),
}

/// Makes threads: what `host` gives to a guest that may have more than one.
pub trait Starter: Send + Sync {
    /// Starts `thread`.
    ///
    /// # Errors
    ///
    /// `ENOTCAPABLE` where the module lacks the entry; `EAGAIN` if the host cannot start
    /// another thread.
    fn start(self: Arc<Self>, thread: Thread, entry: EntryPoint) -> Result<(), Errno>;
}

/// The threads of a guest.
#[derive(Default)]
pub struct Threads {
    state: Mutex<ThreadsState>,
    /// One has left.
    left: Condvar,
    has_ended: AtomicBool,
    /// How many there are, readable without the lock.
    count: AtomicU32,
    pub(super) futexes: Futexes,
    pub(super) keys: Keys,
    /// Where they rest while one copies the memory.
    pub(crate) gate: Gate,
    /// Where those that have ended put frames aside.
    pub(crate) areas: FreeAreas,
}

#[derive(Default)]
struct ThreadsState {
    starter: Option<Arc<dyn Starter>>,
    alive: BTreeMap<u32, Alive>,
    last: u32,
}

/// A thread that has not ended.
#[derive(Default)]
struct Alive {
    /// Wakes the thread itself, for the common end.
    own: Option<Waker>,
    /// The waiters for its end.
    joining: Vec<Waker>,
}

impl Threads {
    /// The main thread alone, which can start no other.
    pub(crate) fn new() -> Arc<Self> {
        let threads = Self::default();
        {
            let mut state = threads.lock();
            state.alive.insert(MAIN, Alive::default());
            state.last = MAIN;
        }
        threads.count.store(1, SeqCst);
        Arc::new(threads)
    }

    fn lock(&self) -> MutexGuard<'_, ThreadsState> {
        // The state is whole whenever the lock is free.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the guest have threads.
    pub(crate) fn set_starter(&self, starter: Arc<dyn Starter>) {
        self.lock().starter = Some(starter);
    }

    /// May there be others than the main thread, or might there have been?
    pub(crate) fn may_be_many(&self) -> bool {
        self.lock().starter.is_some() || self.has_ended()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        usize::try_from(self.count.load(SeqCst)).unwrap_or(usize::MAX)
    }

    /// Is there more than one?
    pub(crate) fn are_many(&self) -> bool {
        self.count.load(SeqCst) > 1
    }

    /// Has all threads but the calling one rest, so that none writes to the memory; nothing where one of them does not
    /// come to rest, or it is the end of all. `remind` has those look up that run.
    pub(crate) fn stand_still(&self, remind: impl Fn()) -> Option<Standstill<'_>> {
        let are_all = |resting: usize| resting.saturating_add(1) >= self.count();
        self.gate.close(STANDSTILL_TIMEOUT, are_all, remind).filter(|_| !self.has_ended())
    }

    /// A number for a new thread, and what starts it. The number `taken` is the process's, which the main thread
    /// has for the guest.
    ///
    /// # Errors
    ///
    /// `ENOTSUP` where the guest may have one thread only, `EAGAIN` where it has
    /// `maximum` already or all have ended.
    fn join_in(&self, maximum: u32, taken: u32) -> Result<(u32, Arc<dyn Starter>), Errno> {
        let mut state = self.lock();
        // "EAGAIN: The system lacked the necessary resources to create another thread,
        // or the system-imposed limit ... would be exceeded" - pthread_create(3p)
        if self.has_ended() {
            return Err(Errno::EAGAIN);
        }
        let starter = state.starter.clone().ok_or(Errno::ENOTSUP)?;
        if state.alive.len() >= usize::try_from(maximum).unwrap_or(usize::MAX) {
            return Err(Errno::EAGAIN);
        }
        let mut tid = state.last;
        loop {
            tid = if tid >= LAST { MAIN } else { tid + 1 };
            if tid != taken && !state.alive.contains_key(&tid) {
                break;
            }
        }
        state.last = tid;
        state.alive.insert(tid, Alive::default());
        self.count.fetch_add(1, SeqCst);
        Ok((tid, starter))
    }

    /// Records that `tid` has ended; returns how many are left.
    pub(crate) fn leave(&self, tid: u32) -> usize {
        let (left, gone) = {
            let mut state = self.lock();
            let gone = state.alive.remove(&tid);
            (state.alive.len(), gone)
        };
        if let Some(gone) = gone {
            self.count.fetch_sub(1, SeqCst);
            self.left.notify_all();
            gone.joining.into_iter().for_each(Waker::wake);
        }
        left
    }

    /// Waits until none is left, for `limit` at most, on a thread that may stop; tells
    /// whether none is.
    pub(crate) fn wait_until_gone(&self, limit: Duration) -> bool {
        let waited = self.left.wait_timeout_while(self.lock(), limit, |state| !state.alive.is_empty());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.alive.is_empty()
    }

    /// Is it the end of all of them?
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(SeqCst)
    }

    /// Ends all: wakes the waiters in the host. Returns whether they had not ended
    /// before.
    pub(crate) fn end(&self) -> bool {
        let is_first = !self.has_ended.swap(true, SeqCst);
        let wakers: Vec<Waker> = {
            let mut state = self.lock();
            // It refers to this set, and would keep it forever.
            state.starter = None;
            state.alive.values_mut().filter_map(|alive| alive.own.take()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
        is_first
    }

    /// Wakes `waker` at the common end.
    pub(crate) fn wake_at_end(&self, tid: u32, waker: &Waker) {
        {
            let mut state = self.lock();
            if let Some(alive) = state.alive.get_mut(&tid) {
                alive.own = Some(waker.clone());
            }
        }
        // It may have ended between the caller's check and the lock.
        if self.has_ended() {
            waker.wake_by_ref();
        }
    }

    /// Waits until `tid` has ended; a number that no thread has is of one that has.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EINTR` where a signal is handled.
    pub(crate) async fn join(&self, tid: u32) -> Result<(), Errno> {
        let ended = std::future::poll_fn(|context| match self.lock().alive.get_mut(&tid) {
            Some(alive) => {
                if !alive.joining.iter().any(|waker| waker.will_wake(context.waker())) {
                    alive.joining.push(context.waker().clone());
                }
                Poll::Pending
            }
            None => Poll::Ready(()),
        });
        interruptible(ended).await
    }
}

impl Thread {
    /// Its number as the guest knows it: the first thread has that of the process.
    pub(crate) fn id(&self) -> u32 {
        if self.tid == MAIN { self.process().pid() } else { self.tid }
    }

    /// The thread that the guest knows as `id`.
    pub(crate) fn tid_of(&self, id: u32) -> u32 {
        if id == self.process().pid() { MAIN } else { id }
    }

    /// Starts another thread of the guest; returns its number.
    ///
    /// `tell` is called with the number before the thread begins, and may refuse it.
    ///
    /// # Errors
    ///
    /// `ENOTSUP` where the guest may have one thread only, `ENOTCAPABLE` where its
    /// module lacks the entry, `EAGAIN` where there are too many, or the host holds too much
    /// for the guest.
    pub(crate) fn spawn<E: From<Errno>>(
        &self,
        entry: EntryPoint,
        tell: impl FnOnce(u32) -> Result<(), E>,
    ) -> Result<u32, E> {
        // A child that has no memory of its own has no threads of its own.
        if self.is_child() {
            return Err(Errno::EAGAIN.into());
        }
        let held = self.process().host_memory().charge(THREAD).map_err(|_| Errno::EAGAIN)?;
        // Those that earlier instances have left behind count among them.
        let left_behind = u32::try_from(self.process().left_behind()).unwrap_or(u32::MAX);
        let maximum = self.process().service().limits().max_threads.saturating_sub(left_behind);
        let (tid, starter) = self.threads.join_in(maximum, self.process().pid())?;
        let sibling = self.sibling(tid, held);
        let pending_signals = sibling.pending_signals.clone();
        let started = tell(tid).and_then(|()| Ok(starter.start(sibling, entry)?));
        if let Err(error) = started {
            pending_signals.leave();
            self.threads.leave(tid);
            return Err(error);
        }
        Ok(tid)
    }

    /// Has another thread ended? If not, [`Threads::join`] waits for that.
    ///
    /// # Errors
    ///
    /// `EDEADLK` for the thread itself.
    pub(crate) fn has_joined(&self, tid: u32) -> Result<bool, Errno> {
        // "EDEADLK: ... the value specified by the thread argument to pthread_join()
        // refers to the calling thread" - pthread_join(3p)
        if tid == self.tid {
            return Err(Errno::EDEADLK);
        }
        Ok(!self.threads.lock().alive.contains_key(&tid))
    }
}

impl Thread {
    /// Waits at the word of `address`, which `look` reads, while it is `expected`.
    ///
    /// # Errors
    ///
    /// Those of `look`.
    pub(crate) async fn wait_for_word(
        &self,
        address: u32,
        expected: u32,
        limit: Option<Duration>,
        look: impl FnOnce() -> Result<u32, Error>,
    ) -> Result<Woken, Error> {
        self.threads.futexes.wait(address, expected, limit, look).await
    }

    /// Wakes up to `most` waiters of the word at `address`; returns how many.
    pub(crate) fn wake_word(&self, address: u32, most: usize) -> usize {
        self.threads.futexes.wake(address, most)
    }

    /// A new key for thread-locals.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where there are too many; `ENOMEM` where the host holds too much for the guest,
    /// also for a value below.
    pub(crate) fn local_create(&mut self, user_data: u64) -> Result<u32, Errno> {
        let account = self.process().host_memory().clone();
        self.locals.create(&self.threads.keys, &account, user_data)
    }

    /// # Errors
    ///
    /// `EINVAL` for an unknown key, here and below.
    pub(crate) fn local_destroy(&mut self, key: u32) -> Result<(), Errno> {
        self.locals.destroy(&self.threads.keys, key)
    }

    pub(crate) fn local_set(&mut self, key: u32, value: u64) -> Result<(), Errno> {
        let account = self.process().host_memory().clone();
        self.locals.set(&self.threads.keys, &account, key, value)
    }

    pub(crate) fn local_get(&mut self, key: u32) -> Result<u64, Errno> {
        self.locals.get(&self.threads.keys, key)
    }

    /// Takes out what the destructors of the thread's values get: what the key was made
    /// with, and the value.
    pub(crate) fn take_locals(&mut self) -> Vec<(u64, u64)> {
        self.locals.take_set(&self.threads.keys)
    }
}
