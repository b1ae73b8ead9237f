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

mod ending;
mod recipients;
mod reservation;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Instant;

use super::launch::Launcher;
use super::{MAIN, Process, Signal, unpoisoned};
use crate::account::Account;
use crate::error::Errno;
use crate::io::Watchers;
pub(crate) use recipients::Recipients;
pub(crate) use reservation::Reservation;

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

    /// The limit to how many there are.
    pub(super) fn limit(&self) -> &Arc<Account> {
        &self.limit
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
}

impl Member {
    fn process(&self) -> Option<Arc<Process>> {
        match &self.life {
            Life::Running(process) => process.upgrade(),
            Life::Reserved | Life::Ended(_) => None,
        }
    }
}
