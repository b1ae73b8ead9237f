//! Sockets with a name in the file system, and their peers.

use super::run;
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Running, Wasock};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// `/run` for the guest, and every name in it.
fn granted(folder: &Path) -> Wasock {
    run().args(["--dir", &format!("{}::/run", folder.display())]).args([
        "--listen",
        "unix:/run/*",
        "--connect",
        "unix:/run/*",
    ])
}

/// A guest that listens in its `/run` and follows commands.
struct Listener {
    folder: TempDir,
    running: Running,
    told: usize,
}

impl Listener {
    fn start(kind: &str, backlog: u32, flags: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let host = granted(folder.path()).args(flags).with_stdin();
        let mut running =
            host.args([guest_tests::UNIX_LISTENER, kind, "/run/s", &backlog.to_string()]).start()?;
        running.wait_for_stdout("ready")?;
        Ok(Self { folder, running, told: 0 })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn expect(&mut self, line: &str, expected: &str) -> Result<()> {
        self.running.write_stdin(format!("{line}\n").as_bytes())?;
        let prefix = format!("answer {}: ", self.told);
        self.told += 1;
        let answer = self.running.wait_for_stdout(&prefix)?;
        ensure!(answer == format!("{prefix}{expected}"), "{line}: {answer}, not {expected}");
        Ok(())
    }

    fn connect(&self) -> Result<UnixStream> {
        let stream = UnixStream::connect(self.path())?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        Ok(stream)
    }
}

/// A nonblocking socket of the test's own.
fn host_socket(kind: SocketType) -> Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?)
}

fn seqpacket_to(path: &Path) -> Result<OwnedFd> {
    let client = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
    rustix::net::sockopt::set_socket_timeout(
        &client,
        rustix::net::sockopt::Timeout::Recv,
        Some(WAIT_TIMEOUT),
    )?;
    rustix::net::connect(&client, &SocketAddrUnix::new(path)?)?;
    Ok(client)
}

#[test]
pub(crate) fn unix_stream() -> Result<()> {
    let folder = tempfile::tempdir()?;
    granted(folder.path()).arg(guest_tests::UNIX_STREAM).succeed()?;
    Ok(())
}

#[test]
pub(crate) fn unix_seqpacket() -> Result<()> {
    let folder = tempfile::tempdir()?;
    granted(folder.path()).arg(guest_tests::UNIX_SEQPACKET).succeed()?;
    Ok(())
}

#[test]
pub(crate) fn unix_datagram() -> Result<()> {
    let folder = tempfile::tempdir()?;
    granted(folder.path()).arg(guest_tests::UNIX_DATAGRAM).succeed()?;
    Ok(())
}

/// Another process replies to the name by which it knows the guest, and the guest knows
/// the other by the name in its own directory.
#[test]
fn datagrams_to_another_process_and_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let native = UnixDatagram::bind(folder.path().join("native"))?;
    native.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let guest = granted(folder.path()).args([guest_tests::UNIX_DATAGRAM, "/run/native"]).start()?;
    let mut buf = [0; 16];
    let (count, from) = native.recv_from(&mut buf)?;
    ensure!(buf.get(..count) == Some(b"hello".as_slice()));
    native.send_to(b"hello", from.as_pathname().context("no name")?)?;
    let count = native.recv(&mut buf)?;
    ensure!(buf.get(..count) == Some(b"again".as_slice()));
    native.send_to(b"again", folder.path().join("guest"))?;
    guest.finish()?.expect_code(0)?.expect_stdout("answered")?;
    Ok(())
}

/// Its clients have no address to distinguish them by: the limit of a peer does not apply.
#[test]
fn limits_of_connections_hold_at_a_name() -> Result<()> {
    let limits = ["--max-connections-per-listener", "2", "--max-connections-per-peer", "1"];
    let mut listener = Listener::start("stream", 8, &limits)?;
    let _clients = [listener.connect()?, listener.connect()?, listener.connect()?];
    listener.expect("accept", "from \"\"")?;
    listener.expect("accept", "from \"\"")?;
    listener.expect("accept", "EMFILE")?;
    listener.running.wait_for_stderr("unix:/run/")?;
    listener.expect("close", "done")?;
    listener.expect("accept", "from \"\"")
}

