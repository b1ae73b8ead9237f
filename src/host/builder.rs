//! What an embedder chooses for a guest.

mod grants;
mod limits;
mod preopened;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use wasmtime::Module;
use wasmtime_wasi::cli::{StdinStream, StdoutStream};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, Rng};

use super::limiter::MakeLimiter;
use super::template::Template;
use super::uptime::Uptime;
use super::wall_clock::SystemClock;
use super::{OnTrap, WasockCtx};
use crate::error::Errno;
use crate::io::can_drive;
use crate::observe::{Observer, TraceLine, TraceSink};
use crate::policy::Grant;
use crate::process::{
    Executables, HostOutput, HostStdin, InheritedSockets, Input, Output, Settings, Signal, is_variable,
};
use crate::service::{Holding, Limits, ServiceConfig, ServiceState};
use crate::socket::AcceptRates;
use crate::socket::listen::{ConnectionLimiter, ConnectionLimits, ListenProfile};

/// The default for descriptors that a guest may have open at once.
const DEFAULT_MAX_FDS: u32 = 1024;

/// The most descriptors that may be allowed: what Linux allows a process itself, unless `fs.nr_open`
/// was raised.
pub(crate) const MOST_FDS: u32 = 1 << 20;

/// The default for threads that a guest may have at once.
const DEFAULT_MAX_THREADS: u32 = 1024;

/// The default for bytes of a guest's memories and tables: what one 32-bit memory can have.
///
pub(crate) const DEFAULT_MAX_MEMORY: u64 = 4 << 30;

/// The default for bytes that the host holds for a guest.
pub(crate) const DEFAULT_MAX_HOST_MEMORY: u64 = 256 << 20;

/// Connections that may wait if the kernel's own limit cannot be read: the limit
/// of Linux since 5.4.
const DEFAULT_MAX_BACKLOG: u32 = 4096;

/// How long an instance that serves may leave a held socket unclaimed.
const UNCLAIMED_TIMEOUT: Duration = Duration::from_secs(10);

/// The variables that describe a program's inherited sockets: how many, their names, and for which
/// process. "sd_listen_fds(3)"
const SOCKET_VARIABLES: [&str; 3] = ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"];

/// The variables by which a program tells its service manager how it is. "sd_notify(3)", "sd_watchdog_enabled(3)"
const MANAGER_VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Builds a [`WasockCtx`].
///
/// ```
/// use std::time::Duration;
///
/// use wasock::{Event, WasockCtx};
///
/// let builder = WasockCtx::builder()
///     .args(["server", "--port", "8080"])
///     .inherit_stdio()
///     .listen(&"127.0.0.1:8080".parse()?)
///     .accept_from("10.0.0.0/8".parse()?)
///     .max_connections(1000)
///     .timeout(Duration::from_secs(3600))
///     .observer(|event: &Event| eprintln!("{event:?}"));
/// # let _ctx = builder.build_for_any_module()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The defaults:
///
/// * no network at all: no address to listen on, none to connect to, no name to
///   look up; any peer may connect to a listener once it is granted
/// * no sockets, no files, no arguments, no environment
/// * names of Unix sockets are kept when their sockets close
/// * standard input is at its end, standard output and error go nowhere
/// * 1024 descriptors, 1024 threads and 64 processes; 64 threads for file operations; as many waiting connections as the
///   kernel allows
/// * 4 GiB for the guest's own memories and tables, 256 MiB for what the host holds for it
/// * `listen` as WASIX has it: [`ListenProfile::Wasix`]
/// * the host's clocks and randomness
/// * file operations move off the thread that runs the guest
/// * a trap in a handler of events stops the guest
/// * no limit to the time that the guest takes
/// * no signal is ignored
/// * no trace, and no observer of events
#[must_use = "a builder is of use once it is built"]
pub struct WasockCtxBuilder {
    pub(super) service: ServiceConfig,
    pub(super) connection_limits: ConnectionLimits,
    settings: Settings,
    inherited_sockets: InheritedSockets,
    /// What the service holds from its start on.
    pub(super) adoptable: InheritedSockets,
    /// Is standard output this process's own, and standard error?
    inherits_stdout: bool,
    inherits_stderr: bool,
    on_trap: OnTrap,
    make_limiter: Option<MakeLimiter>,
    trace: Option<Arc<TraceSink>>,
}

