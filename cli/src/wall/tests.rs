//! The wall against code that has left the sandbox: this test binary, started anew, raises the wall for a
//! run and then does by itself what no guest may.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, ensure};

use super::{Plan, enforce, parts};
use crate::args::{Args, Command as Subcommand, RunArgs};

/// Names the folder of the test to the process that has left the sandbox.
const ESCAPED: &str = "WASOCK_TEST_ESCAPED";

fn args(words: &[&str]) -> Result<RunArgs> {
    let words = ["wasock", "run"].iter().chain(words).map(Into::into);
    match Args::read(words)?.command {
        Subcommand::Run(run) => Ok(*run),
        other => anyhow::bail!("{other:?}"),
    }
}

#[test]
fn code_that_has_escaped_finds_the_wall() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    for name in ["granted", "read-only", "outside"] {
        fs::create_dir(at(name))?;
        fs::write(at(name).join("file"), "text")?;
    }
    fs::create_dir_all(at("site/release-1"))?;
    fs::write(at("site/release-1/server.wasm"), "module")?;
    std::os::unix::fs::symlink("release-1", at("site/current"))?;
    let (granted, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    fs::write(at("ports"), format!("{} {}", granted.local_addr()?, other.local_addr()?))?;
    let escaped = Command::new(std::env::current_exe()?)
        .args(["--exact", "wall::tests::escaped", "--nocapture", "--include-ignored"])
        .env(ESCAPED, folder.path())
        .output()?;
    ensure!(
        escaped.status.success(),
        "{}{}",
        String::from_utf8_lossy(&escaped.stdout),
        String::from_utf8_lossy(&escaped.stderr)
    );
    ensure!(!String::from_utf8_lossy(&escaped.stdout).contains("0 passed"), "it did not run");
    ensure!(other.set_nonblocking(true).is_ok() && other.accept().is_err(), "it came through");
    Ok(())
}

/// Is refused.
fn refused<T>(what: &str, done: io::Result<T>) -> Result<()> {
    let error = done.err().with_context(|| format!("{what}: the wall does not hold"))?;
    ensure!(error.kind() == ErrorKind::PermissionDenied, "{what}: {error}");
    Ok(())
}

#[test]
#[ignore = "a part of another test, which starts it"]
fn escaped() -> Result<()> {
    let Some(folder) = std::env::var_os(ESCAPED).map(PathBuf::from) else { return Ok(()) };
    let ports = fs::read_to_string(folder.join("ports"))?;
    let (granted, other) = ports.split_once(' ').context("two addresses")?;
    let (granted, other): (SocketAddr, SocketAddr) = (granted.parse()?, other.parse()?);
    let directory = |flag: &str, name: &str| format!("{flag}={}", folder.join(name).display());
    let module = folder.join("site/current/server.wasm");
    let args = args(&[
        &directory("--dir", "granted"),
        &directory("--dir-ro", "read-only"),
        &format!("--connect={granted}"),
        "--listen=127.0.0.1:0",
        "--no-cache",
        "--reload-signal=HUP",
        module.to_str().context("a path that is no text")?,
    ])?;
    let parent = std::os::unix::process::parent_id();
    let plan = Plan::of(&args);
    let status = enforce(&plan)?;
    // A kernel without Landlock has nothing to hold it by.
    let Some(parts) = parts(&plan, &status) else { return Ok(()) };
    let (on_thread, at) = (folder.clone(), granted);
    // A thread that it starts is inside too.
    thread::spawn(move || tries(&on_thread, parent, at, other, &parts))
        .join()
        .map_err(|_| anyhow::anyhow!("a panic"))?
}

