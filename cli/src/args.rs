//! What an operator may say.

mod admin;
mod connections;
mod ctl;
mod grants;
mod processes;
mod service;
mod sockets;

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args as ClapArgs, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use wasock::{Compile, ConnectionAs, ListenProfile, OnTrap, ReloadMode, Restart};

pub(crate) use admin::AdminArgs;
pub(crate) use connections::ConnectionArgs;
pub(crate) use ctl::{CtlArgs, CtlFormat, CtlOrder, LimitsChange};
pub(crate) use grants::GrantArgs;
pub(crate) use processes::{Orphans, ProcessArgs};
pub(crate) use service::ServiceArgs;
pub(crate) use sockets::{NamedSocket, SocketArgs, SocketSource};

use crate::check::Wish;
use crate::contained::{Compiler, Terms};
use crate::duration::parse_duration;
use crate::env_file::{self, Variables};
use crate::log::LogFormat;

/// The socket host for WebAssembly servers on Wasmtime.
#[derive(Debug, Parser)]
#[command(name = "wasock", version, about, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Reads a whole command line: a part of one may have a flag without the one that it needs.
    pub(crate) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(words)?.complete()
    }

    /// As it is, unless a flag lacks the one that it needs.
    pub(crate) fn complete(self) -> Result<Self, clap::Error> {
        let Command::Run(run) = &self.command else { return Ok(self) };
        let missing = |text| Err(Self::command().error(ErrorKind::MissingRequiredArgument, text));
        if let Some(why) = run.admin.without_effect() {
            return missing(why.to_owned());
        }
        if run.admin.idle_exit.is_some() && !run.sockets.adopt && !run.sockets.listen_fds {
            return missing(IDLE_EXIT.to_owned());
        }
        let first_counts = run.connections.is_asked();
        if let Some(flag) = run.service.without_reload(first_counts).filter(|_| run.admin.admin.is_none()) {
            return missing(format!("{flag} has no effect without --reload-signal, --watch or --admin"));
        }
        if let Some(flag) = run.connections.without_listener() {
            return missing(format!("{flag} has no effect without --per-connection"));
        }
        if let Some(why) = run.connections.is_asked().then(|| run.against_connections()).flatten() {
            return Err(Self::command().error(ErrorKind::ArgumentConflict, why));
        }
        Ok(self)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a server module
    Run(Box<RunArgs>),
    /// Say which dialect a module speaks, and which of its imports this host has
    Inspect(InspectArgs),
    /// Ask a running service how it stands, and tell it what to do
    Ctl(CtlArgs),
    /// Say what a configuration file grants, and which line decides. Starts nothing
    Check(CheckArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page of the command, or of one of its subcommands
    Man {
        /// The subcommand: run, inspect, check, ctl
        command: Option<String>,
    },
}

/// What --idle-exit lacks.
const IDLE_EXIT: &str = "--idle-exit needs --adopt or --listen-fds: else nobody would start the host again";

const RUN_HELP: &str = "\
Nothing is granted by default. Each grant is a flag of its own and may be repeated.
An ADDR is a host and a port: the host is an IP address, a network (10.0.0.0/8), an IPv6
address in brackets ([::1]), or * for any; the port is a number, a range (8000-8099), or *.
Or it is unix:PATH, with a path of the guest inside one of its directories: unix:/run/app.sock,
unix:/run/* for any name in /run, or unix:* for any path. Where a socket listens,
localhost:8080 is the loopback address of both families, and :8080 or 8080 is any address.

Example: wasock run --listen 127.0.0.1:8080 server.wasm

SIGINT, SIGTERM and SIGHUP go to a guest that handles signals, and end any other. A second
SIGINT or SIGTERM within five seconds ends the guest in any case. With --drain-timeout the first
one ends a service gracefully, and the second one at once.

Exit code: the guest's own; 128 + n after signal n (129, 130 and 143 after SIGHUP, SIGINT and
SIGTERM); 134 after a trap; 124 after --timeout; 152 after --max-cpu-time; 2 for wrong arguments;
70 where a part of the host failed; 1 for any other error.";

// Headings of the help.
pub(crate) const NETWORK: &str = "Network";
pub(crate) const FILES: &str = "Files and environment";
pub(crate) const LIMITS: &str = "Limits";
const RUNNING: &str = "Running";

#[derive(Debug, ClapArgs)]
#[command(after_help = RUN_HELP)]
pub(crate) struct RunArgs {
    #[command(flatten, next_help_heading = NETWORK)]
    pub(crate) grants: GrantArgs,

    #[command(flatten, next_help_heading = "Sockets that the guest has from its start on")]
    pub(crate) sockets: SocketArgs,

    #[command(flatten, next_help_heading = "Service")]
    pub(crate) service: ServiceArgs,

    #[command(flatten, next_help_heading = "An instance for each connection")]
    pub(crate) connections: ConnectionArgs,

    #[command(flatten, next_help_heading = "Operators")]
    pub(crate) admin: AdminArgs,

    #[command(flatten, next_help_heading = "Other programs")]
    pub(crate) processes: ProcessArgs,

    /// Give the guest a directory, under its own or another name
    #[arg(long, value_name = "HOST[::GUEST]", value_parser = parse_directory, help_heading = FILES)]
    pub(crate) dir: Vec<DirectoryArg>,

    /// Give the guest a directory that it can't change
    #[arg(long, value_name = "HOST[::GUEST]", value_parser = parse_directory, help_heading = FILES)]
    pub(crate) dir_ro: Vec<DirectoryArg>,

    /// Where the guest begins, as it sees it: a directory that it was given, or one below [default: /]
    #[arg(long, value_name = "DIR", value_parser = parse_guest_directory, help_heading = FILES)]
    pub(crate) cwd: Option<String>,

    /// Remove the names of the guest's Unix sockets when they close [default: they are kept]
    #[arg(long, help_heading = FILES)]
    pub(crate) unix_unlink: bool,

    /// Set a variable of the guest's environment
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable, help_heading = FILES)]
    pub(crate) env: Vec<(String, String)>,

    /// Set the variables of a file: one NAME=VALUE a line. --env comes after them
    #[arg(long, value_name = "FILE", value_parser = env_file::read, help_heading = FILES)]
    pub(crate) env_file: Vec<Variables>,

    /// Give the guest this process's whole environment
    #[arg(long, help_heading = FILES)]
    pub(crate) inherit_env: bool,

    /// How many descriptors may be open at once, 1048576 at most
    #[arg(long, value_name = "N", default_value_t = 1024, help_heading = LIMITS, value_parser = clap::value_parser!(u32).range(..=1_048_576))]
    pub(crate) max_fds: u32,

    /// Refuse a module that needs threads, and turn off what WebAssembly has for them: Wasmtime
    /// gives it no security fixes in older releases
    #[arg(long, help_heading = LIMITS)]
    pub(crate) no_threads: bool,

    /// How many threads may run at once, the first one included
    #[arg(long, value_name = "N", default_value_t = 1024, help_heading = LIMITS, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_threads: u32,

    /// How much memory the guest may have: its memories and tables, those of all its threads. They
    /// grow no further. Bytes, or with K, M, G or T
    #[arg(long, value_name = "BYTES", default_value = "4G", value_parser = parse_memory, help_heading = LIMITS)]
    pub(crate) max_memory: u64,

    /// How much stack each thread of the guest may use; one that needs more traps. Bytes, or with K
    /// or M, from 64K to 1G
    #[arg(long, value_name = "BYTES", default_value = "512K", value_parser = parse_stack, help_heading = LIMITS)]
    pub(crate) max_stack: u32,

    /// How much memory the host may hold for the guest: descriptors, epoll entries, lists of
    /// polls, pipes, threads. Calls that need more fail
    #[arg(long, value_name = "BYTES", default_value = "256M", value_parser = parse_memory, help_heading = LIMITS)]
    pub(crate) max_host_memory: u64,

    /// How many accepted connections may be open at once. One more waits: accept is EMFILE
    /// until one is closed [default: as many as there are descriptors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = LIMITS)]
    pub(crate) max_connections: Option<u32>,

    /// How many at each listener
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = LIMITS)]
    pub(crate) max_connections_per_listener: Option<u32>,

    /// How many from each peer: an IPv4 address, or a /64 of IPv6. One more is reset
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = LIMITS)]
    pub(crate) max_connections_per_peer: Option<u32>,

    /// How long nothing may go through an accepted connection, in neither direction, before it is
    /// reset. A number with its unit: 500ms, 10s, 2m [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = LIMITS)]
    pub(crate) idle_timeout: Option<Duration>,

    /// How many connections may come in a second at each listener; one more waits in the
    /// queue. A number: 100 or 100/s [default: as many as come]
    #[arg(long, value_name = "N/s", value_parser = parse_rate, help_heading = LIMITS)]
    pub(crate) accept_rate: Option<u32>,

    /// How many from each peer; those of others pass meanwhile
    #[arg(long, value_name = "N/s", value_parser = parse_rate, help_heading = LIMITS)]
    pub(crate) accept_rate_per_peer: Option<u32>,

    /// How large a buffer of a socket may be, for sending and for receiving, as the kernel counts
    /// it: bytes, or with K or M [default: as the kernel allows]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, help_heading = LIMITS)]
    pub(crate) max_socket_buffer: Option<u32>,

    /// How long the guest may run, or each instance under --restart; then it ends with code 124. A number with its unit: 500ms, 10s,
    /// 2m, 1h30m [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = LIMITS)]
    pub(crate) timeout: Option<Duration>,

    /// How much processor time the guest may use, or each instance under --restart, all its threads
    /// together; then it ends with code 152 [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = LIMITS)]
    pub(crate) max_cpu_time: Option<Duration>,

    /// How long one handler of events (wasock_on_accept and the like) may run; then that is a trap in
    /// it, with what --on-trap says [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = LIMITS)]
    pub(crate) handler_timeout: Option<Duration>,

    /// What listen means to the guest: wasix, posix, winsock, bsd or linux
    #[arg(long, value_name = "NAME", default_value_t, help_heading = RUNNING)]
    pub(crate) listen_profile: ListenProfile,

    /// Leave TCP_NODELAY off for the sockets of a component, which has no option for it; it is on otherwise, for its C
    /// library says that it is. Of no effect on a module, which sets it itself
    #[arg(long, help_heading = NETWORK)]
    pub(crate) no_tcp_nodelay: bool,

    /// The largest backlog that counts; a larger one is cut down silently [default: the
    /// kernel's limit]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(crate) max_backlog: Option<u32>,

    /// After a trap in a handler of events (wasock_on_accept and the like): stop the guest, or
    /// restart it as from its start. With --restart any trap ends the instance
    #[arg(long, value_name = "stop|restart", default_value_t, help_heading = RUNNING)]
    pub(crate) on_trap: OnTrap,

    /// Read the flags from a file in TOML, each as a key: listen = ["127.0.0.1:8080"]. A flag
    /// that is given besides takes the place of its key; those that deny add up
    #[arg(long, value_name = "FILE", help_heading = RUNNING)]
    pub(crate) config: Option<PathBuf>,

    /// How to say what happens: as lines to read, or as a JSON object a line
    #[arg(long, value_enum, value_name = "text|json", default_value_t, hide_possible_values = true, help_heading = RUNNING)]
    pub(crate) log_format: LogFormat,

    /// Print a line for every call of the guest
    #[arg(long, help_heading = RUNNING)]
    pub(crate) trace: bool,

    /// Say more of what the host does; twice for much more
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = RUNNING)]
    pub(crate) verbose: u8,

    /// Raise no second wall: by itself this process has the kernel keep it to the files and the TCP
    /// ports that the flags name (Landlock), where the kernel can
    #[arg(long, help_heading = RUNNING)]
    pub(crate) no_landlock: bool,

    /// Write what the guest uses of what is granted to this file, as keys of --config: the smallest
    /// policy that the run needed. It grants nothing
    #[arg(long, value_name = "FILE", help_heading = RUNNING)]
    pub(crate) learn: Option<PathBuf>,

    /// Keep what was compiled below this directory instead of ~/.cache/wasock, for the next start. Only this user may
    /// be able to write there
    #[arg(long, value_name = "DIR", help_heading = RUNNING)]
    pub(crate) cache: Option<PathBuf>,

    /// Compile the module anew, and do not keep the result
    #[arg(long, help_heading = RUNNING, conflicts_with = "cache")]
    pub(crate) no_cache: bool,

    /// What the program has decided that makes the run, where that is not the command.
    #[arg(skip)]
    pub(crate) terms: Option<Terms>,

    /// The module (.wasm or .wat), and the guest's arguments
    #[arg(required_unless_present = "config", trailing_var_arg = true, help_heading = "Program", value_names = ["MODULE", "ARGS"], num_args = 1..)]
    pub(crate) command: Vec<String>,
}

impl RunArgs {
    /// The module, as it was named.
    pub(crate) fn module(&self) -> &str {
        self.command.first().map(String::as_str).unwrap_or_default()
    }

    /// Those of a run of `bytes` by default, with `compiler`; `name` is for messages.
    ///
    /// # Errors
    ///
    /// None but for mistakes of the flags here.
    pub(crate) fn for_image(name: &str, bytes: &[u8], compiler: Compiler) -> Result<Self, clap::Error> {
        let words = ["wasock", "run", "--no-cache", "--", name].into_iter().map(OsString::from);
        let Command::Run(run) = Args::read(words)?.command else {
            return Err(Args::command().error(ErrorKind::InvalidSubcommand, "run"));
        };
        let terms = Terms { image: Some(bytes.into()), compiler: Some(compiler), ..Terms::default() };
        Ok(Self { terms: Some(terms), ..*run })
    }

    /// What compiles, where that is not the command's cache.
    pub(crate) fn compiler(&self) -> Option<Arc<dyn Compile>> {
        self.terms.as_ref()?.compiler.as_ref().map(|compiler| Arc::clone(&compiler.0))
    }

    /// The bytes of a module that is in no file.
    pub(crate) fn image(&self) -> Option<&[u8]> {
        self.terms.as_ref()?.image.as_deref()
    }

    /// Why something that is asked for does not go with an instance for each connection.
    fn against_connections(&self) -> Option<String> {
        let sockets = &self.sockets;
        let has_sockets = [&sockets.preopen_listen, &sockets.preopen_connect, &sockets.preopen_udp]
            .iter()
            .any(|sockets| !sockets.is_empty());
        [
            (
                self.service.restart != Restart::Never,
                "--restart: an instance for a connection (--per-connection) ends with it, and none follows",
            ),
            (
                self.service.reload_mode == ReloadMode::Sequential,
                "--reload-mode sequential: instances for connections (--per-connection) run side by side in \
                 any case",
            ),
            (
                self.service.drain_signal.is_some(),
                "--drain-signal: an instance for a connection (--per-connection) is told nothing, and may \
                 end by itself within --drain-timeout",
            ),
            (
                self.on_trap == OnTrap::Restart,
                "--on-trap restart: a trap of an instance for a connection (--per-connection) ends that",
            ),
            (
                self.connections.warm && self.connections.per_connection_as != ConnectionAs::Event,
                "--warm needs --per-connection-as event: a copy of a module whose start has returned gets its \
                 connection by an event",
            ),
            (
                has_sockets || sockets.listen_fds,
                "--preopen-... and --listen-fds: an instance for a connection (--per-connection) is given \
                 that one alone",
            ),
        ]
        .into_iter()
        .find_map(|(is_given, why)| is_given.then(|| why.to_owned()))
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InspectArgs {
    /// How to say it: as lines to read, or as JSON
    #[arg(long, value_enum, value_name = "text|json", default_value_t, hide_possible_values = true)]
    pub(crate) format: InspectFormat,

    /// The module: .wasm or .wat
    pub(crate) module: PathBuf,
}

#[derive(Debug, ClapArgs)]
// By itself the line has the file in brackets, as what may be left out.
#[command(override_usage = "wasock check [OPTIONS] <CONFIG>")]
pub(crate) struct CheckArgs {
    /// Ask whether the file grants this: 'connect 10.0.0.1:443', 'listen unix:/run/app.sock',
    /// 'resolve example.com'. The exit code is 1 if it does not
    #[arg(long, value_name = "USE")]
    pub(crate) explain: Vec<Wish>,

    /// The file, as for `wasock run --config`
    #[arg(required_unless_present = "named")]
    config: Option<PathBuf>,

    /// The same, in the words of `wasock run`
    #[arg(long = "config", value_name = "FILE", conflicts_with = "config")]
    named: Option<PathBuf>,
}

impl CheckArgs {
    /// The file, however it was named.
    pub(crate) fn file(&self) -> &Path {
        self.config.as_deref().or(self.named.as_deref()).unwrap_or(Path::new(""))
    }
}

/// What `wasock inspect` prints.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum InspectFormat {
    #[default]
    Text,
    Json,
}

/// A directory of the host, and what the guest calls it.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryArg {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
}

impl std::str::FromStr for DirectoryArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_directory(text)
    }
}

fn parse_directory(text: &str) -> Result<DirectoryArg, String> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("expected HOST or HOST::GUEST, as in ./site::/srv".to_owned());
    }
    Ok(DirectoryArg { host: host.into(), guest: guest.to_owned() })
}

fn parse_guest_directory(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    Err("expected a whole path, as the guest sees it: /srv".to_owned())
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn parse_memory(text: &str) -> Result<u64, String> {
    let units = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];
    let of_unit = |(letter, shift): (char, u32)| {
        Some((text.strip_suffix([letter, letter.to_ascii_lowercase()])?, shift))
    };
    let (digits, shift) = units.into_iter().find_map(of_unit).unwrap_or((text, 0));
    let bytes = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(1 << shift));
    bytes.ok_or_else(|| "expected a number of bytes, as in 268435456, 256M or 4G".to_owned())
}

fn parse_rate(text: &str) -> Result<u32, String> {
    let rate = text.strip_suffix("/s").unwrap_or(text).parse().ok().filter(|rate| *rate > 0);
    rate.ok_or_else(|| "expected a number of connections in a second, as in 100 or 100/s".to_owned())
}

/// Less is not enough for a program's start; more than this is no stack but a mistake.
const STACKS: RangeInclusive<u64> = 64 << 10..=1 << 30;

fn parse_stack(text: &str) -> Result<u32, String> {
    let bytes = parse_memory(text)?;
    let fits = STACKS.contains(&bytes).then(|| u32::try_from(bytes).ok()).flatten();
    fits.ok_or_else(|| "expected a number of bytes from 64K to 1G".to_owned())
}

/// The least that the kernel gives a socket is about this.
const SMALLEST_BUFFER: u32 = 4608;

fn parse_bytes(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1 << 10),
        None => text.strip_suffix(['M', 'm']).map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    let bytes = digits.parse::<u32>().ok().and_then(|count| count.checked_mul(unit));
    bytes.filter(|bytes| *bytes >= SMALLEST_BUFFER).ok_or_else(|| {
        format!("expected a number of bytes, {SMALLEST_BUFFER} at least, as in 65536, 64K or 1M")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!(["65536", "64K", "64k", "2M"].map(parse_bytes), [65536, 65536, 65536, 2 << 20].map(Ok));
        for wrong in ["", "K", "64KB", "-1", "1.5M", "4607", "4K", "5000M", "64G"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rate_is_a_number_a_second() {
        assert_eq!(["1", "100/s"].map(parse_rate), [1, 100].map(Ok));
        for wrong in ["0", "", "/s", "10/m", "-1", "1.5/s"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn memory_has_units_up_to_t() {
        let read = ["0", "65536", "64K", "64k", "16M", "4G", "2t"].map(parse_memory);
        assert_eq!(read, [0, 65536, 65536, 65536, 16 << 20, 4 << 30, 2 << 40].map(Ok));
        for wrong in ["", "K", "4GB", "4KK", "-1", "1.5G", "18446744073709551616", "99999999999T"] {
            assert!(parse_memory(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_follows_the_module_is_the_guests() -> Result<(), clap::Error> {
        let args = Args::try_parse_from(["wasock", "run", "--trace", "m.wasm", "--listen", "-x"])?;
        let Command::Run(run) = args.command else {
            return Err(clap::Error::new(ErrorKind::Io));
        };
        assert!(run.trace && run.grants.listen.is_empty());
        assert_eq!(run.command, ["m.wasm", "--listen", "-x"]);
        Ok(())
    }
}
