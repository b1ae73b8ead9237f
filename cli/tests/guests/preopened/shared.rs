//! Shared sockets: the flag of other owners is ignored, and they are not affected by a guest.

use super::super::run;
use super::{HERE, exchange, passed};
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Attempt, Client, Running, Wasock};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::net::sockopt;
use rustix::process::Signal;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A supervisor's listener, which blocks.
fn listener() -> Result<TcpListener> {
    Ok(TcpListener::bind(HERE)?)
}

fn is_nonblocking(socket: impl AsFd) -> Result<bool> {
    Ok(fcntl_getfl(socket)?.contains(OFlags::NONBLOCK))
}

/// Starts `host` with a clone of `socket`.
fn with_clone(host: Wasock, socket: impl AsFd) -> Result<Running> {
    host.passing("it", socket.as_fd().try_clone_to_owned()?).start()
}

/// A guest that waits for one connection at a clone of `listener`.
fn accepting(listener: &TcpListener, profile: &str) -> Result<Running> {
    let program = ["--listen-profile", profile, "--listen-fds", guest_tests::PREOPENED_ACCEPT];
    let mut guest = with_clone(run().args(program), listener)?;
    guest.wait_for_stdout("ready")?;
    Ok(guest)
}

/// The mode that a start leaves behind, or that another owner set, is not the guest's.
#[test]
pub(crate) fn preopened_accept() -> Result<()> {
    for profile in ["wasix", "winsock"] {
        for is_nonblocking_before in [false, true] {
            let listener = listener()?;
            listener.set_nonblocking(is_nonblocking_before)?;
            for start in 1..=3 {
                let guest = accepting(&listener, profile)?;
                let _client = TcpStream::connect(listener.local_addr()?)?;
                guest.finish()?.expect_code(0).with_context(|| format!("{profile}, start {start}"))?;
                ensure!(is_nonblocking(&listener)? == is_nonblocking_before, "{profile}, start {start}");
            }
        }
    }
    Ok(())
}

/// Each of two hosts waits for its own connection, also where the other one ends meanwhile
/// and puts the mode back.
#[test]
fn two_hosts_at_once_have_one_listener() -> Result<()> {
    let listener = listener()?;
    let mut guests = vec![accepting(&listener, "wasix")?, accepting(&listener, "wasix")?];
    // Whichever hosts are there when the first connection comes, one of them ends.
    let mut clients = Vec::new();
    while !guests.is_empty() {
        clients.push(TcpStream::connect(listener.local_addr()?)?);
        let ended = first_to_end(&mut guests)?;
        ended.finish()?.expect_code(0)?;
    }
    ensure!(!is_nonblocking(&listener)?, "the mode is left changed");
    Ok(())
}

