//! One run: a server is started, driven and stopped, and all three are watched: the
//! server, the client and the machine.

use super::build::Built;
use super::client::{Client, Clients, Values};
use super::machine;
use super::process::{Process, free_address};
use super::server::{Service, Side};
use super::workload::{Drive, Module};
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How much longer than it was told to a client may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What one run showed.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) values: Values,
    pub(super) load: Option<Load>,
}

/// How many processors were busy, on average.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) client: f64,
    pub(super) server: f64,
    /// All of the machine, with whatever else runs there.
    pub(super) machine: f64,
}

/// Runs things: the programs, the clients.
pub(super) struct Runner<'a> {
    pub(super) built: &'a Built,
    pub(super) clients: Clients,
}

impl Runner<'_> {
    /// One run of one side. A half load is one of `rate` requests a second.
    pub(super) fn run(&self, service: &Service, drive: &Drive, side: Side, rate: f64) -> Result<Run> {
        if let Drive::Start { module, is_cached } = *drive {
            let milliseconds = self.start(service, side, module, is_cached)?;
            let values = Values::from([("ms".to_owned(), milliseconds)]);
            return Ok(Run { values, load: None });
        }
        let address = free_address()?;
        let server = service.start(self.built, side, address)?;
        let client = self.clients.client(drive, address, rate)?;
        let outcome = match drive {
            Drive::Crowd { idle, active, .. } => self.crowd(&server, client, idle + active),
            _ => self.drive(&server, client),
        };
        let run = outcome.with_context(|| format!("the server said {:?}", server.said()))?;
        server.stop()?;
        Ok(run)
    }

    /// As many echoes a second as a side can do.
    pub(super) fn capacity(&self, service: &Service, connections: usize, side: Side) -> Result<f64> {
        let address = free_address()?;
        let server = service.start(self.built, side, address)?;
        let run = self.drive(&server, self.clients.full_load(connections, address)?)?;
        server.stop()?;
        run.values.get("rate").copied().context("no rate")
    }

    fn drive(&self, server: &Process, mut client: Client) -> Result<Run> {
        client.command.stdout(Stdio::piped());
        let watch = Watch::begin(server)?;
        let finished = Process::start(client.command, &self.built.log("client"))?.finish(PATIENCE)?;
        watch.end(server, finished.processor_time, (client.read)(&finished.stdout)?)
    }

    /// A client with many connections: the server's memory is looked at before them, and
    /// when all are there and nobody stirs.
    fn crowd(&self, server: &Process, mut client: Client, connections: usize) -> Result<Run> {
        client.command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let before = memory(server.id())?;
        let mut crowd = Process::start(client.command, &self.built.log("client"))?;
        let mut stdout = BufReader::new(crowd.child().stdout.take().context("no stdout")?);
        let mut stdin = crowd.child().stdin.take().context("no stdin")?;
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        if line.trim() != "ready" {
            bail!("the client said {:?}", crowd.said());
        }
        let busy = server.time_of_threads()?;
        std::thread::sleep(Duration::from_secs(1));
        let idle = server.time_of_threads()?.saturating_sub(busy);
        let memory = memory(server.id())?.saturating_sub(before) as f64 / connections as f64;
        let watch = Watch::begin(server)?;
        let client_before = crowd.processor_time()?;
        stdin.write_all(b"go\n")?;
        line.clear();
        stdout.read_to_string(&mut line)?;
        let finished = crowd.finish(PATIENCE)?;
        let client_time = finished.processor_time.saturating_sub(client_before);
        let mut run = watch.end(server, client_time, (client.read)(&line)?)?;
        run.values.insert("memory".to_owned(), memory);
        run.values.insert("idle_us".to_owned(), idle.as_secs_f64() * 1e6);
        Ok(run)
    }

    /// How long it takes from the start of the process to its first answer, in milliseconds.
    fn start(&self, service: &Service, side: Side, module: Module, is_cached: bool) -> Result<f64> {
        let service = if is_cached { service.clone() } else { service.clone().with_flag("--no-cache") };
        if is_cached && side == Side::Guest {
            // So that it is in the cache.
            self.start_once(&service, side, module)?;
        }
        self.start_once(&service, side, module)
    }

    fn start_once(&self, service: &Service, side: Side, module: Module) -> Result<f64> {
        let address = free_address()?;
        let command = service.command(self.built, side, module, address).as_it_is();
        let begun = Instant::now();
        let server = Process::start(command, &self.built.log("server"))?;
        let mut stream = first_connection(address, begun)
            .with_context(|| format!("the server said {:?}", server.said()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        if stream.read(&mut [0; 4096])? == 0 {
            bail!("the server answers nothing");
        }
        let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
        server.stop()?;
        Ok(milliseconds)
    }
}

/// Tries until somebody listens.
fn first_connection(address: SocketAddr, begun: Instant) -> Result<TcpStream> {
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return Ok(stream),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error).context("nobody listens"),
            Err(_) => std::thread::sleep(Duration::from_micros(100)),
        }
    }
}

/// The memory that a process has made its own, in bytes. What it maps of files, and what
/// the kernel keeps for its sockets, is not in it.
fn memory(id: u32) -> Result<u64> {
    anonymous(&fs::read_to_string(format!("/proc/{id}/status"))?)
}

fn anonymous(status: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
    let kilobytes = line.trim().strip_suffix(" kB").context("RssAnon in no kB")?;
    Ok(kilobytes.trim().parse::<u64>()? * 1024)
}

/// The clocks at the beginning.
struct Watch {
    begun: Instant,
    server: Duration,
    machine: Duration,
}

impl Watch {
    fn begin(server: &Process) -> Result<Self> {
        Ok(Self { server: server.processor_time()?, machine: machine::busy()?, begun: Instant::now() })
    }

    fn end(self, server: &Process, client: Duration, mut values: Values) -> Result<Run> {
        let time = self.begun.elapsed().as_secs_f64();
        let used = server.processor_time()?.saturating_sub(self.server).as_secs_f64();
        let machine = machine::busy()?.saturating_sub(self.machine).as_secs_f64();
        let load = Load { client: client.as_secs_f64() / time, server: used / time, machine: machine / time };
        if let Some(count) = values.get("count") {
            values.insert("server_us".to_owned(), used * 1e6 / count);
        }
        Ok(Run { values, load: Some(load) })
    }
}

#[cfg(test)]
mod tests {
    use super::anonymous;
    use anyhow::Result;

    #[test]
    fn memory_is_what_is_anonymous() -> Result<()> {
        let status = "VmRSS:\t   9000 kB\nRssAnon:\t    1200 kB\nRssFile:\t    7800 kB\n";
        assert_eq!(anonymous(status)?, 1200 * 1024);
        assert!(anonymous("VmRSS:\t 9 kB\n").is_err());
        Ok(())
    }
}
