//! How containers end: exit codes, signals, the end of their shim, and that nothing is left of them.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use guest_tests::{HttpClient, Running, is_refused};
use rustix::process::{Pid, Signal, kill_process};

use crate::host::{Host, holds};
use crate::network::Network;
use crate::{left, programs};

#[test]
fn a_trap_is_the_exit_code_of_the_command() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::of_text(programs::TRAP)?)?;
    host.run(&image).finish()?.expect_code(134)?.expect_stderr("unreachable")?;
    host.wait_until_nothing_is_left()
}

/// A server that has been told to end, and still has a connection.
struct Draining {
    id: String,
    running: Running,
    client: HttpClient,
}

fn draining(host: &Host, network: &Network) -> Result<Draining> {
    let image = host.import(&programs::http_server()?)?;
    let run = host.run(&image).in_network(network).args(&["0.0.0.0:8080"]);
    let id = run.id();
    let mut running = run.start()?;
    running.wait_for_stderr("listening on")?;
    let mut client = HttpClient::connect(network.inside(8080))?;
    client.get("/")?;
    host.asked(&["task", "kill", "--signal", "SIGTERM", &id])?;
    running.wait_for_stderr("SIGTERM: the connections may end")?;
    Ok(Draining { id, running, client })
}

#[test]
fn sigterm_lets_connections_end() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let network = Network::make()?;
    let Draining { running, mut client, .. } = draining(&host, &network)?;
    is_refused(network.inside(8080))?;
    ensure!(client.get("/")?.status == 200, "the connection has ended");
    drop(client);
    running.finish()?.expect_code(0)?;
    host.wait_until_nothing_is_left()
}

#[test]
fn a_second_sigterm_ends_it_at_once() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let network = Network::make()?;
    let Draining { id, running, client: _open } = draining(&host, &network)?;
    host.asked(&["task", "kill", "--signal", "SIGTERM", &id])?;
    running.finish()?.expect_code(143)?;
    host.wait_until_nothing_is_left()
}

#[test]
fn sigkill_ends_it_and_a_delete_leaves_nothing() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let id = host.run(&image).args(&["127.0.0.1:8080"]).detach()?;
    host.wait_for_state(&id, "RUNNING")?;
    host.asked(&["task", "kill", "--signal", "SIGKILL", &id])?;
    host.wait_for_state(&id, "STOPPED")?;
    let output = host.ctr(&["task", "delete", &id]).output()?;
    holds(&String::from_utf8(output.stderr)?, "exit code 137")?;
    host.asked(&["container", "delete", &id])?;
    host.wait_until_nothing_is_left()
}

/// As the kubelet does with a container that has ended.
#[test]
fn the_same_container_starts_again() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let network = Network::make()?;
    let id = host.run(&image).in_network(&network).args(&["0.0.0.0:8080"]).detach()?;
    for _ in 0..3 {
        let answers =
            || Ok(HttpClient::connect(network.inside(8080)).is_ok_and(|mut it| it.get("/").is_ok()));
        host.wait_until(answers)?;
        host.asked(&["task", "kill", "--signal", "SIGTERM", &id])?;
        host.wait_for_state(&id, "STOPPED")?;
        host.asked(&["task", "delete", &id])?;
        host.asked(&["task", "start", "--detach", "--null-io", &id])?;
    }
    host.asked(&["task", "delete", "--force", &id])?;
    host.asked(&["container", "delete", &id])?;
    host.wait_until_nothing_is_left()
}

