//! Processes that are measured: started, watched, ended.
//!
//! Each is started by this program itself (`bench-harness __child`), which asks the kernel to end
//! it when its parent ends, in whatever way that happens, and then becomes it.

use anyhow::{Context, Result, bail};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process,
    set_parent_process_death_signal, setrlimit, waitid,
};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to begin, or to end when it is asked to.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// Becomes the command of the arguments after `__child`.
///
/// # Errors
///
/// When it does not start.
pub(crate) fn become_child(mut arguments: impl Iterator<Item = OsString>) -> Result<()> {
    // The thread that starts the children lives as long as this program: the kernel goes
    // by the thread.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = arguments.next().context("no parent")?;
    let is_orphan =
        parent != "any" && rustix::process::getppid().is_none_or(|pid| *parent != *pid.to_string());
    if is_orphan {
        bail!("the parent has ended");
    }
    raise_descriptors();
    let program = arguments.next().context("no program")?;
    let error = Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}

/// Lets this process have as many descriptors as it may, and tells how many.
pub(super) fn raise_descriptors() -> u64 {
    /// More than any load here needs.
    const WANTED: u64 = 65_536;
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum.map_or(WANTED, |maximum| maximum.max(WANTED));
    // The privileged may go beyond their hard limit.
    let all = Rlimit { current: Some(maximum), maximum: Some(maximum) };
    if setrlimit(Resource::Nofile, all).is_err() {
        let mine = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // With less than that it goes on: a workload that needs more says so.
        _ = setrlimit(Resource::Nofile, mine);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// `program` as a child that ends with this process.
pub(super) fn child(program: &Path) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("__child").arg(std::process::id().to_string()).arg(program);
    // What a developer has set for other runs would be measured too.
    command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    Ok(command)
}

/// This program as a child: its own load generator.
pub(super) fn own_load(arguments: &[String]) -> Result<Command> {
    let mut command = child(&env::current_exe()?)?;
    command.arg("__load").args(arguments);
    Ok(command)
}

/// A process, which is killed when this value goes.
pub(super) struct Process {
    child: Child,
    line: String,
    stderr: PathBuf,
}

impl Process {
    /// Starts it; what it says on stderr goes to the file `stderr`.
    pub(super) fn start(mut command: Command, stderr: &Path) -> Result<Self> {
        let line = shown(&command);
        let log = File::create(stderr).with_context(|| stderr.display().to_string())?;
        let child = command.stderr(log).spawn().with_context(|| format!("cannot start {line}"))?;
        Ok(Self { child, line, stderr: stderr.to_owned() })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The time of a processor that it has used.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        processor_time(&fs::read_to_string(format!("/proc/{}/stat", self.id()))?)
    }

    /// The same of the threads that it has now, to the nanosecond.
    pub(super) fn time_of_threads(&self) -> Result<Duration> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let first = text.split_ascii_whitespace().next().context("an empty schedstat")?;
            sum += first.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }

    /// The threads that it has now.
    pub(super) fn threads(&self) -> Result<Vec<u32>> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id()))?;
        tasks.map(|task| Ok(task?.file_name().to_string_lossy().parse()?)).collect()
    }

    /// Waits until it listens there.
    pub(super) fn wait_until_it_listens(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + WAIT_TIMEOUT;
        loop {
            if is_listening(&fs::read_to_string("/proc/net/tcp")?, address) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}: {}", self.line, self.said());
            }
            if Instant::now() > deadline {
                bail!("{} does not listen: {}", self.line, self.said());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether it has ended; the kernel keeps its status until that is asked for.
    fn has_ended(&self) -> Result<bool> {
        let id = pid(self.id())?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(id), options)?.is_some())
    }

    /// Waits for its end, and tells what it wrote and the time of a processor that it used.
    pub(super) fn finish(mut self, limit: Duration) -> Result<Finished> {
        let deadline = Instant::now() + limit;
        while !self.has_ended()? {
            if Instant::now() > deadline {
                bail!("{} does not end", self.line);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let processor_time = self.processor_time()?;
        let mut stdout = String::new();
        if let Some(mut pipe) = self.child.stdout.take() {
            pipe.read_to_string(&mut stdout)?;
        }
        let status = self.child.wait()?;
        if !status.success() {
            bail!("{} ended with {status}: {}{stdout}", self.line, self.said());
        }
        Ok(Finished { stdout, processor_time })
    }

    /// Asks it to end.
    pub(super) fn stop(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + WAIT_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} does not end when it is asked to", self.line);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(pid(self.id())?, signal)?)
    }

    /// All that it wrote on stderr.
    pub(super) fn all_said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// The end of what it wrote on stderr.
    pub(super) fn said(&self) -> String {
        let bytes = fs::read(&self.stderr).unwrap_or_default();
        let start = bytes.len().saturating_sub(2000);
        String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What a process left that did its work.
pub(super) struct Finished {
    pub(super) stdout: String,
    pub(super) processor_time: Duration,
}

pub(super) fn pid(id: u32) -> Result<Pid> {
    Pid::from_raw(i32::try_from(id)?).context("no process has the number 0")
}

/// The command as one would type it, without what this program adds.
pub(super) fn shown(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    match words.split_first() {
        Some((first, rest)) if first == "__child" => rest.get(1..).unwrap_or_default().join(" "),
        _ => format!("{} {}", command.get_program().display(), words.join(" ")),
    }
}

/// An address on 127.0.0.1 without a listener.
pub(super) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The time in user and in kernel mode of a line of /proc/PID/stat, threads that have
/// ended included.
fn processor_time(stat: &str) -> Result<Duration> {
    // The second field is a name in parentheses, and may hold anything.
    let (_, rest) = stat.rsplit_once(')').context("no name in stat")?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next().context("no times in stat")?.parse::<u64>().context("no number in stat");
    let sum = ticks()? + ticks()?;
    Ok(Duration::from_secs_f64(sum as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Whether /proc/net/tcp has a listener at this address.
fn is_listening(table: &str, address: SocketAddr) -> bool {
    let SocketAddr::V4(address) = address else { return false };
    // The bytes of the address as a number of this machine.
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    table.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        // 0A: the state TCP_LISTEN.
        fields.next() == Some(&*local) && fields.nth(1) == Some("0A")
    })
}

#[cfg(test)]
mod tests {
    use super::{is_listening, processor_time};
    use anyhow::Result;
    use std::time::Duration;

    #[test]
    fn times_are_found_behind_any_name() -> Result<()> {
        let rest = "S 1 2 3 0 -1 4194304 101 0 0 0 250 50 7 7 20 0 1 0 3571441";
        for name in ["wasock", "a) b", "x (y) z"] {
            let stat = format!("42 ({name}) {rest}");
            let second = rustix::param::clock_ticks_per_second();
            assert_eq!(processor_time(&stat)?, Duration::from_secs_f64(300.0 / second as f64));
        }
        assert!(processor_time("42 wasock S 1").is_err());
        Ok(())
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn listeners_are_told_from_connections() -> Result<()> {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n   \
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000\n   \
             1: 0100007F:1F91 0100007F:0016 01 00000000:00000000 00:00000000\n";
        assert!(is_listening(table, "127.0.0.1:8080".parse()?));
        assert!(!is_listening(table, "127.0.0.1:8081".parse()?));
        assert!(!is_listening(table, "127.0.0.1:8082".parse()?));
        Ok(())
    }
}
