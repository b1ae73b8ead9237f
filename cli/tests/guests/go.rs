//! A server in Go, which can't listen in WASI preview 1 and is given its listener, as a service.

use super::run;
use anyhow::{Context as _, Result, ensure};
use guest_tests::HttpClient;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

const SERVER: &str = r#"
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		panic(err)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "Hello from Go\n") })
	panic(http.Serve(listener, nil))
}
"#;

/// The toolchain of Go that the variable `GO` names, or the one in the path, where it makes programs for
/// preview 1.
fn toolchain() -> Option<PathBuf> {
    let go = std::env::var_os("GO").map_or_else(|| "go".into(), PathBuf::from);
    let targets = Command::new(&go).args(["tool", "dist", "list"]).output().ok()?;
    String::from_utf8_lossy(&targets.stdout).contains("wasip1/wasm").then_some(go)
}

/// The server, compiled; `None` where there is no toolchain.
fn server(folder: &Path) -> Result<Option<PathBuf>> {
    let Some(go) = toolchain() else {
        eprintln!("passed over: no toolchain of Go for wasip1 (GO=/path/to/go)");
        return Ok(None);
    };
    let source = folder.join("server.go");
    std::fs::write(&source, SERVER)?;
    let module = folder.join("server.wasm");
    let mut command = Command::new(&go);
    command.args(["build", "-o"]).arg(&module).arg(&source).current_dir(folder);
    command.envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOTOOLCHAIN", "local"), ("GO111MODULE", "off")]);
    // Its library is compiled once, and not for each run of the tests.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    let output = command.env("GOCACHE", cache).env("GOPATH", folder).output()?;
    ensure!(output.status.success(), "go build: {}", String::from_utf8_lossy(&output.stderr));
    Ok(Some(module))
}

fn is_page(client: &mut HttpClient) -> Result<()> {
    let response = client.get("/")?;
    ensure!(response.status == 200, "answered {response:?}");
    Ok(())
}

/// R4 and R10, for a listener that each generation has from its start on.
#[test]
fn r10_a_server_in_go_is_reloaded_under_load() -> Result<()> {
    const RELOADS: u32 = 3;
    let folder = tempfile::tempdir()?;
    let Some(module) = server(folder.path())? else { return Ok(()) };
    let flags = ["--reload-signal", "USR2", "--preopen-listen", "127.0.0.1:0"];
    let mut running = run().args(flags).arg(&module).start()?;
    let addr = running.listening()?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let loads: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| -> Result<u32> {
                    let mut requests = 0;
                    while !is_over.load(SeqCst) {
                        is_page(&mut HttpClient::connect(addr)?)?;
                        requests += 1;
                    }
                    Ok(requests)
                })
            })
            .collect();
        let mut reloads = || -> Result<()> {
            let mut keeps = HttpClient::connect(addr)?;
            is_page(&mut keeps)?;
            for generation in 2..=RELOADS + 1 {
                running.signal(Signal::USR2)?;
                running.wait_for_stderr(&format!("generation {generation} serves"))?;
                is_page(&mut keeps)?;
            }
            Ok(())
        };
        let reloaded = reloads();
        is_over.store(true, SeqCst);
        for load in loads {
            let requests = load.join().ok().context("it panicked")??;
            ensure!(requests > 0, "no request was answered");
        }
        reloaded
    })?;
    running.stop().map(drop)
}
