//! Many containers at once, and one that ends over and over.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use guest_tests::HttpClient;

use crate::host::{Host, SHIM};
use crate::{left, programs};

/// Each is a process of its own, in the host's network.
#[test]
fn fifty_containers_serve_side_by_side() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let mut all = Vec::new();
    for _ in 0..50 {
        let run = host.run(&image).flags(&["--net-host"]).args(&["127.0.0.1:0"]);
        let id = run.id();
        let mut running = run.start()?;
        let addr = running.listening()?;
        all.push((id, running, addr));
    }
    for _ in 0..3 {
        for (_, _, addr) in &all {
            ensure!(HttpClient::connect(*addr)?.get("/")?.status == 200);
        }
    }
    for (id, ..) in &all {
        host.asked(&["task", "kill", "--signal", "SIGTERM", id])?;
    }
    for (_, running, _) in all {
        running.finish()?.expect_code(0)?;
    }
    host.wait_until_nothing_is_left()
}

/// So the pages that have addresses are those of the file, and no memory of each.
#[test]
fn the_shim_lies_at_the_same_address_in_all_containers() -> Result<()> {
    // See build.rs.
    if option_env!("WASOCK_SHIM_ADDRESS") == Some("any") || !cfg!(target_arch = "x86_64") {
        return Ok(());
    }
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let mut all = Vec::new();
    for _ in 0..3 {
        let run = host.run(&image).flags(&["--net-host"]).args(&["127.0.0.1:0"]);
        let id = run.id();
        let mut running = run.start()?;
        running.listening()?;
        all.push((id, running));
    }
    let shim = fs::canonicalize(SHIM)?;
    let mut places = Vec::new();
    for pid in left::processes(&host)?.into_keys() {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        let first = maps.lines().find(|line| line.ends_with(&*shim.to_string_lossy()));
        if let Some(line) = first {
            places.push(line.split('-').next().context("a line without a place")?.to_owned());
        }
    }
    // The shim and the process of the container, each.
    ensure!(places.len() >= 6, "the shim is in {places:?}");
    ensure!(places.iter().collect::<BTreeSet<_>>().len() == 1, "the shim is in {places:?}");
    for (id, running) in all {
        host.asked(&["task", "kill", "--signal", "SIGTERM", &id])?;
        running.finish()?.expect_code(0)?;
    }
    host.wait_until_nothing_is_left()
}

#[test]
fn a_crash_loop_leaves_nothing_behind() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::of_text(programs::TRAP)?)?;
    for _ in 0..20 {
        host.run(&image).finish()?.expect_code(134)?;
    }
    host.wait_until_nothing_is_left()
}
