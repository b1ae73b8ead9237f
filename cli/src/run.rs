//! `wasock run`.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::process::{Resource, getrlimit};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wasmtime::{Config, Engine, Trap};
use wasock::{
    Access, Compile, Ended, Guest, LoadError, Loader, Signal, Terminated, WasockCtx, WasockCtxBuilder,
};

use crate::args::{DirectoryArg, GrantArgs, Orphans, RunArgs};
use crate::contained::Terms;
use crate::invocation::Invocation;
use crate::progress::Progress;
use crate::report::{self, Lines, say};
use crate::serve::serve;
use crate::signal::Target;
use crate::{FAILURE, admin, cache, component, learn, log, manager, signal, sockets, start, wall};

/// The exit code after a trap: that of a program that aborted.
const TRAP: u8 = 134;

/// How long the last events may take to be printed.
const WAIT_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs a guest, and returns its exit code.
pub(crate) fn run(args: RunArgs, invocation: Invocation) -> Result<ExitCode> {
    log::choose(args.log_format);
    report::log(args.verbose);
    // Before any thread but this one.
    wall::raise(&args);
    learn::start(&args)?;
    // The first process of a container is sent none that it does not catch, and loading may take its time.
    let watched = args.terms.is_some().then(|| Watched::start(args.service.reload_signal)).transpose()?;
    let module = args.command.first().context("no module was named")?;
    let guest = load(Path::new(module), &args)?.own_thread(true);
    args.terms.iter().for_each(Terms::wait_for_order);
    manager::reserve_socket();
    if args.service.is_service() || args.connections.is_asked() || args.admin.is_service() {
        return serve(args, guest, invocation, watched);
    }
    let Watched { running, mut signals } = watched.map_or_else(|| Watched::start(None), Ok)?;
    // The guest has a thread of its own, unless it has handlers of events. This one drives what that
    // can't watch itself.
    let runtime = start::runtime()?;
    let (answers, answering) = manager::of_runtime();
    manager::start(answers, &args.sockets).context("cannot tell the service manager")?;
    let code = runtime.block_on(async {
        tokio::spawn(answering);
        let ctx = context(&args, &guest)?;
        _ = running.set(Target::Guest(ctx.handle()));
        if let Some(timeout) = args.timeout {
            signal::end_after(timeout).context("cannot watch the time")?;
        }
        let ended = tokio::select! {
            Ok(code) = &mut signals => return Ok(code),
            ended = guest.run(ctx) => ended,
        };
        code_of(ended, signals, args.max_stack).await
    })?;
    finish(&running, code)
}

/// The signals of this process, and what they are for.
pub(crate) struct Watched {
    pub(crate) running: signal::SignalTarget,
    /// The exit code, where one is to end the guest.
    pub(crate) signals: oneshot::Receiver<u8>,
}

impl Watched {
    /// As [`signal::watch`] does, for what is to run.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn start(asked: Option<Signal>) -> Result<Self> {
        let running = signal::SignalTarget::default();
        let signals = signal::watch(running.clone(), asked).context("cannot watch for signals")?;
        Ok(Self { running, signals })
    }
}

/// The exit code for what has ended; `signals` has that of a signal.
pub(crate) async fn code_of(
    ended: wasmtime::Result<Ended>,
    signals: oneshot::Receiver<u8>,
    max_stack: u32,
) -> Result<u8> {
    match &ended {
        // Only a signal orders that: its number is on the way.
        Err(error) if error.downcast_ref() == Some(&Terminated::Order) => Ok(signals.await?),
        _ => exit_code(ended, max_stack),
    }
}

/// Ends this process, once the last events are printed.
pub(crate) fn finish(running: &signal::SignalTarget, code: u8) -> Result<ExitCode> {
    std::io::stdout().flush().ok();
    if let Some(target) = running.get() {
        // They have no reader any more if this takes long.
        target.flush_events(WAIT_TIMEOUT);
    }
    learn::finish();
    manager::stops();
    admin::end();
    WasockCtx::restore_shared_sockets();
    std::process::exit(code.into())
}

