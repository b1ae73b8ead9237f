//! What an operator sees of instances for connections, beside their limits.

use super::super::status::{limit, until};
use super::*;

#[test]
fn l5_what_instances_for_connections_use_is_seen_beside_their_limits() -> Result<()> {
    let running = Running::filter(|builder| builder)?;
    let mut clients = [running.connect("wait one")?, running.connect("wait two")?];
    clients.iter_mut().try_for_each(|client| client.expect("here"))?;
    // A client may be served before the loop of the service has said so.
    let status = until(&running.service, |status| !status.generations.is_empty())?;
    let [generation] = status.generations.as_slice() else { bail!("{status:?}") };
    let memory = limit(&status, "max-memory")?.used.context("not counted")?;
    ensure!(memory > 0 && generation.memory == 2 * memory, "{memory} and {generation:?}");
    // Standard input, output and error, at least.
    let descriptors = limit(&status, "max-fds")?.used.context("not counted")?;
    ensure!(descriptors >= 3 && generation.descriptors == 2 * descriptors, "{descriptors}, {generation:?}");
    ensure!(generation.host_memory > 0, "{generation:?}");
    for client in &mut clients {
        client.finish()?;
        client.rest()?;
    }
    running.drained()
}

#[test]
fn l5_a_time_that_is_over_is_counted_and_shown_to_the_millisecond() -> Result<()> {
    let limited = |ctx: WasockCtxBuilder| ctx.timeout(Duration::from_millis(1500));
    let running = Running::start(guest_tests::CONNECTION_FILTER, limited, |builder| builder)?;
    let before = running.service.status();
    let timeout = limit(&before, "timeout")?;
    ensure!((timeout.most, timeout.unit, timeout.reached) == (Some(1500), "milliseconds", 0), "{timeout:?}");
    running.connect("cat")?.is_reset()?;
    running.failure()?;
    let after = running.service.status();
    ensure!(limit(&after, "timeout")?.reached == 1, "{:?}", after.limits);
    running.drained()
}

#[test]
fn l5_a_silent_client_is_counted_at_the_limit_too() -> Result<()> {
    let limited = |ctx: WasockCtxBuilder| ctx.idle_timeout(Duration::from_millis(100));
    let running = Running::start(guest_tests::CONNECTION_FILTER, limited, |builder| builder)?;
    running.connect("cat")?.is_reset()?;
    let status = running.service.status();
    ensure!(limit(&status, "idle-timeout")?.reached == 1, "{:?}", status.limits);
    running.drained()
}
