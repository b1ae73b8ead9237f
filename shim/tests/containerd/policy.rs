//! The policy in a container: the network namespace is the outer wall, this one the inner.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use guest_tests::HttpClient;

use crate::host::{Host, Imported, WAIT_TIMEOUT};
use crate::image::Image;
use crate::network::Network;
use crate::programs::{self, guest};

/// A client that wants to connect to a listener at this end of `network`.
fn client(host: &Host, files: impl FnOnce(Image) -> Image) -> Result<Imported> {
    host.import(&files(Image::of_module(&guest(guest_tests::CLIENT)?)))
}

#[test]
fn without_a_service_file_nothing_is_connected_to() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let network = Network::make()?;
    let listener = TcpListener::bind((network.outside(), 0))?;
    let addr = listener.local_addr()?.to_string();
    let image = client(&host, |image| image)?;
    let finished = host.run(&image).in_network(&network).args(&[&addr, "hello"]).finish()?;
    ensure!(finished.code != Some(0), "it connects\n{finished}");
    // The line names what is to be set, as a key of the file.
    finished.expect_stderr(&format!("denied sock_connect of {addr}"))?.expect_stderr("connect = ").map(drop)
}

/// Answers one client with its own words.
fn echoes(listener: TcpListener) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let mut heard = String::new();
    stream.read_to_string(&mut heard)?;
    ensure!(heard == "hello", "it says {heard:?}");
    Ok(stream.write_all(b"hello yourself")?)
}

/// It connects, with the flags of `ctr run` that `prepare` makes for the address of the peer.
fn connects(host: &Host, image: &Imported, prepare: impl FnOnce(&str) -> Result<Vec<String>>) -> Result<()> {
    let network = Network::make()?;
    let listener = TcpListener::bind((network.outside(), 0))?;
    let addr = listener.local_addr()?.to_string();
    let flags = prepare(&addr)?;
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let peer = thread::spawn(move || echoes(listener));
    let run = host.run(image).in_network(&network).flags(&flags).args(&[&addr, "hello"]);
    run.finish()?.expect_code(0)?.expect_stdout("hello yourself")?;
    ensure!(peer.join().is_ok_and(|ended| ended.is_ok()), "the peer was not asked");
    Ok(())
}

#[test]
fn a_service_file_of_the_image_grants() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let file = "connect = \"198.18.0.0/15:*\"\n";
    let image = client(&host, |image| image.file("etc/wasock/service.toml", file.as_bytes(), 0o644))?;
    connects(&host, &image, |_| Ok(Vec::new()))
}

#[test]
fn a_service_file_that_is_mounted_grants() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = client(&host, |image| image)?;
    let folder = tempfile::tempdir()?;
    connects(&host, &image, |addr| {
        fs::write(folder.path().join("service.toml"), format!("connect = \"{addr}\"\n"))?;
        let mount = format!("type=bind,src={},dst=/etc/wasock,options=rbind:ro", folder.path().display());
        Ok(vec!["--mount".to_owned(), mount])
    })
}

#[test]
fn a_variable_has_the_policy_or_names_its_file() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = client(&host, |image| image.file("policy.toml", b"connect = \"198.18.0.0/15:*\"\n", 0o644))?;
    for value in ["connect = \"198.18.0.0/15:*\"\n", "/policy.toml"] {
        connects(&host, &image, |_| Ok(vec!["--env".to_owned(), format!("WASOCK_CONFIG={value}")]))?;
    }
    Ok(())
}

/// A volume that may be written to is the guest's, but not where the policy is in it: it would be another one after
/// the next start.
#[test]
fn a_guest_changes_its_policy_nowhere() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image =
        programs::of_text(programs::OVERWRITE)?.file("etc/wasock/service.toml", b"max-fds = 99\n", 0o666);
    let image = host.import(&image)?;
    host.run(&image).finish()?.expect_code(7)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("service.toml");
    fs::write(&file, "max-fds = 98\n")?;
    let mount = format!("type=bind,src={},dst=/etc/wasock,options=rbind:rw", folder.path().display());
    host.run(&image).flags(&["--mount", &mount]).finish()?.expect_code(7)?;
    ensure!(fs::read_to_string(&file)? == "max-fds = 98\n", "it was changed");
    Ok(())
}

/// The guest hears of the limit, and lives: the kernel ends nothing.
#[test]
fn memory_ends_before_the_control_group_does() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::of_text(programs::GROW)?)?;
    let limit = (96_u32 << 20).to_string();
    let finished = host.run(&image).flags(&["--memory-limit", &limit]).finish()?;
    let got = finished.code.context("it was ended")?;
    // Something of it is the host's.
    ensure!((16..96).contains(&got), "it got {got} MiB of 96\n{finished}");
    host.wait_until_nothing_is_left()
}

/// As the kubelet comes: over the network of the pod.
#[test]
fn probes_are_answered_over_the_network() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let file = b"listen = \":8080\"\nprobes = \":9000\"\ndrain-timeout = \"20s\"\n";
    let image = host.import(&programs::http_server()?.file("etc/wasock/service.toml", file, 0o644))?;
    let network = Network::make()?;
    let run = host.run(&image).in_network(&network).args(&["0.0.0.0:8080"]);
    let id = run.id();
    let mut running = run.start()?;
    running.wait_for_stderr("probes at")?;
    running.wait_for_stderr("listening on")?;
    let ask = |path: &str| HttpClient::connect(network.inside(9000))?.get(path);
    ensure!(ask("/healthz")?.status == 200);
    host.wait_until(|| Ok(ask("/readyz")?.status == 200))?;
    let metrics = ask("/metrics")?.text();
    ensure!(metrics.contains("wasock_open_connections 0"), "{metrics}");
    let mut client = HttpClient::connect(network.inside(8080))?;
    client.get("/")?;
    host.asked(&["task", "kill", "--signal", "SIGTERM", &id])?;
    running.wait_for_stderr("SIGTERM: the connections may end")?;
    // What is shown may be a moment old.
    host.wait_until(|| Ok(ask("/readyz")?.status == 503))?;
    drop(client);
    running.finish()?.expect_code(0).map(drop)
}
