//! Each kind of socket that a service manager may pass.

use super::super::run;
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Running, Wasock};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A guest that inherited `socket`, which is `local` in its own directories.
fn guest(host: Wasock, kind: &str, local: &str, socket: OwnedFd) -> Result<Running> {
    let program = ["--listen-fds", guest_tests::PREOPENED_KINDS, kind, local];
    let mut running = host.args(program).passing("it", socket).start()?;
    running.wait_for_stdout("ready")?;
    Ok(running)
}

/// The folder as the guest's `/run`.
fn with(folder: &TempDir) -> Wasock {
    run().args(["--dir", &format!("{}::/run", folder.path().display())])
}

fn socket(kind: SocketType) -> Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    patient(&socket)?;
    Ok(socket)
}

fn patient(socket: &OwnedFd) -> Result<()> {
    let limit = rustix::net::sockopt::Timeout::Recv;
    Ok(rustix::net::sockopt::set_socket_timeout(socket, limit, Some(WAIT_TIMEOUT))?)
}

fn listener(kind: SocketType, path: &Path) -> Result<OwnedFd> {
    let listener = socket(kind)?;
    rustix::net::bind(&listener, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&listener, 4)?;
    Ok(listener)
}

/// Sends a message to the guest, and has it back.
fn exchange(socket: &OwnedFd) -> Result<()> {
    rustix::net::send(socket, b"hello", SendFlags::empty())?;
    let mut buf = [0; 16];
    let (count, _) = rustix::net::recv(socket, &mut buf, RecvFlags::empty())?;
    ensure!(buf.get(..count) == Some(b"hello".as_slice()), "{buf:?}");
    Ok(())
}

/// A listener's connections have its name where the guest has that too, and else none.
#[test]
pub(crate) fn preopened_kinds() -> Result<()> {
    for (kind, program) in [(SocketType::STREAM, "listener"), (SocketType::SEQPACKET, "listener_of_messages")]
    {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("s");
        for (host, local) in [(with(&folder), "/run/s"), (run(), "")] {
            let running = guest(host, program, local, listener(kind, &path)?)?;
            let client = socket(kind)?;
            // By a name, which is the guest's too if it lies in the guest's directory.
            rustix::net::bind(&client, &SocketAddrUnix::new(folder.path().join("client"))?)?;
            rustix::net::connect(&client, &SocketAddrUnix::new(&path)?)?;
            exchange(&client)?;
            let peer = if local.is_empty() { "" } else { "/run/client" };
            running.finish()?.expect_code(0)?.expect_stdout(&format!("from {peer:?}\n"))?;
            for name in ["s", "client"] {
                std::fs::remove_file(folder.path().join(name))?;
            }
        }
    }
    Ok(())
}

#[test]
fn connections_with_names() -> Result<()> {
    for (kind, program) in
        [(SocketType::STREAM, "connection"), (SocketType::SEQPACKET, "connection_of_messages")]
    {
        let folder = tempfile::tempdir()?;
        let (path, name) = (folder.path().join("s"), folder.path().join("client"));
        let listener = listener(kind, &path)?;
        for (host, local, peer) in [(with(&folder), "/run/client", "/run/s"), (run(), "", "")] {
            let client = socket(kind)?;
            rustix::net::bind(&client, &SocketAddrUnix::new(&name)?)?;
            rustix::net::connect(&client, &SocketAddrUnix::new(&path)?)?;
            let served = rustix::net::accept(&listener)?;
            patient(&served)?;
            let running = guest(host, program, local, client)?;
            exchange(&served)?;
            running.finish()?.expect_code(0)?.expect_stdout(&format!("peer {peer:?}\n"))?;
            std::fs::remove_file(&name)?;
        }
    }
    Ok(())
}

#[test]
fn one_of_a_pair() -> Result<()> {
    for (kind, program) in [
        (SocketType::STREAM, "connection"),
        (SocketType::SEQPACKET, "connection_of_messages"),
        (SocketType::DGRAM, "datagrams_of_a_pair"),
    ] {
        let (near, far) = rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        patient(&near)?;
        let running = guest(run(), program, "", far)?;
        exchange(&near).with_context(|| program.to_owned())?;
        running.finish()?.expect_code(0)?.expect_stdout("peer \"\"\n")?;
    }
    Ok(())
}