/// The guest's own code, or that of a trap, with the guest's backtrace on standard
/// error.
fn exit_code(ended: wasmtime::Result<Ended>, max_stack: u32) -> Result<u8> {
    match ended {
        // "Only the least significant 8 bits ... shall be available" - exit(3p)
        Ok(ended) => Ok(ended.code.to_le_bytes()[0]),
        Err(error) => {
            if let Some(why) = error.downcast_ref::<Terminated>() {
                say!("wasock: {why}{}", flag(*why));
                return Ok(why.exit_code());
            }
            if !Guest::is_trap(&error) {
                let cure = start::cure_of(error.chain());
                report::failure(error.root_cause(), format_args!("{error:#}{cure}"));
                return Ok(FAILURE);
            }
            let mut trap = Guest::describe_trap(&error);
            if matches!(error.downcast_ref(), Some(Trap::StackOverflow)) {
                let end = trap.find('\n').unwrap_or(trap.len());
                trap.insert_str(end, &format!(" (--max-stack {max_stack})"));
            }
            Lines::default().block(format_args!("wasock: the guest trapped: {trap}")).say();
            Ok(TRAP)
        }
    }
}

/// The flag behind a limit.
fn flag(why: Terminated) -> &'static str {
    match why {
        Terminated::CpuTime(_) => " (--max-cpu-time)",
        Terminated::Timeout(_) => " (--timeout)",
        Terminated::Handler(_) => " (--handler-timeout)",
        _ => "",
    }
}

/// Loads a module or a component.
pub(crate) fn load(module: &Path, args: &RunArgs) -> Result<Guest> {
    match args.image() {
        None => component::check_file(module, args)?,
        Some(_) => ensure!(!args.connections.warm, "--warm needs a module that is in a file"),
    }
    let _shown = Progress::begin(format_args!("compiling {}", module.display()));
    // An engine with async functions of the component model makes every call of the host dearer, and few
    // components have some.
    let guest = match load_with(module, args, false)? {
        Err(LoadError::NeedsAsync(_)) => load_with(module, args, true)?,
        loaded => loaded,
    }?;
    if args.no_threads {
        guest.refuse_threads(module)?;
    }
    // What was no file to look at before, as a pipe.
    component::check(&guest, module, args)?;
    Ok(guest)
}

/// Loads by several threads or, where the host has none to spare, by this one.
fn load_with(module: &Path, args: &RunArgs, has_async: bool) -> Result<Result<Guest, LoadError>> {
    // A folder that was named is used in a container, too.
    let cache = match args.cache {
        Some(_) => cache::open(args).or_else(|| args.compiler()),
        None => args.compiler().or_else(|| cache::open(args)),
    };
    let parallel = engine_for(args, true, has_async)?;
    let before = start::threads();
    // Wasmtime panics where it can't start the threads that compile.
    if let Some(loaded) = start::unless_panics(|| load_in(&parallel, cache.clone(), module, args)) {
        return Ok(loaded);
    }
    start::wait_for_threads(before);
    let serial = engine_for(args, false, has_async)?;
    Ok(load_in(&serial, cache, module, args))
}

fn load_in(
    engine: &Engine,
    cache: Option<Arc<dyn Compile>>,
    module: &Path,
    args: &RunArgs,
) -> Result<Guest, LoadError> {
    let loader = cache.into_iter().fold(Loader::new(engine), Loader::compiler);
    match args.image() {
        Some(bytes) => loader.from_bytes(module, bytes),
        None if args.connections.warm => loader.load_to_copy(module),
        None => loader.load(module),
    }
}