/// Names that lead nowhere are the errors of POSIX, and no link leads out.
#[test]
pub(crate) fn unix_paths() -> Result<()> {
    let outside = tempfile::tempdir()?;
    let (root, read_only) = (outside.path().join("root"), outside.path().join("ro"));
    fs::create_dir_all(root.join("folder"))?;
    fs::create_dir(&read_only)?;
    fs::write(root.join("file"), "content")?;
    let _forbidden = UnixListener::bind(outside.path().join("socket"))?;
    let _served = UnixListener::bind(read_only.join("socket"))?;
    symlink("..", root.join("out_folder"))?;
    symlink(outside.path(), root.join("out_absolute"))?;
    symlink("../..", root.join("folder/up"))?;
    symlink("../socket", root.join("out_socket"))?;
    symlink(outside.path().join("socket"), root.join("out_socket_absolute"))?;
    symlink("loop", root.join("loop"))?;
    symlink("folder", root.join("link"))?;
    symlink("folder/inner", root.join("inner_link"))?;

    run()
        .args(["--dir", &format!("{}::/run", root.display())])
        .args(["--dir-ro", &format!("{}::/ro", read_only.display())])
        .args(["--listen", "unix:*", "--connect", "unix:*"])
        .arg(guest_tests::UNIX_PATHS)
        .arg(outside.path().join("socket"))
        .succeed()?;

    let left = fs::read_dir(outside.path())?.count();
    ensure!(left == 3, "{left} names outside");
    ensure!(fs::read_dir(&read_only)?.count() == 1, "something new where nothing may change");
    Ok(())
}

/// Clients of another process: data both ways, the guest's name for a client that has one,
/// none for one from elsewhere.
#[test]
pub(crate) fn unix_listener() -> Result<()> {
    let mut listener = Listener::start("stream", 4, &[])?;
    let mut client = listener.connect()?;
    client.write_all(b"hello")?;
    listener.expect("accept", "from \"\"")?;
    listener.expect("read", "\"hello\" from \"\"")?;
    listener.expect("write answer", "6")?;
    let mut buf = [0; 6];
    client.read_exact(&mut buf)?;
    ensure!(&buf == b"answer");
    listener.expect("close", "done")?;
    ensure!(client.read(&mut buf)? == 0, "the end");

    let elsewhere = tempfile::tempdir()?;
    let inside = listener.folder.path().to_path_buf();
    for (folder, name) in [(inside.as_path(), "/run/client"), (elsewhere.path(), "")] {
        let named = host_socket(SocketType::STREAM)?;
        rustix::net::bind(&named, &SocketAddrUnix::new(folder.join("client"))?)?;
        rustix::net::connect(&named, &SocketAddrUnix::new(listener.path())?)?;
        listener.expect("accept", &format!("from {name:?}"))?;
    }
    Ok(())
}

#[test]
fn seqpacket_clients_of_another_process() -> Result<()> {
    let mut listener = Listener::start("seqpacket", 4, &[])?;
    let client = seqpacket_to(&listener.path())?;
    for message in ["one", "two", ""] {
        rustix::net::send(&client, message.as_bytes(), SendFlags::empty())?;
    }
    rustix::net::send(&client, &[b'x'; 2000], SendFlags::empty())?;
    listener.expect("accept", "from \"\"")?;
    listener.expect("read", "\"one\" from \"\"")?;
    listener.expect("read", "\"two\" from \"\"")?;
    listener.expect("read", "\"\" from \"\"")?;
    let cut = format!("{:?} from \"\", cut", "x".repeat(1024));
    listener.expect("read", &cut)?;
    listener.expect("write first", "5")?;
    listener.expect("write second", "6")?;
    let mut buf = [0; 16];
    for expected in ["first", "second"] {
        let (count, _) = rustix::net::recv(&client, &mut buf, RecvFlags::empty())?;
        ensure!(buf.get(..count) == Some(expected.as_bytes()), "{buf:?}");
    }
    Ok(())
}

