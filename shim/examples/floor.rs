//! The least that a container by the crate `containerd-shim-wasm` takes: a shim without an engine, whose container
//! answers every request of HTTP with one line. `cargo xtask bench --kubernetes` measures it beside the real one, so
//! that the difference between the two is what wasock adds.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context as _, Result};
use containerd_shim_wasm::sandbox::Sandbox;
use containerd_shim_wasm::sandbox::context::RuntimeContext;
use containerd_shim_wasm::shim::{Cli as _, Shim, Version, version};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";

struct Floor;

impl Shim for Floor {
    type Sandbox = Container;

    fn name() -> &'static str {
        "floor"
    }

    fn version() -> Version {
        version!()
    }
}

#[derive(Default)]
struct Container;

impl Sandbox for Container {
    /// Serves at the address that is its argument, until it is killed.
    async fn run_wasi(&self, context: &impl RuntimeContext) -> Result<i32> {
        let address = context.args().get(1).context("no address")?;
        for client in TcpListener::bind(address)?.incoming() {
            // One that has gone is none of the next one's business.
            let _gone = client.and_then(serve);
        }
        Ok(0)
    }
}

fn serve(mut client: TcpStream) -> std::io::Result<()> {
    let head = BufReader::new(&client).lines();
    for line in head {
        if line?.is_empty() {
            break;
        }
    }
    client.write_all(ANSWER)
}

fn main() {
    Floor::run(None);
}
