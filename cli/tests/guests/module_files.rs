//! Where a module is read from.

use super::run;
use anyhow::{Context as _, Result, ensure};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::io::Write as _;
use std::process::{Command, Stdio};

const EXITS: &str = "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
    (memory (export \"memory\") 1) (func (export \"_start\") (call $exit (i32.const 7))))";

#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pipe = folder.path().join("pipe.wasm");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    let places = [(pipe.as_path(), "it is no regular file"), ("/dev/zero".as_ref(), "it is no regular file")];
    for (place, why) in places.into_iter().chain([(folder.path(), "it is a directory")]) {
        let finished = run().arg(place).finish()?.expect_code(1)?.expect_one_line()?;
        finished.expect_stderr(&format!("cannot read {}: {why}", place.display()))?;
    }
    Ok(())
}

/// As a shell passes the output of a program: `wasock run <(make)`.
#[test]
fn a_pipe_that_a_shell_passes_is_read_to_its_end() -> Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasock"));
    command.args(["run", "/dev/stdin"]).stdin(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("no pipe")?.write_all(EXITS.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.code() == Some(7), "{status}");
    Ok(())
}
