//! `wasock ctl`.

use super::{Site, at, wasock};
use anyhow::{Result, ensure};
use std::os::unix::net::UnixListener;

#[test]
fn ctl_says_how_the_service_stands() -> Result<()> {
    let site = Site::start(&["--max-connections", "50"])?;
    site.is_page()?;
    let said = site.ctl(&["status"])?.expect_code(0)?.stdout;
    for text in ["ready, up", "GENERATION", "serving", "LISTENER", "max-connections", &site.addr.to_string()]
    {
        ensure!(said.contains(text), "{text} is not in\n{said}");
    }
    let json: serde_json::Value = serde_json::from_str(&site.ctl(&["status", "--format", "json"])?.stdout)?;
    ensure!(at(&json, "/schema") == 1 && at(&json, "/ready") == true, "{json:#}");
    site.ctl(&["limits"])?.expect_code(0)?.expect_stdout("max-memory")?;
    site.ctl(&["metrics"])?.expect_code(0)?.expect_stdout("wasock_ready 1")?;
    // The address by the variable.
    let addr = format!("unix:{}", site.path().display());
    wasock().args(["ctl", "status"]).env("WASOCK_ADMIN", &addr).succeed()?.expect_stdout("ready, up")?;
    // And by its place.
    let folder = tempfile::tempdir()?;
    let refused = wasock()
        .args(["ctl", "status"])
        .env("WASOCK_ADMIN", "")
        .env("XDG_RUNTIME_DIR", folder.path().to_str().unwrap_or_default());
    let expected = format!("cannot ask the host at unix:{}/wasock.sock", folder.path().display());
    refused.finish()?.expect_code(1)?.expect_stderr(&expected)?.expect_one_line()?;
    site.running.stop().map(drop)
}

#[test]
fn ctl_reload_says_what_has_become_of_it() -> Result<()> {
    let site = Site::start(&[])?;
    site.ctl(&["reload"])?.expect_code(0)?.expect_stdout("generation 2 serves")?;
    std::fs::write(site.module(), "no module")?;
    site.ctl(&["reload"])?.expect_code(1)?.expect_stderr("wasock: refused: ")?;
    site.is_page()?;
    site.ctl(&["drain"])?.expect_code(0)?.expect_stdout("the service drains")?;
    site.running
        .finish()?
        .expect_code(0)?
        .expect_stderr("an operator's order: the connections may end")
        .map(drop)
}

#[test]
fn ctl_prints_nothing_of_a_host_as_it_is() -> Result<()> {
    // Something else that answers there.
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path)?;
    let answers = std::thread::spawn(move || -> Result<()> {
        use std::io::{Read as _, Write as _};
        let (mut client, _) = listener.accept()?;
        let _request = client.read(&mut [0; 1024])?;
        let body = r#"{"outcome":"failed","error":"\u001b[2J\nwasock: fine"}"#;
        write!(client, "HTTP/1.1 409 Conflict\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        Ok(())
    });
    let finished = wasock().args(["ctl", &format!("unix:{}", path.display()), "reload"]).finish()?;
    let finished = finished.expect_code(1)?;
    let is_own = |line: &str| line.starts_with("wasock: refused: ") || line.starts_with("  ");
    ensure!(!finished.stderr.contains('\u{1b}') && finished.stderr.lines().all(is_own), "{finished}");
    ensure!(answers.join().is_ok_and(|it| it.is_ok()), "it was not asked");
    Ok(())
}

/// L5: limits are seen, and change while the service runs.
#[test]
fn limits_change_while_the_service_runs() -> Result<()> {
    let mut site = Site::start(&[])?;
    let mut kept = guest_tests::HttpClient::connect(site.addr)?;
    kept.get("/")?;
    let set = site.ctl(&["limits", "set", "max-connections=1", "max-backlog=7"])?.expect_code(0)?;
    ensure!(set.stdout.contains("1 connections") && set.stdout.contains("7 connections"), "{set}");
    site.running.wait_for_stderr("wasock: max-connections is 1 from now on")?;
    // One more waits, and is served once there is room for it.
    let waits = std::net::TcpStream::connect(site.addr)?;
    let metrics = site.ctl(&["metrics"])?.stdout;
    ensure!(metrics.contains("wasock_limit{limit=\"max-connections\",unit=\"connections\"} 1"), "{metrics}");
    site.ctl(&["limits", "set", "max-connections=none"])?.expect_code(0)?;
    let twice = site.ctl(&["limits", "set", "max-connections=5", "max-connections=6"])?;
    twice.expect_code(2)?.expect_stderr("a limit is named twice")?.expect_one_line()?;
    site.is_page()?;
    for (change, why) in [
        ("max-memory=1", "max-memory can't be changed while the service runs: the memories of an instance"),
        ("max-connections=0", "expected a number from 1 on"),
        ("max-backlog=none", "max-backlog needs a number"),
        ("max-sockets=1", "max-sockets is no limit that can be changed"),
    ] {
        // All or none.
        let refused = site.ctl(&["limits", "set", "max-connections-per-peer=1", change])?;
        refused.expect_code(1)?.expect_stderr(why)?.expect_one_line()?;
    }
    let limits = at(&site.status()?, "/limits");
    let per_peer =
        limits.as_array().into_iter().flatten().find(|it| at(it, "/name") == "max-connections-per-peer");
    ensure!(per_peer.is_some_and(|it| at(it, "/most").is_null()), "{limits}");
    ensure!(site.ask("POST", "/limits", "no JSON")?.status == 400, "no JSON");
    ensure!(site.ask("POST", "/limits", &"x".repeat(5000))?.status == 413, "5000 bytes");
    kept.get("/")?;
    drop((kept, waits));
    site.running.stop().map(drop)
}
