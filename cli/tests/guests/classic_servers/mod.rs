//! The shapes of classic servers, each with clients that ask all the time.

mod background_save;
mod cgi;
mod inetd;
mod master;
mod shell;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use super::{run, run_on_loopback};
use anyhow::{Context as _, Result, anyhow, ensure};
use guest_tests::{HttpClient, Response, Wasock};
use tempfile::TempDir;

pub(crate) use background_save::saving_server;
pub(crate) use cgi::cgi_server;
pub(crate) use inetd::{inetd, tools};
pub(crate) use master::master;
pub(crate) use shell::{shell, shell_v1};

/// How long anything may take.
const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

/// What the tools' program is called as.
const TOOLS: [&str; 9] = ["echo", "cat", "wc", "true", "false", "fail", "crash", "answer", "report"];

/// A folder with the tools, and the programs and scripts of `others`, each with its text.
fn programs(others: &[(&str, &[u8])]) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for name in TOOLS {
        fs::copy(guest_tests::TOOLS, folder.path().join(name))?;
    }
    for (name, text) in others {
        fs::write(folder.path().join(name), text)?;
    }
    Ok(folder)
}

/// `host`, where the guest may execute what is in `folder`, which it sees too.
fn with_programs(host: Wasock, folder: &Path) -> Wasock {
    let granted = format!("{}::/bin", folder.display());
    host.args(["--exec", &granted, "--dir-ro", &granted])
}

/// Sends one request over a connection of its own.
fn ask(address: SocketAddr, request: &str) -> Result<Response> {
    let mut client = HttpClient::connect(address)?;
    client.send(request.as_bytes())?;
    client.response()
}

fn get(address: SocketAddr, path: &str) -> Result<Response> {
    ask(address, &format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n"))
}

/// The answer to a request for `path`, which must succeed.
fn text(address: SocketAddr, path: &str) -> Result<String> {
    let response = get(address, path)?;
    ensure!(response.status == 200, "{path}: {} {}", response.status, response.text());
    Ok(response.text())
}

/// Looks again and again until `holds`.
fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !holds()? {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "{what} took too long");
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Clients that ask for a path all the time. Each request must succeed.
struct Load {
    stops: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    fn begin(address: SocketAddr, clients: usize, path: &'static str) -> Self {
        let (stops, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |_| {
            let (stops, served) = (Arc::clone(&stops), Arc::clone(&served));
            spawn(move || {
                while !stops.load(SeqCst) {
                    text(address, path)?;
                    served.fetch_add(1, SeqCst);
                }
                Ok(())
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { stops, served, clients }
    }

    /// Waits until `count` more requests are answered.
    fn goes_on(&self, count: usize) -> Result<()> {
        let end = self.served.load(SeqCst) + count;
        wait_until("the clients", || {
            let is_over = self.clients.iter().any(JoinHandle::is_finished);
            Ok(is_over || self.served.load(SeqCst) >= end)
        })
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// The first that a client had.
    fn end(self) -> Result<()> {
        self.stops.store(true, SeqCst);
        for client in self.clients {
            client.join().map_err(|_| anyhow!("a client panicked"))?.context("a client failed")?;
        }
        Ok(())
    }
}
