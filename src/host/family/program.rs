//! The programs that a guest starts: compiled, linked, run.

use std::sync::Arc;

use wasmtime::{Linker, Module};

use super::super::WasockCtx;
#[cfg(feature = "components")]
use super::super::component::run_component;
use super::super::copyable::forks;
use super::super::kept::Kept;
use super::super::linked::Linked;
use super::super::load::Guest;
use super::super::outcome::{Outcome, describe_trap};
use super::super::template::Template;
use super::super::threads::stack_of;
use super::super::unwinder::{ForkedState, Forks};
use super::begin;
use crate::abi::Dialect;
use crate::error::{Errno, Terminated};
use crate::io::reserve_thread;
use crate::observe::{Escaped, Event};
#[cfg(feature = "components")]
use crate::process::Ending;
use crate::process::{Launcher, Process, Program};
use crate::service::ServiceState;

/// A program that is ready to run, as often as one likes.
pub(in crate::host) struct LinkedProgram {
    pub(in crate::host) guest: Guest,
    /// Nothing for a component, which is linked when it runs.
    linked: Option<Linked>,
}

impl LinkedProgram {
    /// The program `guest`, whose imports are resolved.
    pub(in crate::host) fn new(guest: Guest, linked: Linked) -> Self {
        Self { guest, linked: Some(linked) }
    }

    /// One instance, from its start to its end, or from where another one was.
    ///
    /// # Errors
    ///
    /// Those of [`Guest::run`].
    pub(in crate::host) async fn run_once(
        self: &Arc<Self>,
        mut ctx: WasockCtx,
        forked: Option<ForkedState>,
    ) -> wasmtime::Result<Outcome> {
        if forks(self.guest.module()) {
            let program = Arc::clone(self);
            ctx.program = Some(program);
        }
        match &self.linked {
            Some(linked) => self.guest.run_once(linked, ctx, forked).await,
            None => self.run_component(ctx).await,
        }
    }

    #[cfg(feature = "components")]
    async fn run_component(&self, ctx: WasockCtx) -> wasmtime::Result<Outcome> {
        let Some(program) = &self.guest.component else { return Err(lost()) };
        let process = Arc::clone(ctx.thread.process());
        let ended = run_component(&self.guest, program, ctx).await?;
        // It has no handlers: a signal that ends it is how it has ended.
        Ok(match process.signals().ended_by() {
            Some(Ending::Signal(signal)) => Outcome::Signalled(signal),
            _ => Outcome::Ended(ended),
        })
    }

    #[cfg(not(feature = "components"))]
    async fn run_component(&self, _: WasockCtx) -> wasmtime::Result<Outcome> {
        Err(lost())
    }
}

impl Forks<WasockCtx> for LinkedProgram {
    fn obstacle(&self) -> Option<&'static str> {
        self.guest.fork_obstacle
    }

    fn module(&self) -> &Module {
        self.guest.module()
    }

    fn start(
        self: Arc<Self>,
        mut ctx: WasockCtx,
        state: ForkedState,
        begins: &dyn Fn(),
    ) -> Result<(), Errno> {
        let process = Arc::clone(ctx.thread.process());
        let thread = reserve_thread(stack_of(self.guest.module().engine()));
        ctx.host_thread = Some(thread.inspect_err(|_| process.family().forget(process.pid()))?);
        begin(&process, begins, run(self, ctx, Some(state)))
    }
}

/// The error where a program is not there that was.
fn lost() -> wasmtime::Error {
    wasmtime::Error::new(Terminated::HostPanic("replaced its program"))
}

/// The program that takes the place of that of `process`, whose instance has ended.
///
/// # Errors
///
/// Where there is none, which is the host's fault.
pub(in crate::host) fn replacement(process: &Process) -> wasmtime::Result<Arc<LinkedProgram>> {
    let program = process.replace_program().ok_or_else(lost)?;
    program.downcast().map_err(|_| lost())
}

