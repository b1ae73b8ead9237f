//! What a program finds at its start besides sockets: arguments, variables, standard streams, clocks, ignored signals.

use std::sync::{Arc, Mutex};

use wasmtime_wasi::cli::{StdinStream, StdoutStream};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, Rng};

use super::WasockCtxBuilder;
use crate::process::{HostStdin, Input, Output, Signal};

/// The variables that describe a program's inherited sockets: how many, their names, and for which
/// process. "sd_listen_fds(3)"
pub(super) const SOCKET_VARIABLES: [&str; 3] = ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"];

/// The variables by which a program tells its service manager how it is. "sd_notify(3)", "sd_watchdog_enabled(3)"
const MANAGER_VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

impl WasockCtxBuilder {
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

    /// Where the guest begins, instead of at `/`: a path of its own, absolute, which names a directory that it was
    /// granted or one below it. It is what `getcwd` says, and what a component is told; where it leads is looked up
    /// at each use. Programs of preview 1 have no working directory but the one that their C library makes up.
    pub fn working_directory(mut self, path: &str) -> Self {
        self.settings.working_directory = path.to_owned();
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

    /// Ignores `signal` as long as the guest does not handle it, as a shell's `nohup`
    /// does. WASIX's C library asks for it at the start, and keeps it ignored until the
    /// program changes that.
    pub fn ignore_signal(mut self, signal: Signal) -> Self {
        if !self.settings.ignored_signals.contains(&signal) {
            self.settings.ignored_signals.push(signal);
        }
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
}
