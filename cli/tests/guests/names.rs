//! Names to addresses.

use super::run;
use anyhow::{Result, ensure};
use std::collections::HashSet;
use std::net::{IpAddr, ToSocketAddrs};

#[test]
pub(crate) fn resolve_names() -> Result<()> {
    let finished = run()
        .args(["--resolve", "localhost", "--resolve", "*.invalid"])
        .args([guest_tests::RESOLVE_NAMES, "localhost", "localhost.example"])
        .succeed()?
        .expect_stderr("denied resolve of localhost.example")?
        .expect_stderr("allow it with --resolve localhost.example")?
        .expect_stderr("denied sock_connect of 127.0.0.1:9")?;
    let lines = finished.stdout.lines().filter_map(|line| line.strip_prefix("address "));
    let found: HashSet<IpAddr> = lines.map(str::parse).collect::<Result<_, _>>()?;
    let expected: HashSet<IpAddr> = ("localhost", 0).to_socket_addrs()?.map(|it| it.ip()).collect();
    ensure!(found == expected, "{found:?} and not {expected:?}\n{finished}");
    Ok(())
}

#[test]
fn no_name_is_granted_by_default() -> Result<()> {
    let finished = run().args([guest_tests::RESOLVE_NAMES, "localhost", "x"]).finish()?;
    ensure!(finished.code != Some(0), "{finished}");
    finished.expect_stderr("denied resolve of localhost: ").map(drop)
}
