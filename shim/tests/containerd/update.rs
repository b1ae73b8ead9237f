//! A rolling update, step by step as a cluster does it, under clients that expect answers.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use guest_tests::{HttpClient, Running};

use crate::host::{Host, Imported};
use crate::network::Network;
use crate::programs;

/// How long a pod is still served after it was told to end, which is `preStop` of the manifest: for that long a client
/// may be sent there.
const LATE: Duration = Duration::from_millis(500);

/// A pod: it counts where its probe says so.
struct Pod {
    id: String,
    running: Running,
    network: Network,
}

impl Pod {
    fn start(host: &Host, image: &Imported) -> Result<Self> {
        let network = Network::make()?;
        let run = host.run(image).in_network(&network).args(&["0.0.0.0:8080"]);
        let id = run.id();
        let mut running = run.start()?;
        running.wait_for_stderr("probes at")?;
        let probe = || HttpClient::connect(network.inside(9000))?.get("/readyz");
        host.wait_until(|| Ok(probe()?.status == 200))?;
        Ok(Self { id, running, network })
    }

    fn addr(&self) -> SocketAddr {
        self.network.inside(8080)
    }
}

#[test]
fn a_rolling_update_loses_no_request() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let file = b"listen = \":8080\"\nprobes = \":9000\"\ndrain-timeout = \"20s\"\ndrain-idle = \"1s\"\n";
    let image = host.import(&programs::http_server()?.file("etc/wasock/service.toml", file, 0o644))?;
    let mut pods = vec![Pod::start(&host, &image)?, Pod::start(&host, &image)?];
    let endpoints = Arc::new(Mutex::new(pods.iter().map(Pod::addr).collect::<Vec<_>>()));
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (endpoints, is_over) = (Arc::clone(&endpoints), Arc::clone(&is_over));
            thread::spawn(move || asks(number, &endpoints, &is_over))
        })
        .collect();
    for _ in 0..2 {
        // The new one serves before the old one goes.
        let new = Pod::start(&host, &image)?;
        let old = pods.remove(0);
        let mut list = endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(new.addr());
        list.retain(|addr| *addr != old.addr());
        drop(list);
        pods.push(new);
        // Those that have the old list still come.
        thread::sleep(LATE);
        host.asked(&["task", "kill", "--signal", "SIGTERM", &old.id])?;
        old.running.finish()?.expect_code(0)?.expect_no_stderr("reset")?;
    }
    is_over.store(true, SeqCst);
    for client in clients {
        let answered = client.join().ok().context("a client has panicked")??;
        ensure!(answered > 0, "a client was never answered");
    }
    Ok(())
}

/// Asks one page after the other, on a new connection for each or on one that is kept for a while; each is answered.
fn asks(number: usize, endpoints: &Mutex<Vec<SocketAddr>>, is_over: &AtomicBool) -> Result<usize> {
    let mut answered = 0;
    while !is_over.load(SeqCst) {
        let addr = {
            let list = endpoints.lock().unwrap_or_else(PoisonError::into_inner);
            *list.get(answered % list.len().max(1)).context("no endpoint")?
        };
        let mut client = HttpClient::connect(addr).with_context(|| format!("client {number} at {addr}"))?;
        for _ in 0..=(number % 2) * 5 {
            let answer = client.get("/").with_context(|| format!("client {number} at {addr}"))?;
            ensure!(answer.status == 200, "{answer:?}");
            answered += 1;
        }
    }
    Ok(answered)
}