/// A reply to a name needs a grant, and the name a directory: a socket outside has none.
#[test]
fn datagrams_with_a_name() -> Result<()> {
    let (folder, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let path = folder.path().join("s");
    for (peer_folder, peer) in [(&folder, "/run/peer"), (&elsewhere, "")] {
        let inherited = UnixDatagram::bind(&path)?;
        let host = with(&folder).args(["--connect", "unix:/run/peer"]);
        let running = guest(host, "datagrams", "/run/s", inherited.into())?;
        let client = UnixDatagram::bind(peer_folder.path().join("peer"))?;
        client.set_read_timeout(Some(WAIT_TIMEOUT))?;
        client.send_to(b"hello", &path)?;
        if !peer.is_empty() {
            let mut buf = [0; 16];
            let count = client.recv(&mut buf)?;
            ensure!(buf.get(..count) == Some(b"hello".as_slice()), "{buf:?}");
        }
        running.finish()?.expect_code(0)?.expect_stdout(&format!("from {peer:?}\n"))?;
        std::fs::remove_file(&path)?;
    }
    // Without the grant the reply is refused, whichever process opened the socket.
    let running = guest(with(&folder), "datagrams", "/run/s", UnixDatagram::bind(&path)?.into())?;
    std::fs::remove_file(folder.path().join("peer"))?;
    UnixDatagram::bind(folder.path().join("peer"))?.send_to(b"hello", &path)?;
    running.finish()?.expect_code(1)?.expect_stderr("denied sock_send_to of unix:/run/peer")?;
    Ok(())
}

#[test]
fn datagrams_over_a_network() -> Result<()> {
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let addr = client.local_addr()?.to_string();
    // A recent sender gets replies, granted or not, unless the operator is strict.
    for (flags, is_granted) in
        [(&["--udp-strict", "--udp-send", &addr][..], true), (&[], true), (&["--udp-strict"], false)]
    {
        let inherited = UdpSocket::bind("127.0.0.1:0")?;
        let there = inherited.local_addr()?;
        let running = guest(run().args(flags), "udp", "-", inherited.into())?;
        client.send_to(b"hello", there)?;
        if !is_granted {
            running.finish()?.expect_code(1)?.expect_stderr(&format!("denied sock_send_to of {addr}"))?;
            continue;
        }
        let mut buf = [0; 16];
        let (count, from) = client.recv_from(&mut buf)?;
        ensure!(buf.get(..count) == Some(b"hello".as_slice()) && from == there, "{buf:?}");
        running.finish()?.expect_code(0)?;
    }
    // The policy decides here, too, to which addresses the guest may send.
    let inherited = UdpSocket::bind("127.0.0.1:0")?;
    let there = inherited.local_addr()?;
    let mut running = guest(run().args(["--accept-from", "192.0.2.0/24"]), "udp", "-", inherited.into())?;
    client.send_to(b"hello", there)?;
    running.wait_for_stderr("denied sock_recv_from of 127.0.0.1")?;
    Ok(())
}

/// The senders of received datagrams are restricted as for a socket that the guest opened itself.
#[test]
fn datagrams_of_a_wrong_sender() -> Result<()> {
    let inherited = UdpSocket::bind("127.0.0.1:0")?;
    let there = inherited.local_addr()?;
    let (client, stranger) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.2:0")?);
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let host = run().args(["--udp-send", "127.0.0.0/8:*", "--accept-from", "127.0.0.1"]);
    let running = guest(host, "udp", "-", inherited.into())?;
    stranger.send_to(b"stranger", there)?;
    client.send_to(b"hello", there)?;
    let mut buf = [0; 16];
    let (count, _) = client.recv_from(&mut buf)?;
    ensure!(buf.get(..count) == Some(b"hello".as_slice()), "{buf:?}");
    running.finish()?.expect_code(0)?.expect_stderr("denied sock_recv_from of 127.0.0.2: ")?;
    Ok(())
}