/// Runs `program` with `ctx`, and whatever takes its place, to the end.
///
/// # Errors
///
/// Those of [`Guest::run`].
async fn run(
    mut program: Arc<LinkedProgram>,
    mut ctx: WasockCtx,
    mut forked: Option<ForkedState>,
) -> wasmtime::Result<Outcome> {
    loop {
        let next = ctx.successor();
        match program.run_once(ctx, forked.take()).await? {
            Outcome::Replaced => program = replacement(next.thread.process())?,
            outcome => return Ok(outcome),
        }
        ctx = next;
    }
}

/// What starts programs for one run of a guest.
pub(in crate::host) struct Programs {
    /// The program that the guest is, for its engine.
    root: Guest,
    /// What the embedder defines.
    linker: Linker<WasockCtx>,
    template: Template,
    linked: Kept<Arc<LinkedProgram>>,
}

impl Programs {
    /// Those of the guests that are made of `template`, whose first program is `root`, with what `linker` defines
    /// besides.
    pub(in crate::host) fn new(root: &Guest, linker: &Linker<WasockCtx>, template: Template) -> Self {
        Self { root: root.clone(), linker: linker.clone(), template, linked: Kept::default() }
    }

    /// Goes on with the program that takes the place of that of `process`, and with those after it, to the end.
    ///
    /// # Errors
    ///
    /// Those of [`Guest::run`].
    pub(in crate::host) async fn go_on(&self, process: &Arc<Process>) -> wasmtime::Result<Outcome> {
        run(replacement(process)?, self.template.context_of(Arc::clone(process)), None).await
    }

    fn service(&self) -> &ServiceState {
        &self.template.service
    }

    /// Compiles the program of `bytes`, or takes it from those that the guest has started before.
    fn compile(&self, path: &str, bytes: &[u8]) -> Result<Guest, String> {
        let compile = || {
            let loaded = self.root.loader().from_bytes(path.as_ref(), bytes);
            loaded.map_err(|error| Escaped(error).to_string())
        };
        let guest = self.root.started.kept.get(bytes, compile)?;
        Ok(guest.epochs(self.root.epochs).own_thread(true))
    }

    fn link(&self, guest: Guest) -> Result<LinkedProgram, String> {
        if guest.is_component() {
            return Ok(LinkedProgram { guest, linked: None });
        }
        if let Some(dialect) = foreign(&guest) {
            return Err(format!(
                "it is a program of {dialect}, and only those of WASI and WASIX are children"
            ));
        }
        if guest.module().get_export("_start").is_none() {
            return Err("it exports no _start: it is no program".to_owned());
        }
        let linked = guest.link(&self.linker, self.service().report());
        let linked = linked.map_err(|error| describe_trap(&error))?;
        Ok(LinkedProgram { guest, linked: Some(linked) })
    }
}

/// The dialect of a program that is no child: it knows of no processes, and takes much of what it inherits for
/// something else.
fn foreign(guest: &Guest) -> Option<Dialect> {
    let dialect = guest.detected().dialect;
    ["wamr", "wasmedge"].contains(&dialect.id()).then_some(dialect)
}

impl Launcher for Programs {
    fn load(&self, path: &str, bytes: &[u8]) -> Result<Program, Errno> {
        let make = || {
            let _turn = self.root.started.turn();
            self.compile(path, bytes).and_then(|guest| self.link(guest)).map(Arc::new)
        };
        let program = self.linked.get(bytes, make).map_err(|reason| {
            self.service().report().tell(Event::NotExecutable { path: path.to_owned(), reason });
            // "ENOEXEC: The new process image file has the appropriate access permission but has an unrecognized
            // format." - exec(3p)
            Errno::ENOEXEC
        })?;
        Ok(program)
    }

    fn start(&self, process: Arc<Process>, program: Program, begins: &dyn Fn()) -> Result<(), Errno> {
        let Ok(program) = program.downcast::<LinkedProgram>() else { return Err(Errno::ENOEXEC) };
        let mut ctx = self.template.context_of(Arc::clone(&process));
        ctx.host_thread = Some(reserve_thread(stack_of(program.guest.module().engine()))?);
        begin(&process, begins, run(program, ctx, None))
    }
}
