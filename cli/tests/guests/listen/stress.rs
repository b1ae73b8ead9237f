//! Clients and guests that mean harm: the listener serves afterwards, and nothing leaks.

use super::*;
use std::collections::VecDeque;
use std::time::Instant;

/// How many attempts are on their way at once, below any limit on descriptors.
const IN_FLIGHT: usize = 200;

/// How much the memory of a host may grow under stress, after the same stress before: pages that
/// the allocator has not given back.
const TOLERANCE_KIB: u64 = 2048;

/// Bad input: listen on every kind of descriptor with the backlogs 0, 1, 127, 128, 2^31-1, 2^31 and 2^32-1.
pub(super) fn every_kind_and_backlog(profile: Profile) -> Result<()> {
    holds(profile, "every_kind_and_backlog").map(drop)
}

/// Bad input: 10,000 times listen on one socket.
pub(super) fn ten_thousand_listens(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 1)?;
    let stress = |listener: &mut Listener| {
        listener.expect("listen_often 10000", "done")?;
        listener.expect("listen 1", "done")?;
        let waiting = listener.fill(profile.waiting_for(1))?;
        listener.accepts_all(&waiting)?;
        listener.expect("close_all", "done")?;
        listener.still_serves()
    };
    leaks_nothing(&mut listener, stress)?;
    // With a client that waits, and for which no backlog is too small.
    let first = listener.connect()?;
    listener.expect("listen_often 10000", "done")?;
    listener.serves(first)
}

/// Bad input: 10,000 connections against a backlog of 1.
pub(super) fn ten_thousand_connections(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 1)?;
    leaks_nothing(&mut listener, |listener| {
        let mut on_their_way = VecDeque::new();
        for _ in 0..5_000 {
            on_their_way.push_back(Attempt::start(listener.addr)?);
            if on_their_way.len() > IN_FLIGHT {
                on_their_way.pop_front();
            }
        }
        drop(on_their_way);
        let_packets_pass()?;
        // In the kernel's queue reset connections keep their space.
        listener.tell("accept_all")?;
        listener.expect("close_all", "done")?;
        let client = listener.connect()?;
        listener.serves(client)
    })
}

/// Goes through the stress twice: the second time takes nothing more than the first.
fn leaks_nothing(listener: &mut Listener, stress: impl Fn(&mut Listener) -> Result<()>) -> Result<()> {
    stress(listener)?;
    let (descriptors, memory) = (listener.host_descriptors()?, listener.running.resident_kib()?);
    stress(listener)?;
    listener.returns_to(descriptors)?;
    let now = listener.running.resident_kib()?;
    ensure!(now <= memory + TOLERANCE_KIB, "{memory} KiB became {now} KiB");
    Ok(())
}

/// Bad input: a listener takes no thread of its own.
pub(super) fn threads_of_fifty_listeners(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 4)?;
    listener.still_serves()?;
    let before = listener.running.threads()?;
    for _ in 1..50 {
        listener.also(4)?;
        listener.still_serves()?;
    }
    let after = listener.running.threads()?;
    ensure!(after <= before, "{before} threads became {after}");
    Ok(())
}

/// Bad input: clients that connect and reset for 10 seconds, in all profiles side by side.
#[test]
fn ten_seconds_of_resets() -> Result<()> {
    let mut hosts = Vec::new();
    for profile in Profile::ALL {
        let mut listener = Listener::start(profile, 4)?;
        listener.begin("serve")?;
        hosts.push(listener);
    }
    resets_for(&hosts, Duration::from_secs(1))?;
    let footprint = |listener: &Listener| -> Result<_> {
        Ok((listener.host_descriptors()?, listener.running.resident_kib()?))
    };
    let before = hosts.iter().map(footprint).collect::<Result<Vec<_>>>()?;
    let served = resets_for(&hosts, Duration::from_secs(10))?;
    ensure!(served >= 3, "only {served} were served");
    for (mut listener, (descriptors, memory)) in hosts.into_iter().zip(before) {
        let name = listener.profile.name;
        is_served(listener.connect()?, "quit").context(name)?;
        let answer = listener.answer()?;
        ensure!(answer.ends_with(" served"), "{name}: {answer}");
        listener.returns_to(descriptors).context(name)?;
        let now = listener.running.resident_kib()?;
        ensure!(now <= memory + TOLERANCE_KIB, "{name}: {memory} KiB became {now} KiB");
        listener.still_serves().context(name)?;
    }
    Ok(())
}

/// Connects and resets at each host in turn, and serves a good client at each now
/// and then; returns how many of those there were for each.
fn resets_for(hosts: &[Listener], time: Duration) -> Result<usize> {
    let end = Instant::now() + time;
    let mut served = 0;
    while Instant::now() < end {
        let pause = Instant::now() + Duration::from_millis(250);
        while Instant::now() < pause {
            for listener in hosts {
                // A full queue of the kernel's is no reason to wait for an answer.
                (0..8).try_for_each(|_| Attempt::start(listener.addr).map(drop))?;
            }
            // The hosts get to run on a machine with few processors.
            std::thread::sleep(Duration::from_millis(1));
        }
        let good = hosts.iter().map(|listener| Attempt::start(listener.addr));
        for (attempt, listener) in good.collect::<Result<Vec<_>>>()?.into_iter().zip(hosts) {
            is_served(attempt.wait()?, "hello").context(listener.profile.name)?;
        }
        served += 1;
    }
    Ok(served)
}

fn is_served(mut client: Client, message: &str) -> Result<()> {
    client.say(message)?;
    client.hears(message)?;
    client.hears_the_end()
}
