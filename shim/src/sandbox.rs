//! The process of a container, from the inside: it becomes the run of one program.

use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use containerd_shim_wasm::sandbox::Sandbox;
use containerd_shim_wasm::sandbox::context::RuntimeContext;
use rustix::process::{Signal, set_parent_process_death_signal};
use wasock::observe::Escaped;
use wasock_cli::ContainedRun;

use crate::policy::{self, Configuration};
use crate::program::{self, Found};
use crate::{keeper, memory, mounts, precompiled, streams};

/// The exit code where the program does not start.
const FAILURE: i32 = 1;

/// The process of one container.
#[derive(Default)]
pub(crate) struct Container {
    /// Its run, from the moment that the process is inside on.
    run: Mutex<Option<Result<Loading>>>,
}

/// A run that loads its program, and begins at an order.
struct Loading {
    order: Arc<OnceLock<()>>,
    running: JoinHandle<u8>,
}

impl Sandbox for Container {
    /// Runs what the container has, and ends this process with its exit code. What prevents that is one sentence on the
    /// container's standard error, where those look that read its log.
    async fn run_wasi(&self, _context: &impl RuntimeContext) -> Result<i32> {
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner).take();
        let code = run.context("the container has begun already").flatten().and_then(Loading::finish);
        Ok(code.unwrap_or_else(|error| {
            let line = format!("wasock: {}\n", Escaped(format_args!("{error:#}")));
            // Without a reader there is nobody to tell.
            let _unread = std::io::stderr().write_all(line.as_bytes());
            FAILURE
        }))
    }

    /// Takes every container: one that was refused here would say why in containerd's own log alone. Between this and
    /// the order to start, containerd has answered who asked for the container: the program is loaded meanwhile.
    async fn can_handle(&self, context: &impl RuntimeContext) -> Result<()> {
        keeper::leave();
        // Without the shim nobody would ever end this process: it ends with the one that the shim has forked it from.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(Loading::start(context));
        Ok(())
    }
}

impl Loading {
    fn start(context: &impl RuntimeContext) -> Result<Self> {
        let order = Arc::new(OnceLock::new());
        let of_run = Arc::clone(&order);
        let run = run(context)?.begin_after(move || {
            of_run.wait();
        });
        // This thread is the container's crate's, and is inside of a runtime; the command has one of its own.
        let running = thread::Builder::new().name("wasock".to_owned()).spawn(move || run.start());
        Ok(Self { order, running: running.context("cannot start a thread")? })
    }

    /// Has it begin. Returns an exit code where the program did not start, and standard error says why.
    fn finish(self) -> Result<i32> {
        // A container without /proc goes on with what it has.
        let _as_it_is = streams::end_input_with_its_writers();
        _ = self.order.set(());
        Ok(self.running.join().map_or(FAILURE, i32::from))
    }
}

/// What the container of `context` is to run, and how.
fn run(context: &impl RuntimeContext) -> Result<ContainedRun> {
    let Found { program, is_module } = program::find(context)?;
    let configuration = Configuration::find(context.envs());
    let arguments = context.args().iter().skip(1).cloned();
    let mut run = ContainedRun::new(program, arguments);
    let flags = mounts::flags(configuration.path(), is_module);
    run = flags
        .into_iter()
        .chain(memory::flags())
        .chain(working_directory())
        .fold(run, ContainedRun::default_flag);
    for (name, value) in context.envs().iter().filter_map(|variable| variable.split_once('=')) {
        if !name.is_empty() && !policy::is_of_host(name) {
            run = run.env(name, value);
        }
    }
    let run = configuration.apply(run);
    let run = precompiled::precompiler().into_iter().fold(run, ContainedRun::precompiler);
    Ok(keeper::keeper().into_iter().fold(run, ContainedRun::keeper))
}

/// Has the guest begin where the container does.
fn working_directory() -> Option<String> {
    let directory = std::env::current_dir().ok()?;
    let directory = directory.to_str().filter(|directory| *directory != "/")?;
    Some(format!("--cwd={directory}"))
}
