//! Images whose layers are modules in place of a file system.

use anyhow::{Result, ensure};
use guest_tests::HttpClient;

use crate::host::{Host, Imported};
use crate::image::{COMPONENT_LAYER, Image, WASM_LAYER};
use crate::network::Network;
use crate::programs::guest;

/// Has containerd take such an image in; `None` where it is too old to: 1.7.7 is the first that is not.
pub(crate) fn import(host: &Host, image: &Image) -> Result<Option<Imported>> {
    match host.import(image) {
        Ok(imported) => Ok(Some(imported)),
        Err(error) => {
            let version = host.asked(&["version"])?;
            ensure!(version.contains("1.6."), "{error:#}");
            eprintln!("passed over: this containerd takes no layer that is no file system: {error:#}");
            Ok(None)
        }
    }
}

fn answers(kind: &str) -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = Image::of_layers(&[(kind, &guest(guest_tests::HTTP_SERVER)?)]);
    let Some(image) = import(&host, &image)? else { return Ok(()) };
    let network = Network::make()?;
    let run = host.run(&image).in_network(&network).flags(&["--platform", "wasip1/wasm"]);
    let mut running = run.args(&["0.0.0.0:8080"]).start()?;
    running.wait_for_stderr("listening on")?;
    ensure!(HttpClient::connect(network.inside(8080))?.get("/")?.status == 200);
    Ok(())
}

#[test]
fn a_layer_with_a_module_is_a_program() -> Result<()> {
    answers(WASM_LAYER)
}

#[test]
fn a_layer_of_the_older_type_is_a_program() -> Result<()> {
    answers(COMPONENT_LAYER)
}
