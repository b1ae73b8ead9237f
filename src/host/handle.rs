//! What an operator may do while the guest runs.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::WasockCtx;
use crate::error::Terminated;
use crate::observe::Metrics;
use crate::observe::status::InstanceStatus;
use crate::process::{Process, Signal};
use crate::service::{GuestListener, Report};

/// A handle on a guest that may be running. Cheap to clone; it does not keep the
/// guest's sockets open.
///
/// ```
/// use wasock::{Signal, WasockCtx};
///
/// let ctx = WasockCtx::builder().build_for_any_module()?;
/// let handle = ctx.handle();
/// // While it runs, from any thread:
/// handle.set_max_backlog(64);
/// handle.signal(Signal::Term);
/// handle.terminate();
/// # Ok::<(), wasock::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    process: Weak<Process>,
    report: Arc<Report>,
}

impl WasockCtx {
    /// A handle for the operator, good while the guest runs.
    pub fn handle(&self) -> Handle {
        Handle::new(self.thread.process())
    }
}

impl Handle {
    fn new(process: &Arc<Process>) -> Self {
        Self { process: Arc::downgrade(process), report: Arc::clone(process.report()) }
    }

    /// Changes the maximum for backlogs, for listeners that are and that will be.
    ///
    /// A listener's own backlog is as the guest passed it last: a higher maximum restores
    /// what a lower one took. The observer is called for each listener that changed
    /// ([`Event::BacklogChanged`](crate::Event::BacklogChanged)); the guest does not.
    pub fn set_max_backlog(&self, connections: u32) {
        if let Some(process) = self.process.upgrade() {
            process.set_max_backlog(connections);
        }
    }

