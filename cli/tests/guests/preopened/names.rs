//! Listeners with a name in the host's file system, and a launcher of the system's own.

use super::super::run;
use anyhow::{Context as _, Result, ensure};
use guest_tests::Running;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends a line, ends, and returns what came back.
fn exchange(path: &Path, line: &str) -> Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    stream.write_all(line.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A server that listens at `path` of the host's, and serves `count` connections.
fn server(path: &Path, flags: &[&str], count: &str) -> Result<Running> {
    let place = format!("web=unix:{}", path.display());
    let mut server =
        run().args(flags).args(["--preopen-listen", &place, guest_tests::PREOPENED_STD, count]).start()?;
    server.wait_for_stderr(&format!("listening on unix:{} (fd 3)", path.display()))?;
    Ok(server)
}

/// A program that knows nothing but `TcpListener::from_raw_fd(3)` serves a name; the file
/// is kept, and the next one fails because of it, unless names are to be removed.
#[test]
fn a_listener_with_a_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("web.sock");
    let running = server(&path, &["-v"], "2")?;
    for number in 0..2 {
        let line = format!("line {number}\n");
        ensure!(exchange(&path, &line)? == line);
    }
    let finished = running.finish()?.expect_code(0)?.expect_stdout("LISTEN_FDNAMES=web\n")?;
    let listener = format!("unix:{} (fd 3) listens no more", path.display());
    for line in ["connection from unix:unnamed (fd 4, listener 3)", "closed unix:unnamed (fd 4)", &listener] {
        ensure!(finished.stderr.contains(line), "{line:?} is not told\n{finished}");
    }
    let place = format!("unix:{}", path.display());
    run()
        .args(["--preopen-listen", &place, guest_tests::PREOPENED_STD, "1"])
        .finish()?
        .expect_code(1)?
        .expect_one_line()?
        .expect_stderr(&format!("cannot listen on {place} (--preopen-listen)"))?;
    std::fs::remove_file(&path)?;

    let running = server(&path, &["--unix-unlink"], "1")?;
    ensure!(exchange(&path, "hello")? == "hello");
    running.finish()?.expect_code(0)?;
    ensure!(!path.exists(), "its name is there after the end");
    Ok(())
}

/// Events of an inherited listener, and one that starts anew: its name is there as long.
#[test]
fn events_of_a_listener_with_a_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("events.sock");
    let place = format!("unix:{}", path.display());
    let mut server = run()
        .args(["--on-trap", "restart", "--unix-unlink", "--preopen-listen", &place])
        .arg(guest_tests::PREOPENED_EVENTS)
        .start()?;
    server.wait_for_stderr(&format!("listening on {place} (fd 3)"))?;
    ensure!(exchange(&path, "one")? == "one");
    ensure!(exchange(&path, "\0").unwrap_or_default().is_empty(), "it did not trap");
    server.wait_for_stderr("starts anew")?;
    ensure!(exchange(&path, "two")? == "two");
    server.stop()?;
    ensure!(!path.exists(), "its name is there after the end");
    Ok(())
}

/// Ends the launcher, or what became of it, when the test ends.
struct Launched(Child);

impl Drop for Launched {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// systemd's own launcher: two names at once.
#[test]
fn the_systems_own_launcher() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let paths = ["first", "second"].map(|name| folder.path().join(name));
    let mut launcher = Command::new("systemd-socket-activate");
    for path in &paths {
        launcher.arg("-l").arg(path);
    }
    launcher.args(["--fdname=web:admin", "-E", "PATH", env!("CARGO_BIN_EXE_wasock")]);
    launcher.args(["run", "--listen-fds", guest_tests::PREOPENED_STD, "1"]);
    let child = launcher.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(child) = child else {
        eprintln!("passed over: this machine has no systemd-socket-activate");
        return Ok(());
    };
    let mut launched = Launched(child);
    let deadline = Instant::now() + WAIT_TIMEOUT;
    while !paths.iter().all(|path| path.exists()) {
        ensure!(Instant::now() < deadline, "it does not listen");
        std::thread::sleep(Duration::from_millis(5));
    }
    let [first, _] = &paths;
    ensure!(exchange(first, "hello")? == "hello");
    let mut said = String::new();
    launched.0.stdout.take().context("no stdout")?.read_to_string(&mut said)?;
    ensure!(launched.0.wait()?.success(), "{said}");
    ensure!(said.contains("LISTEN_FDS=2\nLISTEN_FDNAMES=web:admin\n"), "{said}");
    Ok(())
}
