//! What bad input gets: the container fails with one sentence, in its log and in the answer of `ctr`.

use anyhow::{Result, ensure};
use guest_tests::Finished;

use crate::host::{Host, holds};
use crate::image::{Image, WASM_LAYER};
use crate::network::Network;
use crate::programs::{self, guest};
use crate::run::Run;

/// It fails, says that once, and nothing is left of it.
fn fails(host: &Host, run: Run<'_>, sentence: &str) -> Result<Finished> {
    let finished = run.finish()?;
    ensure!(finished.code != Some(0), "it succeeds\n{finished}");
    let said = finished.stderr_lines_with(sentence).len();
    ensure!(said == 1, "{sentence:?} is said {said} times\n{finished}");
    ensure!(!finished.stderr.contains("panicked"), "{finished}");
    host.wait_until_nothing_is_left()?;
    Ok(finished)
}

#[test]
fn an_image_without_its_program() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = Image::empty().file("readme", b"text", 0o644).entrypoint(&["/server.wasm"]);
    let image = host.import(&image)?;
    fails(&host, host.run(&image), "/server.wasm").map(drop)
}

#[test]
fn a_broken_module() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let mut module = guest(guest_tests::HTTP_SERVER)?;
    module.truncate(module.len() / 2);
    let image = host.import(&Image::of_module(&module))?;
    fails(&host, host.run(&image), "wasock: ").map(drop)
}

#[test]
fn a_file_that_is_no_module() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&Image::of_module(b"this is text"))?;
    fails(&host, host.run(&image), "wasock: ").map(drop)
}

#[test]
fn two_modules() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let module = guest(guest_tests::HTTP_SERVER)?;
    let other = wat::parse_str(programs::CAT)?;
    let image = Image::of_layers(&[(WASM_LAYER, &module), (WASM_LAYER, &other)]);
    let Some(image) = crate::artifacts::import(&host, &image)? else { return Ok(()) };
    fails(&host, host.run(&image), "wasock: ").map(drop)
}

/// containerd itself says that it has no image for this machine: version 1.6 takes none in, version 2 runs none.
#[test]
fn a_wrong_architecture() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let said = match host.import(&programs::http_server()?.platform("linux", "s390x").listed()) {
        Ok(image) => host.run(&image).finish()?.stderr,
        Err(error) => error.to_string(),
    };
    holds(&said, "no match for platform")
}

#[test]
fn a_service_file_with_mistakes() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = programs::http_server()?.file("etc/wasock/service.toml", b"lisen = \":8080\"\n", 0o644);
    let image = host.import(&image)?;
    let finished = fails(&host, host.run(&image), "unknown key `lisen`")?;
    finished.expect_code(2)?.expect_stderr("/etc/wasock/service.toml:1").map(drop)
}

#[test]
fn a_service_file_that_is_not_there() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    fails(&host, host.run(&image).env("WASOCK_CONFIG", "/etc/none.toml"), "/etc/none.toml").map(drop)
}

#[test]
fn a_port_that_is_taken_in_the_namespace() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let network = Network::make()?;
    let mut first = host.run(&image).in_network(&network).args(&["0.0.0.0:8080"]).start()?;
    first.wait_for_stderr("listening on")?;
    let finished = host.run(&image).in_network(&network).args(&["0.0.0.0:8080"]).finish()?;
    ensure!(finished.code != Some(0), "it succeeds\n{finished}");
    // The program says what it made of EADDRINUSE, and the host which port that was.
    finished.expect_stderr("0.0.0.0:8080").map(drop)
}

/// On a machine that has none, and for a container that asks for none.
#[test]
fn no_control_groups() -> Result<()> {
    let Some(host) = Host::start_without_groups()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let finished = host.run(&image).args(&["127.0.0.1:0"]).finish()?;
    ensure!(finished.code != Some(0), "it succeeds\n{finished}");
    finished.expect_stderr("cgroup").map(drop)
}
