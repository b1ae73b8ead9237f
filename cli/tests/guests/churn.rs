//! Clients that come and go in ten ways, one way after the other: after each the server still
//! replies, and the host holds as many descriptors as before; after all of them as much memory.

use super::run_on_loopback;
use anyhow::{Context, Result, ensure};
use guest_tests::{HttpClient, Running};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: churn\r\n\r\n";
const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";

/// Clients of a phase, and of one that takes its time.
const CLIENTS: usize = 200;
const SLOW_CLIENTS: usize = 10;

/// How long anything may take before the test gives up on it.
const TIMEOUT: Duration = Duration::from_secs(20);

/// More memory than that after the second round than after the first is a leak: the phases
/// move some 30 MB.
const GROWTH_KIB: u64 = 12 * 1024;

type Phase = fn(SocketAddr) -> Result<()>;

const PHASES: [(&str, Phase); 10] = [
    ("connect and close", connect_and_close),
    ("connect and reset", connect_and_reset),
    ("half close", half_close),
    ("slow sender", slow_sender),
    ("slow reader", slow_reader),
    ("flood of small messages", flood),
    ("large messages", large_messages),
    ("pipelining", pipelining),
    ("many idle", many_idle),
    ("abort during accept", abort_during_accept),
];

fn connect(addr: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Closes with a reset.
fn reset(stream: TcpStream) -> Result<()> {
    Ok(sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?)
}

/// Reads to the end, which may be a reset.
fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer);
    answer
}

fn pages(answer: &[u8]) -> usize {
    String::from_utf8_lossy(answer).matches("HTTP/1.1 200 OK").count()
}

fn connect_and_close(addr: SocketAddr) -> Result<()> {
    (0..CLIENTS).try_for_each(|_| connect(addr).map(drop))
}

fn connect_and_reset(addr: SocketAddr) -> Result<()> {
    for number in 0..CLIENTS {
        let mut stream = connect(addr)?;
        // Some have asked for something, and do not wait for it.
        if number % 2 == 0 {
            stream.write_all(REQUEST)?;
        }
        reset(stream)?;
    }
    Ok(())
}

fn half_close(addr: SocketAddr) -> Result<()> {
    for number in 0..CLIENTS {
        let mut stream = connect(addr)?;
        stream.write_all(if number % 2 == 0 { LAST_REQUEST } else { b"GET / HT" })?;
        stream.shutdown(Shutdown::Write)?;
        let answered = pages(&read_all(stream));
        ensure!(answered == (number + 1) % 2, "client {number} got {answered} answers");
    }
    Ok(())
}

fn slow_sender(addr: SocketAddr) -> Result<()> {
    let mut streams: Vec<TcpStream> = (0..SLOW_CLIENTS).map(|_| connect(addr)).collect::<Result<_>>()?;
    for byte in LAST_REQUEST {
        for stream in &mut streams {
            stream.set_nodelay(true)?;
            stream.write_all(&[*byte])?;
        }
    }
    for stream in streams {
        ensure!(pages(&read_all(stream)) == 1, "a slow sender was not answered");
    }
    Ok(())
}

/// Asks until nothing more is taken, and reads then.
fn slow_reader(addr: SocketAddr) -> Result<()> {
    let requests = REQUEST.repeat(2000);
    let mut streams = Vec::new();
    for _ in 0..SLOW_CLIENTS {
        let mut stream = connect(addr)?;
        stream.set_nonblocking(true)?;
        let mut sent = 0;
        while let Ok(count) = stream.write(requests.get(sent % requests.len()..).unwrap_or(&[])) {
            sent += count;
            if sent > 4 << 20 {
                break;
            }
        }
        stream.set_nonblocking(false)?;
        streams.push((stream, sent / REQUEST.len()));
    }
    for (mut stream, asked) in streams {
        let mut got = 0;
        let mut answer = [0; 65_536];
        while got < asked {
            let count = stream.read(&mut answer)?;
            ensure!(count > 0, "closed after {got} of {asked} answers");
            // Each has one of these, and it is one byte.
            got += answer.get(..count).unwrap_or(&[]).iter().filter(|byte| **byte == b'P').count();
        }
    }
    Ok(())
}

