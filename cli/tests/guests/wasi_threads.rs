//! wasi-threads beside preview 1: what clang and Rust make for `wasm32-wasip1-threads`. The sockets are handed over.

use super::run;
use super::threads::wait_for_guest_threads;
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Client, Finished, Running};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// A program that imports its memory, in each of the forms that linkers make of that: imported; exported again besides
/// (`--import-memory --export-memory`, which is what Rust's target asks for); and its own, exported, as
/// without the one of these flags.
pub(super) fn forms(program: &str, folder: &Path) -> Result<[String; 3]> {
    let imported = fs::read_to_string(program)?;
    let end = imported.trim_end().strip_suffix(')').context("the end of the module")?;
    let exported = folder.join("exported.wat");
    fs::write(&exported, format!("{end}\n(export \"memory\" (memory 0)))"))?;
    let import = "(import \"env\" \"memory\" (memory 8 64 shared))";
    let without = end.replace(import, "");
    ensure!(without != end, "no import of the memory");
    let own = folder.join("own.wat");
    fs::write(&own, format!("{without}\n(memory (export \"memory\") 8 64 shared))"))?;
    Ok([program.to_owned(), exported.display().to_string(), own.display().to_string()])
}

fn serve(program: &str, flags: &[&str]) -> Result<(Running, SocketAddr)> {
    let host = run().args(["--preopen-listen", "127.0.0.1:0"]).args(flags).arg(program);
    let mut host = host.start()?;
    let addr = host.listening()?;
    Ok((host, addr))
}

/// Runs `client` at a server with other clients, in each form.
fn in_each_form(client: impl Fn(Running, SocketAddr) -> Result<()>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    for program in forms(guest_tests::WASI_THREADS_SERVER, folder.path())? {
        let (host, addr) = serve(&program, &[])?;
        client(host, addr).context(program)?;
    }
    Ok(())
}

/// A client in a thread that waits, while another one sends `letter`.
fn ends_by(host: Running, addr: SocketAddr, letter: &str) -> Result<Finished> {
    let mut others = (0..4).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
    for other in &mut others {
        other.say("hello")?;
        other.hears("hello")?;
    }
    let mut client = Client::connect(addr)?;
    client.say(letter)?;
    let finished = host.finish()?;
    for other in &mut others {
        other.is_gone()?;
    }
    Ok(finished)
}

#[test]
pub(crate) fn wasi_threads_server() -> Result<()> {
    in_each_form(|host, addr| {
        let mut clients = (0..20).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
        for (number, client) in clients.iter_mut().enumerate() {
            client.say(&format!("of {number}\n"))?;
        }
        for (number, client) in clients.iter_mut().enumerate().rev() {
            client.hears(&format!("of {number}\n"))?;
        }
        wait_for_guest_threads(&host, 21)?;
        drop(clients);
        wait_for_guest_threads(&host, 1)?;
        host.stop().map(drop)
    })
}

#[test]
fn an_exit_in_a_thread_is_the_programs() -> Result<()> {
    in_each_form(|host, addr| ends_by(host, addr, "e")?.expect_code(42).map(drop))
}

#[test]
fn a_trap_in_a_thread_ends_the_program_with_its_backtrace() -> Result<()> {
    in_each_form(|host, addr| {
        let finished = ends_by(host, addr, "t")?.expect_code(134)?;
        finished.expect_stderr("wasm `unreachable` instruction executed").map(drop)
    })
}

/// "If the main thread returns from its entry point, the process is terminated."
#[test]
fn the_return_of_the_first_thread_ends_the_others() -> Result<()> {
    in_each_form(|host, addr| {
        let mut client = Client::connect(addr)?;
        client.say("r")?;
        client.hears("r")?;
        // It is asked after the next connection, unless it was slow to ask after this one.
        let other = Client::connect(addr);
        host.finish()?.expect_code(0)?;
        client.is_gone()?;
        other.map_or(Ok(()), |mut other| other.is_gone())
    })
}

/// A thread that does not start is a negative error number: `EAGAIN` is 6.
#[test]
fn a_thread_beyond_the_limit_is_a_negative_number() -> Result<()> {
    let (host, addr) = serve(guest_tests::WASI_THREADS_SERVER, &["--max-threads", "3"])?;
    let mut served = [Client::connect(addr)?, Client::connect(addr)?];
    for client in &mut served {
        client.say("hello")?;
        client.hears("hello")?;
    }
    let mut beyond = Client::connect(addr)?;
    beyond.hears("g")?;
    beyond.hears_the_end()?;
    drop(served);
    wait_for_guest_threads(&host, 1)?;
    let mut again = Client::connect(addr)?;
    again.say("hello")?;
    again.hears("hello")?;
    host.stop().map(drop)
}
