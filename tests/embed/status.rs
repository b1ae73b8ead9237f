//! What an operator sees of a service that runs: its status, and whether its loop answers.

use super::adoption::{Control, connect};
use super::{WAIT_TIMEOUT, plain};
use anyhow::{Context as _, Result, ensure};
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use wasock::observe::status::{GenerationState, LimitStatus, ServiceStatus, WorkerState};
use wasock::{Guest, Restart, Service, WasockCtx};

/// A service of one instance that does as it is told, for as long as `test` takes.
fn with_service(test: impl FnOnce(&Service, &mut Control) -> Result<()>) -> Result<()> {
    let control = TcpListener::bind("127.0.0.1:0")?;
    let addr = control.local_addr()?.to_string();
    let ctx = WasockCtx::builder()
        .listen(&"127.0.0.1:*".parse()?)
        .connect(&addr.parse()?)
        .max_connections(7)
        .args(["guest", &addr])
        .inherit_stdio();
    let service = Service::builder(ctx).restart(Restart::OnFailure).build()?;
    ensure!(!service.status().is_running && !service.answers(Duration::from_millis(1)), "it runs already");
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    let guest = Guest::load(&engine, Path::new(guest_tests::ADOPTION))?;
    let runs = service.clone();
    let thread = thread::spawn(move || -> Result<u32> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(runs.run(guest)).map_err(plain)?.code)
    });
    let tested = Control::accept(&control).and_then(|mut instance| test(&service, &mut instance));
    service.drain();
    let ended = thread.join().ok().context("it panicked")?;
    tested?;
    ensure!(ended? == 0, "another code");
    ensure!(!service.status().is_running, "it still runs");
    Ok(())
}

/// Waits for a status that `is_it` takes.
pub(super) fn until(service: &Service, is_it: impl Fn(&ServiceStatus) -> bool) -> Result<ServiceStatus> {
    let begun = Instant::now();
    loop {
        let status = service.status();
        if is_it(&status) {
            return Ok(status);
        }
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "{status:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

pub(super) fn limit<'a>(status: &'a ServiceStatus, name: &str) -> Result<&'a LimitStatus> {
    status.limits.iter().find(|it| it.name == name).context("no such limit")
}

#[test]
fn the_status_has_generations_listeners_and_what_instances_have() -> Result<()> {
    with_service(|service, instance| {
        ensure!(!service.status().is_ready, "ready without a listener");
        let addr = instance.listen("a", "127.0.0.1:0")?;
        let clients = [connect(addr)?, connect(addr)?, connect(addr)?];
        instance.expect("take a one", "ok")?;
        let status = until(service, |it| {
            it.is_ready && it.generations.iter().flat_map(|it| &it.workers).any(|it| it.instance.is_some())
        })?;
        ensure!(status.is_running && status.is_ready && !status.is_draining, "{status:?}");
        let [generation] = status.generations.as_slice() else { anyhow::bail!("{status:?}") };
        ensure!(generation.number == 1 && generation.state == GenerationState::Serving, "{generation:?}");
        let [worker] = generation.workers.as_slice() else { anyhow::bail!("{generation:?}") };
        ensure!(worker.state == WorkerState::Running && worker.restarts == 0, "{worker:?}");
        let has = worker.instance.as_ref().context("no instance")?;
        ensure!(has.open_connections == 1 && has.descriptors >= 5 && has.memory > 0, "{has:?}");
        ensure!(has.host_memory > 0 && has.sent_bytes > 0 && has.received_bytes > 0, "{has:?}");
        let [listener] = status.listeners.as_slice() else { anyhow::bail!("{status:?}") };
        ensure!(listener.local.inet() == Some(addr) && listener.generations == [1], "{listener:?}");
        // Where the kernel says nothing there is nothing to be seen.
        if let (Some(length), Some(capacity)) = (listener.queue_length, listener.queue_capacity) {
            ensure!((length, capacity) == (2, 16), "{listener:?}");
        }
        let connections = limit(&status, "max-connections")?;
        ensure!((connections.most, connections.used) == (Some(7), Some(1)), "{connections:?}");
        ensure!(connections.is_changeable && !limit(&status, "max-memory")?.is_changeable, "{status:?}");
        ensure!(status.metrics.instantiations.count == 1, "{:?}", status.metrics);
        drop(clients);
        Ok(())
    })
}

#[test]
fn what_is_denied_is_counted_by_the_call_with_the_flag_that_would_allow_it() -> Result<()> {
    with_service(|service, instance| {
        for _ in 0..3 {
            instance.expect("open b tcp", "ok")?;
            instance.expect("bind b 10.9.8.7:80", "EACCES (2)")?;
        }
        let status = service.status();
        ensure!(status.metrics.denied_calls == [("sock_bind", 3)], "{:?}", status.metrics);
        let [denial] = status.denials.as_slice() else { anyhow::bail!("{:?}", status.denials) };
        ensure!(denial.count == 3 && denial.flag == "--listen 10.9.8.7:80", "{denial:?}");
        Ok(())
    })
}

#[test]
fn bytes_of_an_instance_that_has_ended_still_count() -> Result<()> {
    with_service(|service, instance| {
        instance.expect("open b tcp", "ok")?;
        // It is counted a moment after the peer has it.
        let before = until(service, |it| it.metrics.received_bytes > 0 && it.metrics.sent_bytes > 0)?.metrics;
        instance.tell("exit 3")?;
        let after = until(service, |it| it.metrics.restarts == 1 && it.metrics.instantiations.count == 2)?;
        ensure!(after.metrics.received_bytes > before.received_bytes, "{after:?}");
        ensure!(after.generations.iter().flat_map(|it| &it.workers).any(|it| it.restarts == 1), "{after:?}");
        Ok(())
    })
}

#[test]
fn the_loop_of_a_service_answers() -> Result<()> {
    with_service(|service, instance| {
        ensure!(service.answers(WAIT_TIMEOUT), "it does not answer");
        instance.expect("open b tcp", "ok")?;
        ensure!(service.answers(WAIT_TIMEOUT), "it does not answer any more");
        Ok(())
    })
}
