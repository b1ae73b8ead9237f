//! Numbers of processes that are about to begin.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use super::{Family, Life, Member};
use crate::error::Errno;
use crate::process::{MAIN, Process, Signal};

/// Numbers end here: C libraries keep flags in the bits above, as for threads.
const LAST: u32 = 0x1FFF_FFFF;

/// For how long no process begins where the host could not run one.
const STARVED: Duration = Duration::from_millis(100);

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
    pub(in crate::process) fn begin(mut self, process: &Arc<Process>) {
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
    /// The first process.
    pub(in crate::process) fn found(self: &Arc<Self>, process: &Arc<Process>) {
        Reservation { family: Arc::clone(self), pid: MAIN, has_begun: false }.begin(process);
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

    /// The process `pid` was never there.
    pub(crate) fn forget(&self, pid: u32) {
        self.lock().members.remove(&pid);
        self.changed.wake_all();
    }
}
