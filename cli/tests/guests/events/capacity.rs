//! Many connections, and more than fit.

use super::*;

fn open_descriptors(server: &Running) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{}/fd", server.id()))?.count())
}

#[test]
fn thousands_of_connections_at_once() -> Result<()> {
    const COUNT: usize = 2000;
    let (server, addr) = start(run_on_loopback().args(["--max-fds", "5000"]))?;
    let mut watcher = Client::connect(addr)?;
    watcher.expect("counts", "1 0 1")?;
    let before = open_descriptors(&server)?;
    let mut clients = (0..COUNT).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("echo {number}\n").as_bytes())?;
    }
    for (number, client) in clients.iter_mut().enumerate() {
        ensure!(client.answer()? == number.to_string(), "another answer to {number}");
    }
    // The same ones again, one after the other.
    for client in clients.iter_mut().rev() {
        client.expect("echo hello", "hello")?;
    }
    watcher.expect("counts", &format!("{0} 0 {0}", COUNT + 1))?;
    drop(clients);
    watcher.until("counts", &format!("{} {COUNT} 1", COUNT + 1))?;
    let after = open_descriptors(&server)?;
    // One that the start needed for a moment may be gone by now.
    ensure!(after <= before, "{before} descriptors before, {after} after");
    lives_on(server, addr).map(drop)
}

#[test]
fn thousands_of_connections_in_sequence() -> Result<()> {
    const COUNT: usize = 5000;
    let (server, addr) = start(run_on_loopback())?;
    let mut watcher = Client::connect(addr)?;
    watcher.expect("counts", "1 0 1")?;
    let before = open_descriptors(&server)?;
    for number in 0..COUNT {
        let mut client = Client::connect(addr)?;
        match number % 3 {
            0 => client.expect("echo hello", "hello")?,
            1 => client.send(b"echo hello\n")?,
            _ => {}
        }
    }
    watcher.until("counts", &format!("{} {COUNT} 1", COUNT + 1))?;
    let after = open_descriptors(&server)?;
    // One that the start needed for a moment may be gone by now.
    ensure!(after <= before, "{before} descriptors before, {after} after");
    lives_on(server, addr).map(drop)
}

/// Thirty clients of a server for ten: each is served once others leave.
fn served_in_turn(server: Running, addr: SocketAddr, capacity: usize) -> Result<()> {
    let mut clients = Vec::new();
    for number in 0..30 {
        let mut client = Client::connect(addr)?;
        client.send(format!("echo {number}\n").as_bytes())?;
        clients.push(client);
    }
    for (number, client) in clients.iter_mut().take(capacity).enumerate() {
        ensure!(client.answer()? == number.to_string(), "another answer to {number}");
    }
    // Nothing spins while the others wait.
    let before = server.processor_time()?;
    std::thread::sleep(Duration::from_secs(1));
    let used = server.processor_time()? - before;
    ensure!(used < Duration::from_millis(100), "{used:?} of processor time");
    let mut waiting = clients.split_off(capacity);
    drop(clients);
    while !waiting.is_empty() {
        for (number, mut client) in (30 - waiting.len()..).zip(waiting.drain(..capacity.min(waiting.len()))) {
            ensure!(client.answer()? == number.to_string(), "another answer to {number}");
        }
    }
    lives_on(server, addr).map(drop)
}

#[test]
fn a_full_table_makes_connections_wait() -> Result<()> {
    // 0 to 2 and the listener leave ten.
    let (server, addr) = start(run_on_loopback().args(["--max-fds", "14"]))?;
    served_in_turn(server, addr, 10)
}

#[test]
fn a_full_table_makes_connections_wait_in_a_queue_of_the_host() -> Result<()> {
    let wasock = run_on_loopback().args(["--max-fds", "14", "--listen-profile", "winsock"]);
    let (server, addr) = start(wasock)?;
    served_in_turn(server, addr, 10)
}

#[test]
fn a_limit_makes_connections_wait() -> Result<()> {
    for profile in ["wasix", "winsock"] {
        for limit in ["--max-connections", "--max-connections-per-listener"] {
            let (server, addr) = start(run_on_loopback().args(["--listen-profile", profile, limit, "10"]))?;
            served_in_turn(server, addr, 10)?;
        }
    }
    Ok(())
}

#[test]
fn a_queue_of_the_host_delivers_all_connections() -> Result<()> {
    let (server, addr) = start(run_on_loopback().args(["--listen-profile", "winsock"]))?;
    let mut watcher = Client::connect(addr)?;
    for round in 1..=10 {
        let mut clients = (0..50).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
        for client in clients.iter_mut().rev() {
            client.expect("echo hello", "hello")?;
        }
        drop(clients);
        watcher.until("counts", &format!("{} {} 1", 50 * round + 1, 50 * round))?;
    }
    lives_on(server, addr).map(drop)
}

/// Lets the host have as many descriptors as it has now, and `spare` more.
fn limit_descriptors(server: &Running, spare: u64) -> Result<()> {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let pid = Pid::from_raw(i32::try_from(server.id())?).context("no process id")?;
    let current = u64::try_from(open_descriptors(server)?)? + spare;
    // What this process may have at most, its children may have.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(current), maximum })?;
    Ok(())
}

/// A server on a host with `spare` descriptors.
fn start_with_spare_descriptors(spare: u64) -> Result<(Running, SocketAddr)> {
    // What cleans the cache up now and then takes descriptors, and gives them back.
    let (server, addr) = start(run_on_loopback().arg("--no-cache"))?;
    // Whatever the start needed for a moment is given back by then.
    Client::connect(addr)?.expect("echo hello", "hello")?;
    Client::connect(addr)?.until("counts", "2 1 1")?;
    limit_descriptors(&server, spare)?;
    Ok((server, addr))
}

#[test]
fn a_host_without_descriptors_makes_connections_wait() -> Result<()> {
    let (server, addr) = start_with_spare_descriptors(10)?;
    served_in_turn(server, addr, 10)
}

/// A descriptor that is freed without notice is found as well.
#[test]
fn a_host_without_descriptors_tries_again() -> Result<()> {
    let (server, addr) = start_with_spare_descriptors(4)?;
    let mut clients = (0..8).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("echo {number}\n").as_bytes())?;
    }
    for (number, client) in clients.iter_mut().take(4).enumerate() {
        ensure!(client.answer()? == number.to_string(), "another answer to {number}");
    }
    limit_descriptors(&server, 100)?;
    for (number, client) in clients.iter_mut().enumerate().skip(4) {
        ensure!(client.answer()? == number.to_string(), "another answer to {number}");
    }
    lives_on(server, addr).map(drop)
}
