//! One thread of a guest: what the calls of every dialect act on.

mod accept;
mod connect;
mod descriptors;
mod listen;
mod names;

use std::sync::Arc;
use std::time::Duration;

use super::thread_local::ThreadLocals;
use super::threads::{MAIN, Threads};
use super::unwind::{HeldArea, Unwinding};
use super::vfork::Vforked;
use super::{OpenFile, PendingSignals, Personality, PollScratch, Process};
use crate::account::Charge;
use crate::address::Address;
use crate::error::{Errno, Error, Trap};
use crate::io::{AtPanic, Timer};
use crate::ready::{self, Before, Happened, Readiness, Watched};
use crate::socket::Socket;

pub use connect::ConnectAttempt;
pub(super) use descriptors::RECEIVE;
pub use descriptors::SocketRef;
pub(super) use listen::ACCEPT;

/// What the host holds for a thread of a guest: its own stack as far as it is used and the
/// kernel's, the store, a buffer for copies, and what the thread waits with: at a futex, in a
/// poll of few, in an epoll.
pub(super) const THREAD: u64 = 128 * 1024;

/// One thread of a guest.
pub struct Thread {
    pub(super) process: Arc<Process>,
    /// It and its siblings.
    pub(crate) threads: Arc<Threads>,
    /// Its number.
    pub(crate) tid: u32,
    /// Kept between waits: making one costs three system calls.
    timer: Option<Timer>,
    pub(crate) locals: ThreadLocals,
    /// Its signals.
    pub(crate) pending_signals: PendingSignals,
    /// The callback for signals that it has just named, or why there is none.
    pub(crate) named_callback: Option<Result<String, Trap>>,
    /// What calls with several meanings mean to the program.
    pub(crate) personality: Personality,
    /// A buffer for what can't be moved in place, kept between calls.
    pub(crate) scratch: Vec<u8>,
    /// What an epoll found, on its way to the guest. Kept between calls.
    pub(crate) happened: Vec<Happened>,
    /// The buffers of a poll, but while it uses them.
    pub(crate) poll_scratch: Option<Box<PollScratch>>,
    /// The host's calls into it, and where it may jump back to.
    pub(crate) unwinding: Unwinding,
    /// The children that it is before its process goes on, the last one first.
    pub(super) children: Vec<Vforked>,
    /// What the host holds for it; nothing for the first thread.
    _held: Option<Charge>,
}

/// A number that the trace shows to the operator, and the guest does not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceAnnotation {
    /// What it is.
    pub name: &'static str,
    /// The number.
    pub value: u64,
}

impl Thread {
    /// The first thread of `process`.
    pub fn new(process: Arc<Process>) -> Self {
        Self {
            pending_signals: process.signals().pending_signals(MAIN),
            process,
            threads: Threads::new(),
            tid: MAIN,
            timer: None,
            locals: ThreadLocals::default(),
            named_callback: None,
            personality: Personality::PREVIEW1,
            scratch: Vec::new(),
            happened: Vec::new(),
            poll_scratch: None,
            unwinding: Unwinding::default(),
            children: Vec::new(),
            _held: None,
        }
    }

    /// Another thread of the same program.
    pub(super) fn sibling(&self, tid: u32, held: Charge) -> Self {
        Self {
            process: Arc::clone(&self.process),
            threads: Arc::clone(&self.threads),
            tid,
            timer: None,
            locals: ThreadLocals::default(),
            pending_signals: self.process.signals().pending_signals(tid),
            named_callback: None,
            scratch: Vec::new(),
            happened: Vec::new(),
            poll_scratch: None,
            unwinding: Unwinding::default(),
            children: Vec::new(),
            _held: Some(held),
            ..*self
        }
    }

    /// This thread as the first one of `child`, a copy of its process, which goes on where it is.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where the host holds too much for the guest.
    pub(crate) fn forked(&self, child: Arc<Process>) -> Result<Self, Errno> {
        let account = Arc::clone(child.host_memory());
        let mut copy = Self::new(child);
        copy.threads.keys.copy(&self.threads.keys, &account)?;
        copy.locals = self.locals.copied(&account)?;
        copy.unwinding = self.unwinding.forked(self.tid, &account)?;
        copy.unwinding.area =
            self.unwinding.area.as_ref().map(|held| HeldArea::new(held.area, &copy.threads.areas));
        copy.personality = self.personality;
        Ok(copy)
    }

    /// Takes over the personality of the program.
    pub(crate) fn adopt(&mut self, personality: Personality) {
        self.personality = personality;
        if personality.is_first_generation {
            self.process.fds().give_in_turn();
        }
        self.process.signals().set_numbering(personality.numbering);
        if personality.has_devices {
            self.process.give_devices();
        }
    }

    /// What this thread shares with the others.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// How many messages were kept from the guest before the one that it received from `open`:
    /// for the trace.
    pub(crate) fn dropped(&self, open: &OpenFile) -> Option<TraceAnnotation> {
        let Ok(Socket::Datagram(datagram)) = open.open.socket().map(Arc::as_ref) else { return None };
        let count = datagram.take_dropped();
        (count > 0).then_some(TraceAnnotation { name: "dropped", value: count })
    }

    /// Runs something that looks up a name in the file system, if `address` is one,
    /// and so may block its thread.
    ///
    /// # Errors
    ///
    /// Those of [`on_disk`](Self::on_disk).
    pub(super) async fn at_name<T: Send + 'static>(
        &self,
        address: &Address,
        operation: impl FnOnce() -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Error> {
        match address {
            Address::Inet(_) => Ok(operation()?),
            Address::Unix(_) => self.on_disk(operation).await,
        }
    }

    /// Waits for one of `watched`, or until `limit` has passed. `has_polled` says that a
    /// [`PollSet`](ready::PollSet) has just found nothing.
    ///
    /// # Errors
    ///
    /// Those of [`ready::poll`].
    pub(crate) async fn poll(
        &mut self,
        watched: &[Watched<'_>],
        limit: Option<Duration>,
        has_polled: bool,
    ) -> Result<Vec<Option<Readiness>>, Errno> {
        let before = Before { has_looked: has_polled, are_shared: self.shares_files() };
        ready::poll(watched, limit, &mut self.timer, before).await
    }

    /// May others wait for what this thread waits for: threads of the guest, or another instance to
    /// which it has passed descriptors?
    pub(crate) fn shares_files(&self) -> bool {
        self.threads.are_many() || self.process.shares_files()
    }

    /// May a file operation stop this thread?
    pub(crate) fn blocks_on_files(&self) -> bool {
        self.process.settings().blocks_on_files
    }

    /// Runs a file operation where it may stop its thread.
    ///
    /// # Cancel safety
    ///
    /// That of [`BlockingPool::run`](crate::io::BlockingPool::run): an operation that has
    /// begun goes on.
    ///
    /// # Errors
    ///
    /// Those of `operation`; `EAGAIN` where the host can't start a thread for it.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        operation: impl FnOnce() -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Error> {
        if self.blocks_on_files() {
            return Ok(operation()?);
        }
        let signals = Arc::clone(self.process.signals());
        let guarded = move || {
            let _guard = AtPanic::new(|| signals.host_failed("worked on a file"));
            operation()
        };
        Ok(self.process.blocking().run(guarded).await?)
    }
}