fn tries(folder: &Path, parent: u32, granted: SocketAddr, other: SocketAddr, parts: &str) -> Result<()> {
    let at = |name: &str| folder.join(name);
    // What was granted goes on.
    ensure!(fs::read_to_string(at("granted/file"))? == "text", "another text");
    fs::write(at("granted/new"), "x")?;
    fs::rename(at("granted/new"), at("granted/newer"))?;
    fs::remove_file(at("granted/newer"))?;
    ensure!(fs::read_to_string(at("read-only/file"))? == "text", "another text");
    TcpListener::bind("127.0.0.1:0")?;
    // A new release takes the place of the old one.
    ensure!(fs::read(at("site/current/server.wasm"))? == b"module", "another module");
    // Nothing else does.
    refused("reading outside", fs::read(at("outside/file")))?;
    refused("reading a secret", fs::read("/etc/passwd"))?;
    refused("listing outside", fs::read_dir("/"))?;
    refused("writing outside", fs::write(at("outside/file"), "x"))?;
    refused("making a file outside", fs::write(at("outside/new"), "x"))?;
    refused("removing outside", fs::remove_file(at("outside/file")))?;
    refused("writing where reading is granted", fs::write(at("read-only/file"), "x"))?;
    refused("moving out", fs::rename(at("granted/file"), at("outside/moved")))?;
    refused("executing", Command::new("/bin/true").status())?;
    if parts.contains("TCP") {
        drop(TcpStream::connect(granted)?);
        refused("connecting elsewhere", TcpStream::connect(other))?;
        refused("binding elsewhere", TcpListener::bind((other.ip(), 1)))?;
        let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        refused("binding a port that was not granted", TcpListener::bind(free))?;
    }
    if parts.contains("signals") {
        let parent = rustix::process::Pid::from_raw(i32::try_from(parent)?).context("no parent")?;
        let done = rustix::process::kill_process(parent, rustix::process::Signal::CONT);
        refused("a signal to another process", done.map_err(io::Error::from))?;
    }
    Ok(())
}

#[test]
fn a_plan_has_what_a_run_needs_and_no_more() -> Result<()> {
    let few = Plan::of(&args(&[
        "--listen=:8080",
        "-p=80:81",
        "-p=53:54/udp",
        "--connect=10.0.0.1:443",
        "--no-cache",
        "m.wasm",
    ])?);
    assert_eq!(
        few.to_string(),
        "landlock, where the kernel has it: files; TCP bind to 80, 8080; TCP connect to 443"
    );
    let has = |plan: &Plan, path: &str| plan.paths.iter().any(|(has, _)| has == Path::new(path));
    assert!(has(&few, "m.wasm") && !has(&few, "/etc") && !has(&few, "."));
    let names = Plan::of(&args(&[
        "--connect=a.example:443",
        "--listen=*:*",
        "--no-cache",
        "--reload-signal=HUP",
        "m.wasm",
    ])?);
    assert_eq!(
        names.to_string(),
        "landlock, where the kernel has it: files; TCP bind to any port; TCP connect to 53, 443"
    );
    assert!(has(&names, "/etc") && has(&names, ".") && !has(&names, "m.wasm"));
    Ok(())
}

#[test]
fn a_plan_lacks_what_it_was_not_made_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = format!("--dir={}", folder.path().display());
    let read_only = format!("--dir-ro={}", folder.path().display());
    let own = Plan::of(&args(&["--listen=:8080", &dir, "--no-cache", "m.wasm"])?);
    let lacks = |words: &[&str]| Ok::<_, anyhow::Error>(own.lacks(&Plan::of(&args(words)?)));
    assert_eq!(lacks(&["--listen=:8080", &read_only, "--no-cache", "m.wasm"])?, None);
    assert_eq!(lacks(&["--listen=:8081", "--no-cache", "m.wasm"])?, Some("port 8081".to_owned()));
    assert_eq!(lacks(&["--connect=*:*", "--no-cache", "m.wasm"])?, Some("any port".to_owned()));
    assert_eq!(lacks(&["--dir=/usr", "--no-cache", "m.wasm"])?, Some("/usr".to_owned()));
    Ok(())
}
