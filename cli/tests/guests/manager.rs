//! The service manager: what it is told, what it passes, and who starts whom.

use super::{run, run_on_loopback};
use anyhow::{Context as _, Result, bail, ensure};
use guest_tests::{HttpClient, Running, Wasock};
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long something that must not happen is waited for.
const MOMENT: Duration = Duration::from_millis(200);

/// In the place of a service manager.
struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = UnixDatagram::bind(folder.path().join("notify"))?;
        Ok(Self { folder, socket })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    fn starts(&self, host: Wasock) -> Result<Wasock> {
        Ok(host.env("NOTIFY_SOCKET", self.path().to_str().context("a path")?))
    }

    /// The next message, if one comes in that time.
    fn hears(&self, limit: Duration) -> Result<Option<String>> {
        let mut message = [0; 4096];
        self.socket.set_read_timeout(Some(limit))?;
        match self.socket.recv(&mut message) {
            Ok(count) => {
                Ok(Some(String::from_utf8_lossy(message.get(..count).unwrap_or_default()).into_owned()))
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The next message that has this line.
    fn waits_for(&self, line: &str) -> Result<String> {
        loop {
            match self.hears(WAIT_TIMEOUT)? {
                Some(message) if message.lines().any(|it| it.starts_with(line)) => return Ok(message),
                Some(_) => {}
                None => bail!("{line} does not come"),
            }
        }
    }
}

/// A server of pages, its module, and where it listens.
fn server(manager: &Manager, flags: &[&str]) -> Result<(Running, PathBuf, SocketAddr)> {
    let module = manager.folder.path().join("server.wasm");
    fs::copy(guest_tests::HTTP_SERVER, &module)?;
    let host = run_on_loopback().args(flags).arg(&module).arg("127.0.0.1:0");
    let mut running = manager.starts(host)?.start()?;
    let addr = running.listening()?;
    Ok((running, module, addr))
}

fn is_page(addr: SocketAddr) -> Result<()> {
    let response = HttpClient::connect(addr)?.get("/")?;
    ensure!(response.status == 200, "answered {response:?}");
    Ok(())
}

/// S5: the service manager is told that the guest is ready at its first listener, and not before.
#[test]
fn it_is_ready_at_the_first_listener_of_the_guest_and_not_before() -> Result<()> {
    let manager = Manager::new()?;
    let control = TcpListener::bind("127.0.0.1:0")?;
    let at = control.local_addr()?.to_string();
    let admin = format!("unix:{}", manager.folder.path().join("admin.sock").display());
    let host = run_on_loopback().args(["--admin", &admin, guest_tests::ADOPTION, &at]);
    let mut running = manager.starts(host)?.start()?;
    running.wait_for_stderr("wasock: admin at")?;
    let (stream, _) = control.accept()?;
    let mut lines = BufReader::new(stream);
    ensure!(manager.hears(MOMENT)?.is_none(), "it said something before");
    for order in ["open a tcp", "bind a 127.0.0.1:0", "listen a 4"] {
        writeln!(lines.get_mut(), "{order}")?;
        lines.read_line(&mut String::new())?;
    }
    let message = manager.hears(WAIT_TIMEOUT)?.context("nothing")?;
    ensure!(message.starts_with("READY=1\nSTATUS=listening on 127.0.0.1:"), "{message:?}");
    writeln!(lines.get_mut(), "exit 0")?;
    manager.waits_for("STOPPING=1")?;
    running.finish()?.expect_code(0).map(drop)
}

#[test]
fn it_is_ready_where_the_guest_is_given_its_listeners() -> Result<()> {
    let manager = Manager::new()?;
    let host = run().args(["--preopen-listen", "127.0.0.1:0"]).arg(guest_tests::ARGS_ENV_EXIT).arg("0");
    let host = manager.starts(host)?.start()?;
    manager.waits_for("READY=1")?;
    host.finish()?.expect_code(0).map(drop)
}

/// S5: a reload is told from its begin to its end.
#[test]
fn a_reload_is_told_from_its_begin_to_its_end() -> Result<()> {
    let manager = Manager::new()?;
    let (running, module, addr) = server(&manager, &["--reload-signal", "HUP", "--drain-timeout", "10s"])?;
    manager.waits_for("READY=1")?;
    running.signal(Signal::HUP)?;
    let message = manager.waits_for("RELOADING=1")?;
    let since = message.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    ensure!(since.is_some_and(|it| it.parse::<u64>().is_ok()), "{message:?}");
    let message = manager.waits_for("READY=1")?;
    ensure!(message.contains("STATUS=generation 2 serves"), "{message:?}");
    // One that changes nothing ends it, too.
    fs::write(&module, "no module")?;
    running.signal(Signal::HUP)?;
    manager.waits_for("RELOADING=1")?;
    let message = manager.waits_for("READY=1")?;
    ensure!(message.contains("the last reload has changed nothing"), "{message:?}");
    is_page(addr)?;
    running.signal(Signal::TERM)?;
    manager.waits_for("STOPPING=1")?;
    running.finish()?.expect_code(0).map(drop)
}

#[test]
fn it_is_told_that_the_host_lives() -> Result<()> {
    let manager = Manager::new()?;
    let module = manager.folder.path().join("server.wasm");
    fs::copy(guest_tests::HTTP_SERVER, &module)?;
    for flags in [&["--restart", "always"][..], &[]] {
        let host = run_on_loopback().args(flags).arg(&module).arg("127.0.0.1:0");
        let mut running = manager.starts(host)?.env("WATCHDOG_USEC", "200000").start()?;
        running.listening()?;
        for _ in 0..3 {
            manager.waits_for("WATCHDOG=1")?;
        }
        running.stop()?;
    }
    // It is for another process.
    let host = run_on_loopback().arg(&module).arg("127.0.0.1:0");
    let host = manager.starts(host)?.env("WATCHDOG_USEC", "200000").env("WATCHDOG_PID", "1");
    let mut running = host.start()?;
    running.listening()?;
    while let Some(message) = manager.hears(2 * MOMENT)? {
        // What the one before has left.
        ensure!(!message.contains("WATCHDOG=1") || message.contains("STOPPING"), "{message}");
    }
    running.stop().map(drop)
}

#[test]
fn a_manager_that_is_gone_is_no_error() -> Result<()> {
    let manager = Manager::new()?;
    let (running, _, addr) = server(&manager, &["--reload-signal", "HUP"])?;
    manager.waits_for("READY=1")?;
    fs::remove_file(manager.path())?;
    running.signal(Signal::HUP)?;
    let mut running = running;
    running.wait_for_stderr("generation 2 serves")?;
    is_page(addr)?;
    running.stop().map(drop)
}

#[test]
fn a_guest_does_not_reach_it() -> Result<()> {
    let manager = Manager::new()?;
    let own = tempfile::tempdir()?;
    fs::hard_link(manager.path(), own.path().join("notify"))?;
    let host = |folder: &Path| {
        run()
            .with_stdin()
            .args(["--connect", "unix:*", "--listen", "unix:*"])
            .args(["--dir", &format!("{}::/run", folder.display())])
            .arg(guest_tests::HOST_SOCKETS)
    };
    // In its own directory a guest could put another one.
    let refused = manager.starts(host(manager.folder.path()))?.finish()?.expect_code(1)?;
    refused
        .expect_stderr("(NOTIFY_SOCKET) is in a directory that the guest may change")?
        .expect_one_line()?;
    let host = host(own.path());
    let mut guest = manager.starts(host)?.start()?;
    guest.write_stdin(b"unix_send /run/notify\n")?;
    let line = guest.wait_for_stdout("unix_send")?;
    ensure!(line == "unix_send /run/notify: EACCES", "{line}");
    ensure!(manager.hears(MOMENT)?.is_none_or(|message| !message.contains("READY")), "the guest was heard");
    guest.finish()?.expect_code(0)?;
    // Nor does it learn of it.
    let host =
        run().args(["--inherit-env", guest_tests::ARGS_ENV_EXIT, "0"]).env("WATCHDOG_USEC", "900000000");
    let finished = manager.starts(host)?.succeed()?;
    ensure!(
        !finished.stdout.contains("NOTIFY_SOCKET") && !finished.stdout.contains("WATCHDOG"),
        "{finished}"
    );
    Ok(())
}

/// A server of pages at the listener that is passed to it.
fn adopting(addr: SocketAddr, flags: &[&str]) -> Wasock {
    run().args(["--adopt"]).args(flags).args([guest_tests::HTTP_SERVER, &addr.to_string()])
}

/// S6: a host with nothing to do ends, and its clients do not notice.
#[test]
fn a_host_with_nothing_to_do_ends_and_its_clients_do_not_notice() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let start = || -> Result<Running> {
        let socket = OwnedFd::from(listener.try_clone()?);
        adopting(addr, &["--idle-exit", "300ms"]).passing("web", socket).start()
    };
    let mut running = start()?;
    let mut client = HttpClient::connect(addr)?;
    client.get("/")?;
    // As long as it has a connection it stays.
    std::thread::sleep(Duration::from_millis(900));
    ensure!(running.is_running()?, "it ended with a connection");
    client.get("/")?;
    drop(client);
    running.finish()?.expect_code(0)?.expect_stderr("--idle-exit")?;
    // Who comes now waits, and the next host serves it.
    let waiting = TcpStream::connect(addr)?;
    let running = start()?;
    let mut client = HttpClient::connect(addr)?;
    client.get("/")?;
    drop((client, waiting));
    running.finish()?.expect_code(0).map(drop)
}

#[test]
fn idle_exit_needs_a_socket_of_somebody_elses() -> Result<()> {
    let refused = run_on_loopback().args(["--idle-exit", "1s", guest_tests::HTTP_SERVER]).finish()?;
    refused
        .expect_code(2)?
        .expect_stderr("--idle-exit needs --adopt or --listen-fds")?
        .expect_one_line()
        .map(drop)
}

/// Is this program there? Otherwise the test says that it is passed over.
fn has(program: &str) -> bool {
    let has_it = Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success());
    if !has_it {
        eprintln!("passed over: this machine has no {program}");
    }
    has_it
}

