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
    site.running.finish()?.expect_code(0).map(drop)
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
    let finished = finished.expect_code(1)?.expect_one_line()?;
    ensure!(!finished.stderr.contains('\u{1b}'), "{finished}");
    ensure!(answers.join().is_ok_and(|it| it.is_ok()), "it was not asked");
    Ok(())
}
