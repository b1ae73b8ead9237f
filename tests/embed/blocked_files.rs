//! Guests whose file calls block, beside others in the same process.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::{WAIT_TIMEOUT, plain};
use anyhow::{Context as _, Result, ensure};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::runtime::Builder;
use wasmtime::Engine;
use wasock::{Access, Guest, WasockCtx};

/// As preview 1 numbers it.
const EMFILE: u32 = 33;

/// How many threads the runtime has for calls that block: half as many as guests that read.
const BLOCKING_THREADS: usize = 4;

/// Time for guests to begin what they do.
const MOMENT: Duration = Duration::from_millis(100);

fn load(engine: &Engine, module: &str) -> Result<Guest> {
    Ok(Guest::load(engine, Path::new(module))?)
}

/// Guests that read a pipe in which nothing ever is, then one that opens files, in one
/// runtime; then that is dropped. Returns how the latter ended.
fn beside_readers(folder: &Path) -> Result<u32> {
    let engine = Engine::new(&Guest::engine_config()).map_err(plain)?;
    let reader = load(&engine, guest_tests::FIFO_READ)?;
    let opener = load(&engine, guest_tests::ERRNO_OF_TOO_MANY_FILES)?;
    let context = || anyhow::Ok(WasockCtx::builder().preopened_dir(folder, "/files", Access::ReadWrite)?);
    let runtime =
        Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build()?;
    let ended = runtime.block_on(async {
        for _ in 0..2 * BLOCKING_THREADS {
            let (reader, context) = (reader.clone(), context()?.build_for_any_module()?);
            tokio::spawn(async move { reader.run(context).await.map(drop) });
        }
        tokio::time::sleep(MOMENT).await;
        opener.run(context()?.max_fds(8).build_for_any_module()?).await.map_err(plain)
    })?;
    drop(runtime);
    Ok(ended.code)
}

#[test]
fn readers_of_a_pipe_stop_neither_another_guest_nor_the_end_of_a_runtime() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("f");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    let _writer = OpenOptions::new().read(true).write(true).open(&path)?;
    let (sender, receiver) = mpsc::channel();
    let at = folder.path().to_owned();
    // Where it hangs, the test does not.
    thread::spawn(move || sender.send(beside_readers(&at)));
    let code = receiver.recv_timeout(WAIT_TIMEOUT).context("it hangs")??;
    ensure!(code == EMFILE, "it ended with {code}");
    Ok(())
}

/// Set for the process that [`a_read_of_standard_input_does_not_stop_the_end_of_a_runtime`]
/// starts: this test again.
const IS_CHILD: &str = "WASOCK_TEST_READS_STDIN";

/// A guest that reads this process's standard input, and the end of the runtime that it is in.
fn drop_a_reader_of_stdin() -> Result<()> {
    let engine = Engine::new(&Guest::engine_config()).map_err(plain)?;
    let reader = load(&engine, guest_tests::ERRNO_OF_STDIN)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let context = WasockCtx::builder().inherit_stdio().build_for_any_module()?;
        let reading = tokio::time::timeout(MOMENT, reader.run(context)).await;
        ensure!(reading.is_err(), "the read has ended: {:?}", reading.map_err(|_| ()));
        Ok(())
    })?;
    drop(runtime);
    Ok(())
}

/// Whatever thread reads, it is none that a runtime waits for, as tokio's own are.
#[test]
fn a_read_of_standard_input_does_not_stop_the_end_of_a_runtime() -> Result<()> {
    if std::env::var_os(IS_CHILD).is_some() {
        return drop_a_reader_of_stdin();
    }
    let this = "blocked_files::a_read_of_standard_input_does_not_stop_the_end_of_a_runtime";
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--exact", this])
        .env(IS_CHILD, "1")
        .stdin(Stdio::piped())
        .spawn()?;
    // Open until the end, and empty.
    let _stdin = child.stdin.take();
    let deadline = Instant::now() + WAIT_TIMEOUT;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => thread::sleep(MOMENT / 10),
        }
    };
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    ensure!(status.context("it hangs")?.success(), "it ended with {status:?}");
    Ok(())
}
