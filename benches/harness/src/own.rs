//! `cargo xtask bench --own FILE`: servers that are no part of this repository, each compiled as a guest and natively.
//!
//! The file lists them with their clients. One run is of one server in a new process, with a processor of its own, and the
//! client on another.

use super::build::{Folder, wasock};
use super::client::{Client, Reading, Values, reading_of};
use super::goal::Goal;
use super::machine;
use super::measure::rows;
use super::options::Options;
use super::process::{Process, child, free_address};
use super::report::Report;
use super::run::{Run, apart, drive_by};
use super::server::Side;
use super::workload::measure;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;
use xtask::workspace::{succeed, target_dir, workspace_dir};

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Servers {
    server: Vec<Server>,
}

/// A server, and what is asked of it. In each word `{port}` and `{address}` stand for where it listens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    name: String,
    /// What stands behind `wasock run --listen ADDRESS`: other flags, the module, its arguments.
    guest: Vec<String>,
    native: Vec<String>,
    client: Vec<String>,
    /// How many requests the client makes, where it is neither `wrk` nor `ab`, which say it.
    requests: Option<u32>,
    /// A command to run before each start, as one that writes the port into a configuration.
    #[serde(default)]
    prepare: Vec<String>,
    /// The least rate of the guest, by that of the native program.
    goal: Option<f64>,
}

/// The names of the servers in the file.
///
/// # Errors
///
/// Where it cannot be read, or says something else.
pub(super) fn names(file: &Path) -> Result<Vec<String>> {
    Ok(read(file)?.into_iter().map(|server| server.name).collect())
}

/// Measures what the file lists, prints the table and writes it down.
///
/// # Errors
///
/// Where the file is wrong, or `wasock` does not compile. A server that fails is reported, and the others go on.
pub(super) fn run(options: &Options, file: &Path) -> Result<ExitCode> {
    let servers = read(file)?;
    let how = format!(
        "By `cargo xtask bench --own`: medians of {} rounds, guest and native program in turn.",
        options.rounds
    );
    let bench = Bench {
        wasock: wasock()?,
        results: Folder::new(target_dir().join("bench"))?,
        folder: fs::canonicalize(file)?.parent().context("a file lies in a folder")?.to_owned(),
    };
    let mut report = Report { how, machine: machine::description(&workspace_dir()), ..Report::default() };
    for server in servers.iter().filter(|server| options.is_wanted(&server.name)) {
        eprintln!("{}", server.name);
        if let Err(error) = bench.measure(server, options.rounds, &mut report) {
            eprintln!("       {error:#}");
            report.skipped.push(format!("{}: {error:#}", server.name));
        }
    }
    let path = bench.results.file("own.md");
    fs::write(&path, report.page()).with_context(|| path.display().to_string())?;
    println!("\n{}", report.tables());
    eprintln!("all of it: {}", path.display());
    Ok(if report.skipped.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(file: &Path) -> Result<Vec<Server>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    parse(&text).with_context(|| file.display().to_string())
}

fn parse(text: &str) -> Result<Vec<Server>> {
    let Servers { server: servers } = toml::from_str(text)?;
    for server in &servers {
        let is_known = server.client.first().is_some_and(|program| reading_of(program).is_some());
        ensure!(!server.native.is_empty() && !server.client.is_empty(), "{}: an empty command", server.name);
        ensure!(
            is_known != server.requests.is_some(),
            "{}: `requests` is for a client that is neither wrk nor ab, and has to be there then",
            server.name
        );
    }
    Ok(servers)
}

/// What all of them have in common.
struct Bench {
    wasock: PathBuf,
    /// Where logs and results go.
    results: Folder,
    /// Where each command runs: the folder of the file.
    folder: PathBuf,
}

impl Bench {
    fn measure(&self, server: &Server, rounds: usize, report: &mut Report) -> Result<()> {
        let mut runs = Vec::new();
        for round in 0..rounds {
            let run = |side| self.run(server, side).with_context(|| format!("round {}, {side:?}", round + 1));
            runs.push((run(Side::Guest)?, run(Side::Twin)?));
        }
        let goal = server.goal.map_or(Goal::None, Goal::RatioAtLeast);
        let measures = [
            measure("", "rate", "requests/s", goal),
            measure("processor time a request", "server_us", "us", Goal::None),
        ];
        report.rows.extend(rows(&server.name, &measures, &runs, None)?);
        let mut commands = vec![format!("wasock run --listen {{address}} {}", server.guest.join(" "))];
        commands.extend([&server.native, &server.client].map(|words| words.join(" ")));
        report.commands.push((server.name.clone(), commands));
        Ok(())
    }

    fn run(&self, server: &Server, side: Side) -> Result<Run> {
        let address = free_address()?;
        if let Some(prepare) = self.command(&server.prepare, address, |program| Ok(Command::new(program)))? {
            succeed(prepare)?;
        }
        let program = match side {
            Side::Guest => {
                let mut command = child(&self.wasock)?;
                command.args(["run", "--listen", &address.to_string()]);
                command.args(placed(&server.guest, address)).current_dir(&self.folder);
                command
            }
            Side::Twin => self.command(&server.native, address, child)?.context("no command")?,
        };
        let mut process = Process::start(program, &self.results.log("server"))?;
        process.wait_until_it_listens(address)?;
        let client = self.command(&server.client, address, child)?.context("no client")?;
        let outcome = self.drive(server, &process, client);
        let run = outcome.with_context(|| format!("the server said {:?}", process.said()))?;
        process.stop()?;
        Ok(run)
    }

    fn drive(&self, server: &Server, process: &Process, command: Command) -> Result<Run> {
        let known: Option<Reading> = server.client.first().and_then(|program| reading_of(program));
        let client = Client { command, read: known.unwrap_or(|_| Ok(Values::new())) };
        let (begun, before) = (Instant::now(), process.processor_time()?);
        let mut run = drive_by(process, client, &self.results.log("client"), apart)?;
        if let Some(requests) = server.requests {
            let (count, time) = (f64::from(requests), begun.elapsed().as_secs_f64());
            let used = process.processor_time()?.saturating_sub(before).as_secs_f64();
            let values = [("count", count), ("rate", count / time), ("server_us", used * 1e6 / count)];
            run.values.extend(values.map(|(name, value)| (name.to_owned(), value)));
        }
        Ok(run)
    }

    /// The command of these words, started in the folder of the file; nothing where there are none.
    fn command(
        &self,
        words: &[String],
        address: SocketAddr,
        begin: impl FnOnce(&Path) -> Result<Command>,
    ) -> Result<Option<Command>> {
        let words = placed(words, address);
        let Some((program, arguments)) = words.split_first() else { return Ok(None) };
        let mut command = begin(Path::new(program))?;
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Some(command))
    }
}