#[test]
fn a_container_outlives_its_containerd() -> Result<()> {
    let Some(mut host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let network = Network::make()?;
    let id = host.run(&image).in_network(&network).args(&["0.0.0.0:8080"]).detach()?;
    let answers = || HttpClient::connect(network.inside(8080)).is_ok_and(|mut it| it.get("/").is_ok());
    host.wait_until(|| Ok(answers()))?;
    let mut client = HttpClient::connect(network.inside(8080))?;
    client.get("/")?;
    host.restart()?;
    ensure!(client.get("/")?.status == 200, "the connection has ended");
    drop(client);
    // The new one knows of it, and ends it.
    host.wait_for_state(&id, "RUNNING")?;
    host.asked(&["task", "kill", "--signal", "SIGTERM", &id])?;
    host.wait_for_state(&id, "STOPPED")?;
    host.asked(&["task", "delete", &id])?;
    host.asked(&["container", "delete", &id])?;
    host.wait_until_nothing_is_left()
}

/// Its exit code is kept for the next one.
#[test]
fn a_container_may_end_while_there_is_no_containerd() -> Result<()> {
    let Some(mut host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let network = Network::make()?;
    let id = host.run(&image).in_network(&network).args(&["0.0.0.0:8080"]).detach()?;
    host.wait_until(|| Ok(HttpClient::connect(network.inside(8080)).is_ok()))?;
    let process = i32::try_from(host.pid_of(&id)?).ok().and_then(Pid::from_raw).context("a process")?;
    host.restart_after(|| Ok(kill_process(process, Signal::KILL)?))?;
    host.wait_for_state(&id, "STOPPED")?;
    let output = host.ctr(&["task", "delete", &id]).output()?;
    holds(&String::from_utf8(output.stderr)?, "exit code 137")?;
    host.asked(&["container", "delete", &id])?;
    host.wait_until_nothing_is_left()
}

#[test]
fn nothing_is_left_of_a_shim_that_was_killed() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let network = Network::make()?;
    let id = host.run(&image).in_network(&network).args(&["0.0.0.0:8080"]).detach()?;
    let answers = || Ok(HttpClient::connect(network.inside(8080)).is_ok_and(|mut it| it.get("/").is_ok()));
    host.wait_until(answers)?;
    let container = host.pid_of(&id)?;
    let bundle = host.folder().join("state/io.containerd.runtime.v2.task").join(host.namespace()).join(&id);
    let socket = left::socket_of(&bundle)?.context("the shim has no socket")?;
    // The shim has a helper, of which the container is a child; both are to go.
    let shims: Vec<u32> = left::processes(&host)?.into_keys().filter(|pid| *pid != container).collect();
    ensure!(!shims.is_empty(), "no shim");
    let shim = *shims.first().context("no shim")?;
    let shim = Pid::from_raw(i32::try_from(shim)?).context("no process")?;
    kill_process(shim, Signal::KILL)?;
    host.wait_until_nothing_is_left()?;
    ensure!(!socket.exists(), "{} is left", socket.display());
    host.asked(&["container", "delete", &id])?;
    // Another one of this name starts as if nothing had been.
    let mut running = host.run(&image).in_network(&network).args(&["0.0.0.0:8080"]).start()?;
    running.wait_for_stderr("listening on")?;
    ensure!(HttpClient::connect(network.inside(8080))?.get("/")?.status == 200);
    Ok(())
}

#[test]
fn exec_is_refused_with_a_sentence() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let network = Network::make()?;
    let run = host.run(&image).in_network(&network).args(&["0.0.0.0:8080"]);
    let id = run.id();
    let mut running = run.start()?;
    running.wait_for_stderr("listening on")?;
    let said = host.refused(&["task", "exec", "--exec-id", "one", &id, "/bin/sh"])?;
    holds(&said, "exec is not supported: there is no shell in there")?;
    // It goes on.
    ensure!(HttpClient::connect(network.inside(8080))?.get("/")?.status == 200);
    Ok(())
}

/// The limit is that of the control group, and what is counted is there.
#[test]
fn the_control_group_has_the_limits_of_the_container() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let limit = 96 << 20;
    let network = Network::make()?;
    let run = host.run(&image).in_network(&network).flags(&["--memory-limit", &limit.to_string()]);
    let id = run.id();
    let mut running = run.args(&["0.0.0.0:8080"]).start()?;
    running.wait_for_stderr("listening on")?;
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", host.pid_of(&id)?))?;
    holds(&groups, &format!("/{}/{id}", host.namespace()))?;
    let old = format!("/sys/fs/cgroup/memory/{}/{id}/memory.limit_in_bytes", host.namespace());
    let new = format!("/sys/fs/cgroup/{}/{id}/memory.max", host.namespace());
    let set = fs::read_to_string(old).or_else(|_| fs::read_to_string(new))?;
    ensure!(set.trim() == limit.to_string(), "the limit is {set}");
    let metrics = host.asked(&["task", "metrics", &id])?;
    holds(&metrics, "memory")
}
