//! Modules that begin processes: each connection has a family of its own, of which its instance is the first process.
//!
//! That one runs where every instance does; each of its children, and a program that takes its place, has a thread. What they
//! start is compiled and linked once for all connections of the generation.

use std::sync::Arc;

use wasmtime::Linker;

use super::super::copyable::{forks, is_of_processes};
use super::super::family::{LinkedProgram, Programs, end_of_first};
use super::super::outcome::Outcome;
use super::super::template::Template;
use super::super::unwinder::Forks;
use super::super::{Guest, WasockCtx};
use crate::process::{Launcher, Process};

/// What the families of a generation share.
pub(super) struct Families {
    programs: Arc<Programs>,
    /// The module, as copies of its processes run it.
    copied: Option<Arc<LinkedProgram>>,
}

impl Families {
    /// Those of the module `guest`, if it begins processes.
    ///
    /// # Errors
    ///
    /// Where it can't be linked.
    pub(super) fn of(guest: &Guest, template: &Template) -> wasmtime::Result<Option<Self>> {
        if !guest.module().imports().any(|import| is_of_processes(import.name())) {
            return Ok(None);
        }
        let linker = Linker::new(guest.module().engine());
        let copied = match forks(guest.module()) {
            true => {
                let own = guest.clone().own_thread(true);
                // What is missing was told when it was linked for the instances.
                let linked = own.resolve(&linker)?.0;
                Some(Arc::new(LinkedProgram::new(own, linked)))
            }
            false => None,
        };
        let programs = Arc::new(Programs::new(guest, &linker, template.clone()));
        Ok(Some(Self { programs, copied }))
    }

    /// Lets the guest of `ctx` begin processes.
    pub(super) fn begin(&self, ctx: &mut WasockCtx) {
        let launcher = Arc::<Programs>::clone(&self.programs);
        ctx.thread.process().family().set_launcher(launcher as Arc<dyn Launcher>);
        ctx.program = self.copied.clone().map(|program| program as Arc<dyn Forks<WasockCtx>>);
    }

    /// Sees a family to its end whose first program came to `outcome` in `process`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends what takes the place of that program, and leaves the other processes as they are.
    ///
    /// # Errors
    ///
    /// That of `outcome`; those of a program that takes its place.
    pub(super) async fn end(
        &self,
        process: &Arc<Process>,
        outcome: wasmtime::Result<Outcome>,
    ) -> wasmtime::Result<Outcome> {
        let outcome = match outcome {
            Ok(Outcome::Replaced) => self.programs.go_on(process).await,
            outcome => outcome,
        };
        end_of_first(process).await;
        outcome
    }
}
