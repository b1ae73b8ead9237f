//! One run: a server is started, driven and stopped, and all three are watched: the
//! server, the client and the machine.

use super::build::Built;
use super::client::{Client, Clients, Values};
use super::machine;
use super::process::{Process, free_address, pid};
use super::server::{Invocation, Service, Side};
use super::stats::median;
use super::workload::{Drive, Module};
use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How much longer than its time a client may take.
const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

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
        let invocation = service.command(self.built, side, Module::Small, address);
        self.run_at(address, &invocation, drive, rate)
    }

    /// One run of whatever listens at `address` when it is invoked.
    pub(super) fn run_at(
        &self,
        address: SocketAddr,
        invocation: &Invocation,
        drive: &Drive,
        rate: f64,
    ) -> Result<Run> {
        let server = invocation.start(self.built, address)?;
        let client = self.clients.client(drive, address, rate)?;
        let outcome = match drive {
            Drive::MostlyIdle { idle, active, .. } => self.mostly_idle(&server, client, idle + active),
            // So that the latency is the server's, and not of two that get in each other's way.
            Drive::HalfLoad { .. } => drive_by(&server, client, &self.client_log(), apart),
            _ => drive_by(&server, client, &self.client_log(), |_, _| Ok(())),
        };
        let run = outcome.with_context(|| format!("the server said {:?}", server.said()))?;
        server.stop()?;
        Ok(run)
    }

    /// As many echoes a second as a side can do.
    pub(super) fn capacity(&self, service: &Service, connections: usize, side: Side) -> Result<f64> {
        let address = free_address()?;
        let server = service.start(self.built, side, address)?;
        let client = self.clients.full_load(connections, address)?;
        let run = drive_by(&server, client, &self.client_log(), |_, _| Ok(()))?;
        server.stop()?;
        run.values.get("rate").copied().context("no rate")
    }

    fn client_log(&self) -> PathBuf {
        self.built.folder.log("client")
    }

    /// A client with many connections: the server's memory is looked at before them, and
    /// when all are there and none is in use.
    fn mostly_idle(&self, server: &Process, mut client: Client, connections: usize) -> Result<Run> {
        client.command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let before = memory(server.id())?;
        let mut process = Process::start(client.command, &self.built.folder.log("client"))?;
        let mut stdout = BufReader::new(process.child().stdout.take().context("no stdout")?);
        let mut stdin = process.child().stdin.take().context("no stdin")?;
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        if line.trim() != "ready" {
            bail!("the client said {:?}", process.said());
        }
        let busy = server.time_of_threads()?;
        std::thread::sleep(Duration::from_secs(1));
        let idle = server.time_of_threads()?.saturating_sub(busy);
        let after = memory(server.id())?;
        let watch = Watch::begin(server)?;
        let client_before = process.processor_time()?;
        stdin.write_all(b"go\n")?;
        line.clear();
        stdout.read_to_string(&mut line)?;
        let finished = process.finish(WAIT_TIMEOUT)?;
        let client_time = finished.processor_time.saturating_sub(client_before);
        let mut run = watch.end(server, client_time, (client.read)(&line)?)?;
        let for_each = |before: u64, after: u64| after.saturating_sub(before) as f64 / connections as f64;
        run.values.insert("memory".to_owned(), for_each(before.all, after.all));
        let host = for_each(before.all - before.guest, after.all - after.guest);
        run.values.insert("host_memory".to_owned(), host);
        run.values.insert("idle_us".to_owned(), idle.as_secs_f64() * 1e6);
        Ok(run)
    }

    /// How long it takes from the start of the process to its first answer, in milliseconds.
    fn start(&self, service: &Service, side: Side, module: Module, is_cached: bool) -> Result<f64> {
        let service = if is_cached { service.clone() } else { service.clone().with_flag("--no-cache") };
        if is_cached {
            // So that it is in the cache; a twin has none, and is warm then as well.
            self.start_once(&service, side, module)?;
        }
        // What is over in a moment is done more than once.
        let times = if is_cached { 5 } else { 1 };
        let starts: Vec<f64> =
            (0..times).map(|_| self.start_once(&service, side, module)).collect::<Result<_>>()?;
        median(starts).context("no start")
    }

    fn start_once(&self, service: &Service, side: Side, module: Module) -> Result<f64> {
        let address = free_address()?;
        let command = service.command(self.built, side, module, address).as_it_is();
        let begun = Instant::now();
        let server = Process::start(command, &self.built.folder.log("server"))?;
        let mut stream = first_connection(address, begun)
            .with_context(|| format!("the server said {:?}", server.said()))?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        if stream.read(&mut [0; 4096])? == 0 {
            bail!("the server answers nothing");
        }
        let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
        server.stop()?;
        Ok(milliseconds)
    }
}