#[test]
fn the_systems_own_client_is_served() -> Result<()> {
    let mut listener = Listener::start("stream", 4, &[])?;
    let mut client = Command::new("nc");
    client.args(["-N", "-U"]).arg(listener.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = client.spawn();
    let Ok(mut child) = child else {
        eprintln!("passed over: this machine has no nc");
        return Ok(());
    };
    child.stdin.take().context("no stdin")?.write_all(b"hello")?;
    listener.expect("accept", "from \"\"")?;
    listener.expect("read", "\"hello\" from \"\"")?;
    listener.expect("write answer", "6")?;
    listener.expect("close", "done")?;
    let output = child.wait_with_output()?;
    ensure!(output.stdout == b"answer", "{output:?}");
    Ok(())
}

/// A guest connects to another process: it waits while the queue there is full.
#[test]
pub(crate) fn unix_client() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (kind, name) in [(SocketType::STREAM, "stream"), (SocketType::SEQPACKET, "seqpacket")] {
        let path = folder.path().join(name);
        let listener = rustix::net::socket(AddressFamily::UNIX, kind, None)?;
        rustix::net::bind(&listener, &SocketAddrUnix::new(&path)?)?;
        rustix::net::listen(&listener, 0)?;
        let first = host_socket(kind)?;
        rustix::net::connect(&first, &SocketAddrUnix::new(&path)?)?;

        let guest_path = format!("/run/{name}");
        let mut guest =
            granted(folder.path()).args([guest_tests::UNIX_CLIENT, name, &guest_path, "hello"]).start()?;
        guest.wait_for_stdout("connecting")?;
        std::thread::sleep(Duration::from_millis(200));
        ensure!(!guest.stdout().contains("connected"), "the queue was full");
        rustix::net::accept(&listener)?;
        let served = rustix::net::accept(&listener)?;
        let mut buf = [0; 16];
        let (count, _) = rustix::net::recv(&served, &mut buf, RecvFlags::empty())?;
        rustix::net::send(&served, buf.get(..count).context("too much")?, SendFlags::empty())?;
        let finished = guest.finish()?.expect_code(0)?;
        finished.expect_stdout(&format!("connected to {guest_path}\n"))?.expect_stdout("answer hello\n")?;
    }
    Ok(())
}

/// How many connect without an accept, for each profile; one more is left waiting, or
/// its connection ends at once.
#[test]
fn the_capacity_of_a_name_is_the_profiles() -> Result<()> {
    for (profile, backlog, capacity) in [
        ("wasix", 3, 3),
        ("wasix", 0, 1),
        ("posix", 3, 3),
        ("winsock", 3, 3),
        ("bsd", 3, 5),
        ("linux", 3, 4),
        ("linux", 0, 1),
    ] {
        for kind in ["stream", "seqpacket"] {
            counts(profile, kind, backlog, capacity)
                .with_context(|| format!("{profile}, {kind}, backlog {backlog}"))?;
        }
    }
    Ok(())
}

fn counts(profile: &str, kind: &str, backlog: u32, capacity: usize) -> Result<()> {
    let mut listener = Listener::start(kind, backlog, &["--listen-profile", profile])?;
    let host_kind = if kind == "stream" { SocketType::STREAM } else { SocketType::SEQPACKET };
    let address = SocketAddrUnix::new(listener.path())?;
    let mut waiting = Vec::new();
    for number in 0..capacity {
        let client = host_socket(host_kind)?;
        rustix::net::connect(&client, &address).with_context(|| format!("{number} wait already"))?;
        waiting.push(client);
    }
    let excess = host_socket(host_kind)?;
    if profile == "winsock" {
        // The host takes it, and lets it go again.
        let connect = || rustix::net::connect(&excess, &address);
        let connected = std::iter::repeat_with(connect).find(|it| *it != Err(rustix::io::Errno::AGAIN));
        ensure!(connected == Some(Ok(())), "{connected:?}");
        rustix::io::ioctl_fionbio(&excess, false)?;
        let (count, _) = rustix::net::recv(&excess, &mut [0; 8], RecvFlags::empty())?;
        ensure!(count == 0, "data for one too many");
    } else {
        let refused = rustix::net::connect(&excess, &address);
        ensure!(refused == Err(rustix::io::Errno::AGAIN), "{refused:?}");
    }
    listener.expect("accept_all", &capacity.to_string())?;
    // Another backlog counts for those that connect now.
    listener.expect("listen 0", "done")?;
    let client = host_socket(host_kind)?;
    rustix::net::connect(&client, &address)?;
    listener.expect("accept_all", "1")
}

