//! The processes of one guest: what `fork`, `spawn` and `wait` are about.
//!
//! A guest begins as one process, which has the number 1. Each one that it starts has a number, a parent, a
//! descriptor table, a working directory and signals of its own. Policy, limits, observer and what is counted are
//! one for all of them, and so is the [`Instance`](crate::service::Instance): to its service a family is one program.
//!
//! # A life
//!
//! A process is *reserved* when its number is given, *runs* from when it has a [`Process`], and has *ended* when its
//! status is known. Of one that has ended two numbers are kept, its own and its status, until its parent asks for them.
//! What the host itself needs is closed before: whoever waits for a child and returns finds its descriptors closed.
//!
//! The children of a process that ends go to the first one. That did not start them and need not know of them, so
//! nobody has to wait for them: nothing of them is kept when they end.
//!
//! Locks: the family's is held for a look-up only. What is told to others, by signals and wakers, is told without it.

mod recipients;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::launch::Launcher;
use super::{MAIN, Numbering, Process, Signal, unpoisoned};
use crate::account::Account;
use crate::error::{Errno, Terminated};
use crate::io::Watchers;
use crate::ready::interruptible;
pub(crate) use recipients::Recipients;

/// Numbers end here: C libraries keep flags in the bits above, as for threads.
const LAST: u32 = 0x1FFF_FFFF;

/// For how long no process begins where the host could not run one.
const STARVED: Duration = Duration::from_millis(100);

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// By itself, with this code.
    Exited(u32),
    /// By this signal; a trap is `SIGABRT`.
    Signalled(Signal),
}

/// All processes of a guest.
pub(crate) struct Family {
    state: Mutex<FamilyState>,
    /// Something has changed.
    changed: Watchers,
    /// How many there may be at once.
    most: u32,
    /// Notes that a call found as many.
    limit: Arc<Account>,
    /// Were there ever more than one? Readable without the lock.
    is_many: AtomicBool,
    launcher: OnceLock<Arc<dyn Launcher>>,
    /// Was it said why no copy can be made?
    has_told: AtomicBool,
}

struct FamilyState {
    members: BTreeMap<u32, Member>,
    /// The number that was given last.
    last: u32,
    /// No other process begins.
    is_over: bool,
    /// When the host could not run one, for lack of memory mostly.
    starved: Option<Instant>,
}

struct Member {
    parent: u32,
    /// Its parent has ended: nobody waits for it.
    is_orphan: bool,
    life: Life,
}

enum Life {
    Reserved,
    Running(Weak<Process>),
    Ended(ExitStatus),
}

/// The number of a process that is about to begin. Given back where it does not.
pub(crate) struct Reservation {
    family: Arc<Family>,
    pid: u32,
    has_begun: bool,
}

