//! A service whose guest is a family: readiness, reloads and drains are about all of its processes.

use super::{WAIT_TIMEOUT, at_rest};
use crate::asyncify::rewritten;
use crate::run_on_loopback;
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Client, Held, Running, asyncified};
use rustix::process::Signal;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

/// A server of this shape with these flags, if there is one.
fn serve(shape: &str, flags: &[&str]) -> Result<Option<(Running, SocketAddr)>> {
    let Some(program) = rewritten(asyncified::FAMILY_SERVICE)? else { return Ok(None) };
    let host = run_on_loopback().args(flags).args([program, shape, "127.0.0.1:0"]);
    let mut running = host.start()?;
    let addr = running.listening()?;
    Ok(Some((running, addr)))
}

fn repeats(client: &mut Client, said: &str) -> Result<()> {
    client.say(said)?;
    client.hears(said)
}

fn is_served(addr: SocketAddr) -> Result<()> {
    let mut client = Client::connect(addr)?;
    repeats(&mut client, "hello")?;
    client.finish()?;
    client.hears_the_end()
}

#[test]
pub(crate) fn family_service() -> Result<()> {
    for shape in ["prefork", "child"] {
        let Some((running, addr)) = serve(shape, &[])? else { return Ok(()) };
        for _ in 0..5 {
            is_served(addr)?;
        }
        running.stop()?;
    }
    Ok(())
}

/// What the admin socket answers to `GET /readyz`.
fn readiness(at: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    answer.split(' ').nth(1).map(str::to_owned).context("no status")
}

/// The listener of a child is the instance's, with its first process and after it.
#[test]
fn a_service_is_ready_when_a_process_listens() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let token = folder.path().join("token").display().to_string();
    let flags = ["--orphans", "keep", "--admin", "127.0.0.1:0", "--admin-token-file", &token];
    for shape in ["child", "orphan"] {
        let Some((mut running, addr)) = serve(shape, &flags)? else { return Ok(()) };
        let line = running.wait_for_stderr("wasock: admin at ")?;
        let at =
            line.split("admin at ").nth(1).and_then(|rest| rest.split(',').next()).context("no address")?;
        let at = at.trim().parse()?;
        let begun = Instant::now();
        while readiness(at)? != "200" {
            ensure!(begun.elapsed() < WAIT_TIMEOUT, "{shape}: not ready");
            thread::sleep(Duration::from_millis(10));
        }
        is_served(addr)?;
        running.stop()?;
    }
    Ok(())
}

/// A new family takes the place of the old one, which goes on with its connection and then ends as a whole.
#[test]
fn a_family_is_reloaded_as_one() -> Result<()> {
    let flags = ["--orphans", "keep", "--reload-signal", "USR2", "--drain-timeout", "60s"];
    for shape in ["prefork", "child", "orphan"] {
        let Some((mut running, addr)) = serve(shape, &flags)? else { return Ok(()) };
        is_served(addr)?;
        let before = running.threads()?;
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| -> Result<()> {
            let load = scope.spawn(|| -> Result<()> {
                while !is_over.load(SeqCst) {
                    is_served(addr)?;
                }
                Ok(())
            });
            let reloads = || -> Result<()> {
                for generation in 2..=4 {
                    let mut kept = Client::connect(addr)?;
                    repeats(&mut kept, "before")?;
                    running.signal(Signal::USR2)?;
                    running.wait_for_stderr(&format!("generation {generation} serves"))?;
                    repeats(&mut kept, "after")?;
                    kept.finish()?;
                    kept.hears_the_end()?;
                }
                Ok(())
            };
            let reloaded = { reloads }();
            is_over.store(true, SeqCst);
            load.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            reloaded
        })
        .with_context(|| shape.to_owned())?;
        // One family is left.
        Held::of_threads(before + 2).is_held_again(&running)?;
        is_served(addr)?;
        // The drain.
        let mut kept = Client::connect(addr)?;
        repeats(&mut kept, "before")?;
        running.signal(Signal::TERM)?;
        let begun = Instant::now();
        while TcpStream::connect(addr).is_ok() {
            ensure!(begun.elapsed() < WAIT_TIMEOUT, "{shape}: it listens still");
        }
        repeats(&mut kept, "after")?;
        kept.finish()?;
        kept.hears_the_end()?;
        running.finish()?.expect_code(0)?.expect_no_stderr("panicked")?;
    }
    Ok(())
}

/// Nothing is left of a family that another one has replaced.
#[test]
fn two_hundred_reloads_of_a_family_leave_nothing_behind() -> Result<()> {
    let Some((mut running, addr)) = serve("prefork", &["--reload-signal", "USR2"])? else { return Ok(()) };
    let mut before = None;
    for generation in 2..=201 {
        running.signal(Signal::USR2)?;
        running.wait_for_stderr(&format!("generation {generation} serves"))?;
        is_served(addr)?;
        if generation == 10 {
            before = Some(at_rest(&running)?);
        }
    }
    before.context("no tenth generation")?.is_held_again(&running)?;
    is_served(addr)?;
    running.stop().map(drop)
}