/// Nothing is granted by itself, a directory is not a grant, and a grant is no directory.
#[test]
fn what_is_not_granted_is_denied() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = format!("{}::/run", folder.path().display());
    let refused = |flags: &[&str], guest: &[&str], errno: &str, told: Option<&str>| -> Result<()> {
        let finished = run().args(flags).args(guest).finish()?.expect_code(1)?.expect_stderr(errno)?;
        let lines = finished.stderr_lines_with("wasock: denied");
        match told {
            None => ensure!(lines.is_empty(), "{finished}"),
            Some(line) => ensure!(lines == [format!("wasock: denied {line}")], "{finished}"),
        }
        Ok(())
    };
    let listener = [guest_tests::UNIX_LISTENER, "stream", "/run/s", "1"];
    let datagram = [guest_tests::UNIX_LISTENER, "datagram", "/run/s", "1"];
    let client = [guest_tests::UNIX_CLIENT, "stream", "/run/s", "x"];
    let bind = "sock_bind of unix:/run/s: no --listen grant covers it; allow it with --listen unix:/run/s";
    let connect =
        "sock_connect of unix:/run/s: no --connect grant covers it; allow it with --connect unix:/run/s";
    for program in [&listener, &datagram] {
        refused(&["--dir", &dir], program, "EACCES", Some(bind))?;
        refused(&["--dir", &dir, "--listen", "unix:/run/other"], program, "EACCES", Some(bind))?;
        refused(&["--dir", &dir, "--listen", "*:*", "--connect", "unix:*"], program, "EACCES", Some(bind))?;
        refused(&["--listen", "unix:*"], program, "ENOENT", None)?;
        refused(&["--dir-ro", &dir, "--listen", "unix:*"], program, "EROFS", None)?;
    }
    refused(&["--dir", &dir], &client, "EACCES", Some(connect))?;
    refused(&["--dir", &dir, "--connect", "*:*", "--listen", "unix:*"], &client, "EACCES", Some(connect))?;
    refused(&["--dir", &dir, "--connect", "unix:/run/s"], &client, "ENOENT", None)?;
    ensure!(fs::read_dir(folder.path())?.count() == 0, "something was made");
    Ok(())
}

/// The policy is asked about the name that a path leads to, not about the path.
#[test]
fn a_link_is_no_way_round_a_grant() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for name in ["granted", "other"] {
        fs::create_dir(folder.path().join(name))?;
    }
    symlink("../other", folder.path().join("granted/link"))?;
    let program = [guest_tests::UNIX_LISTENER, "stream", "/granted/link/s", "1"];
    let denied = |grant| {
        let host = run().args(["--dir", &format!("{}::/", folder.path().display()), "--listen", grant]);
        host.args(program).finish()
    };
    for grant in ["unix:/granted/*", "unix:/granted/link/*"] {
        let line = "wasock: denied sock_bind of unix:/other/s: ";
        denied(grant)?.expect_code(1)?.expect_stderr("EACCES")?.expect_stderr(line)?;
    }
    denied("unix:/other/s")?.expect_code(0)?.expect_stderr("listening on unix:/other/s")?;
    Ok(())
}

/// The name is kept, unless the operator wants it removed; and then only the socket's own.
#[test]
fn names_are_removed_as_the_operator_chose() -> Result<()> {
    let left = |flags: &[&str], lines: &[&str]| -> Result<bool> {
        let mut listener = Listener::start("stream", 1, flags)?;
        ensure!(fs::symlink_metadata(listener.path())?.file_type().is_socket());
        lines.iter().try_for_each(|line| listener.expect(line, "done"))?;
        let path = listener.path();
        if !lines.is_empty() {
            return Ok(path.exists());
        }
        listener.running.finish()?.expect_code(0)?;
        Ok(path.exists())
    };
    ensure!(left(&[], &[])? && left(&[], &["close_listener"])?, "it is to stay");
    ensure!(!left(&["--unix-unlink"], &[])?, "it is there after the end");
    ensure!(!left(&["--unix-unlink"], &["close_listener"])?, "it is there after its close");

    // A signal ends the guest as well.
    let mut listener = Listener::start("stream", 1, &["--unix-unlink"])?;
    let path = listener.path();
    listener.running.signal(rustix::process::Signal::TERM)?;
    // The end of its input would end it as well.
    let deadline = Instant::now() + WAIT_TIMEOUT;
    while listener.running.is_running()? {
        ensure!(Instant::now() < deadline, "SIGTERM does not end it");
        std::thread::sleep(Duration::from_millis(5));
    }
    listener.running.finish()?.expect_code(143)?;
    ensure!(!path.exists(), "it is there after SIGTERM");

    // What others put in its place is kept: a file, or another socket.
    for is_socket in [false, true] {
        let mut listener = Listener::start("stream", 1, &["--unix-unlink"])?;
        fs::remove_file(listener.path())?;
        let _other = match is_socket {
            true => Some(UnixListener::bind(listener.path())?),
            false => fs::write(listener.path(), "mine").map(|()| None)?,
        };
        listener.expect("close_listener", "done")?;
        ensure!(listener.path().exists(), "it belonged to another process");
    }
    Ok(())
}

