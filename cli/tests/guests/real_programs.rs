//! What real programs and public test suites asked of the host.

use super::{run, run_on_loopback};
use anyhow::{Result, ensure};
use guest_tests::{Running, Wasock};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);
const MEBIBYTE: usize = 1 << 20;

fn with_folder(folder: &tempfile::TempDir) -> Wasock {
    run().arg("--dir").arg(format!("{}::/", folder.path().display()))
}

#[test]
pub(crate) fn large_transfers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = with_folder(&folder).args([guest_tests::LARGE_TRANSFERS, "file"]).succeed()?;
    file.expect_stderr("holds\n")?;
    ensure!(std::fs::metadata(folder.path().join("large"))?.len() == 4 << 20, "a file of another size");
    Ok(())
}

#[test]
fn a_write_from_shared_memory_waits_until_all_of_it_is_written() -> Result<()> {
    for way in ["pipe", "pair"] {
        run().args([guest_tests::LARGE_TRANSFERS, way]).succeed()?.expect_stderr("holds\n")?;
    }
    Ok(())
}

#[test]
fn a_message_from_shared_memory_goes_whole() -> Result<()> {
    run().args([guest_tests::LARGE_TRANSFERS, "messages"]).succeed()?.expect_stderr("holds\n").map(drop)
}

#[test]
fn the_copy_of_a_message_is_counted() -> Result<()> {
    let host = run().args(["--max-host-memory", "180000", guest_tests::LARGE_TRANSFERS, "no_room"]);
    host.succeed()?.expect_stderr("holds\n").map(drop)
}

fn client_of(way: &str) -> Result<(Running, TcpStream)> {
    let mut host = run_on_loopback().args([guest_tests::LARGE_TRANSFERS, way]).start()?;
    let client = TcpStream::connect_timeout(&host.listening()?, WAIT_TIMEOUT)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.set_write_timeout(Some(WAIT_TIMEOUT))?;
    Ok((host, client))
}

#[test]
fn one_send_from_shared_memory_sends_all_and_one_receive_waits_for_all() -> Result<()> {
    let (host, mut client) = client_of("serve")?;
    let mut data = vec![0; 4 * MEBIBYTE];
    client.read_exact(&mut data)?;
    client.write_all(&data)?;
    client.write_all(&[7; 100_000])?;
    client.shutdown(Shutdown::Write)?;
    host.finish()?.expect_code(0)?.expect_stderr("holds\n").map(drop)
}

#[test]
fn a_send_that_does_not_wait_returns_how_much_fitted() -> Result<()> {
    let (mut host, mut client) = client_of("full")?;
    let sent = host.wait_for_stderr("sent ")?;
    let mut all = Vec::new();
    client.read_to_end(&mut all)?;
    ensure!(sent.trim() == format!("sent {}", all.len()), "{sent:?}, and {} came", all.len());
    host.finish()?.expect_code(0).map(drop)
}

#[test]
pub(crate) fn memory_imported_other_name() -> Result<()> {
    run().arg(guest_tests::MEMORY_IMPORTED_OTHER_NAME).succeed().map(drop)
}

#[test]
pub(crate) fn path_open_rights() -> Result<()> {
    let folder = tempfile::tempdir()?;
    with_folder(&folder).arg(guest_tests::PATH_OPEN_RIGHTS).succeed().map(drop)
}

#[test]
pub(crate) fn monotonic_clock_is_not_zero() -> Result<()> {
    run().arg(guest_tests::MONOTONIC_CLOCK_IS_NOT_ZERO).succeed().map(drop)
}

#[test]
pub(crate) fn builtin_devices() -> Result<()> {
    let finished = run().arg(guest_tests::BUILTIN_DEVICES).succeed()?;
    finished.expect_stdout("by its device\nby its number\n")?;
    Ok(())
}

#[test]
fn a_root_without_devices_has_the_built_in_ones() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("file"), "content")?;
    with_folder(&folder).args([guest_tests::BUILTIN_DEVICES, "root"]).succeed().map(drop)
}

#[test]
fn a_granted_directory_of_devices_wins() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("null"), "of the operator")?;
    let granted = run().arg("--dir").arg(format!("{}::/dev", folder.path().display()));
    granted.args([guest_tests::BUILTIN_DEVICES, "granted"]).succeed()?;
    Ok(())
}

/// Programs of preview 1 look for what was preopened, and count on finding nothing else.
#[test]
pub(crate) fn preview1_has_no_devices() -> Result<()> {
    run().arg(guest_tests::PREVIEW1_HAS_NO_DEVICES).succeed().map(drop)
}
