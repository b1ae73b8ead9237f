//! What a container finds: the network, arguments, the environment, files, standard streams.

use std::fs;

use anyhow::{Result, ensure};
use guest_tests::{Client, HttpClient};
use serde_json::json;

use crate::host::{Host, RUNC};
use crate::image::Image;
use crate::network::Network;
use crate::programs::{self, guest};

#[test]
fn a_module_answers_in_a_network_of_its_own() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let network = Network::make()?;
    let mut running = host.run(&image).in_network(&network).args(&["0.0.0.0:8080"]).start()?;
    running.wait_for_stderr("listening on 0.0.0.0:8080")?;
    let mut client = HttpClient::connect(network.inside(8080))?;
    for _ in 0..3 {
        ensure!(client.get("/")?.status == 200);
    }
    // The address of a client is that of the other end of the network.
    let status = network.command("cat").arg("/proc/net/tcp").output()?;
    ensure!(status.status.success(), "no network there");
    Ok(())
}

#[test]
fn a_module_answers_in_the_hosts_network() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let mut running = host.run(&image).flags(&["--net-host"]).args(&["127.0.0.1:0"]).start()?;
    let addr = running.listening()?;
    ensure!(HttpClient::connect(addr)?.get("/")?.status == 200);
    Ok(())
}

/// The same test of the twin says that it is a test of the shim.
#[test]
fn the_native_twin_answers_beside_it() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let (image, twin) =
        (host.import(&programs::http_server()?)?, host.import(&programs::native_http_server()?)?);
    let (network, beside) = (Network::make()?, Network::make()?);
    let _twin = host.run(&twin).runtime(RUNC).in_network(&beside).args(&["0.0.0.0:8080"]).start()?;
    let mut running = host.run(&image).in_network(&network).args(&["0.0.0.0:8080"]).start()?;
    running.wait_for_stderr("listening on")?;
    host.wait_until(|| Ok(HttpClient::connect(beside.inside(8080)).is_ok()))?;
    let pages = [network, beside].map(|network| HttpClient::connect(network.inside(8080))?.get("/"));
    let [own, of_twin] = pages;
    ensure!(own?.body == of_twin?.body, "they answer differently");
    Ok(())
}

#[test]
fn a_component_answers() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&Image::of_module(&guest(guest_tests::components::COMPONENT_ECHO)?))?;
    let network = Network::make()?;
    let mut running = host.run(&image).in_network(&network).args(&["0.0.0.0:8080"]).start()?;
    running.wait_for_stdout("at 0.0.0.0:8080")?;
    let mut client = Client::connect(network.inside(8080))?;
    client.say("hello")?;
    client.hears("hello")
}

#[test]
fn a_program_with_threads_answers() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&Image::of_module(&guest(guest_tests::THREADED_HTTP)?))?;
    let network = Network::make()?;
    let mut running = host.run(&image).in_network(&network).args(&["0.0.0.0:8080", "each"]).start()?;
    running.wait_for_stderr("listening on")?;
    let clients: Vec<_> = (0..8).map(|_| HttpClient::connect(network.inside(8080))).collect::<Result<_>>()?;
    for mut client in clients {
        ensure!(client.get("/")?.status == 200);
    }
    Ok(())
}

/// What it executes lies in the image, and the policy grants it.
#[test]
fn a_program_starts_others() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let program = guest(guest_tests::PROCESSES)?;
    let image = Image::empty().file("bin/processes", &program, 0o755).entrypoint(&["/bin/processes"]);
    let image = host.import(&image)?;
    let policy = "exec = \"/bin\"\n";
    let running = host.run(&image).env("WASOCK_CONFIG", policy).args(&["waits"]).start()?;
    // Each of them is compiled.
    host.wait_until(|| Ok(running.stdout().contains("holds")))?;
    running.finish()?.expect_code(0).map(drop)
}

#[test]
fn arguments_and_the_environment_arrive_and_the_exit_code_leaves() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = Image::of_module(&guest(guest_tests::ARGS_ENV_EXIT)?).setting("Env", json!(["OF_IMAGE=a b"]));
    let image = host.import(&image)?;
    let finished =
        host.run(&image).env("OF_RUN", "ü=1").args(&["7", "two words", ""]).finish()?.expect_code(7)?;
    for line in ["arg 1: 7\n", "arg 2: two words\n", "arg 3: \n", "env OF_IMAGE=a b\n", "env OF_RUN=ü=1\n"] {
        ensure!(finished.stdout.contains(line), "{line:?} is not in\n{finished}");
    }
    Ok(())
}

#[test]
fn standard_input_is_read_to_its_end() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::of_text(programs::CAT)?)?;
    let mut running = host.run(&image).start_with_stdin()?;
    running.write_stdin(b"one line\n")?;
    running.wait_for_stdout("one line")?;
    running.finish()?.expect_code(0).map(drop)
}

/// A server of files, of the image's and of a volume's.
#[test]
fn files_are_those_of_the_image_and_of_volumes() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = Image::of_module(&guest(guest_tests::FILE_SERVER)?).file("site/page", b"of the image", 0o644);
    let image = host.import(&image)?;
    let volume = tempfile::tempdir()?;
    fs::write(volume.path().join("page"), "of the volume")?;
    let mount = format!("type=bind,src={},dst=/data,options=rbind:ro", volume.path().display());
    for (folder, expected) in [("/site", "of the image"), ("/data", "of the volume")] {
        let network = Network::make()?;
        let run = host.run(&image).in_network(&network).flags(&["--mount", &mount]);
        let mut running = run.args(&["0.0.0.0:80", folder]).start()?;
        running.wait_for_stderr("listening on")?;
        let mut client = HttpClient::connect(network.inside(80))?;
        client.send(b"GET /page HTTP/1.0\r\n\r\n")?;
        let answer = client.response()?;
        ensure!(answer.text() == expected, "{answer:?}");
    }
    Ok(())
}

#[test]
fn it_begins_in_the_working_directory_of_the_image() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = programs::of_text(programs::WORKING_DIRECTORY)?.file("site/page", b"", 0o644);
    let image = host.import(&image.setting("WorkingDir", json!("/site")))?;
    host.run(&image).finish()?.expect_code(0)?.expect_stdout("/site").map(drop)
}

/// As a manifest asks for: no root, no capability, nothing to write to.
#[test]
fn it_runs_as_any_user_with_nothing_to_write_to() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?.setting("User", json!("65532:65532")))?;
    let network = Network::make()?;
    let run = host.run(&image).in_network(&network).flags(&["--read-only"]);
    let mut running = run.args(&["0.0.0.0:8080"]).start()?;
    running.wait_for_stderr("listening on")?;
    ensure!(HttpClient::connect(network.inside(8080))?.get("/")?.status == 200);
    Ok(())
}