/// The engine for a run by `args`.
///
/// # Errors
///
/// Those of Wasmtime.
pub(crate) fn engine_for(args: &RunArgs, is_parallel: bool, has_async: bool) -> Result<Engine> {
    let mut config =
        if args.no_threads { Guest::engine_config_without_threads() } else { Guest::engine_config() };
    config.parallel_compilation(is_parallel).concurrency_support(has_async);
    Guest::set_max_stack(&mut config, args.max_stack);
    // Only other programs' profilers and debuggers unwind by these tables: a guest's backtrace
    // comes from elsewhere, and no panic goes through a guest's frames. They are a part of
    // what is kept.
    config.native_unwind_info(false);
    // The place in the module of each instruction is a sixth of that; a backtrace names its
    // functions without it.
    config.generate_address_map(wants_places());
    if args.connections.is_asked() {
        return pooled(config, args);
    }
    new_engine(&config)
}

fn new_engine(config: &Config) -> Result<Engine> {
    Guest::new_engine(config).map_err(|error| anyhow!("{error:#}"))
}

/// An engine with places for as many instances as may live, or without, where that is not possible.
fn pooled(mut config: Config, args: &RunArgs) -> Result<Engine> {
    let module = args.command.first().map(Path::new).unwrap_or(Path::new(""));
    let instances = args.connections.max_instances();
    let mut without = config.clone();
    if getrlimit(Resource::As).current.is_some() {
        // A memory has no more addresses than it needs, and its code checks each of them.
        without.memory_reservation(0).memory_reservation_for_growth(1 << 20).memory_guard_size(64 << 10);
    }
    let set = match args.image() {
        Some(bytes) => Guest::set_pool_for_bytes(&mut config, bytes, instances, args.max_memory),
        None => Guest::set_pool(&mut config, module, instances, args.max_memory),
    };
    let made = set.map_err(anyhow::Error::new).and_then(|()| new_engine(&config));
    made.or_else(|why| {
        say!("wasock: instances are made on demand, which takes longer: {why:#}");
        new_engine(&without)
    })
}

/// Whether a backtrace is to have places in the module, and lines of its source: Wasmtime
/// reads the same variable.
fn wants_places() -> bool {
    std::env::var_os("WASMTIME_BACKTRACE_DETAILS").is_some_and(|value| value == "1")
}

fn context(args: &RunArgs, guest: &Guest) -> Result<WasockCtx> {
    // The runtime of this command has every driver.
    let builder = with_lasting(settings(args)?, args, guest)?;
    Ok(builder.sockets_on(&Handle::current()).build_for(guest.module())?)
}

/// Adds what outlives a generation: the observer, and the sockets that the host opens or was passed.
pub(crate) fn with_lasting(
    builder: WasockCtxBuilder,
    args: &RunArgs,
    guest: &Guest,
) -> Result<WasockCtxBuilder> {
    let terminal = report::Terminal::new(args.verbose, start::too_few_descriptors(args.max_fds));
    let builder = builder.observer(terminal);
    // What was passed for instances for connections the host itself takes.
    let adopts = args.sockets.adopt && !args.connections.is_asked();
    if guest.is_component() {
        return sockets::hold(builder, &args.sockets, adopts);
    }
    sockets::hand_over(builder, &args.sockets, adopts)
}

/// What the instances of a generation are given.
pub(crate) fn settings(args: &RunArgs) -> Result<WasockCtxBuilder> {
    admin::check_directories(args)?;
    let mut builder = WasockCtx::builder()
        .inherit_stdio()
        // Instances for connections share threads.
        .blocks_on_files(!args.connections.is_asked())
        .max_fds(args.max_fds)
        .max_threads(args.max_threads)
        .max_processes(args.processes.max_processes)
        .keep_orphans(args.processes.orphans == Orphans::Keep)
        .max_memory(args.max_memory)
        .max_stack(args.max_stack)
        .max_host_memory(args.max_host_memory)
        .on_trap(args.on_trap)
        .unix_unlink(args.unix_unlink)
        .listen_profile(args.listen_profile);
    builder = signal::ignored_from_the_start().into_iter().fold(builder, WasockCtxBuilder::ignore_signal);
    builder = limits(builder, args);
    builder = grants(builder, &args.grants);
    builder = args.command.iter().fold(builder, |builder, argument| builder.arg(argument));
    if let Some(directory) = &args.cwd {
        builder = builder.working_directory(directory);
    }
    builder = match &args.terms {
        // The process's own is that of whoever made it.
        Some(terms) => {
            terms.variables.iter().fold(builder, |builder, (name, value)| builder.env(name, value))
        }
        None if args.inherit_env => builder.inherit_env(),
        None => builder,
    };
    let variables = args.env_file.iter().flat_map(|file| &file.all).chain(&args.env);
    builder = variables.fold(builder, |builder, (name, value)| builder.env(name, value));
    if args.trace {
        builder = builder.trace(report::call);
    }
    for (directories, access) in [(&args.dir, Access::ReadWrite), (&args.dir_ro, Access::ReadOnly)] {
        for DirectoryArg { host, guest } in directories {
            builder = builder
                .preopened_dir(host, guest, access)
                .with_context(|| format!("cannot open the directory {}", host.display()))?;
        }
    }
    for DirectoryArg { host, guest } in &args.processes.exec {
        builder = builder
            .exec(host, guest)
            .with_context(|| format!("cannot let the guest execute {}", host.display()))?;
    }
    Ok(admin::reserve(learn::of(builder, &args.grants)))
}

