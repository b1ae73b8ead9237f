//! Servers whose threads share the work, in both generations.

use super::threads::wait_for_guest_threads;
use super::{run, run_on_loopback};
use anyhow::{Context, Result, anyhow, ensure};
use guest_tests::{Client, HttpClient, Response, Running, Wasock, is_refused};
use rustix::process::Signal;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::time::Duration;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

fn serve(wasock: Wasock, program: &str, way: &str, threads: usize) -> Result<(Running, SocketAddr)> {
    let mut server = wasock.args([program, "127.0.0.1:0", way, &threads.to_string()]).start()?;
    let addr = server.listening()?;
    Ok((server, addr))
}

fn is_answer(response: &Response) -> Result<()> {
    ensure!(response.status == 200 && response.text() == "wasm\n", "answered {response:?}");
    Ok(())
}

/// Runs `client` on as many threads, and returns the first failure.
fn many_clients(count: usize, client: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let client = &client;
        let clients: Vec<_> = (0..count).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().try_for_each(|it| it.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}

/// Many requests of many clients at once, whose connections go on.
fn answers_all(addr: SocketAddr) -> Result<()> {
    many_clients(16, |_| {
        let mut client = HttpClient::connect(addr)?;
        for _ in 0..50 {
            is_answer(&client.get("/")?)?;
        }
        // Many at once, and one in single bytes.
        client.send(&REQUEST.repeat(100))?;
        for _ in 0..100 {
            is_answer(&client.response()?)?;
        }
        for byte in REQUEST {
            client.send(&[*byte])?;
        }
        is_answer(&client.response()?)?;
        client.finish()?;
        client.expect_end()
    })
}

/// Many connections of many clients at once, each with one request.
fn answers_once(addr: SocketAddr) -> Result<()> {
    many_clients(16, |_| {
        for _ in 0..30 {
            let mut client = HttpClient::connect(addr)?;
            client.send(b"GET / HTTP/1.0\r\n\r\n")?;
            is_answer(&client.response()?)?;
            client.expect_end()?;
        }
        Ok(())
    })
}

/// One server in each way to share the work.
fn serves_in_each_way(program: &str) -> Result<()> {
    for (way, threads) in [("each", 0), ("pool", 8), ("shared", 1), ("shared", 4), ("own", 4)] {
        let (server, addr) = serve(run_on_loopback(), program, way, threads)?;
        let outcome = (|| {
            wait_for_guest_threads(&server, threads + 1)?;
            answers_once(addr)?;
            if way != "pool" {
                answers_all(addr)?;
            }
            wait_for_guest_threads(&server, threads + 1)
        })();
        outcome.with_context(|| format!("{way} {threads}: {}", server.stderr()))?;
        server.stop()?;
    }
    Ok(())
}

#[test]
pub(crate) fn threaded_http() -> Result<()> {
    serves_in_each_way(guest_tests::THREADED_HTTP)
}

#[test]
pub(crate) fn threaded_http_v1() -> Result<()> {
    serves_in_each_way(guest_tests::THREADED_HTTP_V1)
}

/// The queue of connections is the host's own there.
#[test]
fn threads_share_the_queue_of_winsock() -> Result<()> {
    for way in ["shared", "own", "pool"] {
        let wasock = run_on_loopback().args(["--listen-profile", "winsock"]);
        let (server, addr) = serve(wasock, guest_tests::THREADED_HTTP, way, 4)?;
        answers_once(addr).with_context(|| way)?;
        server.stop()?;
    }
    Ok(())
}

/// Without descriptors clients wait for their turn; none is lost, and no thread hangs.
#[test]
fn threads_take_turns_when_descriptors_are_few() -> Result<()> {
    for (way, fds) in [("each", "9"), ("pool", "9"), ("shared", "9"), ("own", "12")] {
        let wasock = run_on_loopback().args(["--max-fds", fds]);
        let (server, addr) = serve(wasock, guest_tests::THREADED_HTTP, way, 4)?;
        answers_once(addr).with_context(|| way)?;
        server.stop()?;
    }
    Ok(())
}

/// The same with few connections; never more are open than may be.
#[test]
fn threads_take_turns_when_connections_are_few() -> Result<()> {
    for profile in ["wasix", "winsock"] {
        for way in ["each", "pool", "shared", "own"] {
            let wasock = run_on_loopback().args(["--max-connections", "3", "--listen-profile", profile]);
            let (server, addr) = serve(wasock, guest_tests::THREADED_HTTP, way, 4)?;
            answers_once(addr).with_context(|| format!("{profile}, {way}"))?;
            server.stop()?;
        }
    }
    Ok(())
}

const SPEAKERS: usize = 12;
const LINES: usize = 60;

/// What one client sends, all others receive, in order.
fn speak_and_listen(addr: SocketAddr, number: usize, all_there: &Barrier) -> Result<()> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let (mut speaker, mut lines) = (stream.try_clone()?, BufReader::new(stream).lines());
    let welcome = lines.next().context("an end")?;
    // Every thread reaches it, whatever happens.
    all_there.wait();
    ensure!(welcome? == "welcome", "no welcome");
    for line in 0..LINES {
        speaker.write_all(format!("{number} {line}\n").as_bytes())?;
    }
    let mut heard: HashMap<usize, usize> = HashMap::new();
    for _ in 0..LINES * (SPEAKERS - 1) {
        let said = lines.next().context("an end")??;
        let (from, line) = said.split_once(' ').context("no line of a speaker")?;
        let next = heard.entry(from.parse()?).or_default();
        ensure!(line.parse::<usize>()? == *next, "{number} heard {said:?}, and not line {next}");
        *next += 1;
    }
    ensure!(heard.len() == SPEAKERS - 1 && !heard.contains_key(&number), "{number} heard {heard:?}");
    Ok(())
}

