//! Guests that serve, and clients that behave well or badly.

use super::{has_ipv6, run, run_on_loopback};
use anyhow::{Context, Result, ensure};
use guest_tests::{HttpClient, Response, Running, Wasock};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const PAGE: &str = "Hello from a wasm guest\n";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";

fn start(wasock: Wasock) -> Result<(Running, SocketAddr)> {
    let mut server = wasock.args([guest_tests::HTTP_SERVER, "127.0.0.1:0"]).start()?;
    let addr = server.listening()?;
    Ok((server, addr))
}

fn is_page(response: &Response) -> Result<()> {
    ensure!(response.status == 200 && response.text() == PAGE, "answered {response:?}");
    Ok(())
}

/// The server still replies, and ends on request.
fn lives_on(mut server: Running, addr: SocketAddr) -> Result<()> {
    ensure!(server.is_running()?, "the server has ended:\n{}", server.stderr());
    is_page(&HttpClient::connect(addr)?.get("/")?)?;
    server.stop().map(drop)
}

#[test]
pub(crate) fn http_server() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = HttpClient::connect(addr)?;
    for _ in 0..100 {
        let response = client.get("/")?;
        is_page(&response)?;
        ensure!(response.header("connection").is_none(), "answered {response:?}");
    }
    client.send(b"HEAD / HTTP/1.1\r\n\r\n")?;
    let head = client.head()?;
    ensure!(head.header("content-length") == Some("24"), "answered {head:?}");
    // Nothing of a body lies between that and the next reply.
    is_page(&client.get("/")?)?;
    client.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")?;
    is_page(&client.response()?)?;
    client.expect_end()?;
    lives_on(server, addr)
}

#[test]
fn http_server_over_epoll() -> Result<()> {
    // 0 to 2, the listener and the epoll leave ten: the others wait for one to leave.
    let wasock = run_on_loopback().args(["--max-fds", "15"]);
    let mut server = wasock.args([guest_tests::HTTP_SERVER, "127.0.0.1:0", "epoll"]).start()?;
    let addr = server.listening()?;
    let mut clients = Vec::new();
    for _ in 0..30 {
        let mut client = HttpClient::connect(addr)?;
        client.send(REQUEST)?;
        clients.push(client);
    }
    for mut client in clients {
        is_page(&client.response()?)?;
    }
    lives_on(server, addr)
}

fn start_streams(service: &str) -> Result<(Running, TcpStream)> {
    let mut server = run_on_loopback().args([guest_tests::STREAM_SERVER, "127.0.0.1:0", service]).start()?;
    let stream = TcpStream::connect(server.listening()?)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    Ok((server, stream))
}

#[test]
pub(crate) fn stream_server() -> Result<()> {
    let (server, mut stream) = start_streams("echo")?;
    // More than the buffers of both sides hold: it goes on when there is space again.
    let sent: Vec<u8> = (0..8u32 << 20).map(|at| at.to_le_bytes()[1] ^ at.to_le_bytes()[0]).collect();
    let (mut sender, bytes) = (stream.try_clone()?, sent.clone());
    let sending = std::thread::spawn(move || sender.write_all(&bytes));
    let mut back = vec![0; sent.len()];
    stream.read_exact(&mut back)?;
    ensure!(back == sent, "other bytes came back");
    sending.join().ok().context("the sender panicked")??;
    server.stop().map(drop)
}

#[test]
fn stream_server_sinks_and_sources() -> Result<()> {
    let (server, mut stream) = start_streams("source")?;
    let mut bytes = vec![0; 8 << 20];
    stream.read_exact(&mut bytes)?;
    ensure!(bytes.iter().all(|byte| *byte == b'.'), "other bytes came");
    server.stop()?;

    let (server, mut stream) = start_streams("sink")?;
    stream.write_all(&bytes)?;
    // Nothing comes back, and it ends where the client does.
    stream.shutdown(Shutdown::Write)?;
    ensure!(stream.read(&mut bytes)? == 0, "something came back");
    server.stop().map(drop)
}

#[test]
fn http_server_answers_requests_sent_at_once() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = HttpClient::connect(addr)?;
    client.send(&REQUEST.repeat(50))?;
    for _ in 0..50 {
        is_page(&client.response()?)?;
    }
    // In single bytes, and cut in the middle.
    for byte in REQUEST {
        client.send(&[*byte])?;
    }
    is_page(&client.response()?)?;
    client.send(b"POST")?;
    client.finish()?;
    client.expect_end()?;
    lives_on(server, addr)
}