fn flood(addr: SocketAddr) -> Result<()> {
    for _ in 0..CLIENTS {
        let mut stream = connect(addr)?;
        stream.set_nodelay(true)?;
        for _ in 0..50 {
            if stream.write_all(b"x\r\n").is_err() {
                break;
            }
        }
        _ = stream.shutdown(Shutdown::Write);
        read_all(stream);
    }
    Ok(())
}

fn large_messages(addr: SocketAddr) -> Result<()> {
    let head = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat();
    for _ in 0..SLOW_CLIENTS {
        let mut stream = connect(addr)?;
        // It is refused before all of it was sent.
        _ = stream.write_all(&head);
        _ = stream.shutdown(Shutdown::Write);
        read_all(stream);
    }
    Ok(())
}

fn pipelining(addr: SocketAddr) -> Result<()> {
    let requests = [REQUEST.repeat(99), LAST_REQUEST.to_vec()].concat();
    for _ in 0..SLOW_CLIENTS {
        let mut stream = connect(addr)?;
        stream.write_all(&requests)?;
        let answered = pages(&read_all(stream));
        ensure!(answered == 100, "{answered} answers to 100 requests");
    }
    Ok(())
}

fn many_idle(addr: SocketAddr) -> Result<()> {
    let idle: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(addr)).collect::<Result<_>>()?;
    serves(addr)?;
    drop(idle);
    Ok(())
}

/// They are gone while they connect, or before they are accepted.
fn abort_during_accept(addr: SocketAddr) -> Result<()> {
    for _ in 0..CLIENTS {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        _ = rustix::net::connect(&socket, &addr);
        reset(socket.into())?;
    }
    Ok(())
}

fn serves(addr: SocketAddr) -> Result<()> {
    let page = HttpClient::connect(addr)?.get("/")?;
    ensure!(page.status == 200, "answered {page:?}");
    Ok(())
}

/// Waits until the host holds no more descriptors than `before`.
fn lets_go(server: &Running, before: usize) -> Result<()> {
    let begun = Instant::now();
    loop {
        let now = server.descriptors()?;
        if now <= before {
            return Ok(());
        }
        ensure!(begun.elapsed() < TIMEOUT, "{before} descriptors of the host became {now}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How many descriptors the host holds once it has let go of all that it will: the fewest of many looks.
fn settled(server: &Running) -> Result<usize> {
    let mut fewest = usize::MAX;
    for _ in 0..100 {
        fewest = fewest.min(server.descriptors()?);
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(fewest)
}

/// Where the host refuses clients beyond a backlog, a phase may end early: `may_refuse`.
fn survives(options: &[&str], arguments: &[&str], may_refuse: bool) -> Result<()> {
    let wasock = run_on_loopback().args(options).arg(guest_tests::HTTP_SERVER).arg("127.0.0.1:0");
    let mut server = wasock.args(arguments).start()?;
    let addr = server.listening()?;
    // What the host made for the first connections is kept, and so is what wakes the guest's thread from its first wait
    // at one that says nothing, whenever that is: so all of them have been there once.
    for (name, phase) in PHASES {
        let outcome = phase(addr);
        ensure!(may_refuse || outcome.is_ok(), "{name}, at first: {outcome:?}");
        serves(addr)?;
    }
    let before = settled(&server)?;
    let mut resident = 0;
    for round in 0..2 {
        for (name, phase) in PHASES {
            let outcome = phase(addr);
            ensure!(may_refuse || outcome.is_ok(), "{name}: {outcome:?}");
            lets_go(&server, before).with_context(|| name.to_owned())?;
            serves(addr).with_context(|| name.to_owned())?;
            ensure!(server.is_running()?, "{name}: the server has ended:\n{}", server.stderr());
            lets_go(&server, before).with_context(|| name.to_owned())?;
        }
        let now = server.resident_kib()?;
        ensure!(round == 0 || now < resident + GROWTH_KIB, "{resident} KiB of memory became {now}");
        resident = now;
    }
    ensure!(!server.stderr().contains("panicked"), "{}", server.stderr());
    server.stop().map(drop)
}

#[test]
fn a_server_over_poll_survives_every_kind_of_client() -> Result<()> {
    survives(&[], &[], false)
}

#[test]
fn a_server_over_epoll_survives_every_kind_of_client() -> Result<()> {
    survives(&[], &["epoll"], false)
}

#[test]
fn a_server_whose_host_accepts_survives_every_kind_of_client() -> Result<()> {
    survives(&["--listen-profile", "winsock"], &[], true)
}
