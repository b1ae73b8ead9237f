//! The command line under test: started, watched, ended.

use crate::launch::hear_ignored_signals;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long anything may take before the test gives up on it.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// An invocation of the command line that is still to be started.
#[derive(Debug)]
pub struct Wasock {
    pub(crate) command: Command,
    pub(crate) has_stdin: bool,
}

impl Wasock {
    /// `wasock` without arguments. `binary` is `env!("CARGO_BIN_EXE_wasock")`,
    /// which only the tests of the command know.
    pub fn new(binary: &str) -> Self {
        let mut command = Command::new(binary);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What a developer has set for other runs would show in the output.
        command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE").env("NO_COLOR", "1");
        Self { command, has_stdin: false }
    }

    /// The native twin of a guest, which runs by itself.
    pub fn native(twin: &str) -> Self {
        Self::new(twin)
    }

    /// `wasock run`.
    pub fn run(binary: &str) -> Self {
        Self::new(binary).arg("run")
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable in the environment of the host.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives the guest a pipe as its standard input.
    #[must_use]
    pub fn with_stdin(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self.has_stdin = true;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// When the binary does not start.
    pub fn start(mut self) -> Result<Running> {
        hear_ignored_signals()?;
        let line = format!("{:?}", self.command);
        let mut child = self.command.spawn().with_context(|| format!("cannot start {line}"))?;
        let stdout = Captured::reading(child.stdout.take().context("no stdout")?);
        let stderr = Captured::reading(child.stderr.take().context("no stderr")?);
        let stdin = if self.has_stdin { child.stdin.take() } else { None };
        Ok(Running { line, child, stdin, stdout, stderr })
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    ///
    /// When the binary does not start, or does not end in time.
    pub fn finish(self) -> Result<Finished> {
        self.start()?.finish()
    }

    /// Starts it, waits for its end and insists on exit code 0.
    ///
    /// # Errors
    ///
    /// When it ends in any other way; the error holds all that it printed.
    pub fn succeed(self) -> Result<Finished> {
        self.finish()?.expect_code(0)
    }
}

/// A running command line. It is killed when this value goes.
#[derive(Debug)]
pub struct Running {
    line: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Captured,
    stderr: Captured,
}

impl Running {
    /// The address of the first `listening on` line; waits for it.
    ///
    /// # Errors
    ///
    /// When the process ends or says nothing of the kind in time.
    pub fn listening(&mut self) -> Result<SocketAddr> {
        self.address_after("listening on ", "")
    }

    /// The address of the first `bound on` line; waits for it.
    ///
    /// # Errors
    ///
    /// As for [`listening`](Self::listening).
    pub fn bound(&mut self) -> Result<SocketAddr> {
        self.bound_at("")
    }

    /// The address of the first `bound on` line with an address that begins so.
    ///
    /// # Errors
    ///
    /// As for [`listening`](Self::listening).
    pub fn bound_at(&mut self, start: &str) -> Result<SocketAddr> {
        self.address_after("bound on ", start)
    }

    fn address_after(&mut self, words: &str, start: &str) -> Result<SocketAddr> {
        let line = self.wait_for_stderr(&format!("{words}{start}"))?;
        let addr = line.split(words).nth(1).and_then(|rest| rest.split(' ').next());
        addr.with_context(|| format!("no address in {line:?}"))?
            .parse()
            .with_context(|| format!("no address in {line:?}"))
    }

    /// Waits for a line on stderr that holds `text`, and gives that line.
    ///
    /// # Errors
    ///
    /// When the process closes its stderr first, or takes too long.
    pub fn wait_for_stderr(&mut self, text: &str) -> Result<String> {
        self.stderr.wait_for(text).with_context(|| self.describe())
    }

    /// Waits for a line on stdout that holds `text`, and gives that line.
    ///
    /// # Errors
    ///
    /// When the process closes its stdout first, or takes too long.
    pub fn wait_for_stdout(&mut self, text: &str) -> Result<String> {
        self.stdout.wait_for(text).with_context(|| self.describe())
    }

    /// What it printed on stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// What it printed on stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Writes to the guest's standard input.
    ///
    /// # Errors
    ///
    /// When there is none ([`Wasock::with_stdin`]) or it is closed.
    pub fn write_stdin(&mut self, bytes: &[u8]) -> Result<()> {
        let stdin = self.stdin.as_mut().context("started without stdin")?;
        stdin.write_all(bytes)?;
        Ok(stdin.flush()?)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    ///
    /// When the operating system does not say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How much processor time the host has used; Linux tells.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn processor_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // The name, in parentheses, may hold spaces; two fields further is the third.
        let (_, fields) = stat.rsplit_once(')').context("no name")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<u64, _>>()?;
        // Linux counts a hundred to the second wherever a program looks.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// How many descriptors it has.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.id()))?.count())
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id())?;
        kill_process(Pid::from_raw(pid).context("no process id")?, signal)?;
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not end in time; it is killed then.
    pub fn finish(mut self) -> Result<Finished> {
        // A guest that reads to the end of its input gets there.
        self.stdin = None;
        self.ended()
    }

    /// Waits for its end, its input as it is.
    fn ended(mut self) -> Result<Finished> {
        let deadline = Instant::now() + WAIT_TIMEOUT;
        // Both pipes close when the process ends, and not before.
        let closed = self.stdout.wait_until_closed(deadline) && self.stderr.wait_until_closed(deadline);
        if !closed {
            let _ = self.child.kill();
            bail!("it did not end within {WAIT_TIMEOUT:?}\n{}", self.describe());
        }
        let status = self.child.wait()?;
        Ok(Finished {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            line: self.line.clone(),
        })
    }

    /// Ends it with SIGTERM and waits. Until then its input is open: it is the signal that ends it.
    ///
    /// # Errors
    ///
    /// When it does not end with 143, as a shell expects.
    pub fn stop(self) -> Result<Finished> {
        self.signal(Signal::TERM)?;
        self.ended()?.expect_code(143)
    }

    fn describe(&self) -> String {
        format!("{}\nstdout:\n{}\nstderr:\n{}", self.line, self.stdout.text(), self.stderr.text())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a command line ended, and what it said.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// All of its stdout.
    pub stdout: String,
    /// All of its stderr.
    pub stderr: String,
    line: String,
}

impl Finished {
    /// Insists on an exit code.
    ///
    /// # Errors
    ///
    /// When it ended in any other way; the error holds all that it printed.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        ensure!(self.code == Some(code), "expected exit code {code}\n{self}");
        Ok(self)
    }

    /// Insists on a text on stderr.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn expect_stderr(self, text: &str) -> Result<Self> {
        ensure!(self.stderr.contains(text), "expected {text:?} on stderr\n{self}");
        Ok(self)
    }

    /// Insists on a text on stdout.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn expect_stdout(self, text: &str) -> Result<Self> {
        ensure!(self.stdout.contains(text), "expected {text:?} on stdout\n{self}");
        Ok(self)
    }

    /// Insists on a stderr without a text.
    ///
    /// # Errors
    ///
    /// When it is there.
    pub fn expect_no_stderr(self, text: &str) -> Result<Self> {
        ensure!(!self.stderr.contains(text), "unexpected {text:?} on stderr\n{self}");
        Ok(self)
    }

    /// Insists on one line of complaint, as an operator can read it: no panic,
    /// no backtrace.
    ///
    /// # Errors
    ///
    /// When there is more, or nothing.
    pub fn expect_one_line(self) -> Result<Self> {
        ensure!(self.stderr.lines().count() == 1, "expected one line on stderr\n{self}");
        Ok(self)
    }

    /// The lines on stderr that hold `text`.
    pub fn stderr_lines_with(&self, text: &str) -> Vec<&str> {
        self.stderr.lines().filter(|line| line.contains(text)).collect()
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.line)?;
        writeln!(f, "exit code {:?}, signal {:?}", self.code, self.signal)?;
        writeln!(f, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr)
    }
}