/// The mode of the file is what the host's umask leaves.
#[test]
fn the_mode_is_the_umasks() -> Result<()> {
    let listener = Listener::start("stream", 1, &[])?;
    let status = fs::read_to_string(format!("/proc/{}/status", listener.running.id()))?;
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).context("no umask")?;
    let umask = u32::from_str_radix(umask.trim(), 8)?;
    let mode = fs::metadata(listener.path())?.permissions().mode() & 0o777;
    ensure!(mode == 0o777 & !umask, "{mode:o} with umask {umask:o}");
    ensure!(fs::metadata(listener.path())?.uid() == rustix::process::getuid().as_raw());
    Ok(())
}

/// What the host's file system refuses to the user of the host is refused to the guest,
///  whatever was granted.
#[test]
fn what_the_host_may_not_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let set_mode =
        |name: &str, mode| fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode));
    for name in ["read_only", "shut"] {
        fs::create_dir(folder.path().join(name))?;
    }
    let _served = UnixListener::bind(folder.path().join("served"))?;
    let _within = UnixListener::bind(folder.path().join("shut/served"))?;
    for (name, mode) in [("", 0o755), ("read_only", 0o555), ("served", 0), ("shut", 0)] {
        set_mode(name, mode)?;
    }
    // Root may do everything: use another user then.
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_wasock"), "run"];
    let host = || match rustix::process::getuid().is_root() {
        true => Wasock::new("setpriv").args(nobody),
        false => run(),
    };
    let has_setpriv = Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_ok();
    if rustix::process::getuid().is_root() && !has_setpriv {
        eprintln!("passed over: root is refused nothing, and this machine has no setpriv");
        return Ok(());
    }
    let dir = format!("{}::/run", folder.path().display());
    let grants = ["--no-cache", "--dir", &dir, "--listen", "unix:*", "--connect", "unix:*"];
    for (program, path) in [
        (guest_tests::UNIX_LISTENER, "/run/read_only/s"),
        (guest_tests::UNIX_LISTENER, "/run/shut/s"),
        (guest_tests::UNIX_CLIENT, "/run/shut/served"),
        (guest_tests::UNIX_CLIENT, "/run/served"),
    ] {
        let finished = host().args(grants).args([program, "stream", path, "1"]).finish()?;
        let finished =
            finished.expect_code(1)?.expect_stderr("EACCES")?.expect_no_stderr("wasock: denied")?;
        if program == guest_tests::UNIX_LISTENER {
            finished.expect_stderr(&format!("sock_bind of unix:{path} failed"))?;
        }
    }
    // To be removed with the folder.
    Ok(set_mode("shut", 0o755)?)
}

/// The operator reads names as they are written on the command line, in events and in the trace.
#[test]
fn names_are_reported() -> Result<()> {
    let mut listener = Listener::start("stream", 3, &["-v", "--trace"])?;
    let _client = listener.connect()?;
    listener.expect("accept", "from \"\"")?;
    listener.expect("close", "done")?;
    listener.expect("close_listener", "done")?;
    let finished = listener.running.finish()?.expect_code(0)?;
    for line in [
        "wasock: listening on unix:/run/s (fd 4)",
        "connection from unix:unnamed (fd 5, listener 4)",
        "closed unix:unnamed (fd 5)",
        "unix:/run/s (fd 4) listens no more",
        "sock_bind(fd=4, addr=unix:/run/s) = 0",
        "sock_listen(fd=4, backlog=3) = 0 capacity=3",
        "sock_accept_v2(fd=4, flags=0) = 0 fd=5 addr=unix:unnamed",
    ] {
        ensure!(finished.stderr.contains(line), "{line:?} is not told\n{finished}");
    }
    Ok(())
}

/// A name that is taken is reported with its cure.
#[test]
fn a_taken_name_is_reported() -> Result<()> {
    let first = Listener::start("stream", 1, &[])?;
    let second = granted(first.folder.path()).args([guest_tests::UNIX_LISTENER, "stream", "/run/s", "1"]);
    let line = "wasock: sock_bind of unix:/run/s failed: address in use (EADDRINUSE); the name is taken: ";
    second.finish()?.expect_code(1)?.expect_stderr(line)?;
    first.connect().map(drop)
}
