//! What containerd, and who stands behind it, ask of the shim while a container is there.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use guest_tests::HttpClient;

use crate::host::Host;
use crate::programs;

/// The network that a process is in.
fn network_of(pid: u32) -> Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).with_context(|| format!("process {pid}"))
}

/// Docker, and `ctr run --cni`, give a network to the process that a container has before it is started. The file is
/// written then.
#[test]
fn a_container_has_its_process_before_it_is_started() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let file = host.folder().join("pid");
    let flags = ["--pid-file", file.to_str().context("a path")?];
    let id = host.run(&image).flags(&flags).args(&["0.0.0.0:8080"]).detach()?;
    let first: u32 = fs::read_to_string(&file)?.trim().parse()?;
    ensure!(first == host.pid_of(&id)?, "it was process {first}");
    ensure!(network_of(first)? != network_of(std::process::id())?, "it has the network of the machine");
    Ok(())
}

#[test]
fn the_processes_of_a_container_are_listed() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let id = host.run(&image).args(&["0.0.0.0:8080"]).detach()?;
    let list = host.asked(&["task", "ps", &id])?;
    let pids: Vec<_> = list.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    ensure!(pids == [host.pid_of(&id)?.to_string()], "{list}");
    Ok(())
}

#[test]
fn the_limit_of_memory_and_the_processor_time_are_measured() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let flags = ["--net-host", "--memory-limit", "268435456"];
    let run = host.run(&image).flags(&flags).args(&["127.0.0.1:0"]);
    let id = run.id();
    let mut running = run.start()?;
    ensure!(HttpClient::connect(running.listening()?)?.get("/")?.status == 200);
    let table = host.asked(&["task", "metrics", &id])?;
    let value = |name: &str| {
        let line = table.lines().find(|line| line.starts_with(name)).with_context(|| table.clone())?;
        Ok::<u64, anyhow::Error>(line.split_whitespace().nth(1).context("no value")?.parse()?)
    };
    ensure!(value("memory.limit_in_bytes")? == 256 << 20, "{table}");
    // In nanoseconds: to compile or to map a module takes more than a tenth of a millisecond.
    ensure!(value("cpuacct.usage ")? > 100_000, "{table}");
    Ok(())
}
