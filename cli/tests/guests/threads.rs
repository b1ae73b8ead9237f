//! Guests with threads, in both generations: servers, ends, locks.

use super::{run, run_on_loopback};
use anyhow::{Result, ensure};
use guest_tests::{Client, Running};
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// How many threads of the guest the host runs, from Linux.
fn guest_threads(host: &Running) -> Result<usize> {
    let mut found = 0;
    for task in fs::read_dir(format!("/proc/{}/task", host.id()))? {
        // A thread that ends meanwhile has no name any more.
        let name = fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
        found += usize::from(name.starts_with("guest-"));
    }
    Ok(found)
}

pub(super) fn wait_for_guest_threads(host: &Running, count: usize) -> Result<()> {
    let begun = Instant::now();
    while guest_threads(host)? != count {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "{} threads, not {count}", guest_threads(host)?);
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn echoes(program: &str) -> Result<()> {
    let mut host = run_on_loopback().arg(program).start()?;
    let addr = host.listening()?;
    let mut clients = (0..20).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
    for round in 0..20 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.say(&format!("round {round} of {number}\n"))?;
        }
        for (number, client) in clients.iter_mut().enumerate().rev() {
            client.hears(&format!("round {round} of {number}\n"))?;
        }
    }
    wait_for_guest_threads(&host, 21)?;
    drop(clients);
    wait_for_guest_threads(&host, 1)?;
    host.stop()?;
    Ok(())
}

#[test]
pub(crate) fn threads_echo() -> Result<()> {
    echoes(guest_tests::THREADS_ECHO)
}

#[test]
pub(crate) fn threads_echo_v1() -> Result<()> {
    echoes(guest_tests::THREADS_ECHO_V1)
}

#[test]
fn a_connection_beyond_the_last_thread_is_closed() -> Result<()> {
    let mut host = run_on_loopback().args(["--max-threads", "3"]).arg(guest_tests::THREADS_ECHO).start()?;
    let addr = host.listening()?;
    let mut first = Client::connect(addr)?;
    let mut second = Client::connect(addr)?;
    for client in [&mut first, &mut second] {
        client.say("hello")?;
        client.hears("hello")?;
    }
    Client::connect(addr)?.is_gone()?;
    drop(first);
    wait_for_guest_threads(&host, 2)?;
    let mut third = Client::connect(addr)?;
    third.say("hello")?;
    third.hears("hello")?;
    host.stop()?;
    Ok(())
}

fn get(addr: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&addr, WAIT_TIMEOUT)?;
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: it\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.ends_with("\r\n\r\nok"), "answered {answer:?}");
    Ok(())
}

fn replies_to_every_sender(program: &str) -> Result<()> {
    let mut host = run_on_loopback().arg(program).start()?;
    let addr = host.listening()?;
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..8).map(|_| scope.spawn(move || (0..100).try_for_each(|_| get(addr)))).collect();
        clients.into_iter().try_for_each(|client| client.join().unwrap_or_else(|_| Ok(())))
    })?;
    ensure!(guest_threads(&host)? == 9, "{} threads", guest_threads(&host)?);
    host.stop()?;
    Ok(())
}

#[test]
pub(crate) fn threads_pool() -> Result<()> {
    replies_to_every_sender(guest_tests::THREADS_POOL)
}

#[test]
pub(crate) fn threads_pool_v1() -> Result<()> {
    replies_to_every_sender(guest_tests::THREADS_POOL_V1)
}

#[test]
pub(crate) fn threads_local() -> Result<()> {
    run().arg(guest_tests::THREADS_LOCAL).succeed()?;
    Ok(())
}

#[test]
pub(crate) fn threads_no_entry() -> Result<()> {
    run().arg(guest_tests::THREADS_NO_ENTRY).succeed()?;
    Ok(())
}

#[test]
pub(crate) fn threads_life() -> Result<()> {
    for case in ["join", "last", "passing", "contend", "futexes"] {
        run().args([guest_tests::THREADS_LIFE, case]).succeed()?;
    }
    Ok(())
}

/// Threads that compute, sleep, wait at a futex and at the memory do not hold up the
/// end.
#[test]
fn the_return_of_the_start_ends_every_thread() -> Result<()> {
    run().args([guest_tests::THREADS_LIFE, "return"]).succeed()?;
    Ok(())
}

#[test]
fn an_exit_in_any_thread_ends_the_program() -> Result<()> {
    for case in ["exit", "visit"] {
        run().args([guest_tests::THREADS_LIFE, case]).finish()?.expect_code(7)?;
    }
    Ok(())
}