/// Why no context could be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// Standard streams and directories do not fit the limit to descriptors, or to what the host
    /// may hold.
    TooFewDescriptors,
    /// An argument or a variable holds a NUL, which ends a string for the guest.
    NulInString(String),
    /// The host cannot listen on a preopened socket, or register it.
    Socket(Errno),
    /// An instance for [each connection](super::ServiceBuilder::per_connection) has no other sockets
    /// from its start on.
    SocketsPerConnection,
}

impl BuildError {
    /// Why a context could not be made.
    pub(super) fn of(errno: Errno) -> Self {
        match errno {
            Errno::EMFILE => Self::TooFewDescriptors,
            other => Self::Socket(other),
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewDescriptors => f.write_str(
                "the standard streams, the sockets and the directories need more descriptors, or more of \
                 the host's memory for them, than the limit allows",
            ),
            Self::NulInString(string) => write!(f, "{string:?} holds a NUL"),
            Self::Socket(errno) => write!(f, "a socket for the guest can't be used: {errno}"),
            Self::SocketsPerConnection => f.write_str(
                "an instance for each connection is given that one, and no other preopened socket",
            ),
        }
    }
}

impl std::error::Error for BuildError {}

impl WasockCtx {
    /// A context that grants nothing, to begin with.
    pub fn builder() -> WasockCtxBuilder {
        WasockCtxBuilder::new()
    }
}

impl WasockCtxBuilder {
    fn new() -> Self {
        let kernel_max_backlog = kernel_max_backlog();
        Self {
            service: ServiceConfig {
                policy: Arc::default(),
                limits: Limits {
                    max_fds: DEFAULT_MAX_FDS,
                    max_threads: DEFAULT_MAX_THREADS,
                    max_processes: limits::DEFAULT_MAX_PROCESSES,
                    max_memory: DEFAULT_MAX_MEMORY,
                    max_stack: limits::DEFAULT_MAX_STACK,
                    max_host_memory: DEFAULT_MAX_HOST_MEMORY,
                    max_blocking_calls: limits::DEFAULT_MAX_BLOCKING_CALLS,
                    max_cpu_time: None,
                    timeout: None,
                    handler_timeout: None,
                    idle_timeout: None,
                    drain_idle: None,
                },
                max_backlog: kernel_max_backlog,
                kernel_max_backlog,
                listen_profile: ListenProfile::default(),
                listen_profiles_at: Vec::new(),
                connection_limiter: None,
                accept_rates: AcceptRates::default(),
                max_socket_buffer: None,
                removes_unix_names: false,
                keeps_orphans: false,
                held: Holding::Nothing,
                unclaimed_timeout: UNCLAIMED_TIMEOUT,
                observer: None,
            },
            connection_limits: ConnectionLimits::default(),
            settings: Settings {
                arguments: Vec::new(),
                environment: Vec::new(),
                tcp_nodelay: true,
                blocks_on_files: false,
                ignored_signals: Vec::new(),
                look_up: None,
                stdin: Arc::new(Input::closed()),
                stdout: Arc::new(Output::discarding()),
                stderr: Arc::new(Output::discarding()),
                inherited_sockets: Arc::default(),
                directories: Vec::new(),
                executables: Executables::default(),
                wall_clock: Mutex::new(Box::new(SystemClock)),
                monotonic_clock: Mutex::new(Box::new(Uptime::new())),
                random: Mutex::new(wasmtime_wasi::thread_rng()),
            },
            inherited_sockets: InheritedSockets::default(),
            adoptable: InheritedSockets::default(),
            inherits_stdout: false,
            inherits_stderr: false,
            on_trap: OnTrap::default(),
            make_limiter: None,
            trace: None,
        }
    }

