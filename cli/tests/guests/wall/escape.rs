//! Every thread of the command is inside the wall: each one is made to open a file that nobody granted, as code
//! that has left the sandbox would.
//!
//! The test is the debugger of its child: it stops a thread that waits in a call of the system's, and has it
//! make another one.

use std::ffi::c_void;
use std::fs;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::super::run;
use anyhow::{Context as _, Result, ensure};
use guest_tests::Running;

/// `openat`, and what names the working directory to it, on x86-64.
const OPENAT: u64 = 257;
const AT_FDCWD: u64 = 0_u64.wrapping_sub(100);

/// The instruction `syscall`, as its two bytes are read.
const SYSCALL: u64 = 0x050f;

/// How far below its stack a thread has memory that it does not use.
const BELOW_STACK: u64 = 4096;

/// A server with several threads that all wait.
fn server(flags: &[&str]) -> Result<Running> {
    let mut server = run()
        .args(["--listen", "127.0.0.1:0", "--workers", "2", "--drain-timeout", "1s"])
        .args(flags)
        .args([guest_tests::HTTP_SERVER, "127.0.0.1:0"])
        .start()?;
    server.listening()?;
    Ok(server)
}

fn threads(server: &Running) -> Result<Vec<Pid>> {
    let names = fs::read_dir(format!("/proc/{}/task", server.id()))?;
    names.map(|name| Ok(Pid::from_raw(name?.file_name().to_string_lossy().parse()?))).collect()
}

/// What a thread gets that opens `path`; `None` where it is not in a call of the system's.
fn opens(thread: Pid, path: &str) -> Result<Option<Result<u64, Errno>>> {
    ptrace::interrupt(thread)?;
    waitpid(thread, Some(WaitPidFlag::__WALL))?;
    let mut registers = ptrace::getregs(thread)?;
    let call = registers.rip.wrapping_sub(2);
    let instruction = ptrace::read(thread, call as *mut c_void)?;
    if u64::from_ne_bytes(instruction.to_ne_bytes()) & 0xffff != SYSCALL {
        return Ok(None);
    }
    let name = registers.rsp - BELOW_STACK;
    let bytes = [path.as_bytes(), &[0; 8]].concat();
    for (word, at) in bytes.chunks_exact(8).zip((name..).step_by(8)) {
        ptrace::write(thread, at as *mut c_void, i64::from_ne_bytes(word.try_into()?))?;
    }
    (registers.rip, registers.rax, registers.orig_rax) = (call, OPENAT, u64::MAX);
    (registers.rdi, registers.rsi, registers.rdx) = (AT_FDCWD, name, 0);
    ptrace::setregs(thread, registers)?;
    ptrace::step(thread, None)?;
    waitpid(thread, Some(WaitPidFlag::__WALL))?;
    // "... a negative number ... -errno" - syscall(2)
    let done = i64::from_ne_bytes(ptrace::getregs(thread)?.rax.to_ne_bytes());
    Ok(Some(u64::try_from(done).map_err(|_| Errno::from_raw(i32::try_from(-done).unwrap_or(0)))))
}

/// What all threads of a server get that open a file outside of what was granted; nothing where this user may
/// debug nobody.
fn outcomes(flags: &[&str]) -> Result<Vec<Result<u64, Errno>>> {
    let folder = tempfile::tempdir()?;
    let secret = folder.path().join("secret");
    fs::write(&secret, "text")?;
    let secret = secret.to_str().context("a path that is no text")?.to_owned();
    let server = server(flags)?;
    let threads = threads(&server)?;
    for thread in &threads {
        if let Err(errno) = ptrace::seize(*thread, Options::empty()) {
            eprintln!("passed over: no debugging here: {errno}");
            return Ok(Vec::new());
        }
    }
    let mut outcomes = Vec::new();
    for thread in &threads {
        outcomes.extend(opens(*thread, &secret)?);
    }
    // None of them goes on from there. The process is gone once its debugger has seen the end of each.
    server.signal(rustix::process::Signal::KILL)?;
    let first = Pid::from_raw(i32::try_from(server.id())?);
    for thread in threads.into_iter().filter(|thread| *thread != first) {
        waitpid(thread, Some(WaitPidFlag::__WALL))?;
    }
    Ok(outcomes)
}

#[test]
fn no_thread_of_the_command_opens_what_was_not_granted() -> Result<()> {
    let without = outcomes(&["--no-landlock"])?;
    ensure!(without.iter().all(Result::is_ok), "the file can't be opened at all: {without:?}");
    let finished = run().args(["-v", guest_tests::ARGS_ENV_EXIT, "0"]).succeed()?;
    if without.is_empty() || !finished.stderr.contains("wall: landlock: files") {
        eprintln!("passed over: there is no wall, or no debugging");
        return Ok(());
    }
    let within = outcomes(&[])?;
    ensure!(within.len() > 2, "only {within:?}");
    ensure!(within.iter().all(|outcome| *outcome == Err(Errno::EACCES)), "{within:?}");
    Ok(())
}