/// The first of `guests` that ends, taken out of them.
fn first_to_end(guests: &mut Vec<Running>) -> Result<Running> {
    let begun = std::time::Instant::now();
    loop {
        for at in 0..guests.len() {
            if let Some(guest) = guests.get_mut(at)
                && !guest.is_running()?
            {
                return Ok(guests.swap_remove(at));
            }
        }
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "none of them ends");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A signal ends a guest that computes without its leave, and leaves nothing.
#[test]
pub(crate) fn preopened_accept_and_spin() -> Result<()> {
    let listener = listener()?;
    let program = ["--listen-fds", guest_tests::PREOPENED_ACCEPT_AND_SPIN];
    let mut guest = with_clone(run().args(program), &listener)?;
    let _client = TcpStream::connect(listener.local_addr()?)?;
    guest.wait_for_stdout("spins")?;
    ensure!(is_nonblocking(&listener)?, "accept needs it");
    guest.signal(Signal::TERM)?;
    guest.finish()?.expect_code(143)?;
    ensure!(!is_nonblocking(&listener)?, "the mode is left changed");
    Ok(())
}

/// To receive and to send takes no mode at all.
#[test]
fn the_mode_of_what_carries_data_is_never_touched() -> Result<()> {
    let datagrams = UdpSocket::bind(HERE)?;
    let client = UdpSocket::bind(HERE)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let grant = client.local_addr()?.to_string();
    let program = ["--udp-send", &grant, "--listen-fds", guest_tests::PREOPENED_KINDS, "udp", "-"];
    let mut guest = with_clone(run().args(program), &datagrams)?;
    // It has looked for a message by now.
    guest.wait_for_stdout("ready")?;
    ensure!(!is_nonblocking(&datagrams)?);
    client.send_to(b"hello", datagrams.local_addr()?)?;
    ensure!(client.recv(&mut [0; 16])? == 5);
    guest.finish()?.expect_code(0)?;
    ensure!(!is_nonblocking(&datagrams)?);

    let (near, far) = std::os::unix::net::UnixStream::pair()?;
    let program = ["--listen-fds", guest_tests::PREOPENED_KINDS, "connection", ""];
    let mut guest = with_clone(run().args(program), &far)?;
    guest.wait_for_stdout("ready")?;
    ensure!(!is_nonblocking(&far)?);
    rustix::io::write(&near, b"hello")?;
    guest.finish()?.expect_code(0)?;
    ensure!(!is_nonblocking(&far)?);
    Ok(())
}

/// The kernel, which sends files by itself, goes by the mode of the socket: not where that is another owner's.
#[test]
fn a_file_is_sent_over_a_connection_of_others_in_the_guests_mode() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = format!("{}::/", folder.path().display());
    let (mut near, far) = std::os::unix::net::UnixStream::pair()?;
    near.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let program = ["--dir", &dir, "--listen-fds", guest_tests::SEND_FILE, "shared"];
    let guest = with_clone(run().args(program), &far)?;
    let finished = guest.finish()?.expect_code(0)?;
    ensure!(!is_nonblocking(&far)?);
    drop(far);
    let mut came = Vec::new();
    near.read_to_end(&mut came)?;
    finished.expect_stdout(&format!("sent {}\n", came.len()))?;
    let content = std::fs::read(folder.path().join("file"))?;
    ensure!(!came.is_empty() && content.starts_with(&came), "{} bytes came", came.len());
    Ok(())
}

/// What a guest may do, and what its host does by itself, changes no option and no backlog.
#[test]
pub(crate) fn preopened_setters() -> Result<()> {
    let answers =
        "A=76 B=76 C=76 D=76 E=00 F=00 G=76 H=76 I=76 J=76 K=76 L=76 M=76 N=76 O=76 P=76 Q=53 R=00 S=00";
    // One that the host made for the guest alone has the same rights.
    let own = run().args(["--preopen-listen", HERE, guest_tests::PREOPENED_SETTERS]).succeed()?;
    ensure!(own.stdout.split_whitespace().eq(answers.split(' ')), "{own}");
    for profile in ["wasix", "winsock"] {
        let listener = OwnedFd::from(listener()?);
        rustix::net::listen(&listener, 1)?;
        sockopt::set_socket_linger(&listener, Some(Duration::from_secs(3)))?;
        let before = options(&listener)?;
        let flags = ["--max-socket-buffer", "64K", "--listen-profile", profile, "--max-backlog", "64"];
        let host = run().args(flags).with_stdin().args(["--listen-fds", guest_tests::PREOPENED_SETTERS]);
        let mut guest = listening_with(host, &listener)?;
        guest.wait_for_stdout("S=")?;
        ensure!(options(&listener)? == before, "{profile}: {:?}, and not {before:?}", options(&listener)?);
        if profile == "wasix" {
            let addr = TcpListener::from(listener.try_clone()?).local_addr()?;
            let _two = [Client::connect(addr)?, Client::connect(addr)?];
            ensure!(Attempt::start(addr)?.is_unanswered()?, "the queue has grown");
        }
        let finished = guest.finish()?.expect_code(0)?;
        ensure!(finished.stdout.split_whitespace().eq(answers.split(' ')), "{finished}");
        ensure!(options(&listener)? == before, "{profile}");
    }
    Ok(())
}