#[test]
fn a_trap_in_any_thread_ends_the_program_and_is_reported() -> Result<()> {
    let ended = run().args([guest_tests::THREADS_LIFE, "trap"]).finish()?.expect_code(134)?;
    ended.expect_stderr("the_function_that_traps")?;
    Ok(())
}

#[test]
fn a_signal_ends_every_thread() -> Result<()> {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let host = run().args([guest_tests::THREADS_LIFE, "hang"]).start()?;
        wait_for_guest_threads(&host, 6)?;
        host.signal(signal)?;
        host.finish()?.expect_code(code)?;
    }
    Ok(())
}

#[test]
fn a_thread_bomb_gets_eagain() -> Result<()> {
    run().args(["--max-threads", "8"]).args([guest_tests::THREADS_LIFE, "bomb"]).succeed()?;
    Ok(())
}

#[test]
fn a_futex_that_is_no_word_of_the_memory_is_an_error() -> Result<()> {
    for case in ["unaligned", "outside"] {
        run().args([guest_tests::THREADS_LIFE, case]).succeed()?;
    }
    Ok(())
}

#[test]
pub(crate) fn threads_close() -> Result<()> {
    for case in ["accept", "receive", "poll", "duplicate", "x"] {
        let mut host = run_on_loopback().args([guest_tests::THREADS_CLOSE, case]).start()?;
        let mut client = Client::connect(host.listening()?)?;
        host.finish()?.expect_code(0)?;
        client.is_gone()?;
    }
    let mut host = run().with_stdin().args([guest_tests::THREADS_CLOSE, "input"]).start()?;
    // Its input is open until it has ended.
    let begun = Instant::now();
    while host.is_running()? {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "it waits for its input");
        std::thread::sleep(Duration::from_millis(5));
    }
    host.finish()?.expect_code(0)?;
    Ok(())
}

#[test]
fn every_descriptor_is_closed_in_a_loop_from_two_threads() -> Result<()> {
    run_on_loopback().args([guest_tests::THREADS_CLOSE, "everything"]).succeed()?;
    Ok(())
}

/// Connections come in bursts, one event of the host's for several of them: each is
/// taken, whichever threads poll and sleep meanwhile.
#[test]
pub(crate) fn threads_accept() -> Result<()> {
    bursts(&[])
}

/// Each of the four threads has one connection at most, so none of them ever finds the limit
/// reached: a thread that only polls takes no permit.
#[test]
fn waiting_threads_do_not_count_as_connections() -> Result<()> {
    bursts(&["--max-connections", "4", "--max-connections-per-listener", "4"])
}

fn bursts(limits: &[&str]) -> Result<()> {
    for profile in ["wasix", "winsock"] {
        let mut host = run_on_loopback()
            .args(["--listen-profile", profile])
            .args(limits)
            .arg(guest_tests::THREADS_ACCEPT)
            .start()?;
        let addr = host.listening()?;
        for burst in 0..300 {
            let clients = (0..1 + burst % 5).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
            for mut client in clients {
                client.hears("!")?;
            }
        }
        host.stop()?;
    }
    Ok(())
}

/// `--no-threads` refuses what needs them, whatever it needs, and nothing else.
#[test]
fn threads_are_refused_on_demand() -> Result<()> {
    let run = || run_on_loopback().arg("--no-threads");
    let folder = tempfile::tempdir()?;
    let atomic = folder.path().join("atomic.wat");
    fs::write(
        &atomic,
        r#"(module (memory (export "memory") 1)
             (func (export "_start") (drop (i32.atomic.load (i32.const 0)))))"#,
    )?;
    let spawns = folder.path().join("spawns.wat");
    fs::write(
        &spawns,
        r#"(module (import "wasi" "thread-spawn" (func (param i32) (result i32)))
             (memory (export "memory") 1) (func (export "_start")))"#,
    )?;
    let names = [atomic, spawns].map(|path| path.display().to_string());
    for module in names.iter().map(String::as_str).chain([
        guest_tests::THREADS_LIFE,
        guest_tests::MEMORY_EXPORTED_SHARED,
        guest_tests::MEMORY_IMPORTED_SHARED,
    ]) {
        run()
            .arg(module)
            .finish()?
            .expect_code(1)?
            .expect_one_line()?
            .expect_stderr("needs threads, which are not allowed here")?;
    }
    run().args([guest_tests::ARGS_ENV_EXIT, "0"]).succeed()?;
    // What is broken is not blamed on threads.
    let broken = folder.path().join("broken.wat");
    fs::write(&broken, "(module (func (result i32)))")?;
    run().arg(&broken).finish()?.expect_code(1)?.expect_stderr("is not a valid module").map(drop)
}
