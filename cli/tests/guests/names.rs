//! Names to addresses.

use super::run;
use anyhow::{Result, ensure};
use std::collections::HashSet;
use std::net::{IpAddr, TcpListener, ToSocketAddrs};

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

/// A name that is granted grants the addresses that it leads to.
#[test]
pub(crate) fn egress() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (to, port) = (listener.local_addr()?.to_string(), listener.local_addr()?.port());
    for place in ["127.0.0.0/8", "127.0.0.1", "*"] {
        let grant = format!("localhost@{place}:{port}");
        // From elsewhere, and after a look-up of its own, which the grant allows.
        for steps in [&["connect", &to][..], &["look-up", "localhost", "connect", &to]] {
            let finished = run().args(["--connect", &grant, guest_tests::EGRESS]).args(steps).succeed()?;
            finished.expect_stdout(&format!("connect {to}: done"))?.expect_no_stderr("wasock: ")?;
            listener.accept()?;
        }
    }
    Ok(())
}