    /// Sends a signal to the guest: to its first process, or where that has ended to all others.
    ///
    /// A guest that handles signals (`callback_signal`) handles it in one of its threads: a call
    /// that waits ends with `EINTR`, once the handler has run. In [`Guest::run`](super::Guest::run)
    /// a thread that computes is interrupted too, if the program exports `__stack_pointer` and the
    /// engine's epoch is managed by wasock or [has ticks](super::Epochs); in another one, and in a
    /// store of your own, it is handled at the next call that may wait. A thread in
    /// `memory.atomic.wait` handles it when that returns. The same signal sent twice before it is
    /// handled is one.
    ///
    /// A handler that traps at a signal which would have ended the guest has ended it so: with
    /// 128 + n ([`Event::HandlerTrapped`](crate::Event::HandlerTrapped)). This is how WASIX's C
    /// library does default actions.
    ///
    /// Without a handler a signal does what POSIX says: most end the guest, with the exit
    /// code 128 + n, and the others do nothing; so does one that is
    /// [ignored](super::WasockCtxBuilder::ignore_signal). [`Signal::Kill`] ends it always.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = self.process.upgrade() {
            if process.family().is_over() {
                // The first process has ended; the others have nobody else who hears of it.
                process.family().processes().iter().for_each(|child| child.signals().order(signal));
            } else {
                process.signals().order(signal);
            }
        }
    }

    /// The numbers of the guest's processes: those that run, and those that have ended and for which nobody has waited.
    /// The first one is 1.
    pub fn processes(&self) -> Vec<u32> {
        self.process.upgrade().map_or_else(Vec::new, |process| process.family().numbers())
    }

    /// Sends a signal to the process `pid` of the guest, as [`signal`](Self::signal) does to its first one. Returns whether
    /// there is such a process; one that has ended takes no notice.
    pub fn signal_process(&self, pid: u32, signal: Signal) -> bool {
        self.process.upgrade().is_some_and(|process| process.family().order(pid, signal))
    }

    /// Ends the guest, whatever it is doing: [`Guest::run`](super::Guest::run) fails
    /// with [`Terminated::Order`].
    ///
    /// A call that waits is abandoned. Code that runs ends at its next loop or call, in an
    /// engine whose epoch wasock [manages](super::Epochs::Managed) or that has
    /// [ticks](super::Epochs::Ticks); elsewhere at its next call of the host. So it does in a
    /// store of your own. A bulk instruction of a guest (`memory.fill` of gigabytes) is
    /// not interrupted, and neither is a system call that works on files.
    pub fn terminate(&self) {
        if let Some(process) = self.process.upgrade() {
            process.family().terminate(Terminated::Order);
        }
    }

    /// What was counted at the listeners of the guest's service so far, by whichever instance;
    /// after the guest's end, too.
    pub fn metrics(&self) -> Metrics {
        self.report.metrics()
    }

    /// Retires the guest: its held listeners are never readable any more, an accept that blocks
    /// waits, and another one finds nothing. It goes on with the connections that it has. A
    /// listener that is [not held](super::WasockCtxBuilder::keep_listeners) stays as it is.
    pub fn retire(&self) {
        if let Some(process) = self.process.upgrade() {
            process.instance().retire();
        }
    }

    /// Takes a [retirement](Self::retire) back.
    pub fn unretire(&self) {
        if let Some(process) = self.process.upgrade() {
            process.instance().unretire();
        }
    }

    /// Is it retired?
    pub fn is_retired(&self) -> bool {
        self.process.upgrade().is_some_and(|process| process.instance().is_retired())
    }

    /// The guest is ready: what it has set on the held sockets that it adopted takes effect, and
    /// what it sets from now on. One that began while no other instance lived is so from its
    /// start.
    pub fn ready(&self) {
        if let Some(process) = self.process.upgrade() {
            process.make_ready();
        }
    }

    /// How many connections the guest has accepted and not closed.
    pub fn open_connections(&self) -> usize {
        self.process.upgrade().map_or(0, |process| process.open_connections())
    }

    /// Has listeners take the service's maximum for backlogs into account.
    pub(super) fn apply_max_backlog(&self) {
        if let Some(process) = self.process.upgrade() {
            process.set_max_backlog(process.service().max_backlog());
        }
    }

    /// Does it listen, or receive, at a held socket?
    pub(super) fn takes_any(&self) -> bool {
        self.process.upgrade().is_some_and(|process| process.instance().takes_any())
    }

    /// What the instance has, `age` after its start, and where it listens.
    pub(super) fn look(&self, age: Duration) -> Option<(InstanceStatus, Vec<GuestListener>)> {
        let process = self.process.upgrade().filter(|process| !process.has_ended())?;
        Some((process.status(age), process.listeners()))
    }

    /// What the instance has, which began some time ago.
    pub(super) fn uses(&self) -> Option<InstanceStatus> {
        let process = self.process.upgrade().filter(|process| !process.has_ended())?;
        Some(process.status(Duration::ZERO))
    }

    /// Closes what the guest has, which goes on being stuck in a call of the system's.
    pub(super) fn abandon(&self) {
        if let Some(process) = self.process.upgrade() {
            process.family().close(true);
            process.close_all();
            process.end();
        }
    }

    /// Has it, retired, closed something since it last waited?
    pub(super) fn has_just_closed(&self) -> bool {
        self.process.upgrade().is_some_and(|process| process.instance().has_just_closed())
    }

    pub(super) fn has_datagrams(&self) -> bool {
        self.process.upgrade().is_some_and(|process| process.has_datagrams())
    }

    /// Has its connections reset when they are closed; tells how many there are.
    pub(super) fn reset_connections(&self) -> usize {
        self.process.upgrade().map_or(0, |process| process.reset_connections())
    }

    /// How many threads of the guest are left behind: they wait in `memory.atomic.wait`, at
    /// an address that was not found in time, when their instance ended. Each has a thread
    /// of the host's, the guest's memory, and no descriptor; should it ever be woken, it ends.
    /// While [`Guest::run`](super::Guest::run) goes on after a restart they count among
    /// its threads.
    pub fn threads_left_behind(&self) -> usize {
        self.process.upgrade().map_or(0, |process| process.left_behind())
    }

    /// Does the guest handle signals?
    pub fn handles_signals(&self) -> bool {
        self.process.upgrade().is_some_and(|process| process.signals().has_callback())
    }

    /// Has the guest ended, and closed what it had?
    pub fn is_ended(&self) -> bool {
        self.process.upgrade().is_none_or(|process| process.has_ended())
    }

    /// Waits until the observer has received every event so far, for `limit` at most;
    /// returns whether it has.
    ///
    /// # Blocking
    ///
    /// Stops its thread, which must not be one that runs async tasks.
    pub fn flush_events(&self, limit: Duration) -> bool {
        self.report.flush(limit)
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("is_ended", &self.is_ended()).finish_non_exhaustive()
    }
}