/// The words, with the address where they ask for it.
fn placed(words: &[String], address: SocketAddr) -> Vec<String> {
    let port = address.port().to_string();
    let placed = |word: &String| word.replace("{address}", &address.to_string()).replace("{port}", &port);
    words.iter().map(placed).collect()
}

#[cfg(test)]
mod tests {
    use super::{parse, placed};
    use anyhow::{Context, Result};

    const REDIS: &str = r#"
        [[server]]
        name = "redis, SET"
        guest = ["redis-server.wasm", "--port", "{port}"]
        native = ["redis-server", "--port", "{port}"]
        client = ["redis-benchmark", "-p", "{port}", "-t", "set", "-n", "1000"]
        requests = 1000
    "#;

    #[test]
    fn a_server_is_told_where_to_listen() -> Result<()> {
        let servers = parse(REDIS)?;
        let server = servers.first().context("no server")?;
        let address = "127.0.0.1:6379".parse()?;
        assert_eq!(placed(&server.native, address), ["redis-server", "--port", "6379"]);
        assert_eq!(placed(&["at={address}".to_owned()], address), ["at=127.0.0.1:6379"]);
        Ok(())
    }

    #[test]
    fn what_would_have_no_figure_is_refused() {
        let refused = |text: &str| {
            let said = parse(text).map_or_else(|error| error.to_string(), |_| String::new());
            assert!(!said.is_empty(), "{text}");
            said
        };
        assert!(refused(&REDIS.replace("requests = 1000", "")).contains("neither wrk nor ab"));
        // Its own count is better than ours.
        refused(&REDIS.replace("redis-benchmark", "wrk"));
        refused(&REDIS.replace("native", "natively"));
        refused("");
        assert!(
            parse(&REDIS.replace("redis-benchmark", "/usr/bin/ab").replace("requests = 1000", "")).is_ok()
        );
    }
}