/// What the guest may do, and what it may not.
pub(crate) fn grants(mut builder: WasockCtxBuilder, args: &GrantArgs) -> WasockCtxBuilder {
    builder = args.listen.iter().fold(builder, WasockCtxBuilder::listen);
    builder = args.publish.iter().fold(builder, |builder, publish| builder.publish(*publish));
    builder = args.accept_from.iter().fold(builder, |builder, network| builder.accept_from(*network));
    builder = args.connect.iter().fold(builder, WasockCtxBuilder::connect);
    builder = args.udp_bind.iter().fold(builder, WasockCtxBuilder::udp_bind);
    builder = args.udp_send.iter().fold(builder, WasockCtxBuilder::udp_send);
    builder = builder.udp_strict(args.udp_strict);
    builder = args.resolve.iter().cloned().fold(builder, WasockCtxBuilder::resolve);
    builder = args.deny.iter().fold(builder, WasockCtxBuilder::deny);
    builder = args.deny_listen.iter().fold(builder, WasockCtxBuilder::deny_listen);
    builder = args.deny_connect.iter().fold(builder, WasockCtxBuilder::deny_connect);
    builder = args.deny_udp_bind.iter().fold(builder, WasockCtxBuilder::deny_udp_bind);
    builder = args.deny_udp_send.iter().fold(builder, WasockCtxBuilder::deny_udp_send);
    builder = args.deny_from.iter().fold(builder, |builder, network| builder.deny_from(*network));
    args.deny_resolve.iter().cloned().fold(builder, WasockCtxBuilder::deny_resolve)
}

/// The limits that have no default of the command's.
fn limits(mut builder: WasockCtxBuilder, args: &RunArgs) -> WasockCtxBuilder {
    if let Some(connections) = args.max_backlog {
        builder = builder.max_backlog(connections);
    }
    if let Some(connections) = args.max_connections {
        builder = builder.max_connections(connections);
    }
    if let Some(connections) = args.max_connections_per_listener {
        builder = builder.max_connections_per_listener(connections);
    }
    if let Some(connections) = args.max_connections_per_peer {
        builder = builder.max_connections_per_peer(connections);
    }
    if let Some(rate) = args.accept_rate {
        builder = builder.accept_rate(rate);
    }
    if let Some(rate) = args.accept_rate_per_peer {
        builder = builder.accept_rate_per_peer(rate);
    }
    if args.no_tcp_nodelay {
        builder = builder.tcp_nodelay(false);
    }
    if let Some(bytes) = args.max_socket_buffer {
        builder = builder.max_socket_buffer(bytes);
    }
    if let Some(time) = args.timeout {
        builder = builder.timeout(time);
    }
    if let Some(time) = args.handler_timeout {
        builder = builder.handler_timeout(time);
    }
    if let Some(time) = args.idle_timeout {
        builder = builder.idle_timeout(time);
    }
    if let Some(time) = args.max_cpu_time {
        builder = builder.max_cpu_time(time);
    }
    builder
}
