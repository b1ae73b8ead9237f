//! How processes end: who is told, who waits, and the end of all.

use std::future::poll_fn;
use std::task::Poll;

use super::{ExitStatus, Family, Life, Member};
use crate::error::{Errno, Terminated};
use crate::process::{MAIN, Numbering, Signal};
use crate::ready::interruptible;

impl Family {
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
