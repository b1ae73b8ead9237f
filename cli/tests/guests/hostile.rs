//! Hostile guests: an error or a trap, never a broken host.

use super::run_on_loopback;
use anyhow::{Context, Result, ensure};
use guest_tests::Running;
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

/// How many threads drive `arbitrary_pointers`, each with every n-th call.
const SHARES: usize = 4;

#[test]
pub(crate) fn arbitrary_pointers() -> Result<()> {
    let list = run_on_loopback().arg(guest_tests::ARBITRARY_POINTERS).succeed()?;
    let calls: Vec<&str> = list.stdout.lines().collect();
    ensure!(calls.len() > 80, "only {} calls", calls.len());
    std::thread::scope(|scope| {
        let shares: Vec<_> = (0..SHARES)
            .map(|share| {
                let calls = calls.iter().skip(share).step_by(SHARES);
                scope.spawn(move || calls.clone().try_for_each(|call| survives(call)))
            })
            .collect();
        shares.into_iter().try_for_each(|share| share.join().ok().context("a panic")?)
    })
}

/// Makes `call` with every arbitrary argument.
fn survives(call: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut first = 0;
    loop {
        let finished = run_on_loopback()
            .arg("--dir")
            .arg(format!("{}::/", folder.path().display()))
            .args([guest_tests::ARBITRARY_POINTERS, call, &first.to_string()])
            .finish()?;
        ensure!(!finished.stderr.contains("panicked"), "{call} broke the host\n{finished}");
        match finished.code {
            Some(0) => {
                finished.expect_stdout("done")?;
                return Ok(());
            }
            Some(134) => first = last_case(&finished.stdout)? + 1,
            _ => ensure!(false, "{call}: neither an answer nor a trap\n{finished}"),
        }
    }
}

/// The number of the case that a trap ended.
fn last_case(stdout: &str) -> Result<usize> {
    let line = stdout.lines().last().context("a trap before the first case")?;
    let number = line.strip_prefix("case ").and_then(|rest| rest.split(':').next());
    Ok(number.with_context(|| format!("no case: {line:?}"))?.parse()?)
}

#[test]
pub(crate) fn iovecs_million() -> Result<()> {
    const LIMIT_KIB: u64 = 512 * 1024;
    let mut running = run_on_loopback().with_stdin().arg(guest_tests::IOVECS_MILLION).start()?;
    running.wait_for_stdout("through")?;
    if let Some(peak) = peak_memory_kib(running.id()) {
        ensure!(peak < LIMIT_KIB, "the host took {peak} KiB");
    }
    running.finish()?.expect_code(0).map(drop)
}

/// The peak memory of a process, from Linux.
pub(crate) fn peak_memory_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A guest that has too much of something.
fn start_excess(case: &str) -> Result<Running> {
    run_on_loopback().with_stdin().args([guest_tests::EXCESS, case]).start()
}

#[test]
pub(crate) fn excess() -> Result<()> {
    let mut running = start_excess("sockets")?;
    running.wait_for_stdout("before")?;
    let before = running.descriptors()?;
    running.write_stdin(b"\n")?;
    for round in (0..50_000).step_by(2_500) {
        running.wait_for_stdout(&format!("round {round}."))?;
    }
    running.wait_for_stdout("after")?;
    let after = running.descriptors()?;
    // Fewer is possible: what the host opened for its start may have been open still.
    ensure!(after <= before, "{before} descriptors of the host became {after}");
    running.finish()?.expect_code(0).map(drop)
}

#[test]
fn excess_of_lingering_holds_nothing() -> Result<()> {
    let mut running = start_excess("lingering")?;
    running.wait_for_stdout("closed")?;
    // The accepted ends are open still, and nothing else.
    let open = running.descriptors()?;
    ensure!(open < 90, "{open} descriptors of the host");
    let threads = running.threads()?;
    ensure!(threads < 20, "{threads} threads of the host");
    running.finish()?.expect_code(0).map(drop)
}

#[test]
fn excess_of_subscriptions() -> Result<()> {
    start_excess("subscriptions")?.finish()?.expect_code(0).map(drop)
}

#[test]
fn excess_of_path() -> Result<()> {
    for case in ["tiny_buffers", "long_paths"] {
        let folder = tempfile::tempdir()?;
        let granted = format!("{}::/", folder.path().display());
        run_on_loopback().args(["--dir", &granted, guest_tests::EXCESS, case]).succeed()?;
    }
    Ok(())
}

#[test]
fn excess_of_asking_still_sees_data_and_signals() -> Result<()> {
    let mut running = start_excess("recv_loop")?;
    let mut client = TcpStream::connect(running.listening()?)?;
    for message in ["one", "two"] {
        client.write_all(message.as_bytes())?;
        running.wait_for_stdout(message)?;
    }
    running.signal(Signal::INT)?;
    running.finish()?.expect_code(130)?.expect_no_stderr("panicked").map(drop)
}
