//! Servers that are at home anywhere: one program each, over networks and names. Their
//! clients are Rust's, and the system's own where it has them.

use super::{has_ipv6, run};
use anyhow::{Context as _, Result, ensure};
use guest_tests::Running;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Those that a client connects to.
const PLACES: [&str; 4] = ["127.0.0.1:0", "[::1]:0", "unix:/run/s", "seqpacket:/run/s"];

/// Those where bytes flow.
const STREAMS: [&str; 3] = ["127.0.0.1:0", "[::1]:0", "unix:/run/s"];

/// A server, and its address for the rest of the machine.
struct Server {
    folder: TempDir,
    running: Running,
    /// Over a network.
    addr: Option<SocketAddr>,
    kind: SocketType,
}

impl Server {
    fn start(program: &str, place: &str, args: &[&str]) -> Result<Self> {
        Self::start_with(&[], program, place, args)
    }

    fn start_with(flags: &[&str], program: &str, place: &str, args: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let host = run().args(flags).args(["--dir", &format!("{}::/run", folder.path().display())]);
        let (grant, kind) = match place.split_once(":/") {
            None => (place.to_owned(), SocketType::STREAM),
            Some(("seqpacket", path)) => (format!("unix:/{path}"), SocketType::SEQPACKET),
            Some((_, path)) => (format!("unix:/{path}"), SocketType::STREAM),
        };
        let host = host.args(["--listen", &grant]).args([program, place]).args(args);
        let mut running = host.start()?;
        let line = running.wait_for_stderr("listening on ")?;
        let addr = if line.contains("unix:") { None } else { Some(running.listening()?) };
        Ok(Self { folder, running, addr, kind })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// A client, to be read and written as a file is.
    fn connect(&self) -> Result<File> {
        let client = match self.addr {
            Some(addr) => OwnedFd::from(TcpStream::connect(addr)?),
            None => {
                let client = rustix::net::socket(AddressFamily::UNIX, self.kind, None)?;
                rustix::net::connect(&client, &SocketAddrUnix::new(self.path())?)?;
                client
            }
        };
        let limit = rustix::net::sockopt::Timeout::Recv;
        rustix::net::sockopt::set_socket_timeout(&client, limit, Some(WAIT_TIMEOUT))?;
        Ok(client.into())
    }
}

fn available<'a>(places: &[&'a str]) -> Vec<&'a str> {
    let has_ipv6 = has_ipv6();
    places.iter().copied().filter(|place| has_ipv6 || !place.starts_with('[')).collect()
}

fn hears(client: &mut File, expected: &[u8]) -> Result<()> {
    let mut heard = vec![0; expected.len()];
    client.read_exact(&mut heard)?;
    ensure!(heard == expected, "heard {:?}", String::from_utf8_lossy(&heard));
    Ok(())
}

/// Runs a tool of the system's, if the machine has it.
fn tool(command: &mut Command, input: &[u8]) -> Result<Option<Output>> {
    let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        eprintln!("passed over: this machine has no {}", command.get_program().display());
        return Ok(None);
    };
    child.stdin.take().context("no stdin")?.write_all(input)?;
    Ok(Some(child.wait_with_output()?))
}

#[test]
fn echo_anywhere() -> Result<()> {
    for place in available(&PLACES) {
        let server = Server::start(guest_tests::ECHO_SERVER, place, &[])?;
        // By both ways that the program reads and writes.
        for text in [b"first".as_slice(), &[b'x'; 50_000], b"third"] {
            let mut client = server.connect()?;
            for _ in 0..3 {
                client.write_all(text)?;
                hears(&mut client, text).context(place)?;
            }
        }
        let mut nc = Command::new("nc");
        match server.addr {
            Some(addr) => nc.arg("-N").arg(addr.ip().to_string()).arg(addr.port().to_string()),
            None if server.kind == SocketType::STREAM => nc.args(["-N", "-U"]).arg(server.path()),
            None => continue,
        };
        if let Some(output) = tool(&mut nc, b"by netcat")? {
            ensure!(output.stdout == b"by netcat", "{place}: {output:?}");
        }
    }
    Ok(())
}

#[test]
fn echo_of_datagrams() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = run()
        .args(["--dir", &format!("{}::/run", folder.path().display())])
        .args(["--listen", "unix:/run/s", "--connect", "unix:/run/*"])
        .args([guest_tests::ECHO_SERVER, "datagram:/run/s"])
        .start()?;
    server.wait_for_stdout("ready")?;
    for (name, text) in [("one", b"first".as_slice()), ("other", &[b'x'; 50_000]), ("third", b"")] {
        let client = UnixDatagram::bind(folder.path().join(name))?;
        client.set_read_timeout(Some(WAIT_TIMEOUT))?;
        client.send_to(text, folder.path().join("s"))?;
        let mut heard = vec![0; 65_536];
        let count = client.recv(&mut heard)?;
        ensure!(heard.get(..count) == Some(text), "{name} heard {count} bytes");
    }
    // A message without a name is passed to no client; the server goes on.
    UnixDatagram::unbound()?.send_to(b"lost", folder.path().join("s"))?;
    server.wait_for_stderr("to \"\"")?;
    ensure!(server.is_running()?, "it ended");
    Ok(())
}

