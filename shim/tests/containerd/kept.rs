//! Programs in files of images are compiled once on a host.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use guest_tests::HttpClient;

use crate::host::{Host, Imported, KEPT, holds};
use crate::network::Network;
use crate::programs;

/// The files of code that a host has.
fn kept(host: &Host) -> Vec<PathBuf> {
    let entries = fs::read_dir(host.folder().join(KEPT).join("code")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// What the process of a server is mapped to, and where its descriptors lead; it has answered before.
fn seen_in(host: &Host, image: &Imported) -> Result<(String, Vec<String>)> {
    let network = Network::make()?;
    let run = host.run(image).in_network(&network).args(&["0.0.0.0:8080"]);
    let id = run.id();
    let mut running = run.start()?;
    running.wait_for_stderr("listening on")?;
    ensure!(HttpClient::connect(network.inside(8080))?.get("/")?.status == 200);
    let process = PathBuf::from(format!("/proc/{}", host.pid_of(&id)?));
    let mut open = Vec::new();
    for entry in fs::read_dir(process.join("fd"))? {
        let place = fs::read_link(entry?.path()).unwrap_or_default();
        open.push(place.to_string_lossy().into_owned());
    }
    Ok((fs::read_to_string(process.join("maps"))?, open))
}

#[test]
fn a_module_is_compiled_once_and_its_code_mapped() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    for round in 0..2 {
        let (maps, open) = seen_in(&host, &image)?;
        holds(&maps, "/memfd:code")?;
        let kept = kept(&host);
        ensure!(kept.len() == 1, "round {round}: {kept:?}");
        // Nothing in there leads to what other containers' code comes from.
        let folder = host.folder().join(KEPT);
        let leads_there = open.iter().any(|place| place.starts_with(&*folder.to_string_lossy()));
        ensure!(!leads_there, "{open:?}");
    }
    Ok(())
}

#[test]
fn code_that_was_changed_on_the_disk_is_compiled_anew() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    seen_in(&host, &image)?;
    for file in kept(&host) {
        let mut code = fs::read(&file)?;
        let middle = code.len() / 2;
        *code.get_mut(middle).context("it is empty")? ^= 1;
        fs::remove_file(&file)?;
        fs::write(&file, &code)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400))?;
    }
    let (maps, _) = seen_in(&host, &image)?;
    holds(&maps, "/memfd:code")
}

#[test]
fn without_a_folder_each_container_compiles_for_itself() -> Result<()> {
    let Some(host) = Host::start_without_folder()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let (maps, _) = seen_in(&host, &image)?;
    ensure!(!maps.contains("memfd:code"), "it is mapped all the same");
    ensure!(kept(&host).is_empty());
    Ok(())
}
