//! Instances that are tasks of an executor of the embedder's.

use super::*;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use tokio::runtime::Runtime;

/// What is done to have a service run its instances in one of these executors.
type Choose = Box<dyn FnOnce(ServiceBuilder) -> ServiceBuilder>;

/// A runtime of tokio's with two threads.
fn on_tokio() -> Result<(Runtime, Choose)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let handle = runtime.handle().clone();
    let choose = move |builder: ServiceBuilder| builder.connections_on(move |task| drop(handle.spawn(task)));
    Ok((runtime, Box::new(choose)))
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The simplest that there is: a thread for each task, and no runtime.
fn on_threads(builder: ServiceBuilder) -> ServiceBuilder {
    builder.connections_on(|mut task| {
        thread::spawn(move || {
            let waker = Waker::from(Arc::new(Unpark(thread::current())));
            while task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                thread::park();
            }
        });
    })
}

/// Serves, and outlives a trap of one of its instances.
fn is_served(running: &Running) -> Result<()> {
    let mut bystander = running.connect("wait done")?;
    bystander.expect("here")?;
    running.connect("trap")?.is_reset()?;
    ensure!(running.failure()?.contains("unreachable"), "another failure");
    // Code that computes gives way, also where it has a thread of the executor's.
    let spinning = [running.connect("spin")?, running.connect("spin")?, running.connect("spin")?];
    for n in 0..5 {
        running.connect(&format!("say {n}"))?.expect(&n.to_string())?;
    }
    drop(spinning);
    bystander.finish()?;
    bystander.expect("done")
}

#[test]
fn w3_instances_run_in_an_executor_of_the_embedders() -> Result<()> {
    let (runtime, on_tokio) = on_tokio()?;
    let handle = runtime.handle().clone();
    let with_sockets = move |ctx: WasockCtxBuilder| ctx.sockets_on(&handle);
    for running in [
        Running::start(guest_tests::CONNECTION_FILTER, with_sockets, on_tokio)?,
        Running::start(guest_tests::CONNECTION_FILTER, |ctx| ctx, |it| on_threads(it.workers(2)))?,
    ] {
        is_served(&running)?;
        let mut last = running.connect("wait last")?;
        last.expect("here")?;
        let reloaded = running.reload(guest_tests::CONNECTION_STATE)?;
        ensure!(reloaded == Ok(2), "{reloaded:?}");
        running.service.terminate();
        let error = running.ended()?.err().context("it ended well")?;
        ensure!(error.downcast_ref() == Some(&Terminated::Order), "{error:#}");
        last.is_reset()?;
    }
    Ok(())
}

#[test]
fn w3_a_drain_lets_instances_in_an_executor_end() -> Result<()> {
    let running = Running::start(guest_tests::CONNECTION_FILTER, |ctx| ctx, on_threads)?;
    let mut client = running.connect("wait done")?;
    client.expect("here")?;
    running.service.drain();
    while TcpStream::connect(running.addr).is_ok() {
        thread::sleep(Duration::from_millis(2));
    }
    client.finish()?;
    client.expect("done")?;
    running.drained()
}

#[test]
fn w3_an_executor_that_ends_first_ends_the_service() -> Result<()> {
    let (runtime, on_tokio) = on_tokio()?;
    let running = Running::start(guest_tests::CONNECTION_FILTER, |ctx| ctx, on_tokio)?;
    let mut client = running.connect("wait done")?;
    client.expect("here")?;
    runtime.shutdown_background();
    let error = running.ended()?.err().context("it ended well")?;
    ensure!(error.to_string().contains("executor of the instances has ended"), "{error:#}");
    client.is_reset()
}