#[test]
fn systemd_starts_it_with_the_first_client() -> Result<()> {
    const ACTIVATE: &str = "systemd-socket-activate";
    if !has(ACTIVATE) {
        return Ok(());
    }
    let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut running = Wasock::new(ACTIVATE)
        .args(["--listen", &addr.to_string(), env!("CARGO_BIN_EXE_wasock"), "run", "--adopt"])
        .args(["--idle-exit", "300ms", guest_tests::HTTP_SERVER, &addr.to_string()])
        .start()?;
    running.wait_for_stderr("Listening on")?;
    is_page(addr)?;
    running.finish()?.expect_code(0)?.expect_stderr("--idle-exit").map(drop)
}

/// S5: the units of the manual are sound.
#[test]
fn the_units_of_the_manual_are_sound() -> Result<()> {
    const ANALYZE: &str = "systemd-analyze";
    if !has(ANALYZE) {
        return Ok(());
    }
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/systemd");
    let folder = tempfile::tempdir()?;
    let version = Command::new(ANALYZE).arg("--version").output()?.stdout;
    let version =
        String::from_utf8_lossy(&version).split_whitespace().nth(1).and_then(|it| it.parse::<u32>().ok());
    // "notify-reload ... Added in version 253." - systemd.service(5)
    let knows_reloads = version.is_some_and(|it| it >= 253);
    let mut files = Vec::new();
    for unit in fs::read_dir(units)? {
        let unit = unit?;
        // The command is elsewhere here, and so may be what a manual page is read by.
        let text = fs::read_to_string(unit.path())?.replace("/usr/bin/wasock", env!("CARGO_BIN_EXE_wasock"));
        let text = if knows_reloads { text } else { text.replace("notify-reload", "notify") };
        let text: String = text
            .lines()
            .filter(|line| !line.starts_with("Documentation="))
            .map(|line| format!("{line}\n"))
            .collect();
        let name = unit.file_name().to_string_lossy().replace("@.", "@web.");
        let file = folder.path().join(name);
        fs::write(&file, text)?;
        files.push(file);
    }
    ensure!(files.len() >= 3, "{files:?}");
    let verified =
        Command::new(ANALYZE).args(["verify", "--man=no", "--recursive-errors=no"]).args(&files).output()?;
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let own: Vec<&str> = said.lines().filter(|line| line.contains("wasock")).collect();
    ensure!(verified.status.success() && own.is_empty(), "{said}");
    Ok(())
}
