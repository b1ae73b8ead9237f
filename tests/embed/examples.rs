//! The examples: what readers copy is what runs here.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use wasock::{Terminated, WasockCtx};

use super::{WAIT_TIMEOUT, expect_ok, is_served, plain};

#[path = "../../examples/blocking.rs"]
#[expect(dead_code, reason = "its `main` is the example's own")]
mod blocking;
#[path = "../../examples/limits.rs"]
#[expect(dead_code, reason = "its `main` is the example's own")]
mod limits;
#[path = "../../examples/metrics.rs"]
#[expect(dead_code, reason = "its `main` is the example's own")]
mod metrics;
#[path = "../../examples/observer.rs"]
#[expect(dead_code, reason = "its `main` is the example's own")]
mod observer;
#[path = "../../examples/per_connection.rs"]
#[expect(dead_code, reason = "its `main` is the example's own")]
mod per_connection;
#[path = "../../examples/preopened_listener.rs"]
#[expect(dead_code, reason = "its `main` is the example's own")]
mod preopened_listener;
#[path = "../../examples/processes.rs"]
#[expect(dead_code, reason = "its `main` is the example's own")]
mod processes;
#[path = "../../examples/service.rs"]
#[expect(dead_code, reason = "its `main` is the example's own")]
mod service;
#[path = "../../examples/threads.rs"]
#[expect(dead_code, reason = "its `main` is the example's own")]
mod threads;

#[test]
fn blocking_serves_until_it_is_ended() -> Result<()> {
    let server = blocking::Server::start(guest_tests::HTTP_SERVER.as_ref()).map_err(plain)?;
    let address: SocketAddr = server.address.inet().context("no network address")?;
    is_served(address)?;
    server.handle.terminate();
    let ended = server.thread.join().ok().context("the thread of the guest panicked")?;
    let why = ended.err().and_then(|error| error.downcast_ref::<Terminated>().copied());
    ensure!(why == Some(Terminated::Order), "ended by {why:?}");
    ensure!(TcpStream::connect_timeout(&address, WAIT_TIMEOUT).is_err(), "{address} is still open");
    Ok(())
}

#[tokio::test]
async fn observer_counts_connections() -> Result<()> {
    let counts = Arc::new(observer::Counts::default());
    let (events, received) = super::events();
    let printer = observer::Printer(Arc::clone(&counts));
    let both = Both(printer, events);
    let client = tokio::task::spawn_blocking(move || expect_ok(super::listening(&received)?));
    let ended = observer::serve(Path::new(guest_tests::MEMORY_EXPORTED_PLAIN), both).await.map_err(plain)?;
    client.await??;
    ensure!(ended.code == 0, "ended with {}", ended.code);
    let begun = Instant::now();
    // Events come by a thread of their own.
    while counts.closed.load(Relaxed) == 0 {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "{counts:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    ensure!(counts.accepted.load(Relaxed) == 1, "{counts:?}");
    Ok(())
}

/// The guest waits for a child that computes for ever, and ends well when that is ended.
#[tokio::test]
async fn processes_ends_what_lives_too_long() -> Result<()> {
    let programs = tempfile::tempdir()?;
    let spin = "(module (memory (export \"memory\") 1) (func (export \"_start\") (loop (br 0))))";
    std::fs::write(programs.path().join("child"), spin)?;
    let module = programs.path().join("parent.wat");
    std::fs::write(&module, super::processes::PARENT)?;
    let ended = processes::run(programs.path(), &module, Duration::from_millis(100));
    let ended = tokio::time::timeout(WAIT_TIMEOUT, ended).await?.map_err(plain)?;
    // A child that a signal ends has no code.
    ensure!(ended.code == 0, "ended with {}", ended.code);
    Ok(())
}

/// An example's observer, and one of the test's.
struct Both<A, B>(A, B);

impl<A: wasock::Observer, B: wasock::Observer> wasock::Observer for Both<A, B> {
    fn observe(&self, event: &wasock::Event) {
        self.0.observe(event);
        self.1.observe(event);
    }

    fn wants_connections(&self) -> bool {
        self.0.wants_connections()
    }
}

#[tokio::test]
async fn preopened_listener_is_served() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let client = thread::spawn(move || -> Result<()> {
        use std::io::{Read as _, Write as _};
        let mut stream = TcpStream::connect_timeout(&address, WAIT_TIMEOUT)?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        stream.write_all(b"hello")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer == "hello", "answered {answer:?}");
        Ok(())
    });
    let arguments = std::iter::once("1".to_owned());
    let served = preopened_listener::serve(guest_tests::PREOPENED_STD.as_ref(), listener, arguments).await;
    ensure!(served.map_err(plain)?.code == 0, "the guest failed");
    client.join().ok().context("the client panicked")?
}

