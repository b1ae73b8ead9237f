//! `--admin` and `wasock ctl`: what operators are answered, and who is not.

mod clients;
mod crowded;
mod ctl;
mod page;
mod probes;
mod reach;
mod status;

pub(super) use reach::host_sockets;

use super::{run, run_on_loopback, wasock};
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Finished, HttpClient, Response, Running, Wasock};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A server of pages whose operators are answered at a path.
struct Site {
    folder: TempDir,
    running: Running,
    addr: SocketAddr,
}

impl Site {
    fn start(flags: &[&str]) -> Result<Self> {
        Self::start_in(flags, |command| command)
    }

    /// Where `change` sets what surrounds the command.
    fn start_in(flags: &[&str], change: impl FnOnce(Wasock) -> Wasock) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let module = folder.path().join("server.wasm");
        std::fs::copy(guest_tests::HTTP_SERVER, &module)?;
        let module = module.to_str().context("a path")?.to_owned();
        let admin = format!("unix:{}", folder.path().join("admin.sock").display());
        let command = run_on_loopback().args(["--admin", &admin]).args(flags).args([&module, "127.0.0.1:0"]);
        let mut running = change(command).start()?;
        running.wait_for_stderr("wasock: admin at unix:")?;
        let addr = running.listening()?;
        Ok(Self { folder, running, addr })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    fn module(&self) -> PathBuf {
        self.folder.path().join("server.wasm")
    }

    /// `wasock ctl ADDR`.
    fn ctl(&self, words: &[&str]) -> Result<Finished> {
        self.ctl_command().args(words).finish()
    }

    fn ctl_command(&self) -> Wasock {
        wasock().arg("ctl").arg(format!("unix:{}", self.path().display()))
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Response> {
        ask(UnixStream::connect(self.path())?, method, path, "localhost", body)
    }

    fn get(&self, path: &str) -> Result<Response> {
        self.ask("GET", path, "")
    }

    fn status(&self) -> Result<serde_json::Value> {
        let answer = self.get("/status")?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(serde_json::from_slice(&answer.body)?)
    }

    fn is_page(&self) -> Result<()> {
        let response = HttpClient::connect(self.addr)?.get("/")?;
        ensure!(response.status == 200, "answered {response:?}");
        Ok(())
    }
}

/// What a JSON value has there; null where it has nothing.
fn at(value: &serde_json::Value, place: &str) -> serde_json::Value {
    value.pointer(place).cloned().unwrap_or_default()
}

/// A stream to an operator's socket.
trait Stream: std::io::Read + std::io::Write {
    fn limit(&self) -> std::io::Result<()>;
}

impl Stream for UnixStream {
    fn limit(&self) -> std::io::Result<()> {
        self.set_read_timeout(Some(WAIT_TIMEOUT))
    }
}

impl Stream for TcpStream {
    fn limit(&self) -> std::io::Result<()> {
        self.set_read_timeout(Some(WAIT_TIMEOUT))
    }
}

/// Sends one request, and reads the answer to its end.
fn ask(stream: impl Stream, method: &str, path: &str, host: &str, body: &str) -> Result<Response> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}");
    exchange(stream, head.as_bytes())
}

/// Sends bytes, and reads one answer to the end of the connection.
fn exchange(mut stream: impl Stream, request: &[u8]) -> Result<Response> {
    stream.limit()?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8(answer)?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no answer: {text:?}"))?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Ok(Response { status, headers, body: body.as_bytes().to_vec() })
}