/// One run of a client, which is placed when it has begun; what it says on stderr goes to `log`.
pub(super) fn drive_by(
    server: &Process,
    mut client: Client,
    log: &Path,
    place: impl FnOnce(&Process, &Process) -> Result<()>,
) -> Result<Run> {
    client.command.stdout(Stdio::piped());
    let watch = Watch::begin(server)?;
    let client_runs = Process::start(client.command, log)?;
    place(server, &client_runs)?;
    let finished = client_runs.finish(WAIT_TIMEOUT)?;
    watch.end(server, finished.processor_time, (client.read)(&finished.stdout)?)
}

/// Gives a server and its client, each of which is one thread that is busy, a processor
/// each, where there are two.
pub(super) fn apart(server: &Process, client: &Process) -> Result<()> {
    let all = sched_getaffinity(None)?;
    let mut processors = (0..CpuSet::MAX_CPU).filter(|processor| all.is_set(*processor));
    let (Some(first), Some(second)) = (processors.next(), processors.next()) else { return Ok(()) };
    for (process, processor) in [(client, first), (server, second)] {
        let mut own = CpuSet::new();
        own.set(processor);
        // Of a thread the kernel asks, not of a process; the next ones are placed as those that begin them.
        for thread in process.threads()? {
            sched_setaffinity(Some(pid(thread)?), &own)?;
        }
    }
    Ok(())
}

/// Tries until there is a listener.
fn first_connection(address: SocketAddr, begun: Instant) -> Result<TcpStream> {
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return Ok(stream),
            Err(error) if begun.elapsed() > WAIT_TIMEOUT => {
                return Err(error).context("there is no listener");
            }
            Err(_) => std::thread::sleep(Duration::from_micros(100)),
        }
    }
}

/// The memory that a process has made its own, in bytes. What it maps of files, and what
/// the kernel keeps for its sockets, is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Memory {
    all: u64,
    /// What of it is the memory of a guest.
    guest: u64,
}

fn memory(id: u32) -> Result<Memory> {
    memory_in(&fs::read_to_string(format!("/proc/{id}/smaps"))?)
}

/// The memory of a guest is what lies before a gibibyte or more without access: the
/// engine keeps that free for it to grow, and to catch what is out of bounds.
fn memory_in(smaps: &str) -> Result<Memory> {
    const RESERVED: u64 = 1 << 30;
    let mut memory = Memory { all: 0, guest: 0 };
    // Where the last mapping that can be written to ends, and how much of it is in use.
    let (mut end, mut used) = (0, 0);
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if first == "Anonymous:" {
            used = second.parse::<u64>()? * 1024;
            memory.all += used;
        } else if let Some((from, to)) = first.split_once('-') {
            let (from, to) = (u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?);
            if second.starts_with("---") && from == end && to - from >= RESERVED {
                memory.guest += used;
            }
            (end, used) = (if second.starts_with("rw") { to } else { 0 }, 0);
        }
    }
    Ok(memory)
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
    use super::{Memory, memory_in};
    use anyhow::Result;

    const SMAPS: &str = "\
55d000000000-55d000002000 rw-p 00000000 00:00 0                          [heap]
Size:                  8 kB
Anonymous:             8 kB
VmFlags: rd wr mr mw me ac sd
7f0000000000-7f0000020000 rw-p 00000000 00:00 0
Anonymous:           100 kB
7f0000020000-7f0102000000 ---p 00000000 00:00 0
Anonymous:             0 kB
7f0200000000-7f0200004000 rw-p 00000000 00:00 0
Anonymous:            16 kB
7f0200004000-7f0200005000 ---p 00000000 00:00 0
Anonymous:             0 kB
";

    #[test]
    fn the_memory_of_a_guest_is_told_from_the_host_s() -> Result<()> {
        assert_eq!(memory_in(SMAPS)?, Memory { all: 124 * 1024, guest: 100 * 1024 });
        assert_eq!(memory_in("")?, Memory { all: 0, guest: 0 });
        Ok(())
    }
}
