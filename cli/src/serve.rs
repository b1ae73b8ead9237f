//! `wasock run` as a service: with `--restart`, a reload, `--drain-timeout`, `--workers`,
//! `--per-connection`, `--admin` or `--probes`.

use std::os::fd::OwnedFd;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use anyhow::{Context as _, Result};
use wasock::{Guest, OnTrap, Restart, Service, ServiceBuilder, Signal, WasockCtxBuilder};

use crate::admin::{self, Admin, Probes};
use crate::args::{RunArgs, SocketSource};
use crate::invocation::Invocation;
use crate::passed::PassedListeners;
use crate::reload::Reloader;
use crate::report::say;
use crate::run::Watched;
use crate::signal::Target;
use crate::{idle, manager, run, sockets, start, watch};

/// How long the instances for connections may take to end. What computes ends within 10 ms.
const END_TIMEOUT: Duration = Duration::from_millis(300);

/// Runs `guest` as the first generation of a service, and returns its exit code. Where signals are not `watched`, they
/// are from now on.
pub(crate) fn serve(
    args: RunArgs,
    guest: Guest,
    invocation: Invocation,
    watched: Option<Watched>,
) -> Result<ExitCode> {
    let (service, operators) = service(&args, &guest)?;
    let asked = args.service.reload_signal;
    let Watched { running, mut signals } = watched.map_or_else(|| Watched::start(asked), Ok)?;
    let reloader = Reloader::start(invocation, &args, &service)?;
    let asked = service.clone();
    manager::start(Box::new(move |limit| asked.answers(limit)), &args.sockets)
        .context("cannot tell the service manager")?;
    operators.serve(&service, &reloader)?;
    if args.service.watch {
        watch::watch(reloader.clone())?;
    }
    if let Some(time) = args.admin.idle_exit {
        idle::watch(&service, time).context("cannot watch for idleness")?;
    }
    let runtime = start::runtime()?;
    let served = Served {
        service: service.clone(),
        reloads: args.service.reload_signal.map(|signal| (signal, reloader)),
        drains: args.service.drain_timeout.is_some(),
        has_begun_to_drain: AtomicBool::new(false),
    };
    _ = running.set(Target::Service(Box::new(served)));
    let code = runtime.block_on(async {
        let mut running = pin!(service.run(guest));
        let ended = tokio::select! {
            Ok(code) = &mut signals => {
                if args.connections.is_asked() {
                    // Whoever is served has to see a reset, which this sees to.
                    let _late = tokio::time::timeout(END_TIMEOUT, running).await;
                }
                return Ok(code);
            }
            ended = &mut running => ended,
        };
        run::code_of(ended, signals, args.max_stack).await
    })?;
    run::finish(&running, code)
}

/// What the instances of a generation are given.
pub(crate) fn settings(args: &RunArgs) -> Result<WasockCtxBuilder> {
    let settings = admin::reserve(run::settings(args)?);
    // Any trap ends the instance then, and the next one follows.
    let is_restarted = args.service.restart != Restart::Never;
    Ok(if is_restarted { settings.on_trap(OnTrap::Stop) } else { settings })
}

/// Where those are answered who watch the service, and tell it what to do.
struct Operators {
    admin: Option<Admin>,
    probes: Option<Probes>,
}

impl Operators {
    fn serve(self, service: &Service, reloader: &Reloader) -> Result<()> {
        if let Some(admin) = self.admin {
            admin.serve(service, reloader.clone())?;
        }
        if let Some(probes) = self.probes {
            probes.serve(service, reloader.clone())?;
        }
        Ok(())
    }
}

/// The service, and where its operators are answered.
fn service(args: &RunArgs, guest: &Guest) -> Result<(Service, Operators)> {
    let chosen = &args.service;
    let ctx = run::with_lasting(settings(args)?, args, guest)?;
    // Only now: what the guest is connected to from its start on is not this.
    let operators = Operators { admin: Admin::bind(args)?, probes: Probes::bind(args)? };
    let ctx = admin::reserve(ctx);
    let is_asked = operators.admin.is_some() || operators.probes.is_some();
    let ctx = if is_asked { admin::reserve_descriptors(ctx) } else { ctx };
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
    if let Some(time) = chosen.drain_idle {
        builder = builder.drain_idle(time);
    }
    if let Some(signal) = chosen.drain_signal {
        builder = builder.drain_signal(signal);
    }
    builder = builder
        .connection_as(args.connections.per_connection_as)
        .max_instances(args.connections.max_instances());
    Ok((accepting(builder, args)?.build()?, operators))
}

/// Has the host accept at the places of --per-connection: at the listeners that were passed (--adopt), and
/// at its own.
fn accepting(mut builder: ServiceBuilder, args: &RunArgs) -> Result<ServiceBuilder> {
    let mut passed = match args.sockets.adopt && args.connections.is_asked() {
        true => PassedListeners::all("--adopt")?,
        false => PassedListeners::default(),
    };
    for place in &args.connections.per_connection {
        let shared = passed.take_at(place);
        let failed = || format!("cannot listen on {place} (--per-connection)");
        let own = if shared.is_empty() { listen(place).with_context(failed)? } else { Vec::new() };
        for listener in own {
            builder = builder.per_connection(listener)?;
        }
        for listener in shared {
            let useless = || format!("cannot use the socket that was passed for {place} (--adopt)");
            builder = builder.per_connection_shared(listener).with_context(useless)?;
        }
    }
    passed.finish("--per-connection")?;
    Ok(builder)
}

/// Listeners of the host's own at `place`, whose path goes with this process.
fn listen(place: &SocketSource) -> Result<Vec<OwnedFd>> {
    let SocketSource::Unix(path) = place else { return Ok(sockets::listen(place)?) };
    let (listener, name) = admin::listen_at_path(path)?;
    admin::keep_file(name);
    Ok(vec![listener.into()])
}

/// A service, as signals see it.
pub(crate) struct Served {
    pub(crate) service: Service,
    reloads: Option<(Signal, Reloader)>,
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
        // Also by an operator's order.
        let drains = self.has_begun_to_drain.load(SeqCst) || self.service.status().is_draining;
        match &self.reloads {
            Some((of_reload, _)) if *of_reload == signal && drains => {
                say!("wasock: {signal}: no reload: the service ends");
                return Taken::Done;
            }
            Some((of_reload, reloader)) if *of_reload == signal => {
                reloader.order();
                return Taken::Done;
            }
            _ => {}
        }
        if !matches!(signal, Signal::Term | Signal::Int) {
            return Taken::Not;
        }
        if drains {
            return Taken::Ends;
        }
        if !self.drains {
            return Taken::Not;
        }
        self.has_begun_to_drain.store(true, SeqCst);
        // First of all: standard error may be full.
        self.service.drain();
        manager::drains();
        say!("wasock: {signal}: the connections may end within --drain-timeout");
        Taken::Done
    }
}
