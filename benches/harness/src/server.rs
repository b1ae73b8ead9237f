//! The servers: each program as a guest and as its native twin.

use super::build::Built;
use super::process::{Process, child};
use super::workload::Module;
use anyhow::Result;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Guest,
    Twin,
}

/// The order of every round.
pub(super) const SIDES: [Side; 2] = [Side::Guest, Side::Twin];

/// A program, and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Service {
    program: &'static str,
    /// What stands behind the address.
    arguments: Vec<String>,
    /// Arguments of the host that the native twin does not get.
    flags: Vec<String>,
    listens: Listens,
}

/// Who listens, and what stands beside the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listens {
    /// The program, as natively.
    Program,
    /// The host, with an instance for each connection; beside it a native server that executes the program for each.
    Host,
    /// The host; beside it the same host with one instance that serves all.
    HostBesideOne,
    /// The program with the calls of another dialect; beside it the same with those of WASIX.
    ProgramIn(&'static str),
    /// The program as a component.
    Component(Beside),
    /// One of WASI 0.3 that does what the program does.
    AsyncComponent(Beside),
}

/// What stands beside a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// The native twin.
    Native,
    /// The same program as a module, with the calls of WASIX.
    Module,
    /// The same component, run as Wasmtime's command does.
    Wasmtime,
    /// The same component in an engine that has the async functions of the component model; both hosts are
    /// `benches/component.rs`, so that nothing else differs.
    Async,
}

impl Service {
    fn new(program: &'static str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { program, arguments, flags: Vec::new(), listens: Listens::Program }
    }

    /// HTTP on one thread, which waits by poll or epoll.
    pub(super) fn http(way: &str) -> Self {
        Self::new("http_server", &[way])
    }

    /// HTTP by poll with the calls of this dialect, beside those of WASIX.
    pub(super) fn http_in(dialect: &'static str) -> Self {
        Self { listens: Listens::ProgramIn(dialect), ..Self::http("poll") }
    }

    /// HTTP by poll as a component of WASI 0.2.
    pub(super) fn component(beside: Beside) -> Self {
        Self { listens: Listens::Component(beside), ..Self::http("poll") }
    }

    /// HTTP by a component of WASI 0.3, beside the native server that waits by poll, or Wasmtime's own run.
    pub(super) fn async_component(beside: Beside) -> Self {
        Self { listens: Listens::AsyncComponent(beside), ..Self::http("poll") }
    }

    /// `echo`, `sink` or `source`.
    pub(super) fn stream(service: &str) -> Self {
        Self::new("stream_server", &[service])
    }

    /// HTTP by many threads.
    pub(super) fn threaded(way: &str, threads: u32) -> Self {
        Self::new("threaded_http", &[way, &threads.to_string()])
    }

    /// An instance for each connection, beside a native server that forks and executes.
    pub(super) fn per_connection() -> Self {
        Self { listens: Listens::Host, ..Self::new("one_request", &[]) }
    }

    /// An instance for each connection, beside one instance that serves all.
    pub(super) fn per_connection_beside_one() -> Self {
        Self { listens: Listens::HostBesideOne, ..Self::new("one_request", &[]) }
    }

    pub(super) fn with_profile(mut self, profile: &str) -> Self {
        self.flags.extend(["--listen-profile".to_owned(), profile.to_owned()]);
        self
    }

    /// Lets the guest have so many descriptors, where the host's default is too low.
    pub(super) fn with_descriptors(mut self, count: usize) -> Self {
        /// What the host lets a guest have.
        const DEFAULT: usize = 1024;
        if count > DEFAULT {
            self.flags.extend(["--max-fds".to_owned(), count.to_string()]);
        }
        self
    }

