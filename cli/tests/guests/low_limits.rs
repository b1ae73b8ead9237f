//! A host at its limits: descriptors and threads.
//!
//! Whatever is lacking, and whenever, there are these ends and no others: the right result;
//! an error number for the guest, `EAGAIN` or `ENFILE`; one line and code 1.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Result, ensure};
use guest_tests::{Finished, HTTP_SERVER, Wasock};
use tempfile::TempDir;

/// As preview 1 numbers them.
const EAGAIN: i32 = 6;
const EMFILE: i32 = 33;
const ENFILE: i32 = 41;

/// The exit code of a panic in the host.
const PANIC: i32 = 101;

/// A guest, and how it ends on a host that lacks nothing.
struct Case {
    module: &'static str,
    flags: &'static [&'static str],
    right: &'static [i32],
}

const LOOK_UP: Case =
    Case { module: guest_tests::ERRNO_OF_LOOK_UP, flags: &["--resolve", "localhost"], right: &[0] };
const ALARM: Case = Case { module: guest_tests::ERRNO_OF_ALARM, flags: &[], right: &[0] };
const THREADS: Case = Case {
    module: guest_tests::THREADS_UNTIL_NONE_STARTS,
    flags: &["--resolve", "localhost", "--max-threads", "64"],
    right: &[0],
};
const FILES: Case =
    Case { module: guest_tests::ERRNO_OF_TOO_MANY_FILES, flags: &["--max-fds", "8"], right: &[EMFILE] };
const EPOLLS: Case =
    Case { module: guest_tests::ERRNO_OF_TOO_MANY_EPOLLS, flags: &["--max-fds", "8"], right: &[EMFILE] };
const STDIN: Case = Case { module: guest_tests::ERRNO_OF_STDIN, flags: &[], right: &[0] };
const STDOUT: Case = Case { module: guest_tests::STDOUT_LINE, flags: &[], right: &[0] };
const CASES: [Case; 7] = [LOOK_UP, ALARM, THREADS, FILES, EPOLLS, STDIN, STDOUT];

/// The command and a guest, where every user can read them.
struct Place {
    folder: TempDir,
    wasock: String,
}

impl Place {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let wasock = folder.path().join("wasock");
        // Copied by a process of its own: one that another test starts meanwhile would have
        // a copy open that is still written, and the next one fails with "text file busy".
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_wasock")).arg(&wasock).status()?;
        ensure!(copied.success(), "cannot copy the command");
        fs::set_permissions(&wasock, fs::Permissions::from_mode(0o755))?;
        Ok(Self { wasock: wasock.to_string_lossy().into_owned(), folder })
    }

    fn run(&self, case: &Case) -> Result<Wasock> {
        let module = self.folder.path().join("module");
        fs::copy(case.module, &module)?;
        fs::set_permissions(&module, fs::Permissions::from_mode(0o644))?;
        let run = Wasock::run(&self.wasock).env("HOME", "/nonexistent");
        Ok(run.args(["--dir-ro", &self.files()?]).args(case.flags).arg(module))
    }

    fn files(&self) -> Result<String> {
        let files = self.folder.path().join("files");
        fs::create_dir_all(&files)?;
        fs::write(files.join("f"), "a file")?;
        Ok(format!("{}::/files", files.display()))
    }
}

/// A user without a process, most likely: another one each time, and one that
/// containers of users have too.
fn nobody() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    20_000 + std::process::id() % 200 * 200 + NEXT.fetch_add(1, Relaxed) % 200
}

/// Insists that some number of threads is enough for the start, and not for what the guest
/// asks for. How many the start takes depends on the machine.
fn lacks_a_thread(case: &Case) -> Result<()> {
    if !Wasock::can_limit_threads() {
        return Ok(());
    }
    let place = Place::new()?;
    place.run(case)?.finish()?.expect_code(0)?;
    let mut codes = Vec::new();
    for count in 2..=6 {
        codes.push(place.run(case)?.limit_threads(nobody(), count).finish()?.code);
    }
    ensure!(codes.contains(&Some(EAGAIN)), "ended with {codes:?}");
    Ok(())
}

