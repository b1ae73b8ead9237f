//! The processes of a guest besides its first: how each of them runs, and how all of them end.
//!
//! A child has a store, an instance and a memory of its own, on threads of its own. A task of the host's sees to it from
//! its start to its end, and only that task says to the [family](crate::process::Family) that it has ended: when its
//! descriptors are closed and its memory is given back.
//!
//! The end of the first process is the end of the guest. What it leaves is killed, or waited for, as the operator chose.

mod program;

use std::sync::Arc;

use super::limits::contained;
use super::outcome::{Outcome, describe_trap, is_mistake, is_of_code, status_of};
use crate::error::Errno;
use crate::io::{own_reactor, spawn_guarded};
use crate::observe::{Escaped, Event};
use crate::process::{ExitStatus, Process, Signal};

pub(super) use program::{LinkedProgram, Programs, replacement};

/// Sees to `process`, a child, from its start to its end, which is that of `life`. Calls `begins` when nothing can hinder
/// it any more.
///
/// # Errors
///
/// `EAGAIN` where the host can't start the thread that does so. Then the process was never there.
pub(super) fn begin(
    process: &Arc<Process>,
    begins: &dyn Fn(),
    life: impl Future<Output = wasmtime::Result<Outcome>> + Send + 'static,
) -> Result<(), Errno> {
    let reactor = own_reactor().inspect_err(|_| process.family().forget(process.pid()))?;
    begins();
    let status = ExitStatus::Signalled(Signal::Kill);
    let end = EndOfChild { process: Arc::clone(process), status, trap: None };
    let task = async move {
        let mut end = end;
        let outcome = contained(&end.process, life).await;
        end.status = status_of(&outcome);
        match &outcome {
            Ok(Outcome::Trapped(trap)) => end.trap = Some(describe_trap(trap)),
            Err(trap) if is_mistake(trap) && is_of_code(trap) => end.trap = Some(describe_trap(trap)),
            Err(error) if is_mistake(error) => {
                end.status = ExitStatus::Signalled(Signal::Kill);
                end.process.family().note_starved();
                let (pid, reason) = (end.process.pid(), Escaped(format_args!("{error:#}")).to_string());
                end.process.report().tell(Event::NotRun { pid, reason });
            }
            _ => {}
        }
    };
    drop(spawn_guarded(&reactor, task, || {}));
    Ok(())
}

/// The end of a child, also where its task is dropped.
struct EndOfChild {
    process: Arc<Process>,
    status: ExitStatus,
    trap: Option<String>,
}

impl Drop for EndOfChild {
    fn drop(&mut self) {
        let process = &self.process;
        process.signals().forget_alarms();
        process.close_all();
        process.end();
        process.tell_ended(self.status, self.trap.take());
    }
}

/// The first process has ended: sees to the end of the others.
///
/// # Cancel safety
///
/// Dropping the future leaves the others as they are.
pub(super) async fn end_of_first(first: &Arc<Process>) {
    let family = first.family();
    if !family.is_many() {
        return;
    }
    let keeps = first.service().keeps_orphans() && first.signals().ended_by().is_none();
    family.close(!keeps);
    if keeps {
        // What the first one had is nobody's now.
        first.close_all();
        tokio::select! {
            () = family.children_gone() => return,
            // A limit, or an order.
            _ = first.signals().ended() => family.close(true),
        }
    }
    family.children_gone().await;
}