#[test]
fn http_server_waits_for_a_slow_reader() -> Result<()> {
    const COUNT: usize = 50_000;
    let (server, addr) = start(run_on_loopback())?;
    let mut client = HttpClient::connect(addr)?;
    let mut sender = TcpStream::connect(addr)?;
    let receiver = sender.try_clone()?;
    // Far more replies than the buffers of both sides hold, and none is read yet.
    let sending = std::thread::spawn(move || sender.write_all(&REQUEST.repeat(COUNT)));
    for _ in 0..20 {
        is_page(&client.get("/")?)?;
    }
    let mut received = 0;
    let mut receiver = receiver;
    receiver.set_read_timeout(Some(Duration::from_secs(20)))?;
    let length = {
        client.send(REQUEST)?;
        let response = client.response()?;
        // The head has three lines and an empty one.
        let head: usize = response.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        "HTTP/1.1 200 OK\r\n".len() + head + 2 + response.body.len()
    };
    let mut buf = vec![0; 1 << 16];
    while received < COUNT * length {
        let count = receiver.read(&mut buf)?;
        ensure!(count > 0, "an end after {received} bytes");
        received += count;
    }
    ensure!(received == COUNT * length, "{received} bytes");
    sending.join().ok().context("the sender panicked")??;
    lives_on(server, addr)
}

#[test]
fn http_server_keeps_to_http_1_0() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = HttpClient::connect(addr)?;
    client.send(b"GET / HTTP/1.0\r\n\r\n")?;
    is_page(&client.response()?)?;
    client.expect_end()?;

    let mut client = HttpClient::connect(addr)?;
    for _ in 0..3 {
        client.send(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")?;
        let response = client.response()?;
        ensure!(response.header("connection") == Some("keep-alive"), "answered {response:?}");
    }
    lives_on(server, addr)
}

#[test]
fn http_server_refuses_bad_requests() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000));
    let cases: [(&[u8], u16); 8] = [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"\0\x01\x02\xff\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        (long.as_bytes(), 431),
    ];
    for (request, status) in cases {
        let mut client = HttpClient::connect(addr)?;
        client.send(request)?;
        let response = client.response()?;
        ensure!(response.status == status, "{:?}: {response:?}", String::from_utf8_lossy(request));
        client.finish()?;
        client.expect_end()?;
    }
    lives_on(server, addr)
}

#[test]
fn http_server_survives_half_requests() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut stalled = Vec::new();
    for n in 0..50 {
        let mut client = HttpClient::connect(addr)?;
        client.send(REQUEST.get(..n % REQUEST.len()).unwrap_or_default())?;
        stalled.push(client);
        is_page(&HttpClient::connect(addr)?.get("/")?)?;
    }
    lives_on(server, addr)
}

#[test]
fn http_server_survives_resets() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    for n in 0..300 {
        let mut client = HttpClient::connect(addr)?;
        match n % 3 {
            0 => {}
            1 => client.send(b"GET / HT")?,
            _ => client.send(&REQUEST.repeat(20))?,
        }
        client.reset()?;
    }
    lives_on(server, addr)
}

#[test]
fn http_server_survives_a_flood() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut clients = Vec::new();
    for _ in 0..500 {
        clients.push(HttpClient::connect(addr)?);
    }
    for client in &mut clients {
        client.send(REQUEST)?;
    }
    for client in &mut clients {
        is_page(&client.response()?)?;
    }
    lives_on(server, addr)
}

#[test]
fn http_server_goes_on_when_descriptors_are_free_again() -> Result<()> {
    let (server, addr) = start(run_on_loopback().args(["--max-fds", "14"]))?;
    // 0 to 2 and the listener leave ten.
    let mut clients = Vec::new();
    for _ in 0..30 {
        let mut client = HttpClient::connect(addr)?;
        client.send(REQUEST)?;
        clients.push(client);
    }
    // Each client is served in turn, as earlier ones leave.
    for mut client in clients {
        is_page(&client.response()?)?;
    }
    lives_on(server, addr)
}

