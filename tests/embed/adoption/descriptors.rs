//! A host that has no descriptor left for a held socket.

use super::super::run_alone;
use super::{Site, connect, is_served};
use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;

/// How many descriptors the process has: enough for two instances.
const DESCRIPTORS: u64 = 256;

#[test]
fn a1_bind_of_a_held_socket_fails_where_the_host_has_no_descriptor() -> Result<()> {
    run_alone("adoption::descriptors::alone_bind_without_descriptors")
}

#[test]
#[ignore = "takes all descriptors of the process: run alone, by the test above"]
fn alone_bind_without_descriptors() -> Result<()> {
    let mut site = Site::new(Ok)?;
    let mut one = site.start()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let client = connect(addr)?;
    one.exit()?;
    let mut two = site.start()?;
    two.expect("open a tcp", "ok")?;
    let taken = all_descriptors()?;
    // Not EADDRINUSE: no other program listens there.
    two.expect(&format!("bind a {addr}"), "ENFILE (41)")?;
    drop(taken);
    two.each(&[&format!("bind a {addr}"), "listen a 4"])?;
    two.expect("accept a two", "ok")?;
    is_served(client, "two")?;
    two.exit()
}

/// Opens files until there is no descriptor left.
fn all_descriptors() -> Result<Vec<File>> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), maximum })?;
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).take(1000).collect();
    ensure!(taken.len() < 1000, "there is no limit");
    Ok(taken)
}
