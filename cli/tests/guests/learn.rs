//! `--learn`: the policy that a run needed, as a file.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{run, wasock};
use anyhow::{Context as _, Result, ensure};
use guest_tests::HttpClient;

/// How long anything may take.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

/// Waits until the file has this.
fn has(path: &Path, expected: &str) -> Result<()> {
    let before = Instant::now();
    loop {
        // It is replaced whole, so it is there at each moment.
        let found = std::fs::read_to_string(path)?;
        if found.contains(expected) {
            return Ok(());
        }
        ensure!(before.elapsed() < WAIT_TIMEOUT, "{found}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_a_run_used_is_a_file_to_run_it_with() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("learned.toml");
    let learn =
        ["--learn", text(&path)?, "--listen", "*:*", "--connect", "*:*", "--accept-from", "127.0.0.0/8"];
    let mut server = run().args(learn).args([guest_tests::HTTP_SERVER, "127.0.0.1:0"]).start()?;
    let addr = server.listening()?;
    HttpClient::connect(addr)?.get("/")?;
    // While it runs, too.
    has(&path, "accept-from = [\"127.0.0.0/8\"]")?;
    server.stop()?;
    let learned = std::fs::read_to_string(&path)?;
    ensure!(learned.contains("\nlisten = [\"127.0.0.1:0\"]\n") && !learned.contains("connect"), "{learned}");
    ensure!(std::fs::read_dir(folder.path())?.count() == 1, "it left something");

    wasock().args(["check", text(&path)?]).succeed()?.expect_stdout("--listen=127.0.0.1:0")?;
    let mut server = run().args(["--config", text(&path)?]).start()?;
    HttpClient::connect(server.listening()?)?.get("/")?;
    server.stop()?.expect_no_stderr("denied").map(drop)
}

/// It grants nothing by itself, and says what was refused with what would allow it.
#[test]
fn what_was_refused_is_a_comment() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("learned.toml");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?.to_string();
    let finished = run()
        .args([
            "--learn",
            text(&path)?,
            "--connect",
            &format!("localhost@127.0.0.1:{}", listener.local_addr()?.port()),
        ])
        .args([guest_tests::EGRESS, "look-up", "other.example", "connect", &to, "connect", "127.0.0.1:1"])
        .succeed()?;
    ensure!(finished.stdout.contains(&format!("connect {to}: done")), "{finished}");
    let learned = std::fs::read_to_string(&path)?;
    ensure!(learned.contains(&format!("connect = [\"localhost@{to}\"]\n")), "{learned}");
    for refused in [
        "# refused: resolve of other.example: no --resolve grant covers it; --resolve other.example would allow it\n",
        "# refused: sock_connect of 127.0.0.1:1: no --connect grant covers it; --connect 127.0.0.1:1 would allow it\n",
    ] {
        ensure!(learned.contains(refused), "{learned}");
    }
    Ok(())
}

#[test]
fn a_file_that_cannot_be_written_is_said_at_the_start() -> Result<()> {
    let finished =
        run().args(["--learn", "/nowhere/learned.toml", guest_tests::ARGS_ENV_EXIT, "0"]).finish()?;
    finished.expect_code(1)?.expect_one_line()?.expect_stderr("(--learn)").map(drop)
}