#[test]
fn http_server_with_idle_connections_uses_no_processor() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = HttpClient::connect(addr)?;
        is_page(&client.get("/")?)?;
        clients.push(client);
    }
    let before = server.processor_time()?;
    std::thread::sleep(Duration::from_secs(2));
    let used = server.processor_time()? - before;
    // One busy thread would take ten times as much, on half a processor.
    ensure!(used < Duration::from_millis(100), "{used:?} of processor time");
    lives_on(server, addr)
}

#[test]
fn http_server_over_ipv6() -> Result<()> {
    if !has_ipv6() {
        return Ok(());
    }
    let mut server = run().args(["--listen", "[::1]:*", guest_tests::HTTP_SERVER, "[::1]:0"]).start()?;
    let addr = server.listening()?;
    ensure!(addr.is_ipv6(), "listening on {addr}");
    lives_on(server, addr)
}

#[test]
fn http_server_restarts_at_once() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = HttpClient::connect(addr)?;
    is_page(&client.get("/")?)?;
    server.stop()?;
    let mut server = run_on_loopback().args([guest_tests::HTTP_SERVER, &addr.to_string()]).start()?;
    ensure!(server.listening()? == addr, "another address");
    lives_on(server, addr)
}

#[test]
fn accept_from_keeps_others_out() -> Result<()> {
    let mut server = run()
        .args(["--listen", "127.0.0.1:*", "--accept-from", "192.0.2.0/24"])
        .args([guest_tests::HTTP_SERVER, "127.0.0.1:0"])
        .start()?;
    let addr = server.listening()?;
    for _ in 0..3 {
        // The refusal may be quicker than the rest of the connecting.
        let answer = HttpClient::connect(addr).and_then(|mut client| client.get("/"));
        ensure!(answer.is_err(), "a stranger was served: {answer:?}");
    }
    ensure!(server.is_running()?, "the server has ended:\n{}", server.stderr());
    server.stop()?.expect_stderr("--accept-from 127.0.0.1").map(drop)
}

#[test]
pub(crate) fn echo_server() -> Result<()> {
    let mut server =
        run().args(["--listen", "127.0.0.1:*", guest_tests::ECHO_SERVER, "127.0.0.1:0"]).start()?;
    let addr = server.listening()?;
    // One through the calls for files, one through those for sockets, twice.
    for _ in 0..4 {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let message: Vec<u8> = (0..100_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut reader = stream.try_clone()?;
        let reading = std::thread::spawn(move || {
            let mut back = Vec::new();
            reader.read_to_end(&mut back).map(|_| back)
        });
        stream.write_all(&message)?;
        stream.shutdown(Shutdown::Write)?;
        let back = reading.join().ok().context("the reader panicked")??;
        ensure!(back == message, "{} bytes came back", back.len());
    }
    ensure!(server.is_running()?, "the server has ended:\n{}", server.stderr());
    server.stop().map(drop)
}

#[test]
pub(crate) fn client() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let answering = std::thread::spawn(move || -> Result<String> {
        let (mut stream, _) = listener.accept()?;
        let mut question = String::new();
        stream.read_to_string(&mut question)?;
        stream.write_all(b"the answer")?;
        Ok(question)
    });
    let finished = run()
        .args(["--connect", "127.0.0.1:*"])
        .args([guest_tests::CLIENT, &addr.to_string(), "the question"])
        .succeed()?;
    ensure!(finished.stdout == "the answer", "{finished}");
    let question = answering.join().ok().context("the listener panicked")??;
    ensure!(question == "the question", "asked {question:?}");
    Ok(())
}

/// A test for a module that answers one connection with `ok`.
macro_rules! answers_ok {
    ($($program:ident $path:ident;)*) => {$(
        #[test]
        pub(crate) fn $program() -> Result<()> {
            let mut server = run().args(["--listen", "127.0.0.1:*", guest_tests::$path]).start()?;
            let mut stream = TcpStream::connect(server.listening()?)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            ensure!(answer == "ok", "answered {answer:?}");
            server.finish()?.expect_code(0).map(drop)
        }
    )*};
}

answers_ok! {
    memory_exported_plain MEMORY_EXPORTED_PLAIN;
    memory_exported_shared MEMORY_EXPORTED_SHARED;
    memory_imported_shared MEMORY_IMPORTED_SHARED;
}