/// What a thread reads from a pipe.
#[derive(Debug)]
struct Captured {
    shared: Arc<Shared>,
    /// Kept so that the thread has a name in a debugger; it ends by itself.
    _reader: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    is_closed: bool,
}

impl Captured {
    fn reading(pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line).into_owned();
                writer.state().lines.push(text);
                writer.changed.notify_all();
                line.clear();
            }
            writer.state().is_closed = true;
            writer.changed.notify_all();
        });
        Self { shared, _reader: reader }
    }

    fn wait_for(&self, text: &str) -> Result<String> {
        let deadline = Instant::now() + WAIT_TIMEOUT;
        let mut seen = 0;
        let mut state = self.shared.state();
        loop {
            let mut fresh = state.lines.iter().skip(seen);
            if let Some(line) = fresh.find(|line| line.contains(text)) {
                return Ok(line.trim_end().to_owned());
            }
            ensure!(!state.is_closed, "it ended without saying {text:?}");
            seen = state.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "it did not say {text:?} within {WAIT_TIMEOUT:?}");
            state = self.shared.wait(state, left);
        }
    }

    fn wait_until_closed(&self, deadline: Instant) -> bool {
        let mut state = self.shared.state();
        while !state.is_closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.wait(state, left);
        }
        true
    }

    fn text(&self) -> String {
        self.shared.state().lines.concat()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        let (state, _) = self.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner);
        state
    }
}
