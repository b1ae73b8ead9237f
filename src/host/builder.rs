//! What an embedder chooses for a guest.

mod build;
mod error;
mod grants;
mod limits;
mod preopened;
mod program;

pub use error::BuildError;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;

use super::limiter::MakeLimiter;
use super::uptime::Uptime;
use super::wall_clock::SystemClock;
use super::{OnTrap, WasockCtx};
use crate::io::can_drive;
use crate::observe::{Observer, TraceLine, TraceSink};
use crate::policy::Grant;
use crate::process::{Executables, InheritedSockets, Input, Output, Settings};
use crate::service::{Holding, Limits, ServiceConfig};
use crate::socket::AcceptRates;
use crate::socket::listen::{ConnectionLimits, ListenProfile};

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
                working_directory: "/".to_owned(),
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
}

/// The kernel's own limit, which it applies to every listener anyway.
fn kernel_max_backlog() -> u32 {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(DEFAULT_MAX_BACKLOG)
}
