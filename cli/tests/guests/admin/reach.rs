//! A guest never reaches the admin socket of its own host, whatever was granted.

use super::{ask, run, run_on_loopback};
use anyhow::{Context as _, Result, ensure};
use guest_tests::Running;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

/// Tells the guest to try; each step is to go as it says.
fn steps(guest: &mut Running, steps: &[String]) -> Result<()> {
    for step in steps {
        let (order, _) = step.rsplit_once(": ").context("a step")?;
        guest.write_stdin(format!("{order}\n").as_bytes())?;
        let line = guest.wait_for_stdout(&format!("{order}: "))?;
        ensure!(line == *step, "{line}, not as expected: {step}\n{}", guest.stderr());
    }
    Ok(())
}

/// Over TCP and UDP, by every writing of the address.
#[test]
pub(crate) fn host_sockets() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut guest = run()
        .with_stdin()
        .args([
            "--connect",
            "*:*",
            "--listen",
            "*:*",
            "--udp-bind",
            "*:*",
            "--udp-send",
            "*:*",
            "--resolve",
            "*",
        ])
        .args(["--admin", "127.0.0.1:0", "--admin-token-file"])
        .arg(folder.path().join("token"))
        .arg(guest_tests::HOST_SOCKETS)
        .start()?;
    let line = guest.wait_for_stderr("wasock: admin at ")?;
    let port = line
        .split("127.0.0.1:")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .context("no port")?
        .to_owned();
    let tries = [
        "tcp 127.0.0.1:PORT",
        "tcp [::ffff:127.0.0.1]:PORT",
        "tcp 0.0.0.0:PORT",
        "tcp [::ffff:0.0.0.0]:PORT",
        "listen 127.0.0.1:PORT",
        "listen 0.0.0.0:PORT",
        "udp 127.0.0.1:PORT",
        "udp 0.0.0.0:PORT",
        "udp_connect 127.0.0.1:PORT",
        "udp_bind 127.0.0.1:PORT",
    ];
    let tries: Vec<_> = tries.iter().map(|it| format!("{}: EACCES", it.replace("PORT", &port))).collect();
    steps(&mut guest, &tries)?;
    // The wildcard of IPv6 is this machine at ::1, where nothing is.
    guest.write_stdin(format!("tcp [::]:{port}\n").as_bytes())?;
    let line = guest.wait_for_stdout("tcp [::]:")?;
    ensure!(!line.ends_with("done"), "{line}");
    // It tries each address of the name: there is nothing at the port of the other family.
    guest.write_stdin(format!("name localhost {port}\n").as_bytes())?;
    let line = guest.wait_for_stdout("name localhost")?;
    ensure!(!line.ends_with("done"), "{line}");
    steps(&mut guest, &["descriptors: done".to_owned()])?;
    // What is said of it comes after the answer.
    guest.wait_for_stderr("the host's own socket, which no grant opens")?;
    // It is there for operators all the while, and what is beside it for the guest.
    let at = format!("127.0.0.1:{port}");
    ensure!(ask(TcpStream::connect(&at)?, "GET", "/healthz", &at, "")?.status == 200, "no answer");
    let other = TcpListener::bind("127.0.0.1:0")?;
    steps(&mut guest, &[format!("tcp {}: done", other.local_addr()?)])?;
    guest.finish()?.expect_code(0).map(drop)
}

/// S1: a guest does not reach the host's own socket by a path.
///
/// By its path, by links, and by a name that it gets later.
#[test]
fn a_guest_does_not_reach_it_by_a_path() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (admin, own) = (folder.path().join("admin"), folder.path().join("own"));
    std::fs::create_dir(&admin)?;
    std::fs::create_dir(&own)?;
    let path = admin.join("admin.sock");
    let mut guest = run()
        .with_stdin()
        .args(["--connect", "unix:*", "--listen", "unix:*"])
        .args(["--dir-ro", &format!("{}::/admin", admin.display())])
        .args(["--dir", &format!("{}::/own", own.display())])
        .args(["--admin", &format!("unix:{}", path.display())])
        .arg(guest_tests::HOST_SOCKETS)
        .start()?;
    guest.wait_for_stderr("wasock: admin at unix:")?;
    steps(&mut guest, &["unix /admin/admin.sock: EACCES".to_owned()])?;
    // Another name of the same socket, in a directory that is all the guest's.
    std::fs::hard_link(&path, own.join("hard"))?;
    steps(&mut guest, &["unix /own/hard: EACCES".to_owned(), "unix_send /own/hard: EACCES".to_owned()])?;
    std::os::unix::fs::symlink("hard", own.join("soft"))?;
    steps(&mut guest, &["unix /own/soft: EACCES".to_owned()])?;
    std::fs::rename(own.join("hard"), own.join("renamed"))?;
    steps(&mut guest, &["unix /own/renamed: EACCES".to_owned()])?;
    // Names that are not in the file system are no guest's at all.
    steps(&mut guest, &["unix_bind /admin/admin.sock: EROFS".to_owned()])?;
    ensure!(ask(UnixStream::connect(&path)?, "GET", "/healthz", "localhost", "")?.status == 200, "no answer");
    // What is its own it reaches.
    let listener = std::os::unix::net::UnixListener::bind(own.join("other"))?;
    steps(&mut guest, &["unix /own/other: done".to_owned()])?;
    drop(listener);
    guest.finish()?.expect_code(0).map(drop)
}

/// The guest on the other side of this connection listens, and then tries.
fn tries(control: &TcpListener, path: &str) -> Result<(String, BufReader<TcpStream>)> {
    let mut lines = BufReader::new(control.accept()?.0);
    let mut answer = String::new();
    let tries = format!("connect u {path}");
    for order in ["open a tcp", "bind a 127.0.0.1:0", "listen a 4", "open u unix", &tries] {
        writeln!(lines.get_mut(), "{order}")?;
        answer.clear();
        lines.read_line(&mut answer)?;
    }
    // It goes on until this connection ends.
    Ok((answer.trim_end().to_owned(), lines))
}

/// What a reload makes is kept from it as what was there before.
#[test]
fn a_guest_does_not_reach_it_after_a_reload() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("admin.sock");
    let control = TcpListener::bind("127.0.0.1:0")?;
    let at = control.local_addr()?.to_string();
    let mut guest = run_on_loopback()
        .args(["--connect", "unix:*", "--dir-ro", &format!("{}::/admin", folder.path().display())])
        .args(["--admin", &format!("unix:{}", path.display()), guest_tests::ADOPTION, &at])
        .start()?;
    guest.wait_for_stderr("wasock: admin at unix:")?;
    let (answer, _first) = tries(&control, "/admin/admin.sock")?;
    ensure!(answer == "EACCES (2)", "the first generation: {answer}");
    let asks =
        std::thread::spawn(move || ask(UnixStream::connect(&path)?, "POST", "/reload", "localhost", ""));
    let (answer, _second) = tries(&control, "/admin/admin.sock")?;
    ensure!(answer == "EACCES (2)", "the second generation: {answer}");
    let reloaded = asks.join().ok().context("it panicked")??;
    ensure!(reloaded.status == 200, "{}", reloaded.text());
    guest.stop().map(drop)
}