#[tokio::test]
async fn threads_run_to_their_end() -> Result<()> {
    for (case, code) in [("return", 0), ("exit", 7)] {
        let arguments = std::iter::once(case.to_owned());
        let ended = threads::run(guest_tests::THREADS_LIFE.as_ref(), arguments).await.map_err(plain)?;
        ensure!(ended.code == code, "{case} ended with {}", ended.code);
    }
    Ok(())
}

#[tokio::test]
async fn limits_say_what_ended_a_program() -> Result<()> {
    let spin = Path::new(guest_tests::SPIN);
    let short = limits::limits().max_cpu_time(Duration::from_millis(50));
    let ended = limits::run(spin, short).await.map_err(plain)?;
    ensure!(ended.contains("was ended") && ended.contains("processor time"), "{ended}");
    let short = WasockCtx::builder().timeout(Duration::from_millis(50));
    let ended = limits::run(spin, short).await.map_err(plain)?;
    ensure!(ended.contains("was ended") && !ended.contains("processor time"), "{ended}");
    Ok(())
}

#[tokio::test]
async fn service_goes_over_to_a_new_module_and_drains() -> Result<()> {
    let server = Path::new(guest_tests::HTTP_SERVER);
    let (observer, events) = super::events();
    let service = service::service("127.0.0.1:0", observer).map_err(plain)?;
    let guest = service::load(server).map_err(plain)?;
    let running = tokio::spawn({
        let service = service.clone();
        async move { service.run(guest).await }
    });
    let address = super::listening_async(events).await?;
    let served = move || tokio::task::spawn_blocking(move || is_served(address));
    served().await??;
    let generation = service::reload(&service, service::load(server)).await.map_err(plain)?;
    ensure!(generation == 2, "generation {generation} serves");
    served().await??;
    // One that does not load changes nothing.
    let missing = service::load(Path::new("missing.wasm"));
    ensure!(service::reload(&service, missing).await.is_err(), "it was loaded");
    served().await??;
    service.drain();
    let ended = running.await?.map_err(plain)?;
    ensure!(ended.code == 0, "ended with {}", ended.code);
    ensure!(TcpStream::connect_timeout(&address, WAIT_TIMEOUT).is_err(), "{address} is still open");
    Ok(())
}

#[tokio::test]
async fn metrics_count_connections() -> Result<()> {
    let open = metrics::Open::default();
    let (events, received) = super::events();
    let both = Both(open.clone(), events);
    let (service, guest) = metrics::service(guest_tests::HTTP_SERVER.as_ref(), both).map_err(plain)?;
    let running = tokio::spawn({
        let service = service.clone();
        async move { service.run(guest).await }
    });
    let address = super::listening_async(received).await?;
    let client = tokio::task::spawn_blocking(move || {
        let mut client = guest_tests::HttpClient::connect(address)?;
        client.get("/").map(|_| client)
    });
    let client = client.await??;
    is_eventually(|| open.0.load(Relaxed) == 1).await?;
    // A client may have its answer before the host has counted it.
    is_eventually(|| service.metrics().sent_bytes > 0).await?;
    let text = metrics::text(&service.metrics(), &open);
    let accepted = format!("guest_accepted_connections_total{{listener=\"{address}\"}} 1\n");
    ensure!(text.contains(&accepted) && text.ends_with("guest_open_connections 1\n# EOF\n"), "{text}");
    ensure!(
        text.contains("guest_sent_bytes_total ") && !text.contains("guest_sent_bytes_total 0\n"),
        "{text}"
    );
    drop(client);
    is_eventually(|| open.0.load(Relaxed) == 0).await?;
    service.terminate();
    running.await?.err().context("it ended by itself").map(drop)
}

#[tokio::test]
async fn per_connection_makes_a_server_of_a_filter() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let module = Path::new(guest_tests::CONNECTION_FILTER);
    let (observer, _events) = super::events();
    let (service, guest) = per_connection::serve(module, listener, [], observer).map_err(plain)?;
    let running = tokio::spawn({
        let service = service.clone();
        async move { service.run(guest).await }
    });
    let said = |order: &'static str| {
        tokio::task::spawn_blocking(move || -> Result<String> {
            use std::io::{Read as _, Write as _};
            let mut stream = TcpStream::connect_timeout(&address, WAIT_TIMEOUT)?;
            stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
            stream.write_all(order.as_bytes())?;
            stream.shutdown(std::net::Shutdown::Write)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })
    };
    let answer = said("cat\nhello").await??;
    ensure!(answer == "hello", "answered {answer:?}");
    // A trap is the end of one connection.
    let _reset = said("trap\n").await?;
    let answer = said("say again\n").await??;
    ensure!(answer == "again\n", "answered {answer:?}");
    service.terminate();
    running.await?.err().context("it ended by itself").map(drop)
}

/// Events come by a thread of their own.
async fn is_eventually(holds: impl Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !holds() {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "it does not come");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
