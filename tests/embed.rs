//! wasock inside an embedder's own program.

// The example itself: what readers copy is what runs here.
#[path = "../examples/embed.rs"]
#[expect(dead_code, reason = "its `main` is the example's own")]
mod example;

#[path = "embed/adoption.rs"]
mod adoption;
#[path = "embed/beside_wasmtime_wasi.rs"]
mod beside_wasmtime_wasi;
#[path = "embed/blocked_files.rs"]
mod blocked_files;
#[path = "embed/blocking.rs"]
mod blocking;
#[path = "embed/check.rs"]
mod check;
#[path = "embed/components.rs"]
mod components;
#[path = "embed/concurrent.rs"]
mod concurrent;
#[path = "embed/datagrams.rs"]
mod datagrams;
#[path = "embed/deliver.rs"]
mod deliver;
#[path = "embed/epochs.rs"]
mod epochs;
#[path = "embed/examples.rs"]
mod examples;
#[path = "embed/instances.rs"]
mod instances;
#[path = "embed/listening.rs"]
mod listening;
#[path = "embed/memory.rs"]
mod memory;
#[path = "embed/names.rs"]
mod names;
#[path = "embed/own_thread.rs"]
mod own_thread;
#[path = "embed/per_connection.rs"]
mod per_connection;
#[path = "embed/pieces.rs"]
mod pieces;
#[path = "embed/preopened.rs"]
mod preopened;
#[path = "embed/processes.rs"]
mod processes;
#[path = "embed/profiles.rs"]
mod profiles;
#[path = "embed/runtimes.rs"]
mod runtimes;
#[path = "embed/send_file.rs"]
mod send_file;
#[path = "embed/shared.rs"]
mod shared;
#[path = "embed/signals.rs"]
mod signals;
#[path = "embed/status.rs"]
mod status;
#[path = "embed/supervised.rs"]
mod supervised;
#[path = "embed/threads.rs"]
mod threads;
#[path = "embed/time.rs"]
mod time;
#[path = "embed/unix.rs"]
mod unix;

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use guest_tests::HttpClient;
use wasmtime::{Engine, Linker, Module, Store};
use wasock::WasockCtxBuilder;
use wasock::{Event, Observer, WasockCtx};

/// How long anything may take.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Passes every event to the test.
fn events() -> (impl Observer + 'static, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel();
    let observer = move |event: &Event| {
        let _nobody_cares = sender.send(event.clone());
    };
    (observer, receiver)
}

/// Where the guest listens; waits for it.
fn listening(events: &mpsc::Receiver<Event>) -> Result<SocketAddr> {
    loop {
        if let Event::Listening { local, .. } = events.recv_timeout(WAIT_TIMEOUT)? {
            return local.inet().context("no network address");
        }
    }
}

/// As [`listening`], from within a runtime of one thread.
async fn listening_async(events: mpsc::Receiver<Event>) -> Result<SocketAddr> {
    tokio::task::spawn_blocking(move || listening(&events)).await?
}

/// A grant for any port of 127.0.0.1.
fn granted() -> Result<WasockCtxBuilder> {
    Ok(WasockCtx::builder().listen(&"127.0.0.1:*".parse()?))
}

/// Runs an ignored test in a process of its own, where no other test uses what a process has once.
fn run_alone(test: &str) -> Result<()> {
    let tests = std::env::current_exe()?;
    let run = Command::new(tests).args([test, "--exact", "--ignored", "--nocapture"]).output()?;
    let output = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success() && output.contains("1 passed"), "{test}:\n{output}");
    Ok(())
}

/// Wasmtime's errors are no [`std::error::Error`].
fn plain(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:?}")
}

/// Runs a module to its end, in a store that runs async.
async fn run_async(module: &str, ctx: WasockCtx) -> Result<()> {
    let engine = Engine::default();
    let module = Module::from_file(&engine, module).map_err(plain)?;
    let mut linker: Linker<WasockCtx> = Linker::new(&engine);
    wasock::add_to_linker(&mut linker, &module, |ctx| ctx).map_err(plain)?;
    let mut store = Store::new(&engine, ctx);
    store.data_mut().adapt_to(&module);
    let instance = linker.instantiate_async(&mut store, &module).await.map_err(plain)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(plain)?;
    start.call_async(&mut store, ()).await.map_err(plain)
}

/// Reads what a guest of one connection sends: `ok`.
fn expect_ok(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer == "ok", "answered {answer:?}");
    Ok(())
}

fn is_served(address: SocketAddr) -> Result<()> {
    let mut client = HttpClient::connect(address)?;
    for _ in 0..3 {
        let response = client.get("/")?;
        ensure!(response.status == 200, "answered {response:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_example_serves_and_its_end_closes_the_listener() -> Result<()> {
    let (observer, events) = events();
    let guest = example::serve(guest_tests::HTTP_SERVER.as_ref(), observer);
    let client = async {
        let address = listening_async(events).await?;
        ensure!(address.port() != 0, "listening on {address}");
        tokio::task::spawn_blocking(move || is_served(address)).await??;
        anyhow::Ok(address)
    };
    let address = tokio::select! {
        ended = guest => return Err(anyhow!("the guest ended: {ended:?}")),
        address = client => address?,
    };
    // The future of the guest is gone now.
    let refused = TcpStream::connect_timeout(&address, WAIT_TIMEOUT);
    ensure!(refused.is_err(), "a listener is still at {address}");
    Ok(())
}

#[test]
fn the_example_prints_where_it_listens() -> Result<()> {
    // The example lies beside the tests; cargo does not always build it with them.
    let tests = std::env::current_exe()?;
    let folder = tests.parent().and_then(|deps| deps.parent()).context("no target folder")?;
    let example = folder.join("examples").join("embed");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--workspace", "--example", "embed"]);
    if folder.ends_with("release") {
        build.arg("--release");
        // As this was compiled itself: see docs/testing.md.
        if cfg!(debug_assertions) {
            build.args(["--config", concat!(env!("CARGO_MANIFEST_DIR"), "/.cargo/tests.toml")]);
        }
    }
    ensure!(build.status()?.success(), "the example does not build");
    let mut child = Command::new(example).arg(guest_tests::HTTP_SERVER).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.take().context("no stdout")?;
    let served = std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)
        .map_err(anyhow::Error::from)
        .and_then(|_| line.trim().strip_prefix("listening on ").context("no address"))
        .and_then(|address| is_served(address.parse()?));
    child.kill()?;
    child.wait()?;
    served.with_context(|| format!("{line:?}"))
}
