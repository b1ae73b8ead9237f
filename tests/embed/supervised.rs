//! A service that starts, restarts, reloads and drains its instances: the rows of "Restart, reload,
//! drain" and "Workers" in the operations contract. Each test is named as its row.

#[path = "supervised/drain.rs"]
mod drain;
#[path = "supervised/reload.rs"]
mod reload;
#[path = "supervised/restart.rs"]
mod restart;
#[path = "supervised/settings.rs"]
mod settings;
#[path = "supervised/workers.rs"]
mod workers;

use super::adoption::{Control, connect, is_refused, is_served};
use super::{WAIT_TIMEOUT, plain};
use anyhow::{Context as _, Result, bail, ensure};
use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use wasock::observe::DrainEnd;
use wasock::{
    Ended, Event, Guest, ReloadError, ReloadMode, Restart, Service, ServiceBuilder, Signal, Terminated,
    WasockCtx, WasockCtxBuilder,
};

/// How long something that must not happen is waited for.
const MOMENT: Duration = Duration::from_millis(200);

/// A service that runs, and what it reports.
struct Running {
    service: Service,
    control: TcpListener,
    events: mpsc::Receiver<Event>,
    thread: JoinHandle<wasmtime::Result<Ended>>,
}

/// A reload that goes on.
struct Reload(JoinHandle<Result<u32, ReloadError>>);

impl Reload {
    fn done(self) -> Result<Result<u32, ReloadError>> {
        self.0.join().ok().context("it panicked")
    }
}

/// The guest, in an engine of its own.
fn guest() -> Result<Guest> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    Ok(Guest::load(&engine, Path::new(guest_tests::ADOPTION))?)
}

/// What each guest is given.
fn settings(control: &TcpListener) -> Result<WasockCtxBuilder> {
    let addr = control.local_addr()?.to_string();
    Ok(WasockCtx::builder()
        .listen(&"127.0.0.1:*".parse()?)
        .connect(&addr.parse()?)
        .args(["guest", &addr])
        .inherit_stdio()
        .ignore_signal(Signal::Usr1)
        .ignore_signal(Signal::Int))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => std::panic::resume_unwind(Box::new(error)),
    }
}

impl Running {
    fn start(choose: impl FnOnce(ServiceBuilder) -> ServiceBuilder) -> Result<Self> {
        Self::start_with(Ok, choose)
    }

    /// One whose guests are given more than the others.
    fn start_with(
        give: impl FnOnce(WasockCtxBuilder) -> Result<WasockCtxBuilder>,
        choose: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
    ) -> Result<Self> {
        let control = TcpListener::bind("127.0.0.1:0")?;
        let (sender, events) = mpsc::channel();
        let ctx = give(settings(&control)?)?
            .udp_bind(&"127.0.0.1:*".parse()?)
            .observer(move |event: &Event| _ = sender.send(event.clone()));
        let service = choose(Service::builder(ctx)).build()?;
        let (runs, guest) = (service.clone(), guest()?);
        let thread = thread::spawn(move || block_on(runs.run(guest)));
        Ok(Self { service, control, events, thread })
    }

    /// The same with its first instance, and where that listens.
    fn listening(self) -> Result<(Self, Control, SocketAddr)> {
        let mut one = self.next()?;
        let addr = one.listen("a", "127.0.0.1:0")?;
        Ok((self, one, addr))
    }

    /// The next instance that begins.
    fn next(&self) -> Result<Control> {
        Control::accept(&self.control)
    }

    /// Does no instance begin for a while?
    fn nobody_begins(&self) -> Result<()> {
        self.control.set_nonblocking(true)?;
        thread::sleep(MOMENT);
        let found = self.control.accept();
        self.control.set_nonblocking(false)?;
        ensure!(found.is_err(), "an instance began");
        Ok(())
    }

    fn reload(&self) -> Result<Reload> {
        let (service, guest) = (self.service.clone(), guest()?);
        Ok(Reload(thread::spawn(move || block_on(service.reload(guest)))))
    }

    /// Puts a new generation, which listens at `place`, in the place of the one before; its number.
    fn reloaded(&self, place: &str, number: u32) -> Result<Control> {
        let reload = self.reload()?;
        let mut next = self.next()?;
        next.listen("a", place)?;
        ensure!(reload.done()? == Ok(number), "another outcome");
        Ok(next)
    }

    /// A client whose connection `guest` keeps under this name.
    fn kept_by(&self, guest: &mut Control, addr: SocketAddr) -> Result<TcpStream> {
        let kept = connect(addr)?;
        guest.expect("take a kept", "ok")?;
        Ok(kept)
    }

    /// A reload with other settings.
    fn reload_with(&self, ctx: WasockCtxBuilder) -> Result<Reload> {
        let (service, guest) = (self.service.clone(), guest()?);
        Ok(Reload(thread::spawn(move || block_on(service.reload_with(guest, ctx)))))
    }

    /// The next event of those that `wanted` takes.
    fn event<T>(&self, wanted: impl Fn(&Event) -> Option<T>) -> Result<T> {
        loop {
            if let Some(found) = wanted(&self.events.recv_timeout(WAIT_TIMEOUT)?) {
                return Ok(found);
            }
        }
    }

    fn restarted(&self) -> Result<(u32, String, Duration)> {
        self.event(|event| match event {
            Event::InstanceRestarted { worker, why, after, .. } => Some((*worker, why.clone(), *after)),
            _ => None,
        })
    }

    /// The exit code, once it has ended.
    fn ended(self) -> Result<u32> {
        let begun = Instant::now();
        while !self.thread.is_finished() {
            ensure!(begun.elapsed() < WAIT_TIMEOUT, "it runs for ever");
            thread::sleep(Duration::from_millis(2));
        }
        match self.thread.join() {
            Ok(ended) => Ok(ended.map_err(plain)?.code),
            Err(_) => bail!("it panicked"),
        }
    }
}

/// Is a client that comes to `addr` now served by `guest`, whose name is `name`?
fn serves(guest: &mut Control, addr: SocketAddr, name: &str) -> Result<()> {
    let client = connect(addr)?;
    guest.expect(&format!("accept a {name}"), "ok")?;
    is_served(client, name)
}

fn is_reset(mut client: &TcpStream) -> Result<()> {
    let read = client.read(&mut [0]);
    ensure!(read.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{read:?}");
    Ok(())
}

/// Two workers, and where they listen.
fn two_workers(
    choose: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
) -> Result<(Running, Control, Control, SocketAddr)> {
    let (running, one, addr) = Running::start(|builder| choose(builder.workers(2)))?.listening()?;
    let mut two = running.next()?;
    ensure!(two.listen("a", "127.0.0.1:0")? == addr, "another port");
    Ok((running, one, two, addr))
}
