//! epoll, event descriptors, pipes and pairs of sockets.

use super::run_on_loopback;
use anyhow::{Result, anyhow, ensure};
use guest_tests::{HttpClient, Response, Running, Wasock};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// A test for a program that needs no more than the loopback address.
macro_rules! on_loopback {
    ($($program:ident $path:ident;)*) => {$(
        #[test]
        pub(crate) fn $program() -> Result<()> {
            run_on_loopback().arg(guest_tests::$path).succeed().map(drop)
        }
    )*};
}

on_loopback! {
    event_descriptor EVENT_DESCRIPTOR;
    pipe_ends PIPE_ENDS;
    socket_pair SOCKET_PAIR;
    epoll_edge_until_again EPOLL_EDGE_UNTIL_AGAIN;
    epoll_one_shot EPOLL_ONE_SHOT;
    epoll_nested_and_loops EPOLL_NESTED_AND_LOOPS;
}

#[test]
pub(crate) fn epoll_levels() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = format!("{}::/", folder.path().display());
    run_on_loopback().args(["--dir", &dir, guest_tests::EPOLL_LEVELS]).succeed().map(drop)
}

/// As `ab` asks: by HTTP/1.0, with and without `-k`.
#[test]
fn epoll_server_closes_where_the_client_asks_for_it() -> Result<()> {
    let (server, addr) = start_server(run_on_loopback())?;
    let closing: [&[u8]; 2] =
        [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n"];
    for request in closing {
        let mut client = HttpClient::connect(addr)?;
        client.send(request)?;
        is_answer(&client.response()?)?;
        client.expect_end()?;
    }
    let mut kept = HttpClient::connect(addr)?;
    for _ in 0..2 {
        kept.send(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")?;
        is_answer(&kept.response()?)?;
    }
    server.stop().map(drop)
}

/// The queue of connections is the host's own there.
#[test]
fn epoll_edge_until_again_with_winsock_listeners() -> Result<()> {
    run_on_loopback()
        .args(["--listen-profile", "winsock", guest_tests::EPOLL_EDGE_UNTIL_AGAIN])
        .succeed()
        .map(drop)
}

fn start_server(wasock: Wasock) -> Result<(Running, SocketAddr)> {
    let mut server = wasock.args([guest_tests::EPOLL_SERVER, "127.0.0.1:0"]).start()?;
    let addr = server.listening()?;
    Ok((server, addr))
}

fn is_answer(response: &Response) -> Result<()> {
    ensure!(response.status == 200 && response.text() == "epoll\n", "answered {response:?}");
    Ok(())
}

#[test]
pub(crate) fn epoll_server() -> Result<()> {
    let (server, addr) = start_server(run_on_loopback())?;
    // Many clients at once, each many times.
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(HttpClient::connect(addr)?);
    }
    for _ in 0..20 {
        for client in &mut clients {
            client.send(b"GET / HTTP/1.1\r\n\r\n")?;
        }
        for client in &mut clients {
            is_answer(&client.response()?)?;
        }
    }
    // A request in single bytes, and many requests at once.
    let mut client = HttpClient::connect(addr)?;
    for byte in b"GET / HTTP/1.1\r\n\r\n" {
        client.send(&[*byte])?;
    }
    is_answer(&client.response()?)?;
    client.send(&b"GET / HTTP/1.1\r\n\r\n".repeat(500))?;
    for _ in 0..500 {
        is_answer(&client.response()?)?;
    }
    client.finish()?;
    client.expect_end()?;
    server.stop().map(drop)
}

/// The queue of connections is the host's own there.
#[test]
fn epoll_server_with_the_queue_of_winsock() -> Result<()> {
    let (server, addr) = start_server(run_on_loopback().args(["--listen-profile", "winsock"]))?;
    for _ in 0..100 {
        is_answer(&HttpClient::connect(addr)?.get("/")?)?;
    }
    server.stop().map(drop)
}

#[test]
fn epoll_server_takes_turns_when_descriptors_are_few() -> Result<()> {
    let (server, addr) = start_server(run_on_loopback().args(["--max-fds", "10"]))?;
    let workers: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || -> Result<()> {
                for _ in 0..50 {
                    let mut client = HttpClient::connect(addr)?;
                    is_answer(&client.get("/")?)?;
                    is_answer(&client.get("/")?)?;
                }
                Ok(())
            })
        })
        .collect();
    for worker in workers {
        worker.join().map_err(|_| anyhow!("a client panicked"))??;
    }
    server.stop().map(drop)
}

/// Far more replies than the buffers of both sides hold, and none is read yet.
#[test]
fn epoll_server_waits_for_a_slow_reader() -> Result<()> {
    const COUNT: usize = 50_000;
    let (server, addr) = start_server(run_on_loopback())?;
    let mut sender = TcpStream::connect(addr)?;
    let mut receiver = sender.try_clone()?;
    receiver.set_read_timeout(Some(Duration::from_secs(20)))?;
    let sending = std::thread::spawn(move || {
        sender.write_all(&b"GET / HTTP/1.1\r\n\r\n".repeat(COUNT))?;
        sender.shutdown(Shutdown::Write)
    });
    for _ in 0..20 {
        is_answer(&HttpClient::connect(addr)?.get("/")?)?;
    }
    let mut received = Vec::new();
    receiver.read_to_end(&mut received)?;
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nepoll\n".len();
    ensure!(received.len() == COUNT * length, "{} bytes", received.len());
    sending.join().map_err(|_| anyhow!("the sender panicked"))??;
    server.stop().map(drop)
}