#[test]
pub(crate) fn chat_server() -> Result<()> {
    for place in available(&PLACES) {
        let mut server = Server::start(guest_tests::CHAT_SERVER, place, &[])?;
        let mut clients = Vec::new();
        for number in 1..=5 {
            clients.push(server.connect()?);
            server.running.wait_for_stdout(&format!("{number} in the room"))?;
        }
        for speaker in 0..clients.len() {
            let said = format!("{speaker} says hello\n");
            clients.get_mut(speaker).context("a client")?.write_all(said.as_bytes())?;
            for (number, client) in clients.iter_mut().enumerate() {
                if number != speaker {
                    hears(client, said.as_bytes()).with_context(|| format!("{place}: {number}"))?;
                }
            }
        }
        // A client that leaves is not missed.
        drop(clients.pop());
        let mut left = 0;
        while server.running.stdout().matches("4 in the room").count() < 2 {
            left += 1;
            ensure!(left < 4000, "{place}: no connection has ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        let [first, others @ ..] = clients.as_mut_slice() else { continue };
        first.write_all(b"still here\n")?;
        others.iter_mut().try_for_each(|client| hears(client, b"still here\n")).context(place)?;
    }
    Ok(())
}

#[test]
pub(crate) fn transfer_server() -> Result<()> {
    const LENGTH: u32 = 5_000_011;
    let content: Vec<u8> = (0..LENGTH).map(|n| (n ^ (n >> 9)).to_le_bytes()[0]).collect();
    for place in available(&STREAMS) {
        let server = Server::start(guest_tests::TRANSFER_SERVER, place, &["/run"])?;
        fs::write(server.folder.path().join("large"), &content)?;
        fs::write(server.folder.path().join("empty"), "")?;
        let mut client = BufReader::new(server.connect()?);
        for (name, expected) in [("large", content.as_slice()), ("empty", &[]), ("large", &content)] {
            writeln!(client.get_mut(), "get {name}")?;
            let mut line = String::new();
            client.read_line(&mut line)?;
            ensure!(line == format!("{}\n", expected.len()), "{place}: {line:?}");
            let mut came = vec![0; expected.len()];
            client.read_exact(&mut came)?;
            ensure!(came == expected, "{place}: {name} differs");
        }
        // And back, while it comes.
        writeln!(client.get_mut(), "put copy {LENGTH}")?;
        client.get_mut().write_all(&content)?;
        writeln!(client.get_mut(), "get none")?;
        let mut lines = client.lines();
        for expected in [format!("took {LENGTH}"), "error NotFound".to_owned()] {
            let line = lines.next().context("no line")??;
            ensure!(line == expected, "{place}: {line:?}");
        }
        ensure!(fs::read(server.folder.path().join("copy"))? == content, "{place}: the copy differs");
    }
    Ok(())
}

/// A guest without an accept loop gets events for each connection, its data and its end; the
/// operator gets the same.
#[test]
fn events_anywhere() -> Result<()> {
    for place in ["unix:/run/s", "seqpacket:/run/s"] {
        let mut server = Server::start_with(&["-v"], guest_tests::EVENT_SERVER, place, &["print"])?;
        server.running.wait_for_stdout("listen 4 0")?;
        let mut clients = Vec::new();
        for fd in 5..8 {
            let mut client = server.connect()?;
            server.running.wait_for_stdout(&format!("accept 4 {fd}"))?;
            for (line, answer) in [("echo hello", "hello".to_owned()), ("self", fd.to_string())] {
                client.write_all(format!("{line}\n").as_bytes())?;
                hears(&mut client, format!("{answer}\n").as_bytes()).context(place)?;
            }
            clients.push(client);
        }
        // The end needs no read to be known.
        for (fd, client) in (5..8).zip(clients) {
            drop(client);
            server.running.wait_for_stdout(&format!("closed {fd}"))?;
        }
        let mut last = server.connect()?;
        last.write_all(b"counts\n")?;
        hears(&mut last, b"4 3 1\n").context(place)?;
        for line in ["listening on unix:/run/s (fd 4)", "connection from unix:unnamed (fd 7, listener 4)"] {
            server.running.wait_for_stderr(line).context(place)?;
        }
        server.running.wait_for_stderr("closed unix:unnamed (fd 7)")?;
    }
    Ok(())
}

/// A page by the system's own client, over a network and over a name.
#[test]
fn pages_anywhere() -> Result<()> {
    for place in available(&STREAMS) {
        let server = Server::start(guest_tests::FILE_SERVER, place, &["/run"])?;
        let page = "a page\n".repeat(100_000);
        fs::write(server.folder.path().join("page"), &page)?;
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--max-time", "20", "--noproxy", "*"]);
        let host = server.addr.map_or_else(|| "localhost".to_owned(), |addr| addr.to_string());
        if server.addr.is_none() {
            curl.arg("--unix-socket").arg(server.path());
        }
        if let Some(output) = tool(curl.arg(format!("http://{host}/page")), b"")? {
            ensure!(
                output.status.success() && output.stdout == page.as_bytes(),
                "{place}: {:?}",
                output.status
            );
        }
    }
    Ok(())
}
