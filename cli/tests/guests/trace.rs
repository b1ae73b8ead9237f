//! The call trace: one readable line for each call.

use super::{run, run_on_loopback};
use anyhow::{Context, Result, ensure};
use guest_tests::HttpClient;

/// One line of the trace, without its duration.
fn without_duration(line: &str) -> Result<&str> {
    let (call, duration) = line.rsplit_once(" <").with_context(|| format!("no time: {line:?}"))?;
    let number = duration.strip_suffix("us>").with_context(|| format!("no unit: {line:?}"))?;
    let (whole, tenths) = number.split_once('.').with_context(|| format!("no point: {line:?}"))?;
    ensure!(whole.parse::<u64>().is_ok() && tenths.len() == 1, "no time: {line:?}");
    Ok(call)
}

#[test]
fn denied_call_is_traced() -> Result<()> {
    let finished = run().args(["--trace", guest_tests::HTTP_SERVER, "127.0.0.1:8080"]).finish()?;
    let lines = finished.stderr_lines_with("sock_bind(");
    let line = lines.first().with_context(|| format!("no sock_bind\n{finished}"))?;
    ensure!(without_duration(line)? == "sock_bind(fd=3, addr=127.0.0.1:8080) = EACCES", "{line}");
    Ok(())
}

#[test]
fn served_connection_is_traced() -> Result<()> {
    let mut server = run_on_loopback()
        .args(["--max-backlog", "5", "--trace", guest_tests::HTTP_SERVER, "127.0.0.1:0"])
        .start()?;
    let addr = server.listening()?;
    HttpClient::connect(addr)?.get("/")?;
    server.wait_for_stderr("fd_close(fd=4) = 0")?;
    let finished = server.stop()?;

    for call in [
        "sock_bind(fd=3, addr=127.0.0.1:0) = 0",
        "sock_listen(fd=3, backlog=1024) = 0 capacity=5",
        "fd_close(fd=4) = 0",
    ] {
        let lines = finished.stderr_lines_with(call);
        let line = lines.first().with_context(|| format!("no {call}\n{finished}"))?;
        ensure!(without_duration(line)? == call, "{line}");
    }
    let accepts = finished.stderr_lines_with("sock_accept_v2(fd=3, flags=");
    let accepted = accepts.iter().find(|line| line.contains(" = 0 fd=4 addr=127.0.0.1:"));
    ensure!(accepted.is_some(), "no accepted connection\n{finished}");
    let waited = accepts.iter().find(|line| line.contains(" = EAGAIN "));
    ensure!(waited.is_some(), "no end of the queue\n{finished}");
    Ok(())
}

#[test]
fn without_the_flag_nothing_is_traced() -> Result<()> {
    let finished = run_on_loopback().arg(guest_tests::BIND_PORT_ZERO_REPORTS_PORT).succeed()?;
    ensure!(finished.stderr_lines_with("sock_bind(").is_empty(), "{finished}");
    Ok(())
}
