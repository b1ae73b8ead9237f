//! Many containers at once, and one that ends over and over.

use anyhow::{Result, ensure};
use guest_tests::HttpClient;

use crate::host::Host;
use crate::programs;

/// Each is a process of its own, in the host's network.
#[test]
fn fifty_containers_serve_side_by_side() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::http_server()?)?;
    let mut all = Vec::new();
    for _ in 0..50 {
        let run = host.run(&image).flags(&["--net-host"]).args(&["127.0.0.1:0"]);
        let id = run.id();
        let mut running = run.start()?;
        let addr = running.listening()?;
        all.push((id, running, addr));
    }
    for _ in 0..3 {
        for (_, _, addr) in &all {
            ensure!(HttpClient::connect(*addr)?.get("/")?.status == 200);
        }
    }
    for (id, ..) in &all {
        host.asked(&["task", "kill", "--signal", "SIGTERM", id])?;
    }
    for (_, running, _) in all {
        running.finish()?.expect_code(0)?;
    }
    host.wait_until_nothing_is_left()
}

#[test]
fn a_crash_loop_leaves_nothing_behind() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    let image = host.import(&programs::of_text(programs::TRAP)?)?;
    for _ in 0..20 {
        host.run(&image).finish()?.expect_code(134)?;
    }
    host.wait_until_nothing_is_left()
}
