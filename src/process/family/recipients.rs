//! To whom a signal goes that one process sends.

use std::sync::Arc;

use super::{Family, FamilyState};
use crate::error::Errno;
use crate::observe::Event;
use crate::process::{MAIN, Process, Signal};

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recipients {
    /// One process.
    One(u32),
    /// One, and those that descend from it: what a shell means by a group.
    Group(u32),
    /// All but the first; a process that is alone means itself.
    All,
}

impl Recipients {
    /// As `kill` has it.
    pub(crate) fn of(pid: u32) -> Self {
        match pid.cast_signed() {
            // "If pid is 0, sig shall be sent to all processes ... whose process group ID is equal to the process
            // group ID of the sender ... If pid is -1, sig shall be sent to all processes" - kill(3p)
            0 | -1 => Self::All,
            group if group < 0 => Self::Group(group.unsigned_abs()),
            _ => Self::One(pid),
        }
    }
}

impl Family {
    /// Sends `signal` from the process `from`; nothing is sent where there is none, which asks whether one could be.
    ///
    /// # Errors
    ///
    /// `ESRCH` where there is no such process.
    pub(crate) fn signal(
        &self,
        from: u32,
        recipients: Recipients,
        signal: Option<Signal>,
    ) -> Result<(), Errno> {
        let processes: Vec<Arc<Process>> = {
            let state = self.lock();
            let numbers = state.recipients(from, recipients);
            // "ESRCH: No process or process group can be found corresponding to that specified by pid." - kill(3p)
            if numbers.is_empty() {
                return Err(Errno::ESRCH);
            }
            numbers.into_iter().filter_map(|pid| state.members.get(&pid)?.process()).collect()
        };
        if let Some(signal) = signal {
            for process in processes {
                if process.pid() != from {
                    let (pid, signal) = (process.pid(), signal.name());
                    process.report().tell(Event::Signalled { pid, by: from, signal });
                }
                process.signals().to_process(signal);
            }
        }
        Ok(())
    }
}

impl FamilyState {
    /// The numbers of those to whom a signal of the process `from` goes.
    fn recipients(&self, from: u32, recipients: Recipients) -> Vec<u32> {
        match recipients {
            Recipients::One(pid) => self.members.contains_key(&pid).then_some(pid).into_iter().collect(),
            Recipients::Group(top) => {
                self.members.keys().copied().filter(|pid| self.descends(*pid, top)).collect()
            }
            Recipients::All if self.members.len() <= 1 => vec![from],
            Recipients::All => self.members.keys().copied().filter(|pid| *pid != MAIN).collect(),
        }
    }

    /// Is the process `pid` this one, or a descendant of it?
    fn descends(&self, pid: u32, top: u32) -> bool {
        let mut pid = pid;
        // Parents have begun before their children, so there is no circle; numbers that come again could make one.
        for _ in 0..=self.members.len() {
            if pid == top {
                return self.members.contains_key(&top);
            }
            match self.members.get(&pid) {
                Some(member) => pid = member.parent,
                None => return false,
            }
        }
        false
    }
}