    /// Adds an argument; the first one is the program's name.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.settings.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<String>>(self, arguments: impl IntoIterator<Item = A>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Adds a variable to the environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.settings.environment.push(format!("{name}={value}"));
        self
    }

    /// Adds every variable of this process's environment that is UTF-8, but for those
    /// that count this process's own sockets (see [`preopened_socket`](Self::preopened_socket)) or
    /// name its service manager's.
    pub fn inherit_env(mut self) -> Self {
        for (name, value) in std::env::vars_os() {
            if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
                && !SOCKET_VARIABLES.contains(&name)
                && !MANAGER_VARIABLES.contains(&name)
            {
                self = self.env(name, value);
            }
        }
        self
    }

    /// Has this runtime of tokio's drive the sockets and the timers of guests that run in it.
    ///
    /// The default is a thread of wasock's own, the reactor of all guests, which works in every
    /// executor and needs nothing of it. The runtime that the guest runs in saves a change of
    /// threads for each wait. Name it where that counts:
    ///
    /// ```no_run
    /// # use wasock::WasockCtx;
    /// # async fn example() {
    /// let builder = WasockCtx::builder().sockets_on(&tokio::runtime::Handle::current());
    /// # }
    /// ```
    ///
    /// The runtime must have been built with `enable_io` or `enable_all`, as `#[tokio::main]`
    /// does: tokio panics at the first socket of a runtime without, and there is no way to ask it
    /// before. It must be driven while the guest waits: a current-thread runtime by `block_on`.
    /// It may end before the sockets do; those go over to wasock's own reactor.
    ///
    /// It holds for the runtime, whichever guest runs there. Guests on [threads of their
    /// own](super::Guest::own_thread) and those of
    /// [`add_to_linker_blocking`](super::add_to_linker_blocking) wait in the kernel's poll, and use it for
    /// what that can't watch.
    pub fn sockets_on(mut self, runtime: &Handle) -> Self {
        can_drive(runtime);
        self.inherited_sockets.reactor = Some(runtime.clone());
        self
    }

    /// Where the guest's standard input comes from.
    pub fn stdin(mut self, stream: &dyn StdinStream) -> Self {
        self.settings.stdin = Arc::new(Input::new(stream));
        self
    }

    /// Where the guest's standard output goes.
    pub fn stdout(mut self, stream: &dyn StdoutStream) -> Self {
        self.settings.stdout = Arc::new(Output::new(stream));
        self.inherits_stdout = false;
        self
    }

    /// Where the guest's standard error goes.
    pub fn stderr(mut self, stream: &dyn StdoutStream) -> Self {
        self.settings.stderr = Arc::new(Output::new(stream));
        self.inherits_stderr = false;
        self
    }

    /// Gives the guest this process's own standard streams. One thread of the process reads
    /// its standard input, and one each writes the others, for all guests; none of them prevents
    /// a runtime or the process from ending. Where the host can't start one, a call is
    /// `EAGAIN`.
    pub fn inherit_stdio(mut self) -> Self {
        self.settings.stdin = Arc::new(Input::new(&HostStdin));
        (self.inherits_stdout, self.inherits_stderr) = (true, true);
        self
    }

    /// What `listen` means to the guest.
    pub fn listen_profile(mut self, profile: ListenProfile) -> Self {
        self.service.listen_profile = profile;
        self
    }

    /// What `listen` means for listeners with one of these addresses. The first that
    /// was given and fits counts, before [`listen_profile`](Self::listen_profile). A
    /// listener keeps its first profile.
    pub fn listen_profile_at(mut self, addresses: &Grant, profile: ListenProfile) -> Self {
        self.service.listen_profiles_at.push((addresses.clone(), profile));
        self
    }

    /// Removes the name of a Unix socket when the socket closes, as long as the name is
    /// still that socket's. Otherwise it is kept, as in POSIX, and the guest removes it;
    /// a later `bind` there is `EADDRINUSE` until then.
    pub fn unix_unlink(mut self, removes: bool) -> Self {
        self.service.removes_unix_names = removes;
        self
    }

    /// Keeps the guest's listeners open when it ends, for the next instance of its
    /// [service](super::Service): one that binds to the same address gets that very socket, and
    /// the connections that have come meanwhile. They close with the last handle of the service and its last
    /// instance. A guest that [starts anew](OnTrap::Restart) keeps its listeners in any case.
    pub fn keep_listeners(mut self, keeps: bool) -> Self {
        self.service.held = if keeps { Holding::Always } else { Holding::Nothing };
        self
    }

    /// How long an instance that serves may leave a held socket unclaimed, 10 s unless this is
    /// called. Then the service closes it, those who wait there see a reset, and
    /// [`Event::Unclaimed`](crate::Event::Unclaimed) says so. It is counted from the first
    /// socket that the instance listens or receives at, or from when it is
    /// [ready](super::Handle::ready).
    pub fn unclaimed_timeout(mut self, time: Duration) -> Self {
        self.service.unclaimed_timeout = time;
        self
    }

    /// See [`ServiceBuilder::drain_idle`](super::ServiceBuilder::drain_idle).
    pub(super) fn drain_idle(mut self, time: Duration) -> Self {
        self.service.limits.drain_idle = Some(time);
        self
    }

    /// Lets file operations stop the thread that runs the guest, which is faster.
    /// For embedders that give a guest a thread of its own.
    pub fn blocks_on_files(mut self, blocks: bool) -> Self {
        self.settings.blocks_on_files = blocks;
        self
    }

    /// What becomes of the guest when a [handler of events](super::deliver_events)
    /// traps. [`Guest::run`](super::Guest::run) does as it says.
    pub fn on_trap(mut self, on_trap: OnTrap) -> Self {
        self.on_trap = on_trap;
        self
    }

    /// Ignores `signal` as long as the guest does not handle it, as a shell's `nohup`
    /// does. WASIX's C library asks for it at the start, and keeps it ignored until the
    /// program changes that.
    pub fn ignore_signal(mut self, signal: Signal) -> Self {
        if !self.settings.ignored_signals.contains(&signal) {
            self.settings.ignored_signals.push(signal);
        }
        self
    }

    /// Sets the observer of events.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.service.observer = Some(Arc::new(observer));
        self
    }

    /// Calls `sink` with a line for every call of the guest, on the thread that runs it:
    ///
    /// ```
    /// use wasock::WasockCtx;
    /// use wasock::observe::TraceLine;
    ///
    /// let builder = WasockCtx::builder().trace(|line: &TraceLine<'_>| eprintln!("{line}"));
    /// ```
    pub fn trace(mut self, sink: impl Fn(&TraceLine<'_>) + Send + Sync + 'static) -> Self {
        self.trace = Some(Arc::new(sink));
        self
    }

    /// The guest's idea of the time of day.
    pub fn wall_clock(mut self, clock: impl HostWallClock + 'static) -> Self {
        self.settings.wall_clock = Mutex::new(Box::new(clock));
        self
    }

    /// The guest's idea of time passing. By default it is the host's uptime.
    pub fn monotonic_clock(mut self, clock: impl HostMonotonicClock + 'static) -> Self {
        self.settings.monotonic_clock = Mutex::new(Box::new(clock));
        self
    }

    /// Where the guest's randomness comes from.
    pub fn random(mut self, random: impl Rng + Send + 'static) -> Self {
        self.settings.random = Mutex::new(Box::new(random));
        self
    }

    /// The context of a program of this `module`, [adapted](WasockCtx::adapt_to) to what the module
    /// was built for.
    ///
    /// ```
    /// use wasmtime::{Engine, Module, Store};
    /// use wasock::WasockCtx;
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, "(module)")?;
    /// let ctx = WasockCtx::builder().listen(&"127.0.0.1:8080".parse()?).build_for(&module)?;
    /// let store = Store::new(&engine, ctx);
    /// # Ok(())
    /// # }
    /// # example().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub fn build_for(self, module: &Module) -> Result<WasockCtx, BuildError> {
        let mut ctx = self.build_for_any_module()?;
        ctx.adapt_to(module);
        Ok(ctx)
    }

    /// The context of a program whose module is not known yet. [`Guest::run`](super::Guest::run)
    /// adapts it to its own. In a store with instances of several modules it is for
    /// [`WasockCtx::adapt_to`]; a program of WASIX is not served as it expects without.
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub fn build_for_any_module(self) -> Result<WasockCtx, BuildError> {
        let template = self.template(false)?;
        template.context(template.service.next_generation()).map_err(BuildError::of)
    }

    /// For instances that serve one connection each, of which nothing else may say that it is there.
    ///
    /// # Errors
    ///
    /// [`BuildError::SocketsPerConnection`].
    pub(super) fn for_connections(mut self) -> Result<Self, BuildError> {
        if !self.settings.inherited_sockets.names().is_empty() {
            return Err(BuildError::SocketsPerConnection);
        }
        self.settings.environment.retain(|assignment| !is_variable(assignment));
        Ok(self)
    }

    /// What contexts are made of, with a service that has no instance yet. Are the preopened sockets
    /// there for more than one instance?
    pub(super) fn template(mut self, has_many: bool) -> Result<Template, BuildError> {
        let is_restarted = self.on_trap == OnTrap::Restart;
        let mut inherited_sockets = std::mem::take(&mut self.inherited_sockets);
        inherited_sockets.are_kept = has_many || is_restarted;
        inherited_sockets.outlive_instances = has_many;
        // A listener that is held back is one that is held.
        let has_rate = !self.service.accept_rates.is_unlimited();
        if (is_restarted || has_rate) && self.service.held == Holding::Nothing {
            self.service.held = Holding::WhileRunning;
        }
        let adoptable = std::mem::take(&mut self.adoptable);
        let adoptable = adoptable.into_held(&self.settings.directories).map_err(BuildError::Socket)?;
        preopened::grant_adoptable(&mut self.service, &adoptable);
        let preopened = if has_rate || (has_many && self.service.held == Holding::Always) {
            inherited_sockets.listeners_to_hold(&self.settings.directories).map_err(BuildError::Socket)?
        } else {
            Vec::new()
        };
        let limits = self.connection_limits;
        self.template_with(Arc::new(inherited_sockets), |mut config| {
            // Those of a service may change while it runs.
            config.connection_limiter = match has_many {
                true => Some(ConnectionLimiter::changeable(limits)),
                false => ConnectionLimiter::new(limits),
            };
            let service = ServiceState::new(config);
            for (made, is_shared) in adoptable {
                service.inherit(made, is_shared);
            }
            for (made, is_shared) in preopened {
                service.inherit_preopened(made, is_shared);
            }
            service
        })
    }

    /// The same for the next generation of the service of `before`. The sockets that were given to
    /// that, and its observer, stay.
    pub(super) fn template_after(mut self, before: &Template) -> Result<Template, BuildError> {
        let limits = self.connection_limits;
        // The service's own.
        self.service.limits.drain_idle = before.service.limits().drain_idle;
        let inherited_sockets = Arc::clone(&before.settings.inherited_sockets);
        self.template_with(inherited_sockets, |config| before.service.with_settings(config, limits))
    }

    fn template_with(
        self,
        inherited_sockets: Arc<InheritedSockets>,
        service: impl FnOnce(ServiceConfig) -> Arc<ServiceState>,
    ) -> Result<Template, BuildError> {
        let Self { service: config, mut settings, on_trap, trace, make_limiter, .. } = self;
        settings.inherited_sockets = inherited_sockets;
        preopened::describe(&mut settings);
        for string in settings.arguments.iter().chain(&settings.environment) {
            if string.contains('\0') {
                return Err(BuildError::NulInString(string.clone()));
            }
        }
        let own = |output: HostOutput| Arc::new(Output::new(&output.stops(settings.blocks_on_files)));
        if self.inherits_stdout {
            settings.stdout = own(HostOutput::stdout());
        }
        if self.inherits_stderr {
            settings.stderr = own(HostOutput::stderr());
        }
        let service = service(config);
        Ok(Template { service, settings: Arc::new(settings), trace, on_trap, make_limiter })
    }
}

/// The kernel's own limit, which it applies to every listener anyway.
fn kernel_max_backlog() -> u32 {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(DEFAULT_MAX_BACKLOG)
}