fn chats(program: &str) -> Result<()> {
    for threads in [1, 4] {
        let mut server = run_on_loopback().args([program, "127.0.0.1:0", &threads.to_string()]).start()?;
        let addr = server.listening()?;
        let all_there = Barrier::new(SPEAKERS);
        many_clients(SPEAKERS, |number| speak_and_listen(addr, number, &all_there))
            .with_context(|| server.stderr())?;
        server.stop()?;
    }
    Ok(())
}

#[test]
pub(crate) fn threaded_chat() -> Result<()> {
    chats(guest_tests::THREADED_CHAT)
}

#[test]
pub(crate) fn threaded_chat_v1() -> Result<()> {
    chats(guest_tests::THREADED_CHAT_V1)
}

/// One client has said half a line when the order to end comes, and another one nothing.
fn drains(program: &str) -> Result<()> {
    let mut server = run_on_loopback().args([program, "127.0.0.1:0"]).start()?;
    let addr = server.listening()?;
    let (mut busy, mut silent) = (Client::connect(addr)?, Client::connect(addr)?);
    wait_for_guest_threads(&server, 3)?;
    busy.say("ha")?;
    server.signal(Signal::TERM)?;
    server.wait_for_stderr("draining 2")?;
    is_refused(addr)?;
    silent.finish()?;
    silent.hears_the_end()?;
    ensure!(server.is_running()?, "it has not waited for a client");
    busy.say("lf\n")?;
    busy.hears("half\n")?;
    busy.finish()?;
    busy.hears_the_end()?;
    server.finish()?.expect_code(0)?.expect_stderr("drained").map(drop)
}

#[test]
pub(crate) fn threaded_drain() -> Result<()> {
    drains(guest_tests::THREADED_DRAIN)
}

#[test]
pub(crate) fn threaded_drain_v1() -> Result<()> {
    drains(guest_tests::THREADED_DRAIN_V1)
}

/// It is measured elsewhere; here each way works, on the host and natively.
#[test]
pub(crate) fn threaded_pingpong() -> Result<()> {
    for way in ["futex", "event", "epoll", "pipe", "pair", "tcp", "idle"] {
        run_on_loopback()
            .args([guest_tests::THREADED_PINGPONG, way, "500"])
            .succeed()?
            .expect_stderr("a round trip")?;
        Wasock::native(guest_tests::native::THREADED_PINGPONG)
            .args([way, "500"])
            .succeed()?
            .expect_stderr("a round trip")?;
    }
    Ok(())
}

fn abuse(program: &str) -> Result<()> {
    for way in ["overflow", "loops"] {
        run().args([program, way]).succeed().with_context(|| way)?;
    }
    // The first thread counts.
    let bomb = run().args(["--max-threads", "40", program, "bomb"]).succeed()?;
    bomb.expect_stderr("39 threads")?;
    let trap = run().args([program, "trap"]).finish()?.expect_code(134)?;
    trap.expect_stderr("the_thread_that_traps")?;
    run_on_loopback().args(["--max-fds", "64", program, "close"]).succeed()?.expect_stderr("were closed")?;
    Ok(())
}

#[test]
pub(crate) fn threaded_abuse() -> Result<()> {
    abuse(guest_tests::THREADED_ABUSE)
}

#[test]
pub(crate) fn threaded_abuse_v1() -> Result<()> {
    abuse(guest_tests::THREADED_ABUSE_V1)
}

/// As many as the host allows by itself.
#[test]
fn a_bomb_of_threads_is_held_by_the_default() -> Result<()> {
    run().args([guest_tests::THREADED_ABUSE, "bomb"]).succeed()?.expect_stderr(" threads")?;
    Ok(())
}
