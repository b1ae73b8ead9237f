//! A listener that others have too, as a service manager does.

use super::*;
use wasock::ListenProfile;

fn serve(
    kept: &TcpListener,
    profile: ListenProfile,
) -> Result<(Service, JoinHandle<wasmtime::Result<Ended>>)> {
    let ctx = WasockCtx::builder().listen_profile(profile);
    let service = Service::builder(ctx).workers(2).per_connection_shared(kept.try_clone()?)?.build()?;
    let (runs, guest) = (service.clone(), guest(guest_tests::CONNECTION_FILTER)?);
    Ok((service, thread::spawn(move || block_on(runs.run(guest)))))
}

#[test]
fn a7_a_listener_of_others_goes_on_after_a_service_that_makes_instances_at_it() -> Result<()> {
    for profile in [ListenProfile::Wasix, ListenProfile::Winsock] {
        let kept = TcpListener::bind("127.0.0.1:0")?;
        let addr = kept.local_addr()?;
        // The next one as the first one: whoever comes in between waits.
        for round in 0..2 {
            let mut early = Client::connect(addr, "say early")?;
            let (service, thread) = serve(&kept, profile)?;
            early.expect("early")?;
            let mut client = Client::connect(addr, "wait whole")?;
            client.expect("here")?;
            while !service.status().is_ready {
                thread::sleep(Duration::from_millis(2));
            }
            let status = service.status();
            let listener = status.listeners.first().context("no listener")?;
            ensure!(listener.is_inherited && listener.local.inet() == Some(addr), "{listener:?}");
            service.drain();
            client.finish()?;
            client.expect("whole")?;
            let ended = thread.join().ok().context("it panicked")?.map_err(plain)?;
            ensure!(ended.code == 0, "{round}: {ended:?}");
        }
        let flags = rustix::fs::fcntl_getfl(&kept)?;
        ensure!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "it does not block any more");
        let late = TcpStream::connect(addr)?;
        drop((kept.accept()?, late));
    }
    Ok(())
}
