//! Families of processes: what counts for all of them together, what they share, what is left of them.

mod children;
mod hostile;
mod service;

pub(crate) use children::program_starter;
pub(crate) use hostile::{hostile_forks, hostile_threads};
pub(crate) use service::family_service;

use super::{asyncify::rewritten, run, run_on_loopback};
use anyhow::{Result, ensure};
use guest_tests::{Finished, Held, Running, Wasock, asyncified};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long many processes may take on a machine with other work.
const WAIT_TIMEOUT: Duration = Duration::from_secs(180);

/// The folder of a guest, which is its root, and that of its programs, which is its `/bin`.
pub(crate) struct Folders {
    files: tempfile::TempDir,
    programs: tempfile::TempDir,
}

impl Folders {
    fn new() -> Result<Self> {
        let folders = Self { files: tempfile::tempdir()?, programs: tempfile::tempdir()? };
        fs::create_dir(folders.files.path().join("below"))?;
        fs::write(folders.files.path().join("secret"), b"(module)")?;
        let programs = folders.programs.path();
        fs::copy(guest_tests::FAMILY_LIMITS, programs.join("family_limits"))?;
        fs::copy(guest_tests::PROCESSES, programs.join("processes"))?;
        fs::copy(guest_tests::WAMR_THREADS, programs.join("foreign"))?;
        fs::create_dir(programs.join("below"))?;
        fs::write(programs.join("broken"), b"\0asm\x01\0\0\0broken")?;
        fs::write(programs.join("library"), b"(module)")?;
        fs::write(programs.join("plain"), b"echo hello\n")?;
        Ok(folders)
    }

    /// `host` with both.
    fn granted(&self, host: Wasock) -> Wasock {
        let as_path = |path: &Path, name: &str| format!("{}::{name}", path.display());
        host.args(["--dir", &as_path(self.files.path(), "/")])
            .args(["--exec", &as_path(self.programs.path(), "/bin")])
    }

    fn limits(&self, host: Wasock, case: &[&str]) -> Wasock {
        self.granted(host).arg(guest_tests::FAMILY_LIMITS).args(case)
    }
}

#[test]
pub(crate) fn family_limits() -> Result<()> {
    let folders = Folders::new()?;
    let host = folders.limits(run().args(["--max-fds", "20"]), &["descriptors", "20"]);
    host.succeed()?
        .expect_stdout("holds\n")?
        .expect_stderr("the guest was denied a descriptor: it has as many as --max-fds 20 allows")
        .map(drop)
}

#[test]
fn a_connection_takes_a_descriptor_of_all_processes() -> Result<()> {
    let folders = Folders::new()?;
    let host = folders.limits(run_on_loopback().args(["--max-fds", "24"]), &["accepts"]);
    host.succeed()?.expect_stdout("holds\n").map(drop)
}

#[test]
fn a_limit_to_processes_is_told() -> Result<()> {
    let folders = Folders::new()?;
    let host = folders.limits(run().args(["--trace", "--max-processes", "7"]), &["until_refused"]);
    host.succeed()?
        .expect_stdout("6 children, then EAGAIN (6)\nholds\n")?
        .expect_stderr("= EAGAIN max-processes=7")?
        .expect_stderr("the guest was denied a process: it has as many as --max-processes 7 allows")
        .map(drop)
}

#[test]
fn what_the_host_holds_for_children_is_limited() -> Result<()> {
    let folders = Folders::new()?;
    let limits = ["--max-host-memory", "2M", "--max-processes", "1000"];
    let host = folders.limits(run().args(limits), &["until_refused"]);
    host.succeed()?.expect_stdout("children, then ENOMEM (48)\nholds\n").map(drop)
}