impl Reservation {
    /// The number.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// `process` has that number from now on.
    pub(super) fn begin(mut self, process: &Arc<Process>) {
        self.has_begun = true;
        let is_over = {
            let mut state = self.family.lock();
            if let Some(member) = state.members.get_mut(&self.pid) {
                member.life = Life::Running(Arc::downgrade(process));
            }
            state.is_over
        };
        if is_over {
            // It was not there when the others were told.
            process.signals().to_process(Signal::Kill);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.has_begun {
            self.family.forget(self.pid);
        }
    }
}

impl Family {
    /// A first process alone, which is not known yet. `most` processes may there be, and `limit` denies one more.
    pub(super) fn new(most: u32, limit: Arc<Account>) -> Arc<Self> {
        let first = Member { parent: 0, is_orphan: false, life: Life::Reserved };
        Arc::new(Self {
            state: Mutex::new(FamilyState {
                members: BTreeMap::from([(MAIN, first)]),
                last: MAIN,
                is_over: false,
                starved: None,
            }),
            changed: Watchers::default(),
            most,
            limit,
            is_many: AtomicBool::new(false),
            launcher: OnceLock::new(),
            has_told: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, FamilyState> {
        unpoisoned(&self.state)
    }

    /// The first process.
    pub(super) fn found(self: &Arc<Self>, process: &Arc<Process>) {
        Reservation { family: Arc::clone(self), pid: MAIN, has_begun: false }.begin(process);
    }

    /// Lets the guest start programs.
    pub(crate) fn set_launcher(&self, launcher: Arc<dyn Launcher>) {
        _ = self.launcher.set(launcher);
    }

    /// What starts programs.
    ///
    /// # Errors
    ///
    /// `ENOTSUP` where the guest has one process only: in an embedder's own store.
    pub(crate) fn launcher(&self) -> Result<Arc<dyn Launcher>, Errno> {
        self.launcher.get().cloned().ok_or(Errno::ENOTSUP)
    }

    /// Is it the first time that no copy can be made of a process?
    pub(crate) fn is_first_refusal(&self) -> bool {
        !self.has_told.swap(true, Relaxed)
    }

    /// Are there other processes than the first, or were there?
    pub(crate) fn is_many(&self) -> bool {
        self.is_many.load(Relaxed)
    }

    /// A number for a child of `parent`.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where there are as many processes as there may be, those included that have ended and
    /// for which nobody has waited; and where the guest ends. `ENOMEM` where the host could not run one a moment ago.
    pub(crate) fn reserve(self: &Arc<Self>, parent: u32) -> Result<Reservation, Errno> {
        let mut state = self.lock();
        let count = u32::try_from(state.members.len()).unwrap_or(u32::MAX);
        // "EAGAIN: ... the system-imposed limit on the total number of processes under execution ... would be
        // exceeded." - fork(3p)
        if state.is_over {
            return Err(Errno::EAGAIN);
        }
        // "ENOMEM: Insufficient storage space is available." - fork(3p)
        if state.starved.is_some_and(|since| since.elapsed() < STARVED) {
            return Err(Errno::ENOMEM);
        }
        if count >= self.most {
            drop(state);
            self.limit.deny();
            return Err(Errno::EAGAIN);
        }
        let mut pid = state.last;
        loop {
            pid = if pid >= LAST { MAIN } else { pid + 1 };
            if !state.members.contains_key(&pid) {
                break;
            }
        }
        state.last = pid;
        state.members.insert(pid, Member { parent, is_orphan: false, life: Life::Reserved });
        drop(state);
        self.is_many.store(true, SeqCst);
        Ok(Reservation { family: Arc::clone(self), pid, has_begun: false })
    }

    /// The host could not run one of them: no other begins for a moment.
    pub(crate) fn note_starved(&self) {
        self.lock().starved = Some(Instant::now());
    }

    /// The limit to how many there are.
    pub(super) fn limit(&self) -> &Arc<Account> {
        &self.limit
    }

    /// The process `pid` was never there.
    pub(crate) fn forget(&self, pid: u32) {
        self.lock().members.remove(&pid);
        self.changed.wake_all();
    }

    /// The process `pid` has ended, and closed what it had. Called once for each.
    pub(crate) fn ended(&self, pid: u32, status: ExitStatus) {
        let parent = {
            let mut state = self.lock();
            for child in state.members.values_mut().filter(|child| child.parent == pid) {
                (child.parent, child.is_orphan) = (MAIN, true);
            }
            state.members.retain(|_, member| !(member.is_orphan && matches!(member.life, Life::Ended(_))));
            match state.members.get_mut(&pid) {
                Some(member) if !member.is_orphan => {
                    member.life = Life::Ended(status);
                    let parent = member.parent;
                    let parent = state.members.get(&parent).and_then(Member::process);
                    if parent.as_ref().is_some_and(|parent| parent.signals().ignores(Signal::Chld)) {
                        // "the child processes of the calling processes shall not be transformed into zombie
                        // processes when they terminate" - sigaction(3p), of an ignored SIGCHLD
                        state.members.remove(&pid);
                    }
                    parent
                }
                _ => {
                    state.members.remove(&pid);
                    None
                }
            }
        };
        self.changed.wake_all();
        if let Some(parent) = parent {
            // A program of the first generation could not ask for one child without waiting, and would hang in its
            // handler.
            if parent.signals().numbering() == Numbering::Linux {
                parent.signals().to_process(Signal::Chld);
            }
        }
    }

    /// Takes the status of a child of `parent` that has ended: of `which`, or of any. `None` where none
    /// has ended yet.
    ///
    /// # Errors
    ///
    /// `ECHILD` where there is no such child.
    pub(crate) fn take_ended(
        &self,
        parent: u32,
        which: Option<u32>,
    ) -> Result<Option<(u32, ExitStatus)>, Errno> {
        let mut state = self.lock();
        let is_meant = |(pid, member): &(&u32, &Member)| {
            member.parent == parent && !member.is_orphan && which.is_none_or(|which| which == **pid)
        };
        let mut has_child = false;
        let mut found = None;
        for (pid, member) in state.members.iter().filter(is_meant) {
            has_child = true;
            if let Life::Ended(status) = member.life {
                found = Some((*pid, status));
                break;
            }
        }
        // "ECHILD: The calling process has no existing unwaited-for child processes." - waitpid(3p)
        if !has_child {
            return Err(Errno::ECHILD);
        }
        if let Some((pid, _)) = found {
            state.members.remove(&pid);
        }
        Ok(found)
    }

    /// Waits until a child of `parent` has ended, `which` or any, and takes its status.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`take_ended`](Self::take_ended); `EINTR` where a signal is handled.
    pub(crate) async fn wait(&self, parent: u32, which: Option<u32>) -> Result<(u32, ExitStatus), Errno> {
        let ended = poll_fn(|context| {
            self.changed.add(context.waker());
            match self.take_ended(parent, which) {
                Ok(None) => Poll::Pending,
                Ok(Some(ended)) => Poll::Ready(Ok(ended)),
                Err(errno) => Poll::Ready(Err(errno)),
            }
        });
        interruptible(ended).await?
    }

    /// The parent of the process `pid`.
    ///
    /// # Errors
    ///
    /// `ESRCH` where there is no such process.
    pub(crate) fn parent_of(&self, pid: u32) -> Result<u32, Errno> {
        self.lock().members.get(&pid).map(|member| member.parent).ok_or(Errno::ESRCH)
    }

    /// The numbers of all.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.lock().members.keys().copied().collect()
    }

    /// Sends `signal` to the process `pid`, for the operator; returns whether there is one.
    pub(crate) fn order(&self, pid: u32, signal: Signal) -> bool {
        let (is_known, process) = {
            let state = self.lock();
            let member = state.members.get(&pid);
            (member.is_some(), member.and_then(Member::process))
        };
        if let Some(process) = process {
            process.signals().order(signal);
        }
        is_known
    }

    /// The processes that run.
    pub(crate) fn processes(&self) -> Vec<Arc<Process>> {
        self.lock().members.values().filter_map(Member::process).collect()
    }

    /// How many processes there are, those included for which nobody has waited.
    pub(crate) fn count(&self) -> usize {
        self.lock().members.len()
    }

    /// Has the first process ended, or will it in a moment?
    pub(crate) fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// Ends all processes for the host.
    pub(crate) fn terminate(&self, why: Terminated) {
        for process in self.processes() {
            process.signals().terminate(why);
        }
    }

    /// The first process has ended: no other begins, and where `kills` those that there are end.
    pub(crate) fn close(&self, kills: bool) {
        self.lock().is_over = true;
        for process in self.processes().iter().filter(|process| kills && process.pid() != MAIN) {
            process.signals().to_process(Signal::Kill);
        }
    }

    /// Ends every process but the first, which goes on.
    pub(crate) fn end_children(&self) {
        for process in self.processes().iter().filter(|process| process.pid() != MAIN) {
            process.signals().to_process(Signal::Kill);
        }
    }

    /// Waits until no process but the first runs.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn children_gone(&self) {
        poll_fn(|context| {
            self.changed.add(context.waker());
            let state = self.lock();
            // One that is about to begin ends when it does, and nobody waits for its program to be compiled.
            let runs =
                |(pid, member): (&u32, &Member)| *pid != MAIN && matches!(member.life, Life::Running(_));
            if state.members.iter().any(runs) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

impl Member {
    fn process(&self) -> Option<Arc<Process>> {
        match &self.life {
            Life::Running(process) => process.upgrade(),
            Life::Reserved | Life::Ended(_) => None,
        }
    }
}