/// Insists on one of the ends that a host may come to at its limits.
fn ends_well(case: &Case, finished: &Finished) -> Result<()> {
    ensure!(!finished.stderr.contains("panicked"), "a panic\n{finished}");
    let is_right = |code: i32| case.right.contains(&code) || [EAGAIN, ENFILE].contains(&code);
    match finished.code {
        // The system's own loader had no descriptor for a library.
        Some(127) if finished.stderr.contains("shared libraries") => Ok(()),
        Some(1) => {
            let lines: Vec<&str> = finished.stderr.lines().collect();
            ensure!(lines.len() == 1 && finished.stderr.starts_with("wasock: "), "not one line\n{finished}");
            Ok(())
        }
        Some(code) if is_right(code) => Ok(()),
        _ => anyhow::bail!("another end\n{finished}"),
    }
}

#[test]
fn a_guest_ends_well_with_any_number_of_descriptors() -> Result<()> {
    let place = Place::new()?;
    for case in CASES {
        for count in 3..=40 {
            ends_well(&case, &place.run(&case)?.limit_descriptors(count).finish()?)?;
        }
        let finished = place.run(&case)?.limit_descriptors(256).finish()?;
        ensure!(finished.code.is_some_and(|code| case.right.contains(&code)), "enough\n{finished}");
    }
    Ok(())
}

#[test]
fn a_guest_ends_well_with_any_number_of_threads() -> Result<()> {
    if !Wasock::can_limit_threads() {
        return Ok(());
    }
    let place = Place::new()?;
    for case in CASES {
        for count in [1, 2, 3, 4, 5, 6, 7, 8, 12, 30] {
            ends_well(&case, &place.run(&case)?.limit_threads(nobody(), count).finish()?)?;
        }
        let finished = place.run(&case)?.limit_threads(nobody(), 200).finish()?;
        ensure!(finished.code.is_some_and(|code| case.right.contains(&code)), "enough\n{finished}");
    }
    Ok(())
}

#[test]
fn a_start_without_descriptors_is_one_line_that_names_the_cure() -> Result<()> {
    let finished = Place::new()?.run(&STDOUT)?.limit_descriptors(6).finish()?;
    finished.expect_code(1)?.expect_one_line()?.expect_stderr("ulimit -n").map(drop)
}

#[test]
fn a_start_without_threads_is_one_line_that_names_the_cure() -> Result<()> {
    if !Wasock::can_limit_threads() {
        return Ok(());
    }
    let finished = Place::new()?.run(&STDOUT)?.limit_threads(nobody(), 1).finish()?;
    finished.expect_code(1)?.expect_one_line()?.expect_stderr("ulimit -u").map(drop)
}

/// A guest with threads needs two threads of the host's at its start.
#[test]
fn a_first_thread_that_cannot_start_is_one_line_that_names_the_cure() -> Result<()> {
    if !Wasock::can_limit_threads() {
        return Ok(());
    }
    let place = Place::new()?;
    let mut lines = Vec::new();
    for count in 2..=6 {
        let finished = place.run(&THREADS)?.limit_threads(nobody(), count).finish()?;
        ends_well(&THREADS, &finished)?;
        lines.push(finished.stderr);
    }
    let is_told =
        |line: &String| line.contains("the guest's threads") || line.contains("the guest's first thread");
    let told: Vec<_> = lines.iter().filter(|line| is_told(line) && line.contains("ulimit -u")).collect();
    ensure!(!told.is_empty(), "told {lines:?}");
    Ok(())
}

/// The guest has all of the host's threads, and asks for one more in the host.
#[test]
pub(crate) fn threads_until_none_starts() -> Result<()> {
    if !Wasock::can_limit_threads() {
        return Ok(());
    }
    let case = Case { flags: &["--resolve", "localhost"], ..THREADS };
    let finished = Place::new()?.run(&case)?.limit_threads(nobody(), 30).finish()?;
    finished.expect_code(EAGAIN)?.expect_no_stderr("panicked").map(drop)
}