/// Waits until the guest has said `text`, which may take long.
fn wait_for(host: &mut Running, text: &str) -> Result<()> {
    let begun = Instant::now();
    while !host.stdout().contains(text) {
        let is_alive = host.is_running()? && begun.elapsed() < WAIT_TIMEOUT;
        ensure!(is_alive, "no {text:?}: {} {}", host.stdout(), host.stderr());
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// What the host holds when nothing goes on in it.
fn at_rest(host: &Running) -> Result<Held> {
    let rest = Held::by(host)?.at_rest();
    Held::of_threads(rest.threads).is_held_again(host)?;
    Ok(Held { threads: rest.threads, ..Held::by(host)? })
}

/// Between `begins` and `ends` the guest does something that leaves nothing behind.
pub(crate) fn leaves_nothing(host: Wasock) -> Result<()> {
    let mut host = host.start()?;
    wait_for(&mut host, "begins")?;
    // The first time has made what is kept.
    let before = Held::by(&host)?.at_rest();
    host.write_stdin(b"\n")?;
    wait_for(&mut host, "ends")?;
    before.is_held_again(&host)?;
    host.write_stdin(b"\n")?;
    host.finish()?.expect_code(0)?.expect_no_stderr("panicked").map(drop)
}

#[test]
fn mistakes_leave_nothing_behind() -> Result<()> {
    let folders = Folders::new()?;
    leaves_nothing(folders.limits(run().with_stdin(), &["mistakes", "30"]))
}

/// Of a child that would have more descriptors than there may be nothing is left, whatever was done for it before.
#[test]
fn children_that_are_refused_descriptors_leave_nothing_behind() -> Result<()> {
    let folders = Folders::new()?;
    leaves_nothing(folders.limits(run().with_stdin().args(["--max-fds", "20"]), &["full", "100"]))
}

/// Each process starts three, and these do: 364 in all, 40 at once.
#[test]
fn a_bomb_of_programs_ends_and_leaves_nothing_behind() -> Result<()> {
    let folders = Folders::new()?;
    leaves_nothing(folders.limits(run().with_stdin().args(["--max-processes", "40"]), &["bomb", "5"]))
}

#[test]
fn a_thousand_children_at_once_leave_nothing_behind() -> Result<()> {
    let folders = Folders::new()?;
    let limits = ["--max-processes", "2000"];
    let mut host = folders.limits(run().with_stdin().args(limits), &["at_once", "1000"]).start()?;
    let mut first = None;
    for round in 0..2 {
        wait_for(&mut host, &format!("all of {round}"))?;
        let all = Held::by(&host)?;
        ensure!(all.threads >= 1000, "{all:?}");
        host.write_stdin(b"\n")?;
        wait_for(&mut host, &format!("none of {round}"))?;
        match first {
            None => first = Some(at_rest(&host)?),
            Some(first) => Held::is_held_again(first, &host)?,
        }
        host.write_stdin(b"\n")?;
    }
    host.finish()?.expect_code(0)?.expect_no_stderr("panicked").map(drop)
}

/// A host with so little: whatever it lacks, and whenever, is an error number for the guest.
fn until_refused(limit: impl Fn(Wasock) -> Wasock) -> Result<Finished> {
    let folders = Folders::new()?;
    let limits = ["--max-processes", "3000", "--max-host-memory", "4G", "--no-cache"];
    let finished = limit(folders.limits(run().args(limits), &["until_refused"])).finish()?;
    finished.expect_code(0)?.expect_stdout("holds\n")?.expect_no_stderr("panicked")
}

#[test]
fn a_host_without_addresses_refuses_children() -> Result<()> {
    for mebibytes in [12_000, 30_000] {
        let finished = until_refused(|host| host.after_shell(&format!("ulimit -v {}", mebibytes * 1024)))?;
        let is_told = ["ENOMEM", "EAGAIN"].iter().any(|errno| finished.stdout.contains(errno));
        ensure!(is_told, "{finished}");
    }
    Ok(())
}

#[test]
fn a_host_without_threads_refuses_children() -> Result<()> {
    if !Wasock::can_limit_threads() {
        return Ok(());
    }
    let folders = Folders::new()?;
    for path in [folders.files.path(), folders.programs.path()] {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    let limits = ["--max-processes", "3000", "--max-host-memory", "4G", "--no-cache"];
    let host = folders.limits(run().args(limits), &["until_refused"]).limit_threads(29_999, 60);
    let finished = host.finish()?;
    // Another user may not be able to read what is being tested.
    if finished.stderr.contains("ermission denied") {
        eprintln!("passed over: the user without rights can't read the guest");
        return Ok(());
    }
    finished.expect_code(0)?.expect_stdout("then EAGAIN (6)\nholds\n")?.expect_no_stderr("panicked").map(drop)
}

#[test]
pub(crate) fn shared_files() -> Result<()> {
    let Some(program) = rewritten(asyncified::SHARED_FILES)? else { return Ok(()) };
    let folders = Folders::new()?;
    folders.granted(run_on_loopback()).arg(program).succeed()?.expect_stdout("holds\n").map(drop)
}
