//! The programs in the images.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::image::Image;

/// A module of the guests' tests, or a component.
pub(crate) fn guest(path: &str) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.to_owned())
}

/// The server of pages.
pub(crate) fn http_server() -> Result<Image> {
    Ok(Image::of_module(&guest(guest_tests::HTTP_SERVER)?))
}

/// Its native twin, with the libraries that it needs.
pub(crate) fn native_http_server() -> Result<Image> {
    let program = guest_tests::native::HTTP_SERVER;
    let output = Command::new("ldd").arg(program).output().context("cannot start ldd")?;
    ensure!(output.status.success(), "ldd: {}", output.status);
    let libraries = String::from_utf8(output.stdout)?;
    let paths =
        libraries.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    paths.map(str::to_owned).try_fold(Image::of_native(&guest(program)?), |image, path| {
        Ok(image.file(path.trim_start_matches('/'), &guest(&path)?, 0o755))
    })
}

/// Copies its standard input to its standard output.
pub(crate) const CAT: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $again
      (i32.store (i32.const 0) (i32.const 64))
      (i32.store (i32.const 4) (i32.const 4096))
      (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))
      (if (i32.eqz (i32.load (i32.const 8))) (then (return)))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))
      (br $again))))"#;

/// Traps at once.
pub(crate) const TRAP: &str = r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#;

/// Grows its memory by a mebibyte at a time, and uses it, until it gets no more. Its exit code is how many mebibytes
/// it got, up to 200.
pub(crate) const GROW: &str = r#"(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $count i32) (local $at i32)
    (loop $again
      (local.set $at (i32.mul (memory.size) (i32.const 65536)))
      (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (call $exit (local.get $count))))
      (memory.fill (local.get $at) (i32.const 1) (i32.const 1048576))
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $count) (i32.const 200))))
    (call $exit (local.get $count))))"#;

/// Opens the service file to write to it, below each directory that it has, at the two paths that it may have there. Its
/// exit code is 42 where that succeeds, and 7 where it does not.
pub(crate) const OVERWRITE: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "etc/wasock/service.toml")
  (func $tries (param $fd i32) (param $path i32) (param $length i32)
    ;; To truncate it (8), and to write (64).
    (if (i32.eqz (call $open (local.get $fd) (i32.const 0) (local.get $path) (local.get $length)
          (i32.const 8) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 0)))
      (then (call $exit (i32.const 42)))))
  (func (export "_start") (local $fd i32)
    (local.set $fd (i32.const 3))
    (loop $again
      (call $tries (local.get $fd) (i32.const 64) (i32.const 23))
      (call $tries (local.get $fd) (i32.const 75) (i32.const 12))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $fd) (i32.const 16))))
    (call $exit (i32.const 7))))"#;

/// Prints its working directory.
pub(crate) const WORKING_DIRECTORY: &str = r#"(module
  (import "wasix_32v1" "getcwd" (func $getcwd (param i32 i32) (result i32)))
  (import "wasix_32v1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 256))
    (if (call $getcwd (i32.const 64) (i32.const 4)) (then (unreachable)))
    (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))))"#;

/// A module from its text.
pub(crate) fn of_text(text: &str) -> Result<Image> {
    Ok(Image::of_module(&wat::parse_str(text)?))
}