/// A full table of the host's is no full table of the guest's.
#[test]
pub(crate) fn errno_of_too_many_files() -> Result<()> {
    let (place, case) = (Place::new()?, Case { flags: &[], ..FILES });
    place.run(&case)?.limit_descriptors(64).finish()?.expect_code(ENFILE)?;
    place.run(&FILES)?.limit_descriptors(64).finish()?.expect_code(EMFILE).map(drop)
}

/// The socket is what fails: an epoll does without a descriptor of the host's.
#[test]
pub(crate) fn errno_of_too_many_epolls() -> Result<()> {
    let (place, case) = (Place::new()?, Case { flags: &[], ..EPOLLS });
    place.run(&case)?.limit_descriptors(64).finish()?.expect_code(ENFILE)?;
    place.run(&EPOLLS)?.limit_descriptors(64).finish()?.expect_code(EMFILE).map(drop)
}

/// The look-up that has no thread.
#[test]
pub(crate) fn errno_of_look_up() -> Result<()> {
    lacks_a_thread(&LOOK_UP)
}

/// The alarm whose clock has no thread.
#[test]
pub(crate) fn errno_of_alarm() -> Result<()> {
    lacks_a_thread(&ALARM)
}

/// The read whose thread can't start.
#[test]
pub(crate) fn errno_of_stdin() -> Result<()> {
    lacks_a_thread(&STDIN)
}

/// What the guest prints needs no thread.
#[test]
pub(crate) fn stdout_line() -> Result<()> {
    if !Wasock::can_limit_threads() {
        return Ok(());
    }
    let place = Place::new()?;
    let mut has_started = false;
    // As many as the start takes where what compiles has threads too.
    for count in 2..=6 {
        let finished = place.run(&STDOUT)?.limit_threads(nobody(), count).finish()?;
        has_started |= finished.code == Some(0);
        ensure!(finished.code != Some(EAGAIN), "a thread was needed\n{finished}");
    }
    ensure!(has_started, "none has started");
    Ok(())
}

/// Streams that were closed are at their end, and take everything.
#[test]
fn closed_standard_streams_do_no_harm() -> Result<()> {
    let place = Place::new()?;
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let closing = format!("exec {closed}");
        for case in [STDIN, STDOUT] {
            place.run(&case)?.after_shell(&closing).finish()?.expect_code(0)?;
        }
    }
    Ok(())
}

/// Serves, or reports why not, and ends on request.
fn serves_or_ends_well(server: Wasock) -> Result<()> {
    let mut server = server.start()?;
    if let Ok(address) = server.listening()
        && let Ok(mut client) = TcpStream::connect(address)
    {
        client.set_read_timeout(Some(Duration::from_millis(200)))?;
        // It may have no descriptor for this client.
        let _ = client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let _ = client.read(&mut [0; 1024]);
    }
    // It may be gone by then.
    let _ = server.signal(rustix::process::Signal::TERM);
    let finished = server.finish()?;
    let host_panicked = ["thread 'wasock", "thread 'tokio", "thread 'guest-", "thread '<unnamed>'"];
    let is_graceful = finished.signal.is_none() && finished.code != Some(PANIC);
    let is_silent = !host_panicked.iter().any(|thread| finished.stderr.contains(thread));
    ensure!(is_graceful && is_silent, "another end\n{finished}");
    Ok(())
}

#[test]
fn a_server_ends_well_with_any_limit() -> Result<()> {
    const WASIX: &[&str] = &["--listen", "127.0.0.1:*", "--listen-profile", "wasix"];
    const WINSOCK: &[&str] = &["--listen", "127.0.0.1:*", "--listen-profile", "winsock"];
    let place = Place::new()?;
    for flags in [WASIX, WINSOCK] {
        let server = Case { module: HTTP_SERVER, flags, right: &[] };
        for count in (3..=24).chain([40, 64]) {
            serves_or_ends_well(place.run(&server)?.arg("127.0.0.1:0").limit_descriptors(count))?;
        }
        let counts: &[u32] = if Wasock::can_limit_threads() { &[1, 2, 3, 4, 6, 30] } else { &[] };
        for &count in counts {
            serves_or_ends_well(place.run(&server)?.arg("127.0.0.1:0").limit_threads(nobody(), count))?;
        }
    }
    Ok(())
}
