//! Processes that are begun and ended in every bad way: what the host holds is counted before and after.

use super::{at_rest, leaves_nothing};
use crate::asyncify::rewritten;
use crate::run;
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Running, Wasock, asyncified};
use rustix::process::Signal;
use std::fs;
use std::io::Read as _;
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::WAIT_TIMEOUT;

/// Does the same some times, and then so often that what is left of it would be seen.
fn forks_leave_nothing(case: &str, rounds: u32, flags: &[&str]) -> Result<()> {
    let Some(program) = rewritten(asyncified::HOSTILE_FORKS)? else { return Ok(()) };
    leaves_nothing(run().with_stdin().args(flags).args([program, case, &rounds.to_string()]))
}

/// Each copy makes three, and these do; a third of them trap.
#[test]
pub(crate) fn hostile_forks() -> Result<()> {
    forks_leave_nothing("copies", 10, &["--max-processes", "20"])
}

#[test]
fn children_in_one_memory_as_many_as_there_may_be_leave_nothing_behind() -> Result<()> {
    forks_leave_nothing("nested", 30, &["--max-processes", "30"])
}

#[test]
fn jumps_of_children_to_places_that_there_are_not_leave_nothing_behind() -> Result<()> {
    forks_leave_nothing("places", 10, &[])
}

#[test]
fn copies_whose_stack_is_too_deep_leave_nothing_behind() -> Result<()> {
    forks_leave_nothing("too-deep", 10, &["--max-stack", "32M"])
}

#[test]
fn copies_that_the_host_has_no_memory_for_leave_nothing_behind() -> Result<()> {
    let limits = ["--max-host-memory", "2M", "--max-processes", "1000", "--max-stack", "32M"];
    forks_leave_nothing("no-memory", 10, &limits)
}

#[test]
fn children_that_their_parents_leave_behind_leave_nothing() -> Result<()> {
    forks_leave_nothing("orphans", 20, &[])
}

/// A guest for each connection, so that the host outlives it: what its ends have left is seen.
struct ForConnections {
    running: Running,
    addr: SocketAddr,
}

impl ForConnections {
    fn start(flags: &[&str], command: &[&str]) -> Result<Self> {
        let host = run().args(["--per-connection", "127.0.0.1:0"]).args(flags).args(command);
        let mut running = host.start()?;
        let addr = running.listening()?;
        Ok(Self { running, addr })
    }

    /// What a guest says until none of its processes has the connection any more.
    fn ask(&self) -> Result<String> {
        let mut client = TcpStream::connect(self.addr)?;
        client.set_read_timeout(Some(WAIT_TIMEOUT))?;
        client.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        let mut part = [0; 64];
        // An end by a signal or a limit is a reset.
        while let Ok(count @ 1..) = client.read(&mut part) {
            answer.extend_from_slice(part.get(..count).context("a part")?);
        }
        Ok(String::from_utf8(answer)?)
    }

    /// Some guests after the first two leave nothing that these have not left.
    fn leave_nothing(self, guests: u32, says: impl Fn(&str) -> bool) -> Result<()> {
        let asks = |count| {
            (0..count).try_for_each(|_| {
                let answer = self.ask()?;
                ensure!(says(&answer), "{answer:?}: {}", self.running.stderr());
                Ok(())
            })
        };
        asks(2)?;
        let before = at_rest(&self.running)?;
        asks(guests)?;
        before.is_held_again(&self.running)?;
        self.running.stop()?.expect_no_stderr("panicked").map(drop)
    }
}

/// A bomb without an end of its own, for each connection.
fn bombs_leave_nothing(end: &str, flags: &[&str], is_told: bool) -> Result<()> {
    let Some(program) = rewritten(asyncified::HOSTILE_FORKS)? else { return Ok(()) };
    for kind in ["copies", "nested"] {
        let flags = [&["--max-processes", "20"], flags].concat();
        let host = ForConnections::start(&flags, &[program, "endless", kind, end])?;
        host.leave_nothing(8, |answer| !is_told || answer == "many\n").with_context(|| kind.to_owned())?;
    }
    Ok(())
}

#[test]
fn bombs_without_end_whose_first_process_returns_leave_nothing_behind() -> Result<()> {
    bombs_leave_nothing("returns", &[], true)
}

#[test]
fn bombs_without_end_that_a_signal_ends_leave_nothing_behind() -> Result<()> {
    bombs_leave_nothing("signal", &[], true)
}

/// As far as each has come by then.
#[test]
fn bombs_without_end_that_a_timeout_ends_leave_nothing_behind() -> Result<()> {
    bombs_leave_nothing("never", &["--timeout", "500ms"], false)
}

#[test]
fn bombs_without_end_end_with_the_run() -> Result<()> {
    let Some(program) = rewritten(asyncified::HOSTILE_FORKS)? else { return Ok(()) };
    for kind in ["copies", "nested"] {
        let bomb = |host: Wasock| host.args([program, "endless", kind, "never"]);
        let mut running = bomb(run()).start()?;
        running.wait_for_stdout("many")?;
        running.stop()?.expect_no_stderr("panicked")?;
        let finished = bomb(run().args(["--timeout", "1s"])).finish()?;
        finished.expect_code(124)?.expect_no_stderr("panicked")?;
        // Whose end the end of the first process is not.
        let mut running = bomb(run().args(["--orphans", "keep"])).start()?;
        running.wait_for_stdout("many")?;
        running.signal(Signal::INT)?;
        running.finish()?.expect_code(130)?.expect_no_stderr("panicked")?;
    }
    Ok(())
}

/// The first process of a connection ends before its children do.
#[test]
fn children_that_are_kept_leave_nothing_behind() -> Result<()> {
    let Some(program) = rewritten(asyncified::HOSTILE_FORKS)? else { return Ok(()) };
    let host = ForConnections::start(&["--orphans", "keep"], &[program, "leave"])?;
    host.leave_nothing(20, |answer| answer == "leftleftleft")
}

/// The program with threads is at `/bin/again` too.
fn threads_leave_nothing(command: &[&str], flags: &[&str]) -> Result<()> {
    let Some(program) = rewritten(asyncified::HOSTILE_THREADS)? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    fs::copy(program, folder.path().join("again"))?;
    let granted = format!("{}::/bin", folder.path().display());
    let host = run().with_stdin().args(["--exec", &granted]).args(flags).arg(program);
    leaves_nothing(host.args(command))
}

/// Its threads compute, sleep, read and wait in the memory when it becomes another program.
#[test]
pub(crate) fn hostile_threads() -> Result<()> {
    threads_leave_nothing(&["replaced", "14", "14"], &[])
}

#[test]
fn copies_with_threads_that_become_other_programs_leave_nothing_behind() -> Result<()> {
    threads_leave_nothing(&["copies", "10"], &[])
}

#[test]
fn children_of_threads_that_become_other_programs_leave_nothing_behind() -> Result<()> {
    threads_leave_nothing(&["children", "10"], &[])
}

#[test]
fn descriptors_that_threads_close_while_copies_are_made_leave_nothing_behind() -> Result<()> {
    threads_leave_nothing(&["closes", "10"], &[])
}

/// What they have waited for outlives them, and keeps nothing of the host's.
#[test]
fn threads_that_poll_and_end_leave_nothing_behind() -> Result<()> {
    threads_leave_nothing(&["polls", "10"], &["--listen", "127.0.0.1:*"])
}

#[test]
fn jumps_of_copies_to_places_of_other_threads_leave_nothing_behind() -> Result<()> {
    threads_leave_nothing(&["foreign", "10"], &[])
}