    pub(super) fn with_argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    pub(super) fn with_flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// The program and its arguments, which listens at `address`.
    pub(super) fn command(
        &self,
        built: &Built,
        side: Side,
        module: Module,
        address: SocketAddr,
    ) -> Invocation {
        match (self.listens, side) {
            (Listens::Component(Beside::Wasmtime), Side::Twin) => {
                return component_by(built, "wasmtime", &built.component, address);
            }
            (Listens::AsyncComponent(Beside::Wasmtime), Side::Twin) => {
                return component_by(built, "wasmtime", &built.async_component, address);
            }
            (Listens::Component(Beside::Async), Side::Guest) => {
                return component_by(built, "wasock", &built.component, address);
            }
            (Listens::Component(Beside::Async), Side::Twin) => {
                return component_by(built, "wasock-with-async", &built.component, address);
            }
            (
                Listens::HostBesideOne | Listens::ProgramIn(_) | Listens::Component(Beside::Module),
                Side::Twin,
            ) => {
                return Self::http("poll").command(built, Side::Guest, module, address);
            }
            (Listens::Host | Listens::HostBesideOne, Side::Guest) => {
                let mut arguments =
                    vec!["run".to_owned(), "--per-connection".to_owned(), address.to_string()];
                arguments.extend(self.flags.iter().cloned());
                arguments.push(built.module(self.program, module).display().to_string());
                return Invocation::new(built.wasock.clone(), arguments, built);
            }
            _ => {}
        }
        let mut arguments = Vec::new();
        let program = match side {
            Side::Guest => {
                arguments.extend(["run".to_owned(), "--listen".to_owned(), address.to_string()]);
                arguments.extend(self.flags.iter().cloned());
                let module = match self.listens {
                    Listens::ProgramIn(dialect) => built.module_in(self.program, dialect),
                    Listens::Component(_) => built.component.clone(),
                    Listens::AsyncComponent(_) => built.async_component.clone(),
                    _ => built.module(self.program, module),
                };
                arguments.push(module.display().to_string());
                built.wasock.clone()
            }
            Side::Twin => built.twin(self.program),
        };
        arguments.push(address.to_string());
        arguments.extend(self.arguments.iter().cloned());
        Invocation::new(program, arguments, built)
    }

    /// Starts it, and waits until it listens at `address`.
    pub(super) fn start(&self, built: &Built, side: Side, address: SocketAddr) -> Result<Process> {
        self.command(built, side, Module::Small, address).start(built, address)
    }
}

/// `component`, which serves HTTP, run by one of the hosts of `benches/component.rs`.
pub(super) fn component_by(built: &Built, host: &str, component: &Path, address: SocketAddr) -> Invocation {
    let component = component.display().to_string();
    let arguments = vec![host.to_owned(), component, address.to_string(), "poll".to_owned()];
    Invocation::new(built.component_host.clone(), arguments, built)
}

/// A program with its arguments.
pub(super) struct Invocation {
    program: PathBuf,
    arguments: Vec<String>,
    cache: PathBuf,
}

impl Invocation {
    pub(super) fn new(program: PathBuf, arguments: Vec<String>, built: &Built) -> Self {
        Self { program, arguments, cache: built.cache.clone() }
    }

    /// Starts it, and waits until it listens at `address`.
    pub(super) fn start(&self, built: &Built, address: SocketAddr) -> Result<Process> {
        let mut server = Process::start(self.as_child()?, &built.folder.log("server"))?;
        server.wait_until_it_listens(address)?;
        Ok(server)
    }

    /// As a child that ends with this process.
    pub(super) fn as_child(&self) -> Result<Command> {
        Ok(self.complete(child(&self.program)?))
    }

    /// As it is: for a start that is measured.
    pub(super) fn as_it_is(&self) -> Command {
        self.complete(Command::new(&self.program))
    }

    /// At the end of `command`, which starts it.
    pub(super) fn below(&self, mut command: Command) -> Command {
        command.arg(&self.program);
        self.complete(command)
    }

    fn complete(&self, mut command: Command) -> Command {
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        // A cache of its own: what other versions left there is not looked through. The
        // names of a peer are its own.
        for name in ["XDG_CACHE_HOME", "WASMER_DIR", "WASMER_CACHE_DIR"] {
            command.env(name, &self.cache);
        }
        command
    }

    /// As one would type it, without the folders of this machine.
    pub(super) fn text(&self) -> String {
        let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let mut words = vec![name(&self.program.display().to_string())];
        words.extend(
            self.arguments.iter().map(|word| if word.starts_with('/') { name(word) } else { word.clone() }),
        );
        words.join(" ")
    }
}
