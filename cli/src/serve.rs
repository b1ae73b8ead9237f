//! `wasock run` as a service: with `--restart`, a reload, `--drain-timeout`, `--workers` or
//! `--per-connection`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::{Context as _, Result};
use wasock::{Guest, OnTrap, Restart, Service, Signal};

use crate::args::RunArgs;
use crate::report::say;
use crate::signal::{self, Target};
use crate::{run, sockets, start};

/// Runs `guest` as the first generation of a service, and returns its exit code.
pub(crate) fn serve(args: RunArgs, guest: Guest) -> Result<ExitCode> {
    let service = service(&args)?;
    let args = Arc::new(args);
    let running = signal::SignalTarget::default();
    let mut signals =
        signal::watch(running.clone(), args.service.reload_signal).context("cannot watch for signals")?;
    let reloads =
        args.service.reload_signal.map(|signal| Ok::<_, anyhow::Error>((signal, reloader(&args, &service)?)));
    let runtime = start::runtime()?;
    let served = Served {
        service: service.clone(),
        reloads: reloads.transpose()?,
        drains: args.service.drain_timeout.is_some(),
        has_begun_to_drain: AtomicBool::new(false),
    };
    _ = running.set(Target::Service(Box::new(served)));
    let code = runtime.block_on(async {
        let ended = tokio::select! {
            Ok(code) = &mut signals => return Ok(code),
            ended = service.run(guest) => ended,
        };
        run::code_of(ended, signals, args.max_stack).await
    })?;
    run::finish(&running, code)
}

fn service(args: &RunArgs) -> Result<Service> {
    let chosen = &args.service;
    let mut ctx = run::builder(args)?;
    if chosen.restart != Restart::Never {
        // Any trap ends the instance, and the next one follows.
        ctx = ctx.on_trap(OnTrap::Stop);
    }
    let mut builder = Service::builder(ctx)
        .restart(chosen.restart)
        .reload_mode(chosen.reload_mode)
        .max_generations(chosen.max_generations.into())
        .workers(chosen.workers.unwrap_or(1));
    if let Some(time) = chosen.ready_timeout {
        builder = builder.ready_timeout(time);
    }
    if let Some(time) = chosen.drain_timeout {
        builder = builder.drain_timeout(time);
    }
    if let Some(signal) = chosen.drain_signal {
        builder = builder.drain_signal(signal);
    }
    builder = builder.connection_as(args.connections.per_connection_as);
    if let Some(instances) = args.connections.max_instances {
        builder = builder.max_instances(instances);
    }
    for place in &args.connections.per_connection {
        let failed = || format!("cannot listen on {place} (--per-connection)");
        for listener in sockets::listen(place).with_context(failed)? {
            builder = builder.per_connection(listener)?;
        }
    }
    Ok(builder.build()?)
}

/// Starts a thread that loads the module again at each order, and has the service go over to it.
fn reloader(args: &Arc<RunArgs>, service: &Service) -> Result<mpsc::Sender<()>> {
    let (sender, orders) = mpsc::channel();
    let (args, service) = (Arc::clone(args), service.clone());
    let runtime = start::runtime()?;
    let works = move || {
        while orders.recv().is_ok() {
            // Those that came meanwhile mean the file as it is now.
            while orders.try_recv().is_ok() {}
            let module = args.command.first().map(String::as_str).unwrap_or_default();
            match run::load(Path::new(module), &args) {
                // What comes of it is reported as an event.
                Ok(guest) => drop(runtime.block_on(service.reload(guest))),
                Err(error) => say!("wasock: no reload, the running program goes on: {error:#}"),
            }
        }
    };
    thread::Builder::new().name("wasock-reload".to_owned()).spawn(works)?;
    Ok(sender)
}

/// A service, as signals see it.
pub(crate) struct Served {
    pub(crate) service: Service,
    reloads: Option<(Signal, mpsc::Sender<()>)>,
    drains: bool,
    has_begun_to_drain: AtomicBool,
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was for the service.
    Done,
    /// It ends the service at once.
    Ends,
    /// It is for the guests.
    Not,
}

impl Served {
    /// Does what `signal` means to the service.
    pub(crate) fn take(&self, signal: Signal) -> Taken {
        match &self.reloads {
            Some((of_reload, _)) if *of_reload == signal && self.has_begun_to_drain.load(SeqCst) => {
                say!("wasock: {signal}: no reload: the service ends");
                return Taken::Done;
            }
            Some((of_reload, orders)) if *of_reload == signal => {
                let _ended = orders.send(());
                return Taken::Done;
            }
            _ => {}
        }
        if !self.drains || !matches!(signal, Signal::Term | Signal::Int) {
            return Taken::Not;
        }
        if self.has_begun_to_drain.swap(true, SeqCst) {
            return Taken::Ends;
        }
        // First of all: standard error may be full.
        self.service.drain();
        say!("wasock: {signal}: the connections may end within --drain-timeout");
        Taken::Done
    }
}