fn listening_with(host: Wasock, listener: &OwnedFd) -> Result<Running> {
    let mut guest = with_clone(host, listener)?;
    guest.wait_for_stderr("listening on")?;
    Ok(guest)
}

/// The options that calls of the guest asked to change.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    hops: u32,
    buffers: [usize; 2],
    linger: Option<Duration>,
    /// A shared port, keep-alive, listening.
    flags: [bool; 3],
}

fn options(socket: &OwnedFd) -> Result<Options> {
    Ok(Options {
        hops: sockopt::ip_ttl(socket)?,
        buffers: [sockopt::socket_recv_buffer_size(socket)?, sockopt::socket_send_buffer_size(socket)?],
        linger: sockopt::socket_linger(socket)?,
        flags: [
            sockopt::socket_reuseport(socket)?,
            sockopt::socket_keepalive(socket)?,
            sockopt::socket_acceptconn(socket)?,
        ],
    })
}

#[test]
pub(crate) fn preopened_name() -> Result<()> {
    run().args(["--preopen-listen", HERE, guest_tests::PREOPENED_NAME]).succeed()?;
    with_clone(run().args(["--listen-fds", guest_tests::PREOPENED_NAME]), listener()?)?
        .finish()?
        .expect_code(0)
        .map(drop)
}

/// A thread that closes a listener ends the accept of another one, and the listener goes on
/// for other processes that have it.
#[test]
fn a_shared_listener_goes_on_after_its_guest_closed_it() -> Result<()> {
    for profile in ["wasix", "winsock"] {
        let listener = listener()?;
        let flags = ["--listen-profile", profile, "--listen-fds"];
        let host = run().args(flags).args([guest_tests::THREADS_CLOSE, "handed"]);
        with_clone(host, &listener)?.finish()?.expect_code(0)?;
        let _client = TcpStream::connect(listener.local_addr()?)?;
        listener.accept()?;
    }
    Ok(())
}

/// A program that Go made finds its listener nonblocking without a flag.
#[test]
fn a_program_of_go_gets_nonblocking_sockets() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("go.wasm");
    let module = std::fs::read(guest_tests::PREOPENED_STD)?;
    let (header, sections) = module.split_at_checked(8).context("a short module")?;
    // A custom section of 14 bytes, whose name has 10.
    let mark = b"\0\x0e\x0ago:buildidabc";
    std::fs::write(&path, [header, mark, sections].concat())?;
    for (flags, mode) in
        [(&[][..], "true"), (&["--preopen-nonblocking=false"], "false"), (&["--preopen-nonblocking"], "true")]
    {
        let host = run().args(flags).args(["--preopen-listen", HERE]).arg(&path).arg("0");
        host.succeed()?.expect_stdout(&format!("nonblocking: {mode}\n"))?;
    }
    let (guest, _) = passed(run().arg("--listen-fds").arg(&path).arg("0"))?;
    guest.finish()?.expect_code(0)?.expect_stdout("nonblocking: true\n")?;
    Ok(())
}

/// One listener, start after start, with what waits in between.
#[test]
fn a_listener_serves_start_after_start() -> Result<()> {
    let listener = listener()?;
    let addr = listener.local_addr()?;
    let waiting = std::thread::spawn(move || exchange(addr, "early"));
    for line in ["early", "late"] {
        let guest = with_clone(run().args(["--listen-fds", guest_tests::PREOPENED_STD, "1"]), &listener)?;
        if line == "late" {
            ensure!(exchange(addr, line)? == line);
        }
        guest.finish()?.expect_code(0)?;
    }
    ensure!(waiting.join().ok().context("the client panicked")?? == "early");
    ensure!(!is_nonblocking(&listener)?);
    Ok(())
}
