//! Names of Unix sockets that are as long as a kernel takes them, 108 bytes and no NUL.

use super::run;
use anyhow::{Context as _, Result, ensure};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// The bytes of the longest name.
const LONGEST: usize = 108;

/// A path of 108 bytes in `folder`.
fn longest(folder: &Path) -> Result<PathBuf> {
    let left =
        LONGEST.checked_sub(folder.as_os_str().len() + 1).context("the folder's own name is too long")?;
    Ok(folder.join("a".repeat(left)))
}

/// A socket of this name. The standard library makes none.
fn bound(kind: SocketType, name: &Path) -> Result<OwnedFd> {
    let socket = rustix::net::socket(AddressFamily::UNIX, kind, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(name)?)?;
    Ok(socket)
}

/// Connects by a name of that length, and waits until the guest closes the connection.
fn is_served(from: Option<&Path>, listener: &Path) -> Result<()> {
    let mut client = match from {
        Some(name) => {
            let client = bound(SocketType::STREAM, name)?;
            rustix::net::connect(&client, &SocketAddrUnix::new(listener)?)?;
            UnixStream::from(client)
        }
        None => UnixStream::connect(listener)?,
    };
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    match client.read(&mut [0; 1]) {
        Ok(0) => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        other => anyhow::bail!("{other:?}"),
    }
}

#[test]
pub(crate) fn unix_names_of_every_length() -> Result<()> {
    let folder = tempfile::tempdir()?;
    run()
        .args(["--dir", &format!("{}::/d", folder.path().display())])
        .args(["--listen", "unix:*", "--connect", "unix:*", guest_tests::UNIX_NAMES_OF_EVERY_LENGTH])
        .succeed()?;
    Ok(())
}

/// A client with such a name is served, and so is the next one, in every profile: also where
/// the host accepts by itself.
#[test]
pub(crate) fn accept_loop() -> Result<()> {
    for profile in ["wasix", "posix", "winsock", "bsd", "linux"] {
        let folder = tempfile::tempdir()?;
        let listener = folder.path().join("s");
        let guest = run()
            .args(["--listen-profile", profile, "--preopen-listen", &format!("unix:{}", listener.display())])
            .arg(guest_tests::ACCEPT_LOOP);
        let mut guest = guest.start()?;
        guest.wait_for_stderr("listening on")?;
        is_served(Some(&longest(folder.path())?), &listener).context(profile)?;
        is_served(None, &listener).context(profile)?;
        guest.stop()?.expect_no_stderr("panicked")?;
    }
    Ok(())
}

/// The guest reads the name of a sender that lies in its own directory, and of one that does
/// not it sees none.
#[test]
fn the_longest_name_of_a_sender_is_read() -> Result<()> {
    let (folder, outside) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut guest = run()
        .args(["--dir", &format!("{}::/run", folder.path().display()), "--listen", "unix:/run/*"])
        .with_stdin()
        .args([guest_tests::UNIX_LISTENER, "datagram", "/run/s", "0"])
        .start()?;
    guest.wait_for_stdout("ready")?;
    // As much of a name as fits into the addresses of this program.
    let names = [(longest(folder.path())?, "\"/run/aaaaaaaaaaaa"), (longest(outside.path())?, "\"\"")];
    for (number, (from, told)) in names.iter().enumerate() {
        let sender = UnixDatagram::from(bound(SocketType::DGRAM, from)?);
        sender.send_to(b"hello", folder.path().join("s"))?;
        guest.write_stdin(b"read\n")?;
        let answer = guest.wait_for_stdout(&format!("answer {number}: "))?;
        ensure!(answer.contains(&format!("\"hello\" from {told}")), "{answer}");
    }
    guest.finish()?.expect_code(0)?.expect_no_stderr("panicked")?;
    Ok(())
}

/// A listener with such a name is taken over, and shown to the operator.
#[test]
fn a_listener_with_the_longest_name_is_inherited() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let name = longest(folder.path())?;
    let listener = UnixListener::from(bound(SocketType::STREAM, &name)?);
    rustix::net::listen(&listener, 4)?;
    let guest =
        run().args(["--listen-fds", guest_tests::ACCEPT_LOOP]).passing("web", OwnedFd::from(listener));
    let mut guest = guest.start()?;
    let line = guest.wait_for_stderr("listening on")?;
    ensure!(line.contains(&format!("unix:{}", name.display())), "{line}");
    let client = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::net::connect(&client, &SocketAddrUnix::new(&name)?)?;
    let mut client = UnixStream::from(client);
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    ensure!(client.read(&mut [0; 1])? == 0);
    guest.stop()?.expect_no_stderr("panicked")?;
    Ok(())
}
