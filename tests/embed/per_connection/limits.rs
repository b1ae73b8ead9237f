//! What keeps connections waiting before their instances, and what ends those that drain.

use super::*;
use wasock::ListenProfile;

/// Also where the host owns the queue, and with several workers: the rate is that of the listener.
#[test]
fn l4_the_host_takes_so_many_connections_a_second_and_the_others_wait() -> Result<()> {
    for profile in [ListenProfile::Wasix, ListenProfile::Winsock] {
        let limited = |ctx: WasockCtxBuilder| ctx.accept_rate(4).listen_profile(profile);
        let running = Running::start(guest_tests::CONNECTION_FILTER, limited, |it| it.workers(2))?;
        let begun = Instant::now();
        let clients = (0..8).map(|n| running.connect(&format!("say {n}"))).collect::<Result<Vec<_>>>()?;
        for (n, mut client) in clients.into_iter().enumerate() {
            client.expect(&n.to_string())?;
        }
        // A second's worth at once, and one each quarter of a second from then on.
        let took = begun.elapsed();
        ensure!(took >= Duration::from_millis(900), "8 came in {took:?}");
        let limit = running.event(|event| match event {
            Event::Limited { limit, most, .. } => Some((*limit, *most)),
            _ => None,
        })?;
        ensure!(limit == (Limit::AcceptRate, 4), "{limit:?}");
        running.drained()?;
    }
    Ok(())
}

#[test]
fn l4_connections_of_a_peer_wait_before_their_instances() -> Result<()> {
    let limited = |ctx: WasockCtxBuilder| ctx.accept_rate_per_peer(2);
    let running = Running::start(guest_tests::CONNECTION_FILTER, limited, |builder| builder)?;
    let begun = Instant::now();
    let clients = (0..4).map(|n| running.connect(&format!("say {n}"))).collect::<Result<Vec<_>>>()?;
    for (n, mut client) in clients.into_iter().enumerate() {
        client.expect(&n.to_string())?;
    }
    let took = begun.elapsed();
    ensure!(took >= Duration::from_millis(900), "4 came in {took:?}");
    running.drained()
}

/// Two that wait when a drain begins, with one instance at most, are reset and counted.
#[test]
fn r8_clients_that_wait_for_an_instance_when_a_drain_begins_are_reset_and_counted() -> Result<()> {
    for profile in [ListenProfile::Wasix, ListenProfile::Winsock] {
        let chosen = |ctx: WasockCtxBuilder| ctx.listen_profile(profile);
        let running = Running::start(guest_tests::CONNECTION_FILTER, chosen, |it| it.max_instances(1))?;
        let mut first = running.connect("wait one")?;
        first.expect("here")?;
        let mut waiting = [Client::silent(running.addr)?, Client::silent(running.addr)?];
        running.service.drain();
        waiting.iter_mut().try_for_each(Client::is_reset)?;
        running.event(|event| matches!(event, Event::WaitingReset { connections: 2, .. }).then_some(()))?;
        let metrics = running.service.metrics();
        let listener = metrics.listeners.first().context("no listener")?;
        ensure!(listener.left_waiting == 2, "{profile:?}: {listener:?}");
        first.finish()?;
        first.expect("one")?;
        running.drained()?;
    }
    Ok(())
}

#[test]
fn r7_a_drain_ends_instances_whose_clients_say_nothing() -> Result<()> {
    let quick = |builder: ServiceBuilder| {
        builder.drain_idle(Duration::from_millis(100)).drain_timeout(Duration::from_secs(600))
    };
    let running = Running::filter(quick)?;
    let mut client = running.connect("wait whole")?;
    client.expect("here")?;
    running.service.drain();
    // The instance sees the end of its input, and its client the end of what it writes.
    client.expect("whole")?;
    ensure!(client.rest()?.is_empty(), "more");
    running.drained()
}
