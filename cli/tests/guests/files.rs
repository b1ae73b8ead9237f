//! Files and folders.

use super::{run, run_on_loopback};
use anyhow::{Context, Result, ensure};
use guest_tests::HttpClient;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

fn granted(folder: &Path) -> String {
    format!("{}::/", folder.display())
}

#[test]
pub(crate) fn files() -> Result<()> {
    let folder = tempfile::tempdir()?;
    run_on_loopback()
        .args(["--dir", &granted(folder.path()), guest_tests::FILES])
        .succeed()?
        .expect_stdout("preopened /\n")?;
    let left = fs::read_dir(folder.path())?.count();
    ensure!(left == 0, "{left} files are left");
    Ok(())
}

#[test]
pub(crate) fn files_escape() -> Result<()> {
    let outside = tempfile::tempdir()?;
    let root = outside.path().join("root");
    fs::create_dir(&root)?;
    fs::write(outside.path().join("secret"), "secret")?;
    fs::write(root.join("inside"), "inside")?;
    symlink(outside.path().join("secret"), root.join("out_absolute"))?;
    symlink("../secret", root.join("out_relative"))?;
    symlink("..", root.join("out_folder"))?;

    run().args(["--dir", &granted(&root), guest_tests::FILES_ESCAPE]).succeed()?;

    ensure!(fs::read(outside.path().join("secret"))? == b"secret", "the secret has changed");
    ensure!(fs::read_dir(outside.path())?.count() == 2, "something new outside");
    Ok(())
}

#[test]
pub(crate) fn files_read_only() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("file"), "content")?;
    fs::create_dir(folder.path().join("folder"))?;
    run().args(["--dir-ro", &granted(folder.path()), guest_tests::FILES_READ_ONLY]).succeed()?;
    ensure!(fs::read(folder.path().join("file"))? == b"content", "the file has changed");
    ensure!(fs::read_dir(folder.path())?.count() == 2, "something new");
    Ok(())
}

#[test]
pub(crate) fn file_server() -> Result<()> {
    let outside = tempfile::tempdir()?;
    let root = outside.path().join("root");
    fs::create_dir_all(root.join("below"))?;
    fs::write(outside.path().join("secret"), "secret")?;
    fs::write(root.join("index.html"), "<p>front page")?;
    fs::write(root.join("below/page.txt"), "a page below")?;
    let large: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
    fs::write(root.join("large"), &large)?;
    symlink("../secret", root.join("link"))?;

    let mut server = run()
        .args(["--listen", "127.0.0.1:*", "--dir-ro", &granted(&root)])
        .args([guest_tests::FILE_SERVER, "127.0.0.1:0", "/"])
        .start()?;
    let addr = server.listening()?;
    let get = |path: &str| HttpClient::connect(addr)?.get(path);

    ensure!(get("/")?.text() == "<p>front page", "the index");
    ensure!(get("/below/page.txt?query")?.text() == "a page below", "a page below");
    ensure!(get("/below/%70age.txt")?.text() == "a page below", "an escaped name");
    ensure!(get("/large")?.body == large, "a large file");
    for path in
        ["/missing", "/below", "/../secret", "/%2e%2e/secret", "/link", "//etc/passwd", "/below/../../secret"]
    {
        let response = get(path)?;
        ensure!(response.status == 404, "{path} answered {response:?}");
    }
    let mut client = HttpClient::connect(addr)?;
    client.send(b"DELETE / HTTP/1.1\r\n\r\n")?;
    ensure!(client.response()?.status == 405, "deleting");
    server.stop().context("ending the server").map(drop)
}

/// Prints what `getcwd` says.
const WORKING_DIRECTORY: &str = r#"(module
    (import "wasix_32v1" "getcwd" (func $getcwd (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 64))
        (drop (call $getcwd (i32.const 32) (i32.const 0)))
        (i32.store (i32.const 8) (i32.const 32))
        (i32.store (i32.const 12) (i32.load (i32.const 0)))
        (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))))"#;

#[test]
fn a_program_begins_where_the_operator_says() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let module = folder.path().join("getcwd.wat");
    fs::write(&module, WORKING_DIRECTORY)?;
    run().arg(&module).succeed()?.expect_stdout("/")?;
    run().args(["--cwd", "/srv/site"]).arg(&module).succeed()?.expect_stdout("/srv/site")?;
    let refused = run().args(["--cwd", "site"]).arg(&module).finish()?.expect_code(2)?;
    refused.expect_stderr("expected a whole path, as the guest sees it")?;
    Ok(())
}
